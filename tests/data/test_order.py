"""Weights, parts of processes and positions that survive a restart; with numpy and torch as the peers."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.support import photo_folder
from torch.utils.data import DistributedSampler

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock
from wiggly.data.items import get_image_files, parent_label
from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.data.order import cumulative_weights
from wiggly.data.split import IndexSplitter, RandomSplitter
from wiggly.errors import ArgumentError, DataError
from wiggly.vision.augment import Resize, aug_transforms
from wiggly.vision.blocks import ImageBlock


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("photos"), {"cat": 17, "dog": 12})


def loaders(photos: Path, **options: Any) -> DataLoaders:
    block = DataBlock(
        (ImageBlock, CategoryBlock),
        get_items=get_image_files,
        get_y=parent_label,
        splitter=RandomSplitter(0.2, seed=1),
        item_tfms=Resize(20),
        batch_tfms=aug_transforms(size=12),
    )
    wgts = options.pop("wgts", None)
    settings = {"bs": 4, "seed": 5, "device": "cpu", "num_workers": 0, **options}
    if wgts is None:
        return block.dataloaders(photos, **settings)
    return block.weighted_dataloaders(photos, wgts, **settings)


# ------------------------------------------------------------------------------------------- weights
def test_draws_are_in_proportion_to_the_weights() -> None:
    """Chi-square against the weights: below the 99.9 % point of as many degrees of freedom."""
    from scipy.stats import chi2

    wgts = np.array([1, 0, 5, 2, 0.5, 10, 0])
    loader = DataLoader(range(7), bs=7, wgts=wgts.tolist(), seed=3)
    n_epochs = 3000
    drawn = Counter(i for epoch in range(n_epochs) for i in loader.order(epoch))
    expected = wgts / wgts.sum() * 7 * n_epochs
    assert drawn[1] == drawn[6] == 0, "an item without weight was drawn"
    score = sum((drawn[i] - e) ** 2 / e for i, e in enumerate(expected) if e)
    assert score < chi2.ppf(0.999, 4)
    pairs = [tuple(loader.order(e)[:2]) for e in range(n_epochs)]  # independent draws: p(i, i) = p(i)²
    assert abs(sum(a == b == 5 for a, b in pairs) / n_epochs - (10 / 18.5) ** 2) < 0.04


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=30), st.integers(0, 2**40))
def test_only_items_with_weight_are_drawn(wgts: list[float], seed: int) -> None:
    if max(wgts) < 1e-290:
        return
    sums = cumulative_weights(wgts, len(wgts))
    assert (np.diff(sums) >= 0).all() and sums[-1] == 1
    order = DataLoader(range(len(wgts)), bs=4, wgts=wgts, seed=seed).order(0)
    assert len(order) == len(wgts) and all(wgts[i] > 0 for i in order)


def test_weighted_epochs_are_reproducible_and_differ() -> None:
    a, b = (DataLoader(range(50), bs=8, wgts=[1.0] * 50, seed=9) for _ in range(2))
    assert a.order(0) == b.order(0) != a.order(1) and a.order(0) != list(range(50))
    assert DataLoader(range(50), bs=8, wgts=[1.0] * 50, seed=8).order(0) != a.order(0)
    passes = [[p for batch in a.batches() for p in batch.positions] for _ in range(2)]
    assert passes == [b.order(0), b.order(1)] and a.epoch == 2


@pytest.mark.parametrize(
    ("wgts", "says"),
    [
        ([1, 2], r"\(2,\) of them for 3"),
        ([1, -1, 1], "item 1 is -1"),
        ([0, 0, 0], "all are 0"),
        ([1, 1, math.nan], "item 2 is nan"),
        ([1, math.inf, 1], "item 1 is inf"),
        (["a", "b", "c"], "'a'"),
        ([[1], [1], [1]], r"\(3, 1\)"),
    ],
)
def test_weights_that_cannot_be(wgts: Any, says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        DataLoader(range(3), wgts=wgts)


def test_weights_of_all_items_or_of_training(photos: Path) -> None:
    files = get_image_files(photos)
    wgts = [3.0 if f.parent.name == "dog" else 0.0 for f in files]
    dls = loaders(photos, wgts=wgts)
    labels = [dls.vocab[i] for _, y in dls.train for i in y]
    assert set(labels) == {"dog"} and len(labels) == len(dls.train_ds) // 4 * 4
    assert [p for b in dls.valid.batches() for p in b.positions] == list(range(len(dls.valid_ds)))
    assert {dls.vocab[i] for _, y in dls.valid for i in y} == {"cat", "dog"}
    of_training = [1.0 if f.parent.name == "cat" else 0.0 for f in dls.train_ds.items]
    block = DataBlock((ImageBlock, CategoryBlock), get_y=parent_label, splitter=RandomSplitter(0.2, seed=1))
    sets = block.datasets(files)
    made = sets.weighted_dataloaders(of_training, seed=0, device="cpu")
    assert {sets.train.items[i].parent.name for i in made.train.order(0)} == {"cat"}
    for wrong in ([1.0] * 3, [0.0] * len(files), "nope"):
        with pytest.raises(ArgumentError):
            sets.weighted_dataloaders(wrong)
    assert dls.new(bs=5).train.order(0) == dls.train.order(0), "weights were lost"


def test_balanced_classes() -> None:
    labels = ["rare"] * 5 + ["common"] * 95
    blocks = (CategoryBlock, CategoryBlock)
    block = DataBlock(blocks, get_x=str, get_y=str, splitter=IndexSplitter([4]))
    train = block.weighted_dataloaders(labels, "balanced", bs=10, seed=0, device="cpu").train
    drawn = Counter(train.dataset.items[i] for epoch in range(200) for i in train.order(epoch))
    assert abs(drawn["rare"] / drawn.total() - 0.5) < 0.02


def test_an_item_drawn_twice_looks_different_each_time(photos: Path) -> None:
    files = loaders(photos).train_ds.items
    wgts = [1.0 if f == files[3] else 0.0 for f in get_image_files(photos)]
    train = loaders(photos, wgts=wgts, num_workers=2).train
    x = torch.cat([b.inputs[0].clone() for b in train.batches()])
    assert set(train.order(0)) == {3} and len({row.numpy().tobytes() for row in x}) > len(x) // 2


# ------------------------------------------------------------------------------------------- shards
@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 7), st.integers(0, 5), st.booleans())
def test_parts_of_a_random_order(n: int, of: int, epoch: int, weighted: bool) -> None:
    if n < of:
        return
    wgts = [1.0] * n if weighted else None
    whole = DataLoader(range(n), bs=3, shuffle=True, drop_last=True, seed=1, wgts=wgts)
    parts = [whole.shard(rank, of) for rank in range(of)]
    orders = [part.order(epoch) for part in parts]
    assert {len(o) for o in orders} == {n // of} and len({len(p) for p in parts}) == 1
    dealt = [orders[i % of][i // of] for i in range(n // of * of)]
    assert dealt == whole.order(epoch)[: n // of * of], "they do not overlap and leave out fewer than `of`"


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(1, 7))
def test_parts_in_fixed_order_leave_nothing_out(n: int, of: int) -> None:
    if n < of:
        return
    parts = [DataLoader(range(n), bs=3).shard(rank, of) for rank in range(of)]
    assert sorted(i for p in parts for i in p.order(0)) == list(range(n))
    assert max(p.n_items for p in parts) - min(p.n_items for p in parts) <= 1
    seen = [i for p in parts for b in p for i in b.tolist()]
    assert sorted(seen) == list(range(n)) and all(len(list(p)) == len(p) for p in parts)


@pytest.mark.parametrize(("n", "of"), [(10, 2), (11, 3), (64, 4)])
def test_as_torchs_sampler(n: int, of: int) -> None:
    """Equal lengths, no overlap, a new order each epoch, fewer than `of` left out: alike in all."""
    ours = [DataLoader(range(n), bs=1, shuffle=True, seed=0).shard(r, of) for r in range(of)]
    samplers = [DistributedSampler(range(n), of, r, seed=0, drop_last=True) for r in range(of)]  # type: ignore[arg-type]
    for epoch in range(3):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        theirs = [list(s) for s in samplers]
        mine = [loader.order(epoch) for loader in ours]
        assert [len(o) for o in mine] == [len(o) for o in theirs]
        assert len({i for o in mine for i in o}) == len({i for o in theirs for i in o}) == n // of * of
    fixed = [list(DistributedSampler(range(12), 3, r, shuffle=False)) for r in range(3)]  # type: ignore[arg-type]
    assert fixed == [DataLoader(range(12), bs=1).shard(r, 3).order(0) for r in range(3)]


def test_parts_of_real_loaders(photos: Path) -> None:
    whole = loaders(photos)
    parts = [loaders(photos).shard(rank, 2) for rank in range(2)]
    images = {
        int(p): x.clone()
        for b in whole.train.batches()
        for p, x in zip(b.positions, b.inputs[0], strict=True)
    }
    for part in parts:
        for batch in part.train.batches():  # the same draws as in one process
            for p, x in zip(batch.positions, batch.inputs[0], strict=True):
                assert p not in images or torch.equal(images[p], x)
    assert sum(len(b) for part in parts for b in part.valid.batches()) == len(whole.valid_ds)
    assert parts[0].vocab == whole.vocab and parts[1].new(bs=3).train.n_items == parts[1].train.n_items


def test_parts_that_cannot_be(photos: Path) -> None:
    loader = DataLoader(range(3))
    for index, of in ((2, 2), (-1, 2), (0, 0)):
        with pytest.raises(ArgumentError, match="Count processes"):
            loader.shard(index, of)
    with pytest.raises(DataError, match="3 for 4 processes"):
        loader.shard(0, 4)
    with pytest.raises(ArgumentError, match="divided once"):
        loader.shard(0, 2).shard(0, 2)


# ------------------------------------------------------------------------------------------- resume
def epoch_of(loader: Any) -> list[Any]:
    return [(b.positions, *(t.clone() for t in b.tensors)) for b in loader.batches()]


def same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(
        x[0] == y[0] and all(torch.equal(s, t) for s, t in zip(x[1:], y[1:], strict=True))
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("kind", ["shuffled", "weighted", "part"])
@pytest.mark.parametrize("workers", [0, 2])
def test_going_on_gives_what_the_uninterrupted_run_gave(photos: Path, kind: str, workers: int) -> None:
    def fresh(seed: int) -> DataLoader:
        options = {"wgts": [1.0 + i % 3 for i in range(29)]} if kind == "weighted" else {}
        dls = loaders(photos, seed=seed, num_workers=workers, **options)
        return (dls.shard(1, 2) if kind == "part" else dls).train

    run = fresh(5)
    want = [epoch_of(run) for _ in range(3)]
    n = len(want[0])
    for stop in range(1, n + 1):
        first = fresh(5)
        epoch_of(first)
        got: list[Any] = []
        for batch in first.batches():
            got.append((batch.positions, *(t.clone() for t in batch.tensors)))
            if len(got) == stop:
                state = json.loads(json.dumps(first.state_dict()))  # as a checkpoint keeps it
                break
        again = fresh(77)  # another seed, which the state replaces
        again.load_state_dict(state)
        assert again.state_dict() == state
        rest = epoch_of(again)
        if stop == n:  # after the last batch comes the next epoch
            assert same(rest, want[2])
            continue
        assert same(got + rest, want[1])
        assert same(epoch_of(again), want[2]) and again.epoch == 3


def test_earlier_batches_are_not_read_again(photos: Path) -> None:
    dls = loaders(photos)
    dls.train.load_state_dict({**dls.train.state_dict(), "batches": 3})
    read: list[int] = []
    load = type(dls.train_ds).load

    class Counting(type(dls.train_ds)):  # type: ignore[misc]
        def load(self, position: int) -> Any:
            read.append(position)
            return load(self, position)

    dls.train_ds.__class__ = Counting
    order = dls.train.order(0)
    list(dls.train)
    assert read == order[12 : 4 * (len(order) // 4)]


def test_looking_and_stopping_do_not_move_the_position(photos: Path) -> None:
    dls = loaders(photos, num_workers=2)
    next(iter(dls.train))
    state = dls.train.state_dict()
    dls.one_batch()
    dls.show_batch(max_n=2)
    assert dls.train.state_dict() == state == {**state, "epoch": 0, "batches": 1}
    assert same(epoch_of(dls.train), epoch_of(loaders(photos).train)), "a new pass begins at the beginning"
    assert dls.train.state_dict()["batches"] == 0 and dls.train.state_dict()["epoch"] == 1


def test_validation_keeps_its_epoch(photos: Path) -> None:
    valid = loaders(photos, val_bs=2).valid
    for k, _ in enumerate(valid.batches()):
        state = valid.state_dict()
        assert state["epoch"] == 0 and state["batches"] == (k + 1) % len(valid)


def test_the_state_of_another_loader_is_refused() -> None:
    state = DataLoader(range(10), bs=2, seed=0).state_dict()
    for other in (
        DataLoader(range(10), bs=3),
        DataLoader(range(9), bs=2),
        DataLoader(range(10), bs=2).shard(0, 2),
    ):
        with pytest.raises(ArgumentError, match="same items and batch size"):
            other.load_state_dict(state)


def test_memory_stays_flat_over_epochs_of_many_items() -> None:
    """An epoch's order is one array of whole numbers, not a list of Python objects."""
    import tracemalloc

    loader = DataLoader(range(1_000_000), bs=100_000, shuffle=True, seed=0)
    batches = loader._groups(loader._positions(0), loader.bs, 0)
    tracemalloc.start()
    next(batches)
    order = loader._positions(0)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert order.nbytes == 8_000_000 and held < 20_000_000


def test_the_position_after_the_last_batch_is_the_next_epochs_first(photos: Path) -> None:
    """In fixed order too: the transforms of training draw anew in each epoch."""
    for shuffle in (True, False):
        whole = loaders(photos, shuffle=shuffle).train
        first, second = [list(whole) for _ in range(2)]
        stopped, restarted = (loaders(photos, shuffle=shuffle).train for _ in range(2))
        passing = iter(stopped)
        for _ in first:
            next(passing)
        restarted.load_state_dict(stopped.state_dict())
        for (x, y), (want_x, want_y) in zip(restarted, second, strict=True):
            assert torch.equal(x, want_x) and torch.equal(y, want_y)


@pytest.mark.parametrize("batches", [-1, 3, 99])
def test_positions_that_are_not_there(batches: int) -> None:
    loader = DataLoader(range(6), bs=2, seed=0)
    with pytest.raises(ArgumentError, match="from 0 to 2"):
        loader.load_state_dict({**loader.state_dict(), "batches": batches})
