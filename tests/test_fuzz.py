"""The fuzzer fails where it must, and whole files pass it."""

from __future__ import annotations

import random

import pytest

from tests.fuzz import __main__ as fuzz
from tests.fuzz.corpus import corpus


def test_every_whole_file_of_the_corpus_is_read():
    assert {name: fuzz.outcome(name, data) for name, data in corpus().items()} == dict.fromkeys(
        corpus(), "read"
    )


def test_a_file_that_raises_what_nobody_foresees_is_a_failure(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(fuzz, "load", lambda item: {}["not foreseen"])
    assert fuzz.main(["--minutes", "0.005", "--seed", "1", "--keep", str(tmp_path)]) == 1
    assert "unforeseen KeyError" in capsys.readouterr().out
    assert list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", range(3))
def test_one_seed_draws_the_same_damage_again(seed):
    data = bytes(range(256)) * 8
    first, again = (fuzz.damaged(data, random.Random(seed), [data]) for _ in range(2))
    assert first == again != data
