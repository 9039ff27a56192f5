"""What the benchmarks see on a page: a real server, a real browser."""

from __future__ import annotations

import pytest

from benchmarks.browser import __file__ as HARNESS
from benchmarks.sessions import SHOWN, is_right
from benchmarks.slices import as_file, make_slice
from brat.model.reader import Reader

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


def test_a_remark_is_no_error_and_a_file_that_is_not_read_is_one(open_page, address):
    page = open_page(address, 1280)
    page.add_init_script(path=HARNESS.replace(".py", ".js"))
    page.reload()
    # By its header it is derived from others, and the page says so.
    drop = {"name": "scan.dcm", "mimeType": "", "buffer": as_file(2, "DICOM")}
    page.locator("input[type=file]").first.set_input_files([drop])
    playwright.expect(page.get_by_test_id("stAlertContentWarning")).to_contain_text("derived")
    playwright.expect(page.locator("canvas").first).to_be_visible()
    page.evaluate("painted(isPage)")
    assert is_right(page.evaluate(SHOWN), make_slice(2), Reader())
    page.locator("input[type=file]").first.set_input_files([drop | {"name": "a.png", "buffer": b"no scan"}])
    playwright.expect(page.get_by_test_id("stAlertContentError")).to_be_visible()
    page.evaluate("painted(() => isPage() && ui('plain'))")
    assert page.evaluate(SHOWN)[2] == 1
