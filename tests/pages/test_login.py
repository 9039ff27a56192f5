"""Who may do what: with a login, and without one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pages.parts import login
from pages.parts.login import ANYBODY, person, person_of

ADMINS, READERS = ["boss@example.org"], ["ab@example.org"]


def test_an_admin_and_a_reader_are_told_apart():
    boss = person_of({"email": "Boss@Example.org", "sub": "1"}, READERS, ADMINS)
    assert (boss.name, boss.verified, boss.is_reader, boss.is_admin) == ("boss@example.org", True, True, True)
    reader = person_of({"email": "ab@example.org", "email_verified": True}, READERS, ADMINS)
    assert (reader.is_reader, reader.is_admin) == (True, False)
    stranger = person_of({"email": "x@example.org"}, READERS, ADMINS)
    assert (stranger.verified, stranger.is_reader, stranger.is_admin) == (True, False, False)


def test_an_address_that_the_provider_has_not_checked_gives_no_role():
    claims = {"email": "boss@example.org", "email_verified": False, "sub": "attacker"}
    who = person_of(claims, READERS, ADMINS)
    assert (who.name, who.is_reader, who.is_admin) == ("attacker", False, False)
    # Neither does a claim that is no boolean.
    assert not person_of({**claims, "email_verified": "true"}, READERS, ADMINS).is_admin


def test_an_empty_address_has_no_role_that_an_empty_entry_names():
    assert not person_of({"sub": "1"}, [""], [""]).is_reader
    assert not person_of({"sub": "1"}, [""], [""]).is_admin


def test_without_a_list_of_readers_everybody_who_logs_in_reads_and_nobody_deletes():
    who = person_of({"sub": "1"}, None, None)
    assert (who.is_reader, who.is_admin) == (True, False)


@pytest.mark.parametrize(("logged_in", "expected"), [(False, None), (True, "ab@example.org")])
def test_with_auth_set_up_somebody_has_to_log_in(monkeypatch, logged_in, expected):
    entries = {("auth", "redirect_uri"): "https://x/oauth2callback"}
    monkeypatch.setattr(login, "setting", lambda *place: entries.get(place))
    claims = {"email": "ab@example.org"}
    user = SimpleNamespace(is_logged_in=logged_in, to_dict=lambda: claims)
    monkeypatch.setattr(login.st, "user", user)
    who = person()
    assert (who and who.name) == expected


def test_without_auth_everybody_is_nobody_in_particular(monkeypatch):
    monkeypatch.setattr(login, "setting", lambda *place: None)
    assert person() == ANYBODY
    assert not ANYBODY.verified
