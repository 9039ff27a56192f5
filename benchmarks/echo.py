"""The least that Streamlit can do with an upload: show it."""

import streamlit as st

if upload := st.file_uploader("Drop a file here"):
    st.image(upload, caption=upload.name)
