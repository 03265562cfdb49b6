"""The pages of tables, ratings and of photos with more than a label: in a real browser, as the predictor."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.apps.conftest import _address
from tests.bundle.test_kinds import learned, photo
from tests.bundle.test_tables import TARGETS, people, rated, trained
from tests.vision.detection.scenes import learner
from tests.vision.detection.scenes import loaders as scene_loaders

import wiggly
from wiggly.apps import forms
from wiggly.apps.forms import fields_of
from wiggly.apps.words import plain, score_line
from wiggly.bundle.parts import Score
from wiggly.bundle.predictor import Predictor, load_bundle
from wiggly.bundle.rows import read_rows
from wiggly.tabular.learner import tabular_learner
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.vision.augment import Resize

PATIENCE = 30_000  # milliseconds


def both() -> Any:
    """A learner with two targets of different kinds."""
    table = people()[["city", "age", "buys", "rent"]]
    dls = TabularDataLoaders.from_df(table, y_names=["buys", "rent"], bs=16, seed=0, verbose=False)
    learn = tabular_learner(dls, layers=[8])
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 1e-2)
    return learn


MAKERS = {
    "label": lambda: trained("label"),
    "numbers": lambda: trained("numbers"),
    "stars": rated,
    "mask": lambda: learned("mask"),
    "points": lambda: learned("points"),
    "labels": lambda: learned("labels"),
    "number": lambda: learned("number"),
    "boxes": lambda: learner(scene_loaders(n=8, item_tfms=Resize(64))),
    "both": both,
}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("forms")
    return {name: make().export(folder / f"{name}.wiggly", graph=False) for name, make in MAKERS.items()}


SERVER = """
import sys
from wiggly.apps.page import _free_port, import_gradio, _launch_settings, _wait_for_the_end, make_app
from wiggly.bundle.predictor import load_bundle
for path in sys.argv[1:]:
    app, port = make_app(load_bundle(path)), _free_port("127.0.0.1", 17900)
    print(app.launch(**_launch_settings(import_gradio(), "127.0.0.1", port))[1], flush=True)
_wait_for_the_end()
"""


@pytest.fixture(scope="module")
def addresses(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """All pages, served by one process."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", SERVER, *map(str, bundles.values())],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(wiggly.__file__).parent.parent),
            "OMP_WAIT_POLICY": "passive",
            "GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("uploads")),
        },
    )
    try:
        yield {name: _address(process) for name in bundles}
    finally:
        process.kill()
        process.communicate()


def opened(browser: Any, address: str, width: int = 1100) -> Any:
    tab = browser.new_page(viewport={"width": width, "height": 900})
    tab.set_default_timeout(PATIENCE)
    tab.goto(address)
    tab.wait_for_selector("#head h1")
    return tab


@pytest.mark.browser
def test_a_row_filled_in_gets_the_answer_of_predict(
    browser: Any, addresses: dict[str, str], bundles: dict[str, Path]
) -> None:
    predictor = load_bundle(bundles["label"])
    row = {field.name: field.read(field.start) for field in fields_of(predictor)}
    tab = opened(browser, addresses["label"])
    tab.wait_for_selector("#form")
    for age, pay in (("65", ""), ("19", "2500.5")):
        tab.get_by_label("age", exact=True).fill(age)
        tab.get_by_label("pay", exact=True).fill(pay)
        tab.click("#ask")
        wanted = predictor.predict({**row, "age": int(age), "pay": float(pay) if pay else None})
        tab.wait_for_function(
            "([label, share]) => document.querySelector('#answer h2')?.innerText.trim() == label &&"
            " document.querySelector('#answer').innerText.includes(share)",
            arg=[wanted.decoded, f"{100 * float(wanted.probs.max()):.0f}%"],
        )
    tab.get_by_label("age", exact=True).fill("200")
    tab.click("#ask")
    tab.wait_for_selector("#notice [role=alert]")
    assert "age: 200 is outside what it has seen" in tab.inner_text("#notice")
    tab.locator("#form .block", has_text="since").locator("input, textarea").fill("some day")
    tab.click("#ask")
    tab.wait_for_function("document.querySelector('#notice').innerText.includes('some day')")
    assert tab.locator("#answer h2").count() == 0
    tab.close()


@pytest.mark.browser
def test_choices_and_examples(browser: Any, addresses: dict[str, str], bundles: dict[str, Path]) -> None:
    predictor = load_bundle(bundles["numbers"])
    tab = opened(browser, addresses["numbers"])
    tab.locator("#component-0, table tbody tr").last.click()
    example = predictor.examples[-1]
    [row] = read_rows(example.content)
    tab.wait_for_function(
        "age => [...document.querySelectorAll('#form input[type=number]')].some(e => e.value == age)",
        arg=str(row["age"]),
    )
    tab.click("#ask")
    tab.wait_for_selector("#answer strong")
    assert plain(example.answer.decoded[0], 5) in tab.inner_text("#answer")
    tab.get_by_label("city", exact=True).click()
    options = tab.locator("[role=option]").all_inner_texts()
    assert [text.replace("✓", "").strip() for text in options][1:] == sorted(people()["city"].unique())
    tab.close()


