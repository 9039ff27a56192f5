"""The smallest Streamlit app that takes an upload: it shows the file."""

import streamlit as st

if upload := st.file_uploader("Drop a file here"):
    st.image(upload, caption=upload.name)
