"""Features kept in memory and in a mapped file, and the batches made of them."""

from __future__ import annotations

import pytest
import torch
from tests.train.support import digit_learner, digits
from torch import nn

from wiggly.errors import DataError
from wiggly.train.predict import in_order
from wiggly.train.probe.features import FeatureLoader, Features, gather_features


def gathered(limit: int = 2**30) -> tuple[Features, nn.Module, list[int]]:
    learn = digit_learner()
    calls: list[int] = []
    body = learn.model[0]
    loaders = [in_order(learn.dls.train), learn.dls.valid]
    features = gather_features(learn, body, loaders, lambda: calls.append(1), limit)
    return features, body, calls


def test_features_are_what_the_layers_give_in_evaluation_mode() -> None:
    features, body, calls = gathered()
    x, y = digits()
    pictures = torch.cat([x[:256], x[-100:]])
    with torch.no_grad():
        expected = body.eval()(pictures)
    torch.testing.assert_close(features.rows, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(features.targets[0], torch.cat([y[:256], y[-100:]]))
    assert features.positions == [*range(256), *range(100)]
    assert (features.starts, len(calls)) == ([0, 256], 6)


def test_a_mapped_file_holds_the_same_in_half_the_digits() -> None:
    in_memory, mapped = gathered()[0], gathered(limit=1000)[0]
    assert mapped.rows.dtype == torch.float16
    assert len(mapped) == len(in_memory)
    numbers = torch.tensor([300, 3, 7])
    batch = mapped.batch(numbers)
    assert batch.inputs[0].dtype == torch.float32
    torch.testing.assert_close(batch.inputs[0], in_memory.rows[numbers], rtol=1e-3, atol=1e-3)
    assert batch.positions == [300 - 256, 3, 7]


def test_items_without_targets_are_refused() -> None:
    learn = digit_learner()
    x, _ = digits()
    with pytest.raises(DataError, match="targets"):
        gather_features(learn, learn.model[0], [[x[:8]]], lambda: None)


def some(n: int) -> Features:
    return Features(torch.arange(n).float().unsqueeze(1), (torch.arange(n),), list(range(n)), [0])


def test_batches_follow_the_order_and_leave_out_a_smaller_last_one() -> None:
    loader = FeatureLoader(some(7), 3, lambda epoch: [6, 5, 4, 3, 2, 1, 0] if epoch else list(range(7)))
    assert len(loader) == 2
    assert [b.targets[0].tolist() for b in loader] == [[0, 1, 2], [3, 4, 5]]
    assert [b.targets[0].tolist() for b in loader] == [[6, 5, 4], [3, 2, 1]]


def test_few_rows_are_one_batch() -> None:
    assert [b.targets[0].tolist() for b in FeatureLoader(some(3), 64, lambda epoch: [2, 0, 1])] == [[2, 0, 1]]


def test_without_an_order_all_rows_come_as_they_are() -> None:
    assert [b.targets[0].tolist() for b in FeatureLoader(some(5), 2)] == [[0, 1], [2, 3], [4]]
