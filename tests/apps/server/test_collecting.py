"""Visitors' corrections: kept whole, opened as data, limited, and never under a name that a client chose."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from tests.apps.server.conftest import ask, get, post, refused, served

import wiggly
from wiggly.apps.server import collecting
from wiggly.apps.server.collecting import INCOMING, Collector, classes_of
from wiggly.apps.server.limits import Limits
from wiggly.data.edits.journal import Journal
from wiggly.errors import ArgumentError

PATH = "/v1/correction"
CLASSES = ["cat", "dog"]


def correct(app: Any, content: bytes, label: str, name: str = "x.png", **more: Any) -> httpx.Response:
    return post(app, PATH, files={"file": (name, content)}, data={"label": label}, **more)


def kept_files(folder: Path) -> list[str]:
    """All pictures, also half ones."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if name not in ("edits.jsonl", f"{INCOMING}/lock"))


def test_a_correction_is_kept_with_its_picture(digits: Any, photos: list[Path], tmp_path: Path) -> None:
    app, content = served(digits, collect=tmp_path), photos[0].read_bytes()
    predicted = digits.predict(photos[0]).decoded
    other = next(label for label in digits.vocab if label != predicted)
    reply = correct(app, content, other, "../../evil.sh").json()
    digest = hashlib.sha256(content).hexdigest()
    assert reply == {"item": digest, "predicted": predicted, "label": other, "new": True}
    assert kept_files(tmp_path) == [f"{predicted}/{digest}.png"]
    assert (tmp_path / predicted / f"{digest}.png").read_bytes() == content
    journal = Journal(tmp_path / "edits.jsonl")
    assert [(e.kind, e.path, e.old, e.new) for e in journal.edits] == [
        ("relabel", f"{predicted}/{digest}.png", predicted, other)
    ]
    assert get(app, "/v1/model").json()["corrections"] is True


def test_what_was_collected_is_opened_as_data(digits: Any, photos: list[Path], tmp_path: Path) -> None:
    app = served(digits, collect=tmp_path)
    for number, photo in enumerate(photos[:8]):
        correct(app, photo.read_bytes(), "37"[number % 2])
    dls = wiggly.ImageDataLoaders.from_folder(
        tmp_path, valid_pct=0.25, seed=1, item_tfms=wiggly.Resize(16), edits="edits.jsonl", bs=2
    )
    assert list(dls.vocab) == ["3", "7"]
    assert len(dls.train_ds) + len(dls.valid_ds) == len(kept_files(tmp_path)) == 8


def test_the_same_picture_twice(digits: Any, photos: list[Path], tmp_path: Path) -> None:
    app, content = served(digits, collect=tmp_path), photos[0].read_bytes()
    predicted = digits.predict(photos[0]).decoded
    first, second = [label for label in digits.vocab if label != predicted][:2]
    said = [first, first, second, predicted, predicted]
    assert [correct(app, content, label).json()["new"] for label in said] == [True, False, True, True, False]
    journal = Journal(tmp_path / "edits.jsonl")
    assert len(kept_files(tmp_path)) == 1
    assert [edit.kind for edit in journal.edits] == ["relabel", "relabel", "keep"]
    [state] = journal.state().values()
    assert not state.relabelled


def test_a_decision_about_the_data_stands(tmp_path: Path) -> None:
    collector = Collector(tmp_path, CLASSES, Limits())
    collector.keep(png(1), "dog", "cat")
    edit = collector.journal.edits[0]
    ref = collecting.ItemRef(edit.item, edit.path, "cat", edit.size)
    Journal(tmp_path / "edits.jsonl", author="Ann").add("delete", ref)
    assert collector.keep(png(1), "dog", "cat").new is False
    assert [state.verdict for state in collector.journal.state().values()] == ["delete"]


def test_off_by_default(digits: Any, photos: list[Path]) -> None:
    app = served(digits)
    refused(correct(app, photos[0].read_bytes(), "3"), 404, "not_found")
    assert get(app, "/v1/model").json()["corrections"] is False


