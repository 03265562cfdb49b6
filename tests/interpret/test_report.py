"""The report of a really trained model on real files: complete, closed in itself, whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.interpret.support import parse
from tests.interpret.test_sections import outside_references

from wiggly.errors import ArgumentError, StorageError
from wiggly.interpret.gather import gather
from wiggly.interpret.report import write_report
from wiggly.train.learner import Learner
from wiggly.train.metrics.core import accuracy, error_rate
from wiggly.vision.augment import Resize
from wiggly.vision.learner import vision_learner
from wiggly.vision.loaders import ImageDataLoaders

HOSTILE = "<img src=x onerror=alert(1)> & 猫"


@pytest.fixture(scope="module")
def folder(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four digits, one of them under a hostile name, and two files that cannot be read."""
    folder = tmp_path_factory.mktemp("report") / "photos"
    for digit, name in (("0", "0"), ("1", "1"), ("2", "2"), ("3", HOSTILE)):
        shutil.copytree(digits_folder / digit, folder / name)
    whole = (folder / "1" / "broken.png", folder / "2" / "empty.png")
    whole[0].write_bytes(next((folder / "1").glob("*.png")).read_bytes()[:100])
    whole[1].write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def learn(folder: Path) -> Learner:
    """A small network, trained for a moment in two phases."""
    torch.manual_seed(0)
    dls = ImageDataLoaders.from_folder(
        folder, valid_pct=0.4, seed=1, item_tfms=Resize(32), bs=16, num_workers=0, max_bad=0.1, device="cpu"
    )
    learner = vision_learner(dls, "test_resnet", pretrained=False, metrics=[error_rate, accuracy])
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(1)
    return learner


