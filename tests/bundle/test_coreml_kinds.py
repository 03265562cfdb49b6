"""Core ML programs of every kind of answer that a phone can give, against what their bundles recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.bundle import test_kinds as pictures
from tests.bundle import test_tables as tables
from tests.bundle.test_agreement import several

from wiggly import load_bundle
from wiggly.bundle.coreml import core_ml_model, save_core_ml

pytest.importorskip("coremltools", reason="the extra `apple` is not installed")

from tests.bundle.mil import Program

slow = pytest.mark.slow


def program_of(learn: Any, folder: Path) -> tuple[Program, Any]:
    predictor = load_bundle(learn.export(folder / "x.wiggly", graph=False, calibrate=False))
    save_core_ml(core_ml_model(predictor), folder / "x.mlpackage")
    return Program(folder / "x.mlpackage"), predictor


def answers(program: Program, predictor: Any, file: str) -> list[Any]:
    """The program's outputs for one file, in the order it names them."""
    names = [part.name for part in program.spec.description.input]
    parts = predictor.reader.one(predictor.file(file))[0]
    if names == ["image"]:
        given = {"image": parts[0] * 255}
    else:
        columns = [part for part in parts if part.shape[1]]
        whole = [part if part.is_floating_point() else part.to(torch.int32) for part in columns]
        given = dict(zip(names, whole, strict=True))
    found = program.run(**given)
    return [found[part.name] for part in program.spec.description.output]


def outputs_of(predictor: Any, file: str) -> list[Any]:
    """The same from PyTorch: activated, as the bundle's own answer has it."""
    rows = predictor.run(tuple(predictor.reader.one(predictor.file(file))[0]))
    return list(rows[0]) if isinstance(rows[0], tuple) else [rows[0]]


ROWS: dict[str, Callable[[], Any]] = {
    "factors": tables.rated,
    "network of factors": lambda: tables.rated(use_nn=True),
    "several": several,
    "labels": lambda: tables.trained("labels"),
    "numbers": lambda: tables.trained("numbers"),
}


OFTEN = ("factors", "several")


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=() if kind in OFTEN else slow) for kind in ROWS])
def test_rows(kind: str, tmp_path: Path) -> None:
    """In 32 bits."""
    program, predictor = program_of(ROWS[kind](), tmp_path)
    for example in predictor.manifest.examples:
        found, wanted = answers(program, predictor, example.file), outputs_of(predictor, example.file)
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert np.allclose(np.asarray(one).ravel(), other.numpy().ravel(), rtol=1e-4, atol=1e-4)


@slow
def test_an_ensemble_of_networks(tmp_path: Path) -> None:
    pytest.importorskip("tabm")
    program, predictor = program_of(tables.trained("label", "tabm"), tmp_path)
    assert "tile" in program.operators
    for example in predictor.manifest.examples:
        label, probabilities = answers(program, predictor, example.file)
        assert label == example.label
        assert np.allclose(list(probabilities.values()), example.probabilities, atol=1e-4)


@slow
def test_points(tmp_path: Path) -> None:
    program, predictor = program_of(pictures.learned("points"), tmp_path)
    for example in predictor.manifest.examples:
        [found] = answers(program, predictor, example.file)
        [wanted] = outputs_of(predictor, example.file)
        assert tuple(found.shape) == (1, 2, 2)
        assert np.allclose(found.ravel(), wanted.ravel(), atol=5e-3)


@slow
def test_a_mask(tmp_path: Path) -> None:
    """A pixel between two classes may fall to either side in 16 bits."""
    program, predictor = program_of(pictures.learned("mask"), tmp_path)
    assert "reduce_argmax" in program.operators
    for example in predictor.manifest.examples:
        [found] = answers(program, predictor, example.file)
        [wanted] = outputs_of(predictor, example.file)
        assert found.dtype == torch.int32
        assert (found[0] == wanted.argmax(0)).float().mean() > 0.995
