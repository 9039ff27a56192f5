"""Fixtures of the pages, which start through Streamlit's own test harness."""

import importlib
import pkgutil

import pytest
import streamlit as st
from streamlit.runtime.secrets import secrets_singleton

import pages.parts
from tests.factories.paths import ROOT

# Before any test changes a name: a module that is imported while the folder of the model is another one keeps
# that one, and the next test reads with it.
for module in pkgutil.iter_modules(pages.parts.__path__, "pages.parts."):
    importlib.import_module(module.name)


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
