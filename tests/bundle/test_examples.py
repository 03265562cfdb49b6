"""Example files: small, without metadata, spread over the classes, exact."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wiggly.bundle.examples import LARGEST_EXAMPLE, choose_examples, example_file
from wiggly.data.blocks import CategoryBlock
from wiggly.data.dataset import Dataset
from wiggly.vision.blocks import ImageBlock


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_small_picture_stays_exactly_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(opened(example_file(pixels))), pixels)


def test_grey_stays_grey() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    image = opened(example_file(Image.fromarray(pixels)))
    assert image.mode == "L"
    assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("shape", [(2000, 3000, 3), (3000, 2000, 3), (300, 6000, 3), (1, 1, 3)])
def test_never_larger_than_allowed_even_for_noise(shape: tuple[int, ...]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    content = example_file(noise)
    assert len(content) <= LARGEST_EXAMPLE
    wide, (h, w) = opened(content).size, shape[:2]
    assert max(wide) <= 512
    assert wide[0] / wide[1] == pytest.approx(w / h, rel=0.1)


def test_no_metadata_travels() -> None:
    photo = Image.new("RGB", (64, 64), "red")
    exif = photo.getexif()
    exif[0x010E] = "taken at home"
    exif.get_ifd(0x8825)[2] = (48.0, 8.0, 20.0)  # latitude
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", exif=exif, comment=b"my secret")
    source = opened(buffer.getvalue())
    assert source.getexif()
    content = example_file(source)
    image = opened(content)
    image.load()
    assert not image.info
    assert not image.getexif()
    assert b"home" not in content
    assert b"secret" not in content


def labelled(folder: Path, labels: list[str], broken: tuple[int, ...] = ()) -> Dataset:
    paths: list[Path] = []
    for i, _ in enumerate(labels):
        paths.append(folder / f"{i}.png")
        Image.new("L", (8, 8), i).save(paths[-1])
        if i in broken:
            paths[-1].write_bytes(b"no picture")
    block = CategoryBlock()
    block.fit(labels)
    return Dataset(paths, [lambda p: p, lambda p: labels[int(p.stem)]], [ImageBlock(), block], 1)


def test_spread_over_classes_in_the_order_of_the_vocabulary(tmp_path: Path) -> None:
    dataset = labelled(tmp_path, [f"{i:02}" for i in range(30, 0, -1)])
    assert [label for _, label in choose_examples(dataset, 4)] == ["01", "11", "20", "30"]


def test_fewer_classes_than_asked_gives_several_of_each(tmp_path: Path) -> None:
    dataset = labelled(tmp_path, ["bee", "ant", "ant", "bee", "ant", "ant"])
    found = list(choose_examples(dataset, 5))
    assert [label for _, label in found] == ["ant", "bee", "ant", "bee", "ant"]
    assert [int(np.asarray(opened(content)).max()) for content, _ in found] == [1, 0, 2, 3, 4]


def test_unreadable_items_are_passed_over(tmp_path: Path) -> None:
    dataset = labelled(tmp_path, ["ant", "ant", "bee"], broken=(0, 2))
    found = list(choose_examples(dataset, 5))
    assert [(label, int(np.asarray(opened(content)).max())) for content, label in found] == [("ant", 1)]


def test_none_wanted(tmp_path: Path) -> None:
    assert list(choose_examples(labelled(tmp_path, ["ant", "bee"]), 0)) == []