@pytest.mark.browser
def test_people_who_liked_this(browser: Any, addresses: dict[str, str], bundles: dict[str, Path]) -> None:
    model: Any = load_bundle(bundles["stars"]).model
    tab = opened(browser, addresses["stars"])
    tab.wait_for_selector("#answer li")
    favourite = model.items[int(model.i_count[1:].argmax()) + 1]
    least = int(tab.locator("#least input[type=number]").input_value())
    wanted = [label for label, _ in model.nearest([favourite], 10, least=least)]
    found = [text.rpartition(" ")[0] for text in tab.locator("#answer li").all_inner_texts()]
    assert found == wanted
    tab.locator("#liked input").click()
    tab.locator("[role=option]", has_text="book 7").first.click()
    both = model.nearest([favourite, "book 7"], 10, least=least)
    tab.wait_for_function(
        "first => document.querySelector('#answer li').innerText.startsWith(first)", arg=f"{both[0][0]} "
    )
    tab.close()


@pytest.mark.browser
def test_a_mask_is_laid_over_the_photo(
    browser: Any, addresses: dict[str, str], bundles: dict[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "1.png"
    Image.fromarray(photo(1)).save(file)
    indices = np.asarray(load_bundle(bundles["mask"]).predict(file).decoded)
    tab = opened(browser, addresses["mask"])
    tab.set_input_files("#photo input[type=file]", str(file))
    tab.wait_for_selector("#answer .legend-item")
    legend = [text.strip() for text in tab.locator("#answer .legend-item").all_inner_texts()]
    assert sorted(legend) == [
        name for code, name in enumerate(["ground", "square"]) if (indices == code).any()
    ], "void is not coloured"
    tab.close()


@pytest.mark.browser
def test_two_targets_are_both_answered(
    browser: Any, addresses: dict[str, str], bundles: dict[str, Path]
) -> None:
    predictor = load_bundle(bundles["both"])
    label, number = predictor.predict({f.name: f.read(f.start) for f in fields_of(predictor)}).decoded
    tab = opened(browser, addresses["both"])
    tab.click("#ask")
    tab.wait_for_selector("#answer strong")
    assert [text.strip() for text in tab.locator("#answer strong").all_inner_texts()] == [
        label,
        plain(number, 5),
    ]
    tab.close()


@pytest.mark.browser
@pytest.mark.parametrize("name", list(MAKERS))
def test_it_fits_a_phone(browser: Any, addresses: dict[str, str], name: str) -> None:
    tab = opened(browser, addresses[name], width=390)
    tab.wait_for_timeout(500)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.close()


# Without a browser


@pytest.fixture(scope="module")
def label(bundles: dict[str, Path]) -> Predictor:
    return load_bundle(bundles["label"])


def test_fields_show_and_read_back_every_value(label: Predictor) -> None:
    fields = fields_of(label)
    assert [field.name for field in fields] == label.reader.encoder.column_names  # type: ignore[attr-defined]
    for _, row in people().drop(columns=TARGETS).iterrows():
        for field in fields:
            value = None if pd.isna(row[field.name]) else row[field.name]
            back = field.read(field.shown(value))
            assert back == value or back is value is None


def test_fields_start_at_the_median_and_name_what_is_strange(label: Predictor) -> None:
    fields = {field.name: field for field in fields_of(label)}
    encoder: Any = label.reader.encoder  # type: ignore[attr-defined]
    numbers = {column.name: column for column in encoder.numbers}
    assert fields["pay"].start == pytest.approx(numbers["pay"].fill)
    assert fields["age"].note(40) == fields["age"].note(None) == ""
    assert "200" in fields["age"].note(200)
    assert fields["since"].note(datetime(2021, 1, 1)) == ""
    assert "since" in fields["since"].note(datetime(1999, 1, 1))
    with pytest.raises(ValueError, match="some day"):
        fields["since"].read("some day")


def test_many_values_are_typed_in(label: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "MOST_CHOICES", 2)
    city = next(field for field in fields_of(label) if field.name == "city")
    assert city.read(" Oslo ") == "Oslo" and city.read("") is None
    assert city.note("Atlantis") and not city.note("Oslo") and not city.note(None)


@pytest.mark.parametrize("name", list(MAKERS))
def test_every_kind_has_a_page(addresses: dict[str, str], name: str) -> None:
    with urlopen(addresses[name], timeout=60) as page:
        assert page.status == 200 and name.capitalize() in page.read().decode()


def test_score_of_numbers() -> None:
    line = score_line(Score("rmse", 53_412.5, 4_128, (51_000.0, 56_000.0), 115_000.0, 206_000.0), "rows")
    for part in ("53,410", "4,128 rows", "51,000 to 56,000", "115,000"):
        assert part in line
