"""What the installation is configured for, in `.streamlit/secrets.toml`."""

from __future__ import annotations

from typing import Any

import streamlit as st


def setting(section: str, name: str) -> Any:
    """The value of an entry; None where there is none."""
    if not st.secrets.load_if_toml_exists():
        return None
    return st.secrets.get(section, {}).get(name)


def identified() -> bool:
    """Whether reports may say who the patient is: `identified = true` under `[privacy]`."""
    return setting("privacy", "identified") is True
