"""`wiggly verify` and the agreement on the card, for what answers with more than one label: by hand, from the
learner's own words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.bundle import test_kinds as pictures
from tests.bundle import test_tables as tables
from tests.bundle.test_kinds import changed

from wiggly.bundle.predictor import load_bundle
from wiggly.bundle.proof import prove
from wiggly.cli import main
from wiggly.tabular.learner import tabular_learner
from wiggly.tabular.loaders import TabularDataLoaders


def several() -> Any:
    """A number and a class of one table."""
    draw = np.random.default_rng(0)
    table = pd.DataFrame({"a": draw.normal(size=80), "b": draw.normal(size=80)})
    table["sum"], table["more"] = table["a"] + table["b"], np.where(table["a"] > table["b"], "a", "b")
    torch.manual_seed(0)
    dls = TabularDataLoaders.from_df(table, y_names=["sum", "more"], bs=16, seed=0, verbose=False)
    learn = tabular_learner(dls, layers=[8])
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 1e-2)
    return learn


LEARNERS = {
    "labels of pictures": lambda: pictures.learned("labels"),
    "labels of rows": lambda: tables.trained("labels"),
    "several": several,
    "pairs": tables.rated,
}


@pytest.fixture(
    scope="module",
    params=["labels of rows", "several", "pairs", pytest.param("labels of pictures", marks=pytest.mark.slow)],
)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Its name, the learner and the bundle, with a graph."""
    pytest.importorskip("onnxscript")
    learn = LEARNERS[request.param]()
    path = tmp_path_factory.mktemp("agreement") / "x.wiggly"
    return request.param, learn, learn.export(path, calibrate=False)


def test_every_runtime_answers_as_recorded(made: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, path = made
    proofs = prove(path)
    assert [proof.runtime for proof in proofs] == ["pytorch", "onnxruntime"]
    for proof in proofs:
        assert proof.fits and proof.same == len(proof.compared) >= 5, proof
        assert proof.largest <= 1e-4
    assert main(["verify", str(path)]) == 0
    assert capsys.readouterr().out.count(" ok") == 2


def test_the_agreement_is_that_of_the_learner(made: Any) -> None:
    """All validation items, asked of the learner and of the bundle that was read back."""
    kind, learn, path = made
    predictor = load_bundle(path)
    agreement = predictor.manifest.agreement
    assert agreement is not None and agreement.same == 1 and agreement.largest <= 1e-4
    wanted, _ = learn.get_preds()
    if kind == "labels of pictures":
        found, _ = predictor.get_preds([pictures.photo(number) for number in learn.dls.valid_ds.items])
    else:
        rows = learn.dls.valid.dataset.rows
        found, _ = predictor.get_preds(learn.dls.table.frame.to_native().iloc[rows])
    both = zip(wanted, found, strict=True) if kind == "several" else [(wanted, found)]
    for first, second in both:
        assert first.shape == second.shape and len(first) == agreement.n
        assert torch.allclose(first, second, atol=1e-4, rtol=1e-4)


def spoiled(kind: str, content: dict[str, Any]) -> None:
    """Another label in the first worked example, by a probability on the other side of the threshold."""
    example = content["examples"][0]
    if kind == "several":
        example["answers"][1]["label"] = "b" if example["answers"][1]["label"] == "a" else "a"
    elif kind == "pairs":
        example["values"][0] += 0.01
    else:
        named = example["probabilities"][0] > content["outputs"][0]["threshold"]
        example["probabilities"][0] = 0.0 if named else 1.0


def test_another_label_is_a_failure(made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kind, _, path = made
    bad = changed(path, tmp_path / "x.wiggly", lambda content: spoiled(kind, content))
    assert main(["verify", str(bad), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    for row in told["runtimes"]:
        assert row["ran"] and not row["ok"]
        assert row["same_labels"] == row["examples"] - (kind != "pairs")


def test_a_number_beside_a_class_is_compared_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = several().export(tmp_path / "x.wiggly", graph=False)
    span = 1.0

    def move(content: dict[str, Any]) -> None:
        nonlocal span
        span = content["outputs"][0]["high"][0] - content["outputs"][0]["low"][0]
        content["examples"][2]["answers"][0]["values"][0] += 3e-4 * span

    bad = changed(path, tmp_path / "bad.wiggly", move)
    assert main(["verify", str(bad)]) == 1
    assert "is 0.0003 off" in capsys.readouterr().out
