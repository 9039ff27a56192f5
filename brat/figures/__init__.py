"""Pictures from plain data: Plotly figures and the picture of an audit."""
