"""The cleaner's widget, asked by a stand-in for its page: messages in, messages and pictures out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from wiggly import DependencyError
from wiggly.clean.widget import carrier
from wiggly.clean.widget.carrier import reply
from wiggly.clean.widget.cleaner import ImageClassifierCleaner

Learner = Callable[..., Any]


class Page:
    """Sends what the page sends, and keeps what comes back."""

    def __init__(self, widget: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.widget, self.heard = widget, list[tuple[Any, Any]]()
        monkeypatch.setattr(
            type(widget), "send", lambda _, content, buffers=None: self.heard.append((content, buffers))
        )

    def send(self, **content: Any) -> tuple[Any, Any]:
        self.widget._handle_custom_msg({"id": f"page-{len(self.heard)}", **content}, [])
        content, buffers = self.heard[-1]
        assert content["id"] == f"page-{len(self.heard) - 1}"
        return content, buffers

    def ask(self, do: str, **rest: Any) -> dict[str, Any]:
        return self.send(ask={"do": do, **rest})[0]["answer"]


@pytest.fixture
def cleaner(photos: Path, learner: Learner) -> ImageClassifierCleaner:
    return ImageClassifierCleaner(learner(photos), max_n=4)


@pytest.fixture
def page(cleaner: ImageClassifierCleaner, monkeypatch: pytest.MonkeyPatch) -> Page:
    pytest.importorskip("anywidget", reason="needs anywidget: pip install anywidget")
    monkeypatch.setattr(carrier, "static_files", lambda name: {name: b"export default {}"})  # pyright: ignore
    return Page(cleaner.widget(), monkeypatch)


def test_a_session_of_the_page(cleaner: ImageClassifierCleaner, page: Page) -> None:
    assert page.widget.start == cleaner.settings and cleaner.widget() is page.widget
    opened = page.ask("open")
    assert opened["vocab"] == ["3", "5", "7"] and opened["n"] == 36
    view = {"split": "train", "order": "loss", "limit": 4}
    first = page.ask("query", given="3", **view)["positions"]
    items = page.ask("page", positions=first)["items"]
    assert [Path(cleaner.review.items[i["position"]].file) for i in items] == cleaner.fns[:4]
    assert [item["loss"] for item in items] == sorted((item["loss"] for item in items), reverse=True)

    page.ask("mark", positions=first[:1], action="delete")
    page.ask("query", given="5", **view)  # another category ...
    page.ask("mark", positions=first[1:2], action="relabel", label="7")
    again = page.ask("query", given="3", **view)["positions"]  # ... and back
    assert again == first
    marks = [item["mark"] and item["mark"]["action"] for item in page.ask("page", positions=first)["items"]]
    assert marks == ["delete", "relabel", None, None]
    assert cleaner.delete() == [0] and cleaner.change() == [(1, "7")]
    page.ask("undo")
    assert cleaner.change() == []
    assert [edit.kind for edit in cleaner.edits.edits] == ["delete", "relabel", "undo"]


def test_pictures_come_as_bytes(cleaner: ImageClassifierCleaner, page: Page) -> None:
    gone = Path(cleaner.review.items[2].file)
    gone.unlink()
    content, buffers = page.send(pictures=[0, 2, 1, 10_000], size=160)
    assert content["types"] == ["image/jpeg", "", "image/jpeg", ""]
    assert [len(data) > 0 for data in buffers] == [True, False, True, False]
    assert Image.open(BytesIO(buffers[0])).size == (32, 32)
    content, buffers = page.send(pictures=[0], size=0)
    assert content["types"] == ["image/png"]
    assert buffers[0] == Path(cleaner.review.items[0].file).read_bytes()


@pytest.mark.parametrize(
    "message",
    [
        {"ask": {"do": "dance"}},
        {"ask": {"do": "mark", "positions": [10_000], "action": "delete"}},
        {"ask": {"do": "query", "given": ["3"]}},
        {"ask": None},
        {"pictures": None, "size": 1},
        {},
    ],
)
def test_whatever_fails_is_answered(cleaner: ImageClassifierCleaner, message: dict[str, Any]) -> None:
    content, _ = reply(cleaner, {"id": "7", **message})
    assert content["id"] == "7" and content["answer"]["error"]
    assert cleaner.edits.edits == []


def test_without_anywidget_the_error_says_what_to_install(
    cleaner: ImageClassifierCleaner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(DependencyError, match=r'anywidget[^\n]*\n.*pip install "wiggly\[notebook\]"'):
        cleaner.widget()


def test_in_a_notebook_that_is_said_before_anything_is_computed(
    photos: Path, learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.setattr("wiggly.clean.widget.cleaner.in_notebook", lambda: True)
    with pytest.raises(DependencyError, match="anywidget"):
        ImageClassifierCleaner(learner(photos))


def test_the_note_tells_the_marks_to_those_without_a_kernel(
    cleaner: ImageClassifierCleaner, page: Page
) -> None:
    assert "nothing is marked yet" in cleaner._repr_html_()
    odd = cleaner._view[0]  # pyright: ignore[reportPrivateUsage]
    page.ask("mark", positions=[odd], action="delete")
    page.ask("mark", positions=[odd + 1], action="relabel", label="7")
    note = cleaner._repr_html_()
    assert "of 36 pictures: 1 to be deleted, 1 relabelled" in note
    assert "run this cell again" in note and str(cleaner.edits.path) in note
    assert "<script" not in note and f"wiggly-cleaner-note-{cleaner.number}" in note
    assert "1 to be deleted, 1 relabelled" in repr(cleaner)


def test_it_displays_itself_and_keeps_the_note_in_step(
    cleaner: ImageClassifierCleaner, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: shown.append((data, options)))
    cleaner._ipython_display_()
    (view, _), (note, options) = shown
    assert view["application/vnd.jupyter.widget-view+json"]["model_id"] == page.widget.model_id
    assert set(view) == {"application/vnd.jupyter.widget-view+json"}  # plain renderers take the note
    assert set(note) == {"text/html", "text/plain"} and not options["update"]
    page.ask("counts")
    assert len(shown) == 2
    page.ask("mark", positions=[0], action="delete")
    assert "1 to be deleted" in shown[2][0]["text/html"]
    assert shown[2][1] == {"raw": True, "display_id": options["display_id"], "update": True}


def test_the_names_of_the_course(photos: Path) -> None:
    pytest.importorskip("ipywidgets", reason="needs ipywidgets: pip install ipywidgets")
    namespace: dict[str, Any] = {}
    exec("from wiggly.vision.all import *\nfrom wiggly.vision.widgets import *", namespace)
    course = {"widgets", "VBox", "HBox", "Button", "Label", "Output", "FileUpload", "Dropdown", "shutil"}
    assert course - namespace.keys() == set()
    assert namespace["ImageClassifierCleaner"] is ImageClassifierCleaner
    assert namespace["widgets"].VBox is namespace["VBox"]
