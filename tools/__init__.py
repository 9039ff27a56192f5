"""What makes files of the project: samples, the table of formats. Not installed."""
