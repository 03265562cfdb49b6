"""Every example runs on its real data, says what it found, and draws a picture of its batch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

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


def test_every_example_is_listed_here_and_short() -> None:
    files = sorted(FOLDER.glob("*.py"))
    assert {file.stem for file in files} == set(SOURCES)
    assert all(len(file.read_text().splitlines()) <= 60 for file in files)


@pytest.mark.parametrize("name", SOURCES)
def test_example(
    name: str,
    shared: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
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
