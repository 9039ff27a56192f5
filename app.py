"""Entry of the app: page set-up and navigation. Start it with `streamlit run app.py`."""

import streamlit as st

st.session_state.entered = True
st.set_page_config(page_title="BraTum Scans", page_icon=":material/neurology:", layout="wide")
st.navigation(
    [
        st.Page("pages/review.py", title="Review", icon=":material/image_search:", default=True),
        st.Page("pages/worklist.py", title="Worklist", icon=":material/list:"),
        st.Page("pages/history.py", title="History", icon=":material/history:"),
        st.Page("pages/model.py", title="Model", icon=":material/monitoring:"),
        st.Page("pages/about.py", title="About", icon=":material/info:"),
    ],
    position="top",
).run()
