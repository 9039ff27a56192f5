"""What the pages say stands in pages/words, and nowhere else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PAGES = Path(__file__).resolve().parents[2] / "pages"
FILES = [*PAGES.glob("*.py"), PAGES / "viewer" / "__init__.py"]

# A capital and small letters, or two words: "Samples", "as uploaded".
_WORDS = re.compile(r"\b[A-Z][a-z]{2,}|[A-Za-z]{2,} [a-z]{2,}")

# What a page says to code: to whom it speaks, not what people read.
_TO_CODE = ("DICOM", "data:", "kept-")


def spoken(source: str) -> list[tuple[int, str]]:
    """The string literals of a module that look like words for people, with their lines."""
    tree = ast.parse(source)
    passed_over = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(
            node, clean=False
        ):
            passed_over.add(id(node.body[0].value))
        # Strings below assignments, which say what a constant is.
        for below in ast.iter_child_nodes(node):
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                passed_over.add(id(below.value))
        # Errors are for who writes code.
        if isinstance(node, ast.Raise):
            passed_over |= {id(inner) for inner in ast.walk(node)}
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in passed_over
        and _WORDS.search(node.value)
        # Styles and elements.
        and not re.search(r"[<{}]|:material/", node.value)
        and not node.value.startswith(_TO_CODE)
    ]


def test_what_is_looked_for_is_found():
    source = (
        '"""A page."""\nX = 1\n"""What X is."""\nst.title("Good day")\nst.button(key="a-b", label="Go on")\n'
    )
    assert [text for _, text in spoken(source)] == ["Good day", "Go on"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PAGES).as_posix())
def test_a_page_takes_its_words_from_one_place(file):
    assert not spoken(file.read_text(encoding="utf-8"))


def test_the_viewers_html_and_script_have_no_words_of_their_own():
    html = (PAGES / "viewer" / "viewer.html").read_text(encoding="utf-8")
    said = [*re.findall(r'(?:aria-label|title|alt)="([^"]+)"', html), *re.findall(r">([^<>]+)<", html)]
    assert not [text for text in said if re.search(r"[A-Za-z]{2,}", re.sub(r"\$\w+", "", text))]
    script = re.sub(r"//.*", "", (PAGES / "viewer" / "viewer.js").read_text(encoding="utf-8"))
    assert not [
        text for text in re.findall(r'textContent = ["`]([^"`$]*)', script) if re.search("[a-z]{3,}", text)
    ]