@pytest.fixture(scope="module")
def written(learn: Learner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report."""
    return write_report(learn, tmp_path_factory.mktemp("pages") / "new folder" / "report.html")


def test_the_page_is_whole(written: Path, learn: Learner) -> None:
    text = written.read_text(encoding="utf-8")
    tree = parse(text)
    assert outside_references(text) == []
    assert written.stat().st_size < 500_000
    assert "script" not in {tag for tag, _ in tree.starts}
    assert HOSTILE in tree.text
    for said in (
        "validation images right",
        "broken.png",
        "the file is empty",
        "test_resnet",
        "head only",
        "all layers",
    ):
        assert said in tree.text
    pictures = [attributes for tag, attributes in tree.starts if tag == "img"]
    assert len(pictures) >= 12  # three examples of each class
    assert (
        text.index('name="generator" content="wiggly') < 2_000
    )  # by which the command line knows its own pages


def test_the_numbers_are_those_of_the_learner(learn: Learner) -> None:
    facts = gather(learn)
    assert facts.score.accuracy == pytest.approx(learn.validate()[2])
    assert facts.score.n == learn.dls.valid.n_items - len(learn.dls.valid.bad_items)
    assert facts.train_counts is not None
    assert facts.train_counts.sum() == len(learn.dls.train_ds)
    assert [phase.name for phase in facts.phases] == ["head only", "all layers"]
    assert facts.phases[1].rows[0]["valid_loss"] == pytest.approx(learn.recorder.values[-1][1])
    assert facts.training_loss[-1][0] == 2
    assert set(facts.bad_items) == {f"1{os.sep}broken.png", f"2{os.sep}empty.png"}


def test_the_errors_are_the_wrong_ones_with_their_own_pictures(learn: Learner) -> None:
    facts, vocab = gather(learn), [str(label) for label in learn.dls.vocab]
    losses = [error.loss for error in facts.errors]
    assert losses == sorted(losses, reverse=True)
    for error in facts.errors[:5]:
        assert error.actual != error.predicted
        assert Path(error.name).parent.name == error.actual
        label, index, probs = learn.predict(learn.dls.path / error.name)
        assert (str(label), vocab[int(index)]) == (error.predicted, error.predicted)
        assert float(probs.max()) == pytest.approx(error.probability, abs=1e-4)
        assert error.picture is not None


def test_a_table_as_source_names_files_too(folder: Path) -> None:
    import pandas as pd

    files = [f"{name}/{path.name}" for name in "02" for path in sorted((folder / name).glob("0*.png"))]
    table = pd.DataFrame({"file": files, "label": [file[0] for file in files]})
    dls = ImageDataLoaders.from_df(table, folder, seed=0, item_tfms=Resize(32), num_workers=0, device="cpu")
    facts = gather(vision_learner(dls, "test_resnet", pretrained=False))
    assert facts.errors
    assert all((folder / error.name).is_file() for error in facts.errors)
    assert not facts.phases


def test_what_the_page_says_to_do_again_can_be_done(learn: Learner, tmp_path: Path) -> None:
    """The snippet is run as it stands: the same split, the same fits, a report."""
    pytest.importorskip("wiggly.vision.all", exc_type=ImportError)
    program = gather(learn).snippet.replace('"report.html"', f'"{tmp_path / "again.html"}"')
    names: dict[str, Any] = {}
    torch.manual_seed(0)
    exec(program, names)
    again = names["learn"]
    assert (tmp_path / "again.html").is_file()
    assert list(map(str, again.dls.valid_ds.items)) == list(map(str, learn.dls.valid_ds.items))
    for phase, other in zip(again.recorder.phases, learn.recorder.phases, strict=True):
        assert phase["lr"] == pytest.approx(other["lr"])
    assert again.recorder.values[-1][1] == pytest.approx(learn.recorder.values[-1][1], rel=1e-3)


def test_no_permission_and_full_disk_leave_the_old_report(
    learn: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.html"
    old = '<meta name="generator" content="wiggly 0.1">'
    target.write_text(old)
    with pytest.raises(StorageError, match="must be writable"):
        write_report(learn, target / "below a file" / "report.html")

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left"):
        write_report(learn, target)
    assert target.read_text() == old
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_picture_that_vanished_is_left_out(learn: Learner, folder: Path) -> None:
    dataset = learn.dls.train_ds
    vanished = next(item for item in dataset.items if item.parent.name == "0")
    content = vanished.read_bytes()
    try:
        vanished.unlink()
        assert len(gather(learn).examples[0]) == 3
    finally:
        vanished.write_bytes(content)


def test_real_photos_with_pretrained_weights(shared: Path, tmp_path: Path) -> None:
    """Ants and bees on frozen features: a good score, photos in the page, the cut file named."""
    for part, n in (("train", 20), ("val", 10)):
        for label in ("ants", "bees"):
            (tmp_path / part / label).mkdir(parents=True)
            for photo in sorted((shared / "data" / "hymenoptera" / part / label).glob("*.jpg"))[:n]:
                shutil.copy(photo, tmp_path / part / label)
    cut = sorted((tmp_path / "val" / "bees").iterdir())[3]
    cut.write_bytes(cut.read_bytes()[:5000])
    torch.manual_seed(0)
    dls = ImageDataLoaders.from_folder(
        tmp_path, valid="val", seed=0, item_tfms=Resize(96), bs=8, max_bad=0.1, device="cpu"
    )
    weights = shared / "weights" / "tf_efficientnet_lite0.in1k_backbone.fp16.safetensors"
    learn = vision_learner(dls, "tf_efficientnet_lite0", weights=weights, train_bn=False)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(2, 5e-3)
    text = parse(learn.report(tmp_path / "report.html").read_text(encoding="utf-8")).text
    facts = gather(learn)
    assert facts.score.n == 19
    assert facts.score.accuracy > 0.6
    assert "of 19 validation photos right" in text
    assert f"val{os.sep}bees{os.sep}{cut.name}" in text
    assert "Only 19 validation photos" in text


def test_regression_is_refused() -> None:
    from wiggly.data.blocks import RegressionBlock, TransformBlock
    from wiggly.data.dataset import Dataset
    from wiggly.data.loader import DataLoader
    from wiggly.data.loaders import DataLoaders

    blocks = [TransformBlock(), RegressionBlock(1)]
    dataset = Dataset([1.0, 2.0], [lambda x: [x], lambda x: x], blocks, n_inp=1)
    loader = DataLoader(dataset, num_workers=0)
    learn = Learner(DataLoaders(loader, loader, blocks=blocks, device="cpu"), torch.nn.Linear(1, 1))
    with pytest.raises(ArgumentError, match="one category per item"):
        gather(learn)


@pytest.fixture
def opened(browser: Any, written: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Any, list[str]]]:
    """The report in a browser of the asked width and colour scheme, and what it fetched."""
    width, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    fetched: list[str] = []
    page.on("request", lambda r: None if r.url.startswith("data:") else fetched.append(r.url))
    page.goto(written.as_uri())
    yield page, fetched
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize("opened", [(1200, "light"), (390, "light"), (390, "dark")], indirect=True)
def test_in_a_browser_it_fits_and_fetches_nothing(opened: tuple[Any, list[str]], written: Path) -> None:
    page, fetched = opened
    assert fetched == [written.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert page.get_by_role("heading", name="Worst errors").is_visible()
    assert page.get_by_role("table", name="Images per class").get_by_role("rowheader").count() == 4


def test_a_file_of_another_kind_is_not_replaced(learn: Learner, tmp_path: Path) -> None:
    place = tmp_path / "notes.html"
    place.write_text("<p>my notes</p>")
    with pytest.raises(StorageError, match="another kind"):
        learn.report(place)
    assert place.read_text() == "<p>my notes</p>"
    write_report(learn, place, overwrite=True)
    assert "my notes" not in place.read_text()
    learn.report(place)  # an earlier report makes way
