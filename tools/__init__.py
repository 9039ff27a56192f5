"""What makes files of the project: sample scans, the table of formats. Not installed."""
