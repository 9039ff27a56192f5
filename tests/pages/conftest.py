"""Fixtures of the pages, which start through Streamlit's own test harness."""

import pytest
import streamlit as st
from streamlit.runtime.secrets import secrets_singleton

from tests.factories.paths import ROOT


@pytest.fixture(autouse=True)
def _at_root(monkeypatch):
    """Pages start in the project's root, as under `streamlit run app.py`, and without secrets."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(secrets_singleton, "_secrets", {})


@pytest.fixture
def fresh_caches():
    """Nothing is cached from another test, or for another: to Streamlit's harness all are one visitor."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()
