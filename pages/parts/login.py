"""Who uses the app: the person who logged in with OpenID Connect, where `[auth]` is set up; else anybody.

Streamlit (`st.login`) checks the provider's signature. Here it is decided what the person may do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import streamlit as st

from pages.parts.configuration import setting
from pages.words import login as words


class Person(NamedTuple):
    """Who is there.

    Attributes:
        name: their e-mail address, or what the provider knows them by; empty without a login.
        verified: whether they are logged in.
        is_reader: whether they may read scans and keep verdicts.
        is_admin: whether they may delete and export cases.
    """

    name: str
    verified: bool
    is_reader: bool
    is_admin: bool


ANYBODY = Person("", verified=False, is_reader=True, is_admin=True)
"""Without a login nobody is told from another, and everybody may do everything."""


def is_on() -> bool:
    """Whether `.streamlit/secrets.toml` has an entry `[auth]`."""
    return setting("auth", "redirect_uri") is not None


def person() -> Person | None:
    """Who is there; None where they have to log in first."""
    if not is_on():
        return ANYBODY
    if not st.user.is_logged_in:
        return None
    return person_of(st.user.to_dict(), _listed("reader"), _listed("admin"))


def person_of(claims: Mapping[str, Any], readers: list[str] | None, admins: list[str] | None) -> Person:
    """What a login means.

    Args:
        claims: of the provider's ID token.
        readers: e-mail addresses; None where everybody who can log in may read.
        admins: e-mail addresses; None where there is no admin.
    """
    email = str(claims.get("email") or "").strip().casefold()
    # An address that the provider has not checked is anybody's to claim.
    trusted = email if claims.get("email_verified", True) is True else ""
    is_admin = bool(trusted) and trusted in (admins or [])
    is_reader = is_admin or readers is None or (bool(trusted) and trusted in readers)
    return Person(trusted or str(claims.get("sub") or ""), True, is_reader, is_admin)


def _listed(role: str) -> list[str] | None:
    listed = setting("roles", role)
    return None if listed is None else [str(email).strip().casefold() for email in listed]


def require_login() -> None:
    """Show nothing but the way to log in to who has to, and nothing but a sentence to who may not read."""
    who = person()
    if who is None:
        st.title("BraTum Scans", anchor=False)
        st.markdown(words.LOG_IN)
        st.button("Log in", type="primary", on_click=st.login)
        st.stop()
    if not who.is_reader:
        st.title("BraTum Scans", anchor=False)
        st.markdown(words.NO_READER)
        st.button("Log out", on_click=st.logout)
        st.stop()
