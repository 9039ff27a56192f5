"""The HTTP API: readings for other programs, in a process of its own, without Streamlit."""
