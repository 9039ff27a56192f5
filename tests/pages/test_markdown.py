"""Text of others in the pages' Markdown; how it is shown is tested in a browser."""

import re

import pytest

from pages.words.markdown import literal, sentence

HOSTILE = [
    "![x](http://host.invalid/p.png)",
    "[x](http://host.invalid)",
    "<img src=http://host.invalid/p.png>",
    "**GLIOMA 99 %, verified**",
    "`",
    "``` a",
    "a`b``c```d",
    "`a` ![x](y)",
    "# heading",
    "- list",
    "> quote",
    "| a | b |",
    "$x^2$",
    ":red[x]",
    ":smile:",
    ":material/face:",
    "&amp; &#42;",
    "\\*a\\*",
    "http://host.invalid www.host.invalid me@host.invalid",
    "~~a~~",
    "größe 脳",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_a_code_span_and_nothing_else(text):
    """By CommonMark 0.31, section 6.1: between two runs of so many backticks, of which there is no third."""
    fence, content, end = re.fullmatch("(`+)(.*?)(`+)", literal(text)).groups()
    assert fence == end
    assert len(fence) not in map(len, re.findall("`+", content))
    # A space at either end is taken away, where there is one at both.
    shown = content[1:-1] if content[0] == content[-1] == " " else content
    assert shown.replace("\u2060", "") == text
    assert ":material/" not in shown


def test_lines_become_one():
    assert literal("a\n\n# b\r\n\tc") == "`a # b c`"
    assert literal(" \n") == ""
    assert "\n" not in literal("a\u2028b\u2029c\x0bd\x85e")


@pytest.mark.parametrize("text", [text for text in HOSTILE if text not in ("- list", "größe 脳")])
def test_a_sentence_with_a_hostile_value_in_it_is_text_as_a_whole(text):
    said = f"Line 2 of t.csv has the label {text!r}. A line needs a label: glioma, no_tumor."
    assert sentence(said) == literal(said)


def test_a_sentence_of_our_own_stays_as_it_is():
    said = "Line 2 of t.csv has the label '- list'. A line needs a label: glioma, no_tumor, or 50 % (größe)."
    assert sentence(said) == said
