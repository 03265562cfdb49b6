"""The small records: tuples where users unpack them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from wiggly.records import Batch, Prediction, Predictions, Split, State


def test_split_and_prediction_unpack() -> None:
    train, valid = Split([0, 1], [2])
    assert (train, valid) == ([0, 1], [2]) == Split([0, 1], [2])
    label, index, probs = Prediction("cat", torch.tensor(0), torch.tensor([0.9, 0.1]))
    assert label == "cat" and int(index) == 0 and probs.sum() == pytest.approx(1)


def test_batch() -> None:
    batch = Batch((torch.zeros(2, 3),), (torch.ones(2),), [4, 7])
    assert len(batch) == 2 and [t.shape[0] for t in batch.tensors] == [2, 2]
    assert Predictions(torch.zeros(1, 2), None, None, [0]).targets is None


def test_progress_goes_from_0_to_1() -> None:
    seen = []
    for epoch in range(2):
        for k in range(4):
            seen.append(State(n_epochs=2, epoch=epoch, batch_index=k, n_batches=4).progress)
    assert seen == [k / 8 for k in range(8)] and State().progress == 0


def test_states_share_nothing() -> None:
    a, b = State(), State()
    a.row["loss"] = 1.0
    a.lrs.append(0.1)
    assert b.row == {} and b.lrs == []


def test_records_do_not_import_torch() -> None:
    code = "import sys, wiggly.records, wiggly.errors; sys.exit('torch' in sys.modules)"
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=paths).returncode == 0
