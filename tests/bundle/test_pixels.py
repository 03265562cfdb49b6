"""The written specification of preprocessing: vectors, Pillow, and the learner's own transforms."""

from __future__ import annotations

import base64
import json
import runpy
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wiggly.bundle.parts import ImageInput, Step
from wiggly.bundle.pictures import PictureReader, file_pixels
from wiggly.bundle.pixels import prepare
from wiggly.bundle.placing import place
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.exact import Axis, Placement
from wiggly.vision.exact import resample_exactly as resample
from wiggly.vision.resize import RandomResizedCrop, Resize

VECTORS = Path(__file__).parent / "vectors"
CONTENT = json.loads((VECTORS / "vectors.json").read_text())

sizes = st.tuples(st.integers(1, 90), st.integers(1, 90))
targets = st.tuples(st.integers(1, 50), st.integers(1, 50))


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, channels), np.uint8)


def pixels_of(described: dict[str, Any], channels: int) -> np.ndarray:
    flat = np.frombuffer(base64.b64decode(described["pixels"]), np.uint8)
    return flat.reshape(described["height"], described["width"], channels)


def steps_of(case: dict[str, Any]) -> list[Step]:
    return [Step(step["name"], step["args"]) for step in case["steps"]]


@pytest.mark.parametrize("case", CONTENT["resampling"], ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    before, wanted = pixels_of(case, case["channels"]), pixels_of(case["prepared"], case["channels"])
    found = prepare(before, steps_of(case))
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() <= CONTENT["tolerance"]
    assert (found != wanted).mean() < 0.01
    placed = place(steps_of(case), case["height"], case["width"])
    for axis, name in ((placed.y, "y"), (placed.x, "x")):
        np.testing.assert_allclose([axis.start, axis.step, axis.length], case["placement"][name], atol=1e-9)
    assert placed.border == case["placement"]["border"]


@pytest.mark.parametrize("case", CONTENT["files"], ids=lambda case: case["file"])
def test_files(case: dict[str, Any]) -> None:
    value = ImageBlock().load(str(VECTORS / case["file"]))
    apart = np.abs(file_pixels(value).astype(int) - pixels_of(case, 3))
    assert apart.max() <= case["tolerance"]


def test_vectors_are_what_the_script_writes() -> None:
    made = runpy.run_path(str(VECTORS / "make.py"))
    assert json.loads(json.dumps(made["resampling"]())) == CONTENT["resampling"]


@given(sizes, targets, st.sampled_from(["crop", "squish"]))
@settings(max_examples=60, deadline=None)
def test_the_filter_is_pillows(size: tuple[int, int], target: tuple[int, int], method: str) -> None:
    picture = noise(*size)
    placed = place([Step("Resize", {"size": target, "method": method})], *size)
    left, top = placed.x.start, placed.y.start
    box = (left, top, left + placed.x.step * target[1], top + placed.y.step * target[0])
    whole = Image.fromarray(picture)
    wanted = whole.resize(target[::-1], Image.Resampling.BILINEAR, box=box, reducing_gap=None)
    assert np.abs(resample(picture, placed).astype(int) - np.asarray(wanted)).max() <= 1


def transform(kind: str, target: tuple[int, int]) -> Any:
    if kind == "zoomed":
        return RandomResizedCrop(target, val_xtra=0.3)
    return Resize(target, method=kind.split()[0], pad_mode=kind.split()[-1] if " " in kind else "reflection")


kinds = st.sampled_from(["crop", "squish", "pad reflection", "pad border", "pad zeros", "zoomed"])


@given(sizes, st.lists(st.tuples(kinds, targets), min_size=1, max_size=3))
@settings(max_examples=80, deadline=None)
def test_places_are_those_of_the_transforms(
    size: tuple[int, int], chain: list[tuple[str, tuple[int, int]]]
) -> None:
    transforms = [transform(*link) for link in chain]
    geometry = None
    for one in transforms:
        shape = size if geometry is None else geometry.size
        step = one.draw_geometry(Random(0), shape, train=False)
        geometry = step if geometry is None else geometry.then(step)
    assert geometry is not None
    placed = place([Step(one.name, one.arguments()) for one in transforms], *size)
    matrix = np.linalg.inv(geometry.matrix)
    scale = np.abs(matrix).max()
    np.testing.assert_allclose([placed.x.step, placed.y.step], matrix.diagonal()[:2], rtol=1e-9)
    np.testing.assert_allclose([placed.x.start, placed.y.start], matrix[:2, 2], atol=1e-9 * scale + 1e-9)
    assert (placed.y.length, placed.x.length) == geometry.size
    assert placed.border == (geometry.border or "reflection")


def test_a_picture_of_the_size_is_left_alone() -> None:
    picture = noise(20, 30)
    for method in ("crop", "squish", "pad"):
        assert np.array_equal(
            prepare(picture, [Step("Resize", {"size": (20, 30), "method": method})]), picture
        )


@given(sizes, st.integers(-30, 30), st.floats(0.05, 6), st.sampled_from(["reflection", "border", "zeros"]))
@settings(max_examples=60, deadline=None)
def test_outside_a_flat_picture(size: tuple[int, int], start: int, step: float, border: str) -> None:
    placed = Placement(Axis(start, step, 20), Axis(-start, step, 15), border)
    found = resample(np.full((*size, 1), 200, np.uint8), placed)
    assert set(np.unique(found)) <= ({200} if border != "zeros" else {0, 200})


def test_a_large_photo_takes_little_time_and_memory() -> None:
    import time
    import tracemalloc

    photo = noise(3000, 4000)
    tracemalloc.start()
    begun = time.process_time()
    found = prepare(photo, [Step("Resize", {"size": 224, "method": "pad"})])
    taken, (_, peak) = time.process_time() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.shape == (224, 224, 3)
    assert taken < 5 and peak < 200e6


def test_reader_and_specification_are_one(tmp_path: Path) -> None:
    steps = (Step("Resize", {"size": 40}), Step("RandomResizedCrop", {"size": (24, 20)}))
    reader = PictureReader(ImageInput("image", 3, (24, 20), steps), "a test")
    picture = noise(70, 90)
    (inputs,), _ = reader.one(picture)
    wanted = prepare(picture, steps)
    assert np.array_equal(np.rint(inputs[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8), wanted)
    [(batch,)] = list(reader.batches(reader.items([picture, picture]), 2))
    assert np.array_equal(batch[1].numpy(), inputs[0].numpy())


def test_the_loaders_resampling_is_near(tmp_path: Path) -> None:
    y, x = np.mgrid[:333, :500]
    smooth = np.stack([127 + 100 * np.sin(y / k) * np.cos(x / k) for k in (9, 14, 23)], 2).astype(np.uint8)
    for one in (Resize(96), Resize(96, method="pad"), RandomResizedCrop(96)):
        value = one.apply((ImageBlock().load(smooth),), Random(0), train=False)[0]
        found = prepare(smooth, [Step(one.name, one.arguments())])
        assert np.abs(value.pixels().astype(int) - found).mean() < 1.5
