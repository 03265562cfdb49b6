"""Every kind of answer without PyTorch is the one of PyTorch: from the same arrays, and from real graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.bundle import test_kinds as pictures
from tests.bundle import test_tables as tables

from wiggly.bundle.answers import answer_of
from wiggly.bundle.boxes import FoundRow
from wiggly.bundle.parts import BoxesOutput, ImageInput, MaskOutput, PointsOutput, Step
from wiggly.bundle.pictures import PictureReader
from wiggly.bundle.predictor import load_bundle
from wiggly.bundle.replies import replies_schema, reply_of
from wiggly.bundle.session import open_session
from wiggly.bundle.session.decoding import decode
from wiggly.bundle.session.pictures import PictureSource

STEPS = [
    (),
    (Step("Resize", {"size": 24}),),
    (Step("Resize", {"size": [20, 36], "method": "squish"}),),
    (Step("Resize", {"size": [30, 30], "method": "pad", "pad_mode": "zeros"}),),
    (Step("Resize", {"size": 40}), Step("RandomResizedCrop", {"size": 32})),
]
sides = st.integers(1, 90)


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.sampled_from(STEPS), st.sampled_from([None, 2, 255]), st.integers(0, 9))
def test_places_and_masks_from_the_same_arrays(
    height: int, width: int, steps: tuple[Step, ...], void: int | None, seed: int
) -> None:
    random = np.random.default_rng(seed)
    picture = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    described = ImageInput("image", 3, None, steps)
    reader, source = PictureReader(described, "x"), PictureSource(described)
    inputs, seen = reader.one(picture)
    feeds, shown = source.one(picture)
    np.testing.assert_array_equal(
        feeds["image"], (inputs[0] * 255).round().byte().permute(0, 2, 3, 1).numpy()
    )

    points = random.uniform(-1.2, 1.2, (4, 2)).astype(np.float32)
    wanted = answer_of([PointsOutput("points", 4)]).decode(torch.from_numpy(points.ravel()), seen)
    found = decode([PointsOutput("points", 4)], {"points": points}, shown)
    np.testing.assert_allclose(found.decoded, wanted.decoded, atol=1e-3)

    boxes = np.sort(points.reshape(2, 2, 2), axis=1).reshape(2, 4)
    scores, classes = np.array([0.9, 0.4], np.float32), np.array([1, 0])
    output = BoxesOutput("boxes", ("cat", "dog"), 0.1)
    row = FoundRow(torch.from_numpy(boxes), torch.from_numpy(classes), torch.from_numpy(scores))
    for one, other in zip(
        decode([output], {"boxes": boxes, "scores": scores, "classes": classes}, shown).decoded,
        answer_of([output]).decode(row, seen).decoded,
        strict=True,
    ):
        assert (one.label, one.score) == (other.label, other.score)
        np.testing.assert_allclose(one.box, other.box, atol=1e-3)

    mask = MaskOutput("mask", ("a", "b", "c"), void)
    indices = random.integers(0, 3, feeds["image"].shape[1:3]).astype(np.uint8)
    hot = torch.nn.functional.one_hot(torch.from_numpy(indices).long(), 3).permute(2, 0, 1).float()
    second = decode([mask], {"classes": indices}, shown).decoded
    assert second.size == (width, height)
    np.testing.assert_array_equal(np.asarray(second), np.asarray(answer_of([mask]).decode(hot, seen).decoded))


def test_a_mask_of_its_own_size_stays() -> None:
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4)
    _, shown = PictureSource(ImageInput("image", 3, None, ())).one(np.zeros((3, 4, 3), np.uint8))
    found = decode([MaskOutput("mask", tuple(range(12)))], {"classes": indices}, shown).decoded
    assert isinstance(found, Image.Image)
    np.testing.assert_array_equal(np.asarray(found), indices)


def assert_same(path: Path, items: Any) -> None:
    """The bundle answers alike in both runtimes, one by one and together."""
    session, predictor = open_session(path, threads=1), load_bundle(path)
    assert session.verify() <= 1e-4
    schema = jsonschema.Draft202012Validator(replies_schema())
    for one, many in zip(items, session.predict_batch(items, bs=4), strict=True):
        wanted = reply_of(predictor, predictor.predict(one))
        for answer in (session.predict(one), many):
            found = reply_of(session, answer)
            schema.validate({"items": [found], "model": session.sha256})
            assert_alike(found, wanted)


def assert_alike(found: Any, wanted: Any) -> None:
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key in wanted.keys() - {"png"}:
            assert_alike(found[key], wanted[key])
    elif isinstance(wanted, list):
        for one, other in zip(found, wanted, strict=True):
            assert_alike(one, other)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-4, abs=1e-3)
    else:
        assert found == wanted


slow = pytest.mark.slow


@pytest.mark.parametrize(
    "kind", ["mask", *(pytest.param(kind, marks=slow) for kind in ("points", "labels", "number", "numbers"))]
)
def test_pictures(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    path = pictures.learned(kind).export(tmp_path / "x.wiggly")
    assert_same(path, [pictures.photo(number) for number in range(3, 12)])


@pytest.mark.parametrize(
    "kind", ["numbers", *(pytest.param(kind, marks=slow) for kind in ("label", "labels", "number"))]
)
def test_tables(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    path = tables.trained(kind).export(tmp_path / "x.wiggly")
    frame = tables.people()
    frame["owner"] = frame["owner"].astype(object).where(frame["owner"].notna(), None)
    rows = [
        {**row, "pay": None if row["pay"] != row["pay"] else row["pay"]} for row in frame.to_dict("records")
    ]
    assert_same(path, rows[:30])
    file = tmp_path / "people.csv"
    tables.people().to_csv(file, index=False)
    session, predictor = open_session(path), load_bundle(path)
    for one, other in zip(session.predict_batch(file), predictor.predict_batch(file), strict=True):
        assert_alike(reply_of(session, one), reply_of(predictor, other))
    assert str(session.reader.surprises) == str(predictor.reader.surprises)  # type: ignore[union-attr]


@slow
def test_pairs(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    path = tables.rated().export(tmp_path / "x.wiggly")
    assert_same(
        path, [{"user": 3, "book": "book 2"}, {"user": 99, "book": "book 1"}, {"user": 1, "book": None}]
    )


@slow
def test_of_equal_scores_the_first_class_counts(tmp_path: Path) -> None:
    """A network that says the same of every class."""
    pytest.importorskip("onnxscript")
    learn = pictures.learned("mask")
    with torch.no_grad():
        for parameter in learn.model.parameters():
            parameter.zero_()
    path = learn.export(tmp_path / "x.wiggly")
    for predictor in (load_bundle(path), open_session(path)):
        for number in range(4):
            assert not np.asarray(predictor.predict(pictures.photo(number)).index).any()
