"""Sentences that people read stand in pages/words; a label of a few words stands where it is used."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PAGES = Path(__file__).resolve().parents[2] / "pages"
WORDS = sorted((PAGES / "words").glob("*.py"))
OTHERS = sorted(file for file in PAGES.rglob("*.py") if file not in WORDS)

LABEL = 5
"""Words of a label at most."""

# A capital and small letters, or two words: "Samples", "as uploaded".
_WORDS = re.compile(r"\b[A-Z][a-z]{2,}|[A-Za-z]{2,} [a-z]{2,}")

# What a page says to code, not to people.
_TO_CODE = ("DICOM", "data:")


def is_sentence(text: str) -> bool:
    """More words than a label has, or the end of a sentence."""
    plain = re.sub(r"<[^>]*>", "", text)
    return len(re.findall(r"[^\W\d_][\w'’-]*", plain)) > LABEL or bool(re.search(r"[\w%][.?!]\W*$", plain))


def literals(source: str) -> list[str]:
    """The string literals of a module that look like words for people."""
    tree = ast.parse(source)
    passed_over = set()
    for node in ast.walk(tree):
        # Docstrings, and strings below assignments, which say what a constant is.
        for below in ast.iter_child_nodes(node):
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                passed_over.add(id(below.value))
        # Errors are for who writes code.
        if isinstance(node, ast.Raise):
            passed_over |= {id(inner) for inner in ast.walk(node)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in passed_over
        and _WORDS.search(node.value)
        # Styles and elements.
        and not re.search(r"[<{}]|:material/", node.value)
        and not node.value.startswith(_TO_CODE)
    ]


def constants(source: str) -> list[tuple[str, str]]:
    """The public constants of a module of words: name, and each text in it."""
    return [
        (target.id, node.value)
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name) and not target.id.startswith("_")
        for node in texts_of(statement.value)
    ]


def texts_of(value: ast.expr) -> list[ast.Constant]:
    """The texts of a constant; of a dictionary its values, not its keys."""
    inside = value.values if isinstance(value, ast.Dict) else [value]
    return [
        node
        for one in inside
        for node in ast.walk(one)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def test_sentences_and_labels_are_told_apart():
    for label in (
        "Samples",
        "95 % set",
        "Delete for good",
        "Sensitivity, tumour or none",
        "Reading …",
        "No."[:2],
    ):
        assert not is_sentence(label), label
    for sentence in (
        "Kept.",
        "Does the map point?",
        "Which of the values are shown here",
        "<b>Read</b> it all.",
    ):
        assert is_sentence(sentence), sentence


def test_what_is_looked_for_is_found():
    source = '"""A page. It is short."""\nX = 1\n"""What X is."""\nst.title("Good day")\nst.html("Go on.")\n'
    assert literals(source) == ["Good day", "Go on."]
    source = 'A = "Go on."\n_B = "Good day"\nC = {"key": "Good day"}\n'
    assert constants(source) == [("A", "Go on."), ("C", "Good day")]


def test_every_module_of_the_pages_is_looked_at():
    names = {file.relative_to(PAGES).as_posix() for file in OTHERS}
    assert {"review.py", "parts/answer.py", "viewer/__init__.py"} <= names


@pytest.mark.parametrize("file", OTHERS, ids=lambda file: file.relative_to(PAGES).as_posix())
def test_a_page_takes_its_sentences_from_one_place(file):
    assert not [text for text in literals(file.read_text(encoding="utf-8")) if is_sentence(text)]


@pytest.mark.parametrize("file", WORDS, ids=lambda file: file.stem)
def test_labels_stand_where_they_are_used(file):
    found = constants(file.read_text(encoding="utf-8"))
    assert not [(name, text) for name, text in found if not is_sentence(text)]


def test_the_viewers_html_and_script_have_no_sentences_of_their_own():
    html = (PAGES / "viewer" / "viewer.html").read_text(encoding="utf-8")
    texts = [*re.findall(r'(?:aria-label|title|alt)="([^"]+)"', html), *re.findall(r">([^<>]+)<", html)]
    assert "Opacity" in texts
    script = re.sub(r"//.*", "", (PAGES / "viewer" / "viewer.js").read_text(encoding="utf-8"))
    texts += re.findall(r"(?:textContent|ariaLabel|title|ariaValueText) = [^;]*?[\"`]([^\"`]*)[\"`]", script)
    assert "Hide map" in texts
    assert not [text for text in texts if is_sentence(text)]
