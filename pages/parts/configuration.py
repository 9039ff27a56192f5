"""What the installation is configured for, in `.streamlit/secrets.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st


def setting(section: str, name: str) -> Any:
    """The value of an entry; None where there is none."""
    return settings(section).get(name)


def settings(section: str) -> Mapping[str, Any]:
    """The entries of a section; none where there is none."""
    return st.secrets.get(section, {}) if st.secrets.load_if_toml_exists() else {}


def identified() -> bool:
    """Whether reports may say who the patient is: `identified = true` under `[privacy]`."""
    return setting("privacy", "identified") is True
