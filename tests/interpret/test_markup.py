"""Markup: nothing a user wrote can become HTML."""

from __future__ import annotations

import html

from hypothesis import given
from hypothesis import strategies as st
from tests.interpret.support import parse

from wiggly.interpret.markup import Html, clip, element, join, table

HOSTILE = "</td><script>alert('1')</script>\" onload=\"x & <b>"


def test_text_and_attributes_are_escaped_and_markup_is_not() -> None:
    made = element("p", {"title": HOSTILE}, HOSTILE, element("b", None, "x"))
    tree = parse(made)
    assert [tag for tag, _ in tree.starts] == ["p", "b"]
    assert dict(tree.starts[0][1]) == {"title": HOSTILE}
    assert tree.text == HOSTILE + "x"


@given(st.text())
def test_any_text_survives(text: str) -> None:
    tree = parse(element("p", {"title": text}, text))
    assert [tag for tag, _ in tree.starts] == ["p"]
    assert all(ord(c) > 31 or c in "\t\n\r" for c in tree.text)


def test_undecodable_file_names_can_be_written() -> None:
    join(["caf\udce9.jpg", "a\x00b"]).encode("utf-8")


def test_attributes_may_be_left_out_or_bare() -> None:
    assert (
        element("img", {"alt": "", "class": None, "hidden": True, "width": 3})
        == '<img alt="" hidden width="3">'
    )


def test_clip_keeps_the_ending_and_the_length() -> None:
    assert clip("short") == "short"
    assert clip("two\n lines\t") == "two lines"
    for limit in (5, 20, 21):
        cut = clip("x" * 90 + ".jpg", limit)
        assert len(cut) == limit
    assert clip("x" * 90 + ".jpg", 20).endswith(".jpg")


def test_table_has_headers_for_screen_readers() -> None:
    made = table(["Class", "n"], [["<i>", "3"], ["b", html.escape("4")]], "Items", numeric=(1,))
    tree = parse(made)
    scopes = [dict(attributes).get("scope") for tag, attributes in tree.starts if tag == "th"]
    assert scopes == ["col", "col", "row", "row"]
    assert ("table", [("aria-label", "Items")]) in tree.starts
    assert tree.text.startswith("Items")
    assert isinstance(made, Html)
    assert "<i>" not in made
