"""Batches are those that torch would make of the same order: whole, divided, and gone on with."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import TensorDataset

from wiggly.data.loader import batches_of
from wiggly.errors import ArgumentError, DataError
from wiggly.tabular.loader import TableDataset, TableLoader
from wiggly.tabular.surprises import Surprises


def rows(n: int) -> TableDataset:
    index = torch.arange(n)
    return TableDataset(
        torch.stack([index, index * 2], 1),
        torch.rand(n, 3),
        (index % 2, torch.rand(n, 2)),
        index,
        Surprises(),
    )


@pytest.mark.parametrize(("n", "bs"), [(0, 4), (1, 4), (10, 3), (9, 3), (40_000, 64)])
@pytest.mark.parametrize("drop_last", [False, True])
def test_fixed_order_is_that_of_torch(n: int, bs: int, drop_last: bool) -> None:
    data = rows(n)
    ours = list(TableLoader(data, bs, drop_last=drop_last and n >= bs))
    theirs = list(TorchLoader(TensorDataset(*data.tensors), bs, drop_last=drop_last and n >= bs))
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_shuffled_rows_come_once_in_another_order_each_epoch() -> None:
    data = rows(1000)
    loader = TableLoader(data, 32, shuffle=True, seed=1)
    epochs = [[p for batch in loader.batches() for p in batch.positions] for _ in range(2)]
    assert all(sorted(epoch) == list(range(1000)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert epochs == [TableLoader(data, 7, shuffle=True, seed=1).order(epoch) for epoch in range(2)]
    for batch in loader.batches():
        assert torch.equal(batch.inputs[0], data.cats[batch.positions])
        assert torch.equal(batch.targets[1], data.targets[1][batch.positions])


def test_a_batch_may_be_changed_without_changing_the_rows() -> None:
    data = rows(8)
    before = data.conts.clone()
    for batch in TableLoader(data, 4).batches():
        batch.inputs[1].zero_()
    assert torch.equal(data.conts, before)


def test_parts_and_shares() -> None:
    loader = TableLoader(rows(50), 8, shuffle=True, seed=3)
    parts = [list(batches_of(loader.new(), part=(rank, 3))) for rank in range(3)]
    whole = list(loader.new().batches())
    for batch, *shares in zip(whole, *parts, strict=True):
        assert batch.positions == [p for share in shares for p in share.positions]
    shards = [loader.shard(rank, 3).order(0) for rank in range(3)]
    assert len(set().union(*shards)) == 48


def test_goes_on_where_it_stopped() -> None:
    loader = TableLoader(rows(100), 8, shuffle=True, seed=3)
    batches = loader.batches()
    for _ in range(5):
        next(batches)
    again = TableLoader(rows(100), 8, shuffle=True, seed=9)
    again.load_state_dict(loader.state_dict())
    assert [b.positions for b in again.batches()] == [b.positions for b in batches]


def test_weights_draw_rows_in_proportion() -> None:
    loader = TableLoader(rows(3), 1000, seed=0, wgts=[0, 1, 3])
    drawn = torch.tensor([p for _ in range(900) for p in loader.new(bs=3).order(_)])
    counts = torch.bincount(drawn, minlength=3)
    assert counts[0] == 0
    assert 2.5 < counts[2] / counts[1] < 3.6
    assert loader.in_order().order(5) == [0, 1, 2]


def test_looking_moves_nothing() -> None:
    loader = TableLoader(rows(100), 8, shuffle=True, seed=3)
    order = loader.order(0)
    looks = [loader.look().positions for _ in range(3)]
    assert len({tuple(look) for look in looks}) == 3
    assert [p for b in loader.batches() for p in b.positions] == order
    with pytest.raises(DataError, match="at least 1 row"):
        TableLoader(rows(0)).look()
    with pytest.raises(ArgumentError, match="`bs`"):
        TableLoader(rows(3), bs=0)
