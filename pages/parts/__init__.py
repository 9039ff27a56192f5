"""What the pages are made of. Only pages lie beside `parts/`: Streamlit serves every file there."""
