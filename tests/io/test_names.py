"""Names as they are let in: what is not seen is written out, and names that differ stay different."""

import io
import json
import os
import unicodedata
import zipfile
from pathlib import Path

import pytest

from brat.io.archives import members
from brat.io.files import File
from brat.io.folders import scans_within
from brat.io.intake import group_into_series
from brat.io.names import ENTRY, NAME, NOTE, clean_entry, clean_name, clean_note
from brat.predict import find_files, sort_files
from tests.factories.samples import KNOWN


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("größe 脳 می‌خواهم 👨‍👩‍👧.png", "größe 脳 می‌خواهم 👨‍👩‍👧.png"),
        ("a\x1b[31mb.png", "a\\x1b[31mb.png"),
        ("a\nb\tc\r\0", "a\\x0ab\\x09c\\x0d\\x00"),
        ("gnp.\u202egnp", "gnp.\\u202egnp"),
        ("a\u2066b\u200fc\ufeff", "a\\u2066b\\u200fc\\ufeff"),
        ("caf\udce9.png", "caf\\xe9.png"),
        ("\ud800", "\\ud800"),
        ("a\u2028b\u2029", "a\\u2028b\\u2029"),
        ("\ufffe\U000e0041", "\\ufffe\\U000e0041"),
    ],
)
def test_what_is_not_seen_is_written_out(given, seen):
    assert clean_name(given) == seen
    assert clean_name(seen) == seen
    seen.encode()


def test_every_character_is_clean_after_cleaning():
    cleaned = "".join(clean_name(chr(number)) for number in range(0x110000))
    cleaned.encode()
    assert {unicodedata.category(sign) for sign in cleaned} & {"Cc", "Cs", "Zl", "Zp"} == set()
    assert {sign for sign in cleaned if unicodedata.category(sign) == "Cf"} == {"\u200c", "\u200d"}


def test_a_long_name_keeps_its_ending_and_stays_different():
    first, second = (clean_name("a" * 5000 + middle + "b" * 5000 + ".nii.gz") for middle in "xy")
    assert len(first) <= NAME
    assert first.endswith("b.nii.gz")
    assert first != second


@pytest.mark.parametrize(
    ("given", "inside"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("/root/a.png", "root/a.png"),
        ("..\\..\\a.png", "a.png"),
        ("a//./b.png", "a/b.png"),
        ("..", "file"),
        ("![x](http://host/p.png)", "![x](http:/host/p.png)"),
    ],
)
def test_an_entry_stays_below_its_archive(given, inside):
    assert clean_entry(given) == inside


def test_a_note_keeps_lines_and_tabs_and_nothing_else_unseen():
    assert clean_note("Zwei\r\nZeilen\tλ ✓\x00\u202e") == "Zwei\nZeilen\tλ ✓\\x00\\u202e"
    assert len(clean_note("x" * 9999)) == NOTE


def test_archives_give_clean_names():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a/\u202egnp.png", b"1")
        archive.writestr("x" * 60000 + ".png", b"2")
    first, second = members(File("b\x07.zip", packed.getvalue()))
    assert first.name == "b\\x07.zip/a/\\u202egnp.png"
    assert len(second.name) <= len("b\\x07.zip/") + ENTRY
    assert second.name.endswith("x.png")


@pytest.mark.skipif(os.name == "nt", reason="there such a name cannot be given")
def test_files_with_names_that_are_no_unicode_are_read(tmp_path):
    for name in (b"caf\xe9.png", rb"caf\xe9.png", b"new\nline.png"):
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(KNOWN.file.read_bytes())
    files, _ = find_files([str(tmp_path)])
    assert len({file.name for file in files}) == 3
    for file in files:
        json.dumps(file.name).encode()
        file.name.encode()
        assert file.read() == KNOWN.file.read_bytes()
    assert len(sort_files(files)) >= 1
    assert {file.name for file in scans_within(".", tmp_path)[0]} == {
        f"{tmp_path.name}/{name}" for name in ("caf\\xe9.png", "new\\x0aline.png")
    }
    assert all(item.name.isprintable() for item in group_into_series(files))