def test_what_is_refused_leaves_nothing(digits: Any, photos: list[Path], tmp_path: Path) -> None:
    content = photos[0].read_bytes()
    app = served(digits, collect=tmp_path, max_bytes=20_000, max_pixels=10_000)
    refused(correct(app, content, "../../etc"), 422, "unknown_label")
    refused(correct(app, b"no picture", "3"), 422, "unreadable")
    refused(correct(app, content[: len(content) // 2], "3"), 422, "unreadable")
    refused(correct(app, bytes(50_000), "3"), 413, "too_large")
    refused(correct(app, png(0, side=200), "3"), 413, "too_many_pixels")
    refused(post(app, PATH, files={"file": content}), 400, "malformed")
    refused(post(app, PATH, json={"label": "3"}), 415, "unsupported_type")
    foreign = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
    refused(correct(app, content, "3", headers=foreign), 403, "other_site")
    assert kept_files(tmp_path) == [] and Journal(tmp_path / "edits.jsonl").edits == []
    assert correct(served(digits, collect=tmp_path, cors=["https://evil.example"]), content, "3",
                   headers=foreign).status_code == 200  # fmt: skip


def test_a_full_folder_and_too_many(digits: Any, photos: list[Path], tmp_path: Path) -> None:
    app = served(digits, collect=tmp_path / "a", max_collected=2_000)
    answers = [correct(app, photo.read_bytes(), "3") for photo in photos[:4]]
    assert answers[0].status_code == 200
    assert "a" not in refused(answers[-1], 507, "full")["received"].split("/")
    assert sum(path.stat().st_size for path in (tmp_path / "a").rglob("*") if path.is_file()) <= 2_000
    app = served(digits, collect=tmp_path / "b", corrections_per_minute=2)
    answers = [correct(app, photo.read_bytes(), "3") for photo in photos[:3]]
    refused(answers[2], 429, "too_often")
    assert 0 < int(answers[2].headers["retry-after"]) <= 31


def test_uploads_at_once(digits: Any, photos: list[Path], tmp_path: Path) -> None:
    app = served(digits, collect=tmp_path)
    chosen = [path.read_bytes() for path in photos[:6]] * 2

    async def together(client: httpx.AsyncClient) -> list[httpx.Response]:
        sent = [client.post(PATH, files={"file": one}, data={"label": "3"}) for one in chosen]
        return list(await asyncio.gather(*sent))

    assert {response.status_code for response in ask(app, together)} == {200}
    journal, names = Journal(tmp_path / "edits.jsonl"), kept_files(tmp_path)
    assert not journal.damaged
    assert sorted(edit.path for edit in journal.edits) == names and len(names) == len(set(chosen))


KILLED = """
import sys
from wiggly.apps.server.collecting import Collector
from wiggly.apps.server.limits import Limits
from tests.apps.server.test_collecting import CLASSES, png
collector, i = Collector(sys.argv[1], CLASSES, Limits()), int(sys.argv[2])
print("ready", flush=True)
while True:
    print(collector.keep(png(i), "dog", "cat").item, flush=True)
    i += 1
"""


def test_a_kill_at_any_moment_leaves_nothing_half(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    path = os.pathsep.join([str(Path(wiggly.__file__).parent.parent), str(Path(__file__).parents[3])])
    start = [sys.executable, "-c", KILLED, str(tmp_path)]
    for turn in range(2):
        both = [
            subprocess.Popen(
                [*start, str(10_000 * (2 * turn + k))],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
            )
            for k in range(2)
        ]
        for process in both:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(0.05 + 0.06 * turn)
        for process in both:
            process.send_signal(signal.SIGKILL)
            acknowledged |= set(process.communicate()[0].split())
    assert whole(tmp_path) >= acknowledged and acknowledged


@pytest.mark.parametrize("step", ["os.replace", "add", "mkdir"])
def test_a_stop_between_any_two_steps_is_mended(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector(tmp_path, CLASSES, Limits())

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        target: Any = {"os.replace": os, "add": collector.journal, "mkdir": Path}[step]
        patch.setattr(target, step.removeprefix("os."), stop)
        with pytest.raises(KeyboardInterrupt):
            collector.keep(png(5), "dog", "cat")
    # a picture counts exactly where its row was written
    assert len(whole(tmp_path)) == (1 if step == "mkdir" else 0)


def whole(folder: Path) -> set[str]:
    """What is in the folder after the next start, every picture and row whole."""
    journal = Collector(folder, CLASSES, Limits()).journal
    assert not journal.damaged
    names = kept_files(folder)
    assert sorted(edit.path for edit in journal.edits) == names
    for name in names:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == Path(name).stem
    return {Path(name).stem for name in names}


def png(number: int, side: int = 4) -> bytes:
    """A small picture, another for each number."""
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (side, side), (number % 256, number // 256 % 256, 9)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("inputs", "outputs", "names", "told"),
    [
        ("image", "labels", ["cat"], "one class"),
        ("table", "category", ["cat"], "one class"),
        ("image", "category", ["a/b"], "folders"),
        ("image", "category", ["..", "b"], "folders"),
        ("image", "category", ["Cat", "cat"], "folders"),
    ],
)
def test_models_that_cannot_collect_say_so(inputs: str, outputs: str, names: list[str], told: str) -> None:
    output = SimpleNamespace(kind=outputs, vocabulary=names)
    manifest = SimpleNamespace(inputs=[SimpleNamespace(kind=inputs)], outputs=[output])
    with pytest.raises(ArgumentError, match=told):
        classes_of(manifest)
