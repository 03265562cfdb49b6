"""`interact`: abbreviations as ipywidgets reads them, outputs kept, pages without and with a kernel."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
from PIL import Image

from wiggly.errors import ArgumentError
from wiggly.teach.assets import module_source
from wiggly.teach.controls import control_of
from wiggly.teach.interact import captured, interact, interactive


@pytest.mark.parametrize(
    "given", [5, -4, 0, 1.5, -0.5, 0.0, (0, 10), (0, 7), (-1.0, 2.0), (0, 10, 3), (0.0, 1.0, 0.25), (1, 2.5)]
)
def test_sliders_are_those_of_ipywidgets(given: Any) -> None:
    theirs = ipywidgets.interactive.widget_from_abbrev(given)
    ours = control_of("a", given)
    assert ours.kind == "slider"
    assert (ours.value, ours.min, ours.max) == pytest.approx((theirs.value, theirs.min, theirs.max))
    assert ours.step == pytest.approx(theirs.step)
    assert ours.whole == isinstance(theirs, ipywidgets.IntSlider)


@pytest.mark.parametrize(
    ("given", "default", "kind", "argument"),
    [
        (True, None, "check", True),
        ("hello", None, "text", "hello"),
        (["one", "two"], "two", "choice", "two"),
        ({"small": 10, "large": 100}, 100, "choice", 100),
        ((0, 10), 7, "slider", 7),
    ],
)
def test_other_controls_give_the_argument_ipywidgets_gives(
    given: Any, default: Any, kind: str, argument: Any
) -> None:
    missing: Any = ipywidgets.interactive.__init__.__globals__["empty"] if default is None else default
    theirs = ipywidgets.interactive.widget_from_abbrev(given, missing)
    ours = control_of("a", given, default)
    assert ours.kind == kind
    assert ours.argument(ours.value) == theirs.value == argument


def test_a_figure_text_and_a_result_are_kept() -> None:
    import matplotlib.pyplot as plt

    def draw(a: float) -> str:
        print("slope", a)
        plt.plot([0, 1], [0, a])
        return f"<{a}>"

    items = captured(draw, {"a": 2.0})
    assert [item["type"] for item in items] == ["text/plain", "image/png", "text/plain"]
    assert items[0]["data"] == "slope 2.0"
    picture = Image.open(io.BytesIO(base64.b64decode(items[1]["data"])))
    assert picture.width > 300
    assert len(base64.b64decode(items[1]["data"])) < 20_000
    assert not plt.get_fignums()


def test_the_functions_error_and_wrong_names_are_said() -> None:
    with pytest.raises(ZeroDivisionError):
        interactive(lambda a: 1 / a, a=(0, 1))
    with pytest.raises(ArgumentError, match=r"none for \['b'\]"):
        interactive(lambda a, b: a, a=1)
    with pytest.raises(ArgumentError, match=r"no \['c'\]"):
        interactive(lambda a: a, a=1, c=2)
    for bad in ((5, 1), object(), []):
        with pytest.raises(ArgumentError):
            control_of("a", bad)


def test_as_a_decorator_it_returns_the_function() -> None:
    calls: list[float] = []

    @interact(a=1.1, b=1.1, c=1.1)
    def quad(a: float, b: float, c: float) -> float:
        calls.append(a)
        return a + b + c

    assert quad(1, 2, 3) == 6
    assert len(set(calls)) > 5, "settings are computed beforehand"


def test_settings_beforehand_begin_with_the_start_and_reach_the_corners() -> None:
    shown = interactive(lambda a, b: (a, b), a=(0.0, 1.0), b=(0, 4))
    values = [state["values"] for state in shown.data["states"]]
    assert values[0] == [0.5, 2]
    assert len(values) == len({tuple(each) for each in values}) <= 160
    assert {(0.0, 0), (0.0, 4), (1.0, 0), (1.0, 4)} <= {tuple(each) for each in values}
    assert {each[0] for each in values if each[1] == 2} >= {0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}


def test_a_kernel_answers_each_setting() -> None:
    shown = interactive(lambda a: f"got {a}", a=(0.0, 1.0))
    widget = shown.widget()
    widget.state = {"values": [0.337]}
    assert widget.live == {
        "values": [0.337],
        "items": [{"type": "text/plain", "data": "'got 0.337'"}],
    }
    broken = interactive(lambda a: 1 / (a - 0.337), a=(0.0, 1.0))
    broken.widget().state = {"values": [0.337]}
    assert "ZeroDivisionError" in broken.widget().live["items"][0]["data"]


# ---- in the browser


def area(width: float, tall: bool, name: str) -> str:
    """The area of a rectangle."""
    return f"{name}: {width * (4 if tall else 2):.2f}"


@pytest.mark.browser
def test_a_saved_page_shows_the_nearest_setting_and_says_so(
    browser: Any, built: None, tmp_path: Path
) -> None:
    shown = interactive(area, width=(0.0, 10.0), tall=False, name=["field", "wall"])
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(shown.save(tmp_path / "area.html").as_uri())
    assert page.inner_text("h2") == "area"
    assert "rectangle" in page.inner_text(".idea")
    assert page.inner_text(".output") == "'field: 10.00'"
    page.locator("input[type=checkbox]").check()
    assert page.inner_text(".output") == "'field: 20.00'"
    assert page.inner_text("[data-part=status]") == ""
    page.select_option("select", "1")
    page.locator("input[aria-label=width]").fill("9.8")
    shown_values = page.evaluate("document.querySelector('.wx').wigglyState.shown")
    assert "nearest" in page.inner_text("[data-part=status]")
    assert page.inner_text(".output") == repr(area(shown_values[0], shown_values[1], "wall"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


@pytest.mark.browser
def test_beside_a_kernel_every_setting_is_computed(browser: Any, built: None, tmp_path: Path) -> None:
    shown = interactive(lambda a: f"{a:.2f}", a=(0.0, 10.0), seconds_beforehand=0.0)
    module = json.dumps(module_source("interact"))
    host = f"""<!doctype html><body>{shown._repr_html_()}<div id="bridge"></div><script type="module">
      const url = URL.createObjectURL(new Blob([{module}], {{ type: "text/javascript" }}));
      const heard = {{}}, traits = {{ data: {json.dumps(shown.widget().data)} }};
      const model = {{ get: (name) => traits[name], set: (name, value) => (traits[name] = value),
        on: (event, handler) => (heard[event] = handler),
        save_changes: () => {{ const values = traits.state.values;
          traits.live = {{ values, items: [{{ type: "text/plain", data: "kernel says " + values[0] }}] }};
          heard["change:live"](); }} }};
      (await import(url)).default.render({{ model, el: document.getElementById("bridge") }});
      window.ready = true;
    </script>"""
    (tmp_path / "host.html").write_text(host)
    page = browser.new_page()
    page.goto((tmp_path / "host.html").as_uri())
    page.wait_for_function("window.ready")
    frame = page.frame_locator("iframe")
    frame.locator("input[aria-label=a]").fill("3.3")
    frame.get_by_text("kernel says 3.3").wait_for()
    assert frame.locator("[data-part=status]").inner_text() == ""
    page.close()
