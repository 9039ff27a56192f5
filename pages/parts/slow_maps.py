"""Part of Review: maps that take their time are made beside the page, which shows how far they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import streamlit as st

from brat.io.scan import Scan
from brat.model.explain import reference_cam, require_packages
from pages.parts.readings import Enhancement, chosen, read
from pages.words import review as words

PATIENCE = 20.0
"""Seconds after which a map is given up that no page asks for any more."""

_ONE_AT_A_TIME = threading.Lock()


class _GivenUp(Exception):
    """Ends the making of a map, between two of its steps."""


class SlowMap:
    """A map in the making, by a thread of its own.

    Attributes:
        share: how much is done, 0 to 1; None while another map is being made.
        cam: the map once it is there, float32 (n, n) in [0, 1].
        problem: what ended it instead.
        is_given_up: whether nobody waits for it any more.
    """

    def __init__(self, make: Callable[[Callable[[float], None]], np.ndarray]) -> None:
        """Args: make: makes the map; it is given what to call with its progress, and to let raise."""
        self.share: float | None = None
        self.cam: np.ndarray | None = None
        self.problem: Exception | None = None
        self.is_given_up = False
        self._asked = time.monotonic()
        # A daemon: a server that is to stop does not wait for a map.
        threading.Thread(target=self._run, args=(make,), name="slow-map", daemon=True).start()

    @property
    def is_over(self) -> bool:
        return self.cam is not None or self.problem is not None or self.is_given_up

    def ask(self) -> None:
        """Say that somebody still waits for it."""
        self._asked = time.monotonic()

    def give_up(self) -> None:
        self.is_given_up = True

    def _step(self, share: float | None) -> None:
        self.share = share
        if self.is_given_up or time.monotonic() - self._asked > PATIENCE:
            self.is_given_up = True
            raise _GivenUp

    def _run(self, make: Callable[[Callable[[float], None]], np.ndarray]) -> None:
        try:
            while not _ONE_AT_A_TIME.acquire(timeout=0.2):
                self._step(None)
            try:
                self.cam = make(self._step)
            finally:
                _ONE_AT_A_TIME.release()
        except _GivenUp:
            pass
        # Whatever it is: the page, which waits in another thread, raises it.
        except Exception as problem:
            self.problem = problem


def slow_map(method: str, label: str, scan: Scan, enhancement: Enhancement) -> SlowMap:
    """The map of a class by one of the slow methods, made or in the making.

    Raises:
        brat.model.explain.MissingPackage: the method needs packages that are not installed.
        ModelError, FileNotFoundError: there is no Keras model, or it is damaged. The next call tries again.
    """
    require_packages(method)
    model_input = read(scan, enhancement).model_input
    made_of = (chosen(), method, label, scan.digest, *enhancement, model_input)
    making = _slow_map(*made_of)
    if making.is_given_up or making.problem:
        _slow_map.clear(*made_of)
        if making.problem:
            raise making.problem
        making = _slow_map(*made_of)
    making.ask()
    return making


@st.cache_resource(max_entries=64, show_spinner=False)
def _slow_map(
    weights: Path,
    method: str,
    label: str,
    digest: str,
    clip_limit: float | None,
    change: float | None,
    _input: np.ndarray,
) -> SlowMap:
    return SlowMap(lambda on_progress: reference_cam(method, _input, label, weights, on_progress=on_progress))


def show_making(making: SlowMap, method: str, on_cancel: Callable[[], None]) -> None:
    """How far a map is, and the way to cancel it; draws the page again once it is over."""
    with st.container(horizontal=True, vertical_alignment="center", key="slow-map"):
        _show_progress(making, method)

        def cancel() -> None:
            making.give_up()
            on_cancel()

        st.button("Cancel", key="slow-map-cancel", icon=":material/close:", on_click=cancel)


@st.fragment(run_every=1.0)
def _show_progress(making: SlowMap, method: str) -> None:
    if making.is_over:
        st.rerun()
    making.ask()
    st.progress(making.share or 0.0, words.making(method, making.share))
