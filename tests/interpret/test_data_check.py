"""The data check as a section of the report and as a page: names escaped, bounded, readable on a phone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.interpret.support import made_facts

from wiggly.interpret.data_check import check_page, check_section
from wiggly.interpret.markup import is_report
from wiggly.interpret.sections import page
from wiggly.vision.check import DataCheck, Finding, check_folder


@pytest.fixture
def found(tmp_path: Path) -> DataCheck:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        Image.effect_mandelbrot((120, 90), (-2, -1.5, 1, 1.5), 50).save(tmp_path / label / "same.png")
        (tmp_path / label / "<b>empty<b>.jpg").touch()
    return check_folder(tmp_path)


def test_names_cannot_become_markup_and_copies_are_shown(found: DataCheck) -> None:
    shown = check_section(found)
    assert "<b>empty" not in shown
    assert "cat/&lt;b&gt;empty&lt;b&gt;.jpg" in shown
    assert shown.count("data:image/jpeg;base64,") == 2
    for finding in found.findings:
        assert f'id="check-{finding.kind}"' in shown
        assert finding.message.split(" (")[0][:40] in shown


def test_the_page_refers_to_nothing_outside_and_is_known_as_ours(found: DataCheck, tmp_path: Path) -> None:
    text = check_page(found)
    assert "http" not in text.replace("http-equiv", "")
    (tmp_path / "check.html").write_text(text, encoding="utf-8")
    assert is_report(tmp_path / "check.html")


def test_ten_thousand_files_make_a_small_page() -> None:
    names = [f"cat/{k}.jpg" for k in range(10_000)]
    pairs = [[k, k + 1] for k in range(0, 10_000, 2)]
    check = DataCheck(
        [
            Finding("exact-across", "error", "m", "f", names, groups=pairs),
            Finding("small", "note", "m", "f", names),
        ]
    )
    assert len(check_page(check)) < 100_000
    assert "4,988 more" in check_page(check)


def test_the_report_has_the_section_only_when_there_was_a_check(found: DataCheck) -> None:
    facts: Any = made_facts()
    assert 'id="check"' not in page(facts)
    assert 'id="check"' in page(replace(facts, check=found))
    assert "nothing found" in page(replace(facts, check=DataCheck([])))


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(found: DataCheck, tmp_path: Path, browser: Any, scheme: str) -> None:
    path = tmp_path / "check.html"
    path.write_text(check_page(found), encoding="utf-8")
    view = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    view.goto(path.as_uri())
    assert view.evaluate("document.documentElement.scrollWidth") <= 390
    broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"
    assert view.evaluate(broken) == 0
    view.close()
