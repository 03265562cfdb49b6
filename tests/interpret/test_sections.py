"""The page: complete, bounded, closed in itself, and deaf to what labels try."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from tests.interpret.support import made_facts, parse

from wiggly.interpret.facts import Error, Facts, find_warnings, headline, percent
from wiggly.interpret.score import score_against
from wiggly.interpret.sections import page

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>&amp;"


def outside_references(text: str) -> list[str]:
    """What a browser would fetch: attributes that name a place, url() and @import, unless in the page."""
    tree = parse(text)
    places = {"src", "href", "srcset", "poster", "action", "data", "background", "xlink:href"}
    found = [value or "" for _, attributes in tree.starts for name, value in attributes if name in places]
    styles = [value or "" for _, attributes in tree.starts for name, value in attributes if name == "style"]
    css = " ".join([tree.style, *styles])
    found += re.findall(r"url\(\s*([^)]+)\)", css) + re.findall(r"@import\s+(\S+)", css)
    return [where for where in found if not where.startswith(("data:image/", "#"))]


def test_the_sentence_of_the_score() -> None:
    actual = np.array([0] * 40 + [1] * 170)
    predicted = actual.copy()
    predicted[:13] = 1
    facts = made_facts(
        labels=["Abyssinian", "Bengal"], score=score_against(actual, predicted, 0), n_classes=2
    )
    assert headline(facts) == (
        "93.8 % of 210 validation photos right (95 % interval 89.7\u201396.3 %); "
        "always answering 'Abyssinian' would get 19.0 %."
    )


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1.0, "100 %"),
        (0.0, "0 %"),
        (0.9996, "> 99.9 %"),
        (0.0001, "< 0.1 %"),
        (0.5, "50.0 %"),
        (0.9994, "99.9 %"),
    ],
)
def test_percent_never_rounds_to_certainty(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize("n_classes", [2, 10, 30, 31, 37])
def test_page_is_well_formed_and_closed_in_itself(n_classes: int) -> None:
    text = page(made_facts(n_classes))
    tree = parse(text)
    assert outside_references(text) == []
    assert "http" not in text
    assert "script" not in {tag for tag, _ in tree.starts}
    headings = [tag for tag, _ in tree.starts if re.fullmatch(r"h\d", tag)]
    assert headings == ["h1"] + ["h2"] * 11


def test_sections_come_in_order() -> None:
    text = parse(page(made_facts())).text
    order = ["validation photos right", "Data", "Learning curve", "Class by class", "What is taken for what"]
    order += [
        "Worst errors",
        "confidence be believed",
        "Unreadable files",
        "Read with care",
        "Model and training",
    ]
    places = [text.index(title) for title in [*order, "Versions", "How to do it again"]]
    assert places == sorted(places)


def test_every_image_has_a_text_and_every_header_a_scope() -> None:
    picture = "data:image/jpeg;base64,AAAA"
    error = Error("a.jpg", "class 0", "class 1", 0.9, 3.0, picture)
    for n_classes in (3, 40):
        tree = parse(page(made_facts(n_classes, examples={0: [picture]}, errors=[error])))
        images = [dict(attributes) for tag, attributes in tree.starts if tag in ("img", "svg")]
        assert len(images) >= 4
        assert all(image.get("alt") or image.get("aria-label") for image in images)
        assert all(dict(attributes).get("scope") for tag, attributes in tree.starts if tag == "th")


def hostile_facts() -> Facts:
    facts = made_facts(3)
    errors = [Error(HOSTILE, HOSTILE, HOSTILE, 0.9, 3.0, None)]
    texts = {HOSTILE: HOSTILE}
    facts = replace(
        facts, title=HOSTILE, subtitle=HOSTILE, noun=HOSTILE, labels=[HOSTILE, "猫 🐈", "x" * 5000]
    )
    facts = replace(facts, errors=errors, data=texts, bad_items=texts, model=texts, versions=texts)
    return replace(facts, snippet=HOSTILE, command=HOSTILE, train_counts=np.array([0, 90, 2]))


def test_hostile_labels_stay_text() -> None:
    text = page(hostile_facts())
    tree = parse(text)
    assert "script" not in {tag for tag, _ in tree.starts}
    assert not any(name.startswith("on") for _, attributes in tree.starts for name, _ in attributes)
    assert HOSTILE in tree.text
    assert "猫 🐈" in tree.text
    assert "x" * 200 not in text


def test_a_thousand_classes_stay_small_and_readable() -> None:
    picture = "data:image/jpeg;base64," + "A" * 6_700
    labels = [f"{i} " + "<&>\"'" * 200 for i in range(1000)]
    errors = [Error("n" * 500, labels[0], labels[1], 0.5, 9.0, "data:image/jpeg;base64," + "A" * 32_000)] * 24
    bad = {f"{i}" + "/x" * 300: "y" * 1000 for i in range(5000)}
    examples = {i: [picture] for i in range(200)}
    facts = made_facts(1000, 5000, labels=labels, errors=errors, bad_items=bad, examples=examples)
    text = page(facts)
    assert len(text.encode()) < 5_000_000
    tree = parse(text)
    assert "confusion" not in {dict(attributes).get("class") for _, attributes in tree.starts}
    assert any(dict(attributes).get("class") == "map" for _, attributes in tree.starts)
    assert "Most confused pairs (15 of " in tree.text


def test_a_perfect_model_has_no_errors_to_show() -> None:
    actual = np.arange(210) % 3
    counts = np.diag([70, 70, 70])
    text = parse(page(made_facts(score=score_against(actual, actual, 0), counts=counts, errors=[]))).text
    assert "100 % of 210" in text
    assert "None of the 210 validation photos is predicted wrongly." in text
    assert "Nothing was confused" in text


def test_a_model_no_better_than_the_constant_answer_is_told_so() -> None:
    actual = np.array([0, 0, 1, 1] * 30)
    facts = made_facts(2, score=score_against(actual, np.zeros(120, dtype=int), 0))
    assert "Not shown to be better" in parse(page(facts)).text
    assert find_warnings(facts)[0].startswith("The model is not shown to be better")


def test_a_loaded_model_says_that_no_training_was_recorded() -> None:
    assert "loaded, not trained here" in parse(page(made_facts(phases=[]))).text


def test_warnings_name_what_is_thin() -> None:
    facts = made_facts(30, 60, train_counts=np.array([0, 200, *[10] * 28]), bad_items={"a.jpg": "truncated"})
    text = " ".join(find_warnings(facts))
    assert "Only 60 validation photos" in text
    assert "classes have fewer than 5 validation photos" in text
    assert "20 times" in text
    assert "No training photos at all: 'class 0'" in text
    assert "1 file could not be read" in text


def test_no_warnings_when_nothing_is_wrong() -> None:
    assert find_warnings(made_facts(3, 600)) == []


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def mixed(cell: str, share: float, ground: str) -> str:
    parts = [int(ground[i : i + 2], 16) for i in (1, 3, 5)]
    mix = [round(share * int(c) + (1 - share) * g) for c, g in zip(cell.split(), parts, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mix)


@pytest.mark.parametrize("mode", [0, 1])
def test_text_has_contrast_in_light_and_dark(mode: int) -> None:
    """At least 4.5 (WCAG 2.2, 1.4.3), on the page, on cards and on the strongest cell of the matrix."""
    style = re.findall(r":root \{(.*?)\}", page(made_facts()), re.DOTALL)[mode]
    colours = dict(re.findall(r"--([\w-]+): ([^;]+);", style))
    for ground in ("ground", "card"):
        for text in ("ink", "soft", "accent", "warn", "good"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for cell in ("accent-cell", "wrong-cell"):
        assert contrast(colours["ink"], mixed(colours[cell], 0.6, colours["ground"])) >= 4.5, cell
