"""Every example runs on its real data, says what it found, and draws a picture of its batch."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).parents[2] / "examples"
SOURCES = {
    "digits": ("mnist/mnist_tiny.tgz", "699 validation digits of ['3', '7']", 9),
    "pets": ("pets/images", "840 training and 210 validation photos, 37 breeds", 9),
    "multi_label": ("voc2007_sub", "labels (64, 20)", 9),
    "segmentation": ("camvid", "masks (8, 240, 320) of 12 classes", 6),
    "key_points": ("face_keypoints", "points (64, 68, 2)", 9),
    "detection": ("coco_tiny", "of ['#na#', 'book', 'chair', 'couch', 'remote', 'tv', 'vase']", 9),
}
# What the examples on tables take, and what they say at the end.
TABLES = {
    "titanic": (
        ["titanic_train.csv", "titanic_test.csv"],
        r"1\d\d of 418 passengers are said to have survived",
    ),
    "adult": (["adult.csv"], r"right about 8[4-7]\.\d% of 6,512 people"),
    "movielens": (
        ["ml-100k/u.data", "ml-100k/u.item"],
        r"liked Star Wars \(1977\):\n.* (Return of the Jedi|Empire Strikes Back)[^$]*off by 0\.(89|90|91)\d ",
    ),
    "california": (["california_housing.csv"], r"off by [4-6]\d,\d{3} dollars .* by 11\d,\d{3}"),
}


def test_every_example_is_listed_here_and_short() -> None:
    files = sorted(FOLDER.glob("*.py"))
    assert {file.stem for file in files} == set(SOURCES) | set(TABLES)
    assert all(len(file.read_text().splitlines()) <= 40 for file in files if file.stem in TABLES)
    assert all(len(file.read_text().splitlines()) <= 60 for file in files)


def loaded(name: str) -> Any:
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example


@pytest.mark.parametrize("name", SOURCES)
def test_example(
    name: str,
    shared: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    example = loaded(name)
    source, said, pictures = SOURCES[name]
    example.main(str(shared / "data" / source), str(tmp_path / "batch.png"))
    assert said in capsys.readouterr().out
    with Image.open(tmp_path / "batch.png") as drawn:
        pixels = np.asarray(drawn.convert("RGB")).astype(int)
    drawing = example.plt.gcf()
    with_pictures = [axes for axes in drawing.axes if axes.images]
    assert len(with_pictures) == pictures
    assert pixels.std() > 20, "the picture is nearly empty"
    example.plt.close("all")


@pytest.mark.parametrize("name", TABLES)
def test_table_example(
    name: str,
    shared: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    files, said = TABLES[name]
    paths = [str(shared / "data" / "tabular" / file) for file in files]
    answers = ["answers.csv"] if name == "titanic" else []
    loaded(name).main(*paths, *answers)
    assert re.search(said, capsys.readouterr().out)
    for file in answers:
        lines = (tmp_path / file).read_text().splitlines()
        assert lines[0] == "PassengerId,Survived"
        assert len(lines) == 419
