"""Batches: order, seeds, threads, memory used again, unreadable items; with torch's loader as the peer."""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.data.support import photo_folder
from torch import Tensor
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import TensorDataset

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock, RegressionBlock, TransformBlock
from wiggly.data.items import get_image_files, parent_label
from wiggly.data.loader import DataLoader, batches_of, default_workers, item_seed
from wiggly.data.loaders import DataLoaders
from wiggly.data.memory import BufferPool
from wiggly.data.split import IndexSplitter, RandomSplitter
from wiggly.errors import ArgumentError, BadItemsError, DataError, ItemError
from wiggly.vision.augment import Flip, Normalize, Resize, aug_transforms
from wiggly.vision.blocks import ImageBlock


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("photos"), {"cat": 20, "dog": 20})


def recipe(**changes: Any) -> DataBlock:
    options: dict[str, Any] = {
        "get_items": get_image_files,
        "get_y": parent_label,
        "splitter": RandomSplitter(0.2, seed=1),
        "item_tfms": Resize(32),
        "batch_tfms": aug_transforms(size=16),
    }
    return DataBlock((ImageBlock, CategoryBlock), **{**options, **changes})


def loaders(photos: Path, block: DataBlock | None = None, **options: Any) -> DataLoaders:
    return (block or recipe()).dataloaders(
        photos, **{"bs": 8, "seed": 5, "device": "cpu", "num_workers": 0, **options}
    )


def epoch(loader: Any, stats: Any = None) -> list[tuple[Tensor, ...]]:
    """Copies of all batches of an epoch, with the positions."""
    return [(*(t.clone() for t in b.tensors), torch.tensor(b.positions)) for b in loader.batches(stats)]


def same(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(
        len(x) == len(y) and all(torch.equal(s, t) for s, t in zip(x, y, strict=True))
        for x, y in zip(a, b, strict=True)
    )


# ---------------------------------------------------------------------------------- plain sequences
def test_a_range_like_the_book() -> None:
    shuffled = list(DataLoader(range(15), bs=5, shuffle=True))
    assert [b.shape for b in shuffled] == [(5,)] * 3
    assert sorted(torch.cat(shuffled).tolist()) == list(range(15))
    pairs = list(enumerate("abcdefghijklmnopqrstuvwxyz"))
    plain = [(n, torch.tensor(ord(c))) for n, c in pairs]
    first = next(iter(DataLoader(plain, batch_size=6)))
    assert isinstance(first, tuple) and first[0].tolist() == list(range(6)) and first[1][0] == ord("a")


@pytest.mark.parametrize("bs", [1, 3, 7, 10, 11])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_are_torchs(bs: int, drop_last: bool) -> None:
    data = [(torch.randn(3), i) for i in range(10)]
    theirs = list(TorchLoader(data, batch_size=bs, drop_last=drop_last))  # type: ignore[arg-type]
    loader = DataLoader(data, bs=bs, drop_last=drop_last)
    ours = list(loader)
    if drop_last and bs > 10:  # the only batch is never left out
        theirs = list(TorchLoader(data, batch_size=bs))  # type: ignore[arg-type]
    assert len(loader) == len(ours) and same([tuple(b) for b in theirs], ours)


def test_arguments() -> None:
    for make in (
        lambda: DataLoader(range(3), bs=0),
        lambda: DataLoader(range(3), bs=2, batch_size=3),
        lambda: DataLoader(range(3), num_workers=-1),
    ):
        with pytest.raises(ArgumentError):
            make()
    with pytest.raises(DataError, match="at least 1 item"):
        DataLoader([])
    assert DataLoader(range(3), bs=2, batch_size=2).bs == 2 and DataLoader(range(3)).bs == 64
    assert 1 <= default_workers() <= 16


# -------------------------------------------------------------------------------------- same draws
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("stats", [None, ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))])
def test_any_number_of_threads_gives_the_same_bits(photos: Path, workers: int, stats: Any) -> None:
    alone, threaded = loaders(photos), loaders(photos, num_workers=workers)
    for _ in range(2):
        assert same(epoch(alone.train, stats), epoch(threaded.train, stats))
        assert same(epoch(alone.valid, stats), epoch(threaded.valid, stats))


def test_epochs_differ_and_can_be_set(photos: Path) -> None:
    train = loaders(photos).train
    first, second = epoch(train), epoch(train)
    assert train.epoch == 2 and not torch.equal(first[0][2], second[0][2])
    at = {int(p): x for x, _, ps in first for x, p in zip(x, ps, strict=True)}
    again = {int(p): x for x, _, ps in second for x, p in zip(x, ps, strict=True)}
    common = set(at) & set(again)
    assert all(not torch.equal(at[p], again[p]) for p in common), (
        "an item's draws were the same in two epochs"
    )
    train.epoch = 0
    assert same(epoch(train), first)
    assert not same(epoch(loaders(photos, seed=6).train), first)


def test_an_items_draws_depend_on_the_item_alone(photos: Path) -> None:
    """Whatever the batch size, and whichever items are in the batch."""
    by_size = [epoch(loaders(photos, bs=bs, shuffle=False).train) for bs in (4, 32)]
    small, large = (torch.cat([b[0] for b in batches]) for batches in by_size)
    assert torch.equal(small, large)


def test_looking_moves_nothing(photos: Path) -> None:
    plain, looked = loaders(photos), loaders(photos, num_workers=2)
    a, b = looked.one_batch(), looked.one_batch()
    assert a[0].shape == (8, 3, 16, 16) and not torch.equal(a[0], b[0])
    assert looked.train.one_batch()[0].shape == looked.valid.one_batch()[0].shape == (8, 3, 16, 16)
    looked.show_batch(max_n=4)
    looked.train.show_batch(unique=True, max_n=4)
    looked.valid.show_batch(max_n=2, nrows=1)
    first = iter(looked.train)
    next(first)
    del first
    assert looked.train.epoch == 0 and same(epoch(plain.train), epoch(looked.train))


def test_the_users_random_numbers_are_left_alone(photos: Path) -> None:
    dls = loaders(photos)
    states = torch.get_rng_state(), np.random.get_state()[1].tobytes()  # type: ignore[union-attr]
    epoch(dls.train)
    dls.one_batch()
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == np.random.get_state()[1].tobytes()  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", [0, -1, 2**63, 2**31])
def test_any_seed(photos: Path, seed: int) -> None:
    assert same(epoch(loaders(photos, seed=seed).train), epoch(loaders(photos, seed=seed).train))


def test_item_seeds_do_not_collide() -> None:
    drawn = {item_seed(s, e, p).random() for s in range(4) for e in (0, 1, 1 << 30) for p in (0, 1, 1 << 40)}
    assert len(drawn) == 36


def test_order_is_a_permutation_and_validation_keeps_it(photos: Path) -> None:
    dls = loaders(photos, num_workers=3)
    assert sorted(dls.train.order(0)) == list(range(32)) and dls.train.order(0) != dls.train.order(1)
    assert [p for b in dls.valid.batches() for p in b.positions] == list(range(8))
    # The labels stand beside their own pictures.
    for batch in dls.train.batches():
        for row, position in enumerate(batch.positions):
            assert dls.vocab[batch.targets[0][row]] == parent_label(dls.train_ds.items[position])


def test_drop_last(photos: Path) -> None:
    dls = loaders(photos, bs=10)
    assert len(dls.train) == 3 and [len(x) for x, _ in dls.train] == [10, 10, 10]
    assert len(dls.valid) == 1 and [len(x) for x, _ in dls.valid] == [8]
    assert [len(x) for x, _ in loaders(photos, bs=10, shuffle=False).train] == [10, 10, 10, 2]
    assert [len(x) for x, _ in loaders(photos, bs=64).train] == [32], (
        "fewer items than a batch are still trained"
    )


# ------------------------------------------------------------------------------- memory used again
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "keep",
    [
        lambda x: x,
        lambda x: x[:3],
        lambda x: x[:, 1],
        lambda x: x.detach(),
        lambda x: x.view(len(x), 3, 16, 16)[2:4].permute(0, 2, 3, 1),
        lambda x: x.numpy(),
        lambda x: x.numpy()[1],
        lambda x: torch.from_numpy(x.numpy()),
        lambda x: memoryview(x.numpy()),
        lambda x: torch.utils.dlpack.from_dlpack(x),
        lambda x: x.data,
        lambda x: list(x.unbind())[4],
    ],
)
def test_a_batch_that_is_held_is_never_written_to(photos: Path, workers: int, keep: Any) -> None:
    """Hold something of every batch of three epochs; later batches must not appear in it."""
    fresh, held = loaders(photos), loaders(photos, num_workers=workers)

    def content(part: Any) -> bytes:
        return part.numpy().tobytes() if isinstance(part, Tensor) else np.asarray(part).tobytes()

    want = [content(keep(x)) for _ in range(3) for x, _, _ in epoch(fresh.train)]
    parts = [keep(b.inputs[0]) for _ in range(3) for b in held.train.batches()]
    gc.collect()
    assert [content(p) for p in parts] == want


def test_a_buffer_comes_back_only_when_nothing_refers_to_it() -> None:
    pool = BufferPool(keep=2)
    array = pool.take((4, 4))
    view = torch.from_numpy(array)[1:]
    address = array.ctypes.data
    del array
    assert pool.take((4, 4)).ctypes.data != address
    del view
    gc.collect()
    taken = [pool.take((4, 4)) for _ in range(3)]
    assert address in [t.ctypes.data for t in taken]
    assert len({t.ctypes.data for t in taken}) == 3


def test_a_numpy_view_keeps_its_buffer() -> None:
    pool = BufferPool(keep=2)
    view = np.asarray(pool.take((4, 4)))[1:]
    view[:] = 7
    gc.collect()
    other = pool.take((4, 4))
    other[:] = 0
    assert (view == 7).all()


def test_a_pool_used_by_many_threads() -> None:
    pool, wrong = BufferPool(keep=3), []

    def work(number: int) -> None:
        for _ in range(300):
            a = torch.from_numpy(pool.take((64,)))
            a.fill_(number)
            time.sleep(0)
            if not bool((a == number).all()):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == [] and len(pool._free) <= 3


def test_memory_stays_flat(photos: Path) -> None:
    psutil = pytest.importorskip("psutil")
    dls = loaders(photos, recipe(batch_tfms=[], item_tfms=Resize(64)), num_workers=2)
    process = psutil.Process(os.getpid())

    def passes(n: int) -> int:
        for _ in range(n):
            for _ in dls.train.batches():
                pass
        gc.collect()
        return process.memory_info().rss

    before = passes(8)
    assert passes(40) - before < 8 * 2**20


def loader_threads() -> int:
    return sum(t.name.startswith("wiggly-loader") for t in threading.enumerate())


def test_stopping_early_ends_the_threads(photos: Path) -> None:
    dls = loaders(photos, num_workers=4, bs=2)
    for _ in range(5):
        for _ in dls.train:
            break
    pass_over = iter(dls.train)
    next(pass_over)
    del pass_over
    gc.collect()
    until = time.monotonic() + 5
    while loader_threads() and time.monotonic() < until:
        time.sleep(0.02)
    assert loader_threads() == 0


def test_an_exception_in_the_loop_ends_the_threads(photos: Path) -> None:
    def fail(batch: Any) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        list(map(fail, loaders(photos, num_workers=4, bs=2).train))
    gc.collect()
    until = time.monotonic() + 5
    while loader_threads() and time.monotonic() < until:
        time.sleep(0.02)
    assert loader_threads() == 0


def test_two_passes_at_once(photos: Path) -> None:
    want = epoch(loaders(photos).train)
    train = loaders(photos, num_workers=2).train
    pairs = list(zip(train.batches(), train.batches(), strict=True))
    for k, (a, b) in enumerate(pairs):
        assert torch.equal(a.inputs[0], want[k][0]) and torch.equal(b.inputs[0], want[k][0])


# ---------------------------------------------------------------------------------- unreadable items
@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    folder = photo_folder(tmp_path, {"cat": 20, "dog": 20})
    (folder / "cat" / "cat_7.png").write_bytes(b"<html>not found</html>")
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_one_bad_item_is_skipped_and_named(damaged: Path, workers: int) -> None:
    bad = damaged / "cat" / "cat_7.png"
    files = get_image_files(damaged)
    position = files.index(bad)
    for side, split in (("train", [39]), ("valid", [position, 1, 2, 3])):
        dls = loaders(damaged, recipe(splitter=IndexSplitter(split)), num_workers=workers, bs=4)
        loader = getattr(dls, side)
        batches = list(loader.batches())
        seen = [p for b in batches for p in b.positions]
        assert list(dls.bad_items) == [str(bad)] and "not an image" in dls.bad_items[str(bad)]
        assert dls.bad_items == loader.bad_items
        assert len(seen) == len(loader.dataset) - 1 - (
            len(loader.dataset) - (len(loader) * 4) if loader.drop_last else 0
        )
        names = [loader.dataset.item_name(p) for p in seen]
        assert str(bad) not in names
        for batch in batches:  # rows stand beside their positions, labels beside their pictures
            assert len(batch.positions) == len(batch.inputs[0]) == len(batch.targets[0])
            for row, p in enumerate(batch.positions):
                assert dls.vocab[batch.targets[0][row]] == parent_label(loader.dataset.items[p])
        list(loader.batches())
        assert list(loader.bad_items) == [str(bad)], (
            "the same item counts once, whatever the number of passes"
        )


@pytest.mark.parametrize("workers", [0, 2])
def test_more_than_one_percent_stops_the_run(damaged: Path, workers: int) -> None:
    (damaged / "dog" / "dog_3.png").write_bytes(b"")
    with pytest.raises(BadItemsError) as stopped:
        for _ in loaders(
            damaged, recipe(splitter=IndexSplitter([39])), num_workers=workers, shuffle=False
        ).train:
            pass
    assert (
        "cat_7.png" in str(stopped.value) and "dog_3.png" in str(stopped.value) and "1%" in str(stopped.value)
    )
    tolerant = recipe(splitter=IndexSplitter([39]))
    dls = loaders(damaged, tolerant, max_bad=0.2, num_workers=workers, shuffle=False)
    assert sum(len(x) for x, _ in dls.train) == 37 and len(dls.bad_items) == 2


def test_a_whole_bad_batch_is_left_out(damaged: Path) -> None:
    dls = loaders(damaged, recipe(splitter=IndexSplitter([39])), bs=1, shuffle=False)
    assert len(list(dls.train)) == 38
    first_bad = recipe(
        splitter=IndexSplitter([39]), get_items=lambda p: get_image_files(p)[18:] + get_image_files(p)[:18]
    )
    assert loaders(damaged, first_bad, bs=2, shuffle=False).one_batch()[0].shape[0] == 2


def test_looking_at_nothing_but_bad_items(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path, {"cat": 2, "dog": 2})
    for f in get_image_files(folder):
        f.write_bytes(b"no")
    with pytest.raises(DataError, match="cat_0"):
        loaders(folder, recipe(splitter=IndexSplitter([3])), max_bad=1.0, bs=2).one_batch()


def test_test_dl_raises_rather_than_skips(damaged: Path) -> None:
    files = get_image_files(damaged)
    test = loaders(damaged).test_dl(files)
    with pytest.raises(ItemError, match=r"cat_7\.png"):
        list(test)


def test_images_of_different_sizes(photos: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)same size.*came after.*\.png.*Resize\(224\)"):
        list(loaders(photos, recipe(item_tfms=None, batch_tfms=None)).train)


# --------------------------------------------------------------------------------- lent statistics
@pytest.mark.parametrize("batch_tfms", [None, [lambda x: x.flip(-1)], [lambda x: x * 0.5, Flip(1.0)]])
def test_lent_statistics(photos: Path, batch_tfms: Any) -> None:
    """Normalised on the way or afterwards: the same; a callable always gets images in [0, 1]."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    block = recipe(batch_tfms=batch_tfms)
    plain, lent = epoch(loaders(photos, block).train), epoch(loaders(photos, block).train, (mean, std))
    for (x, y, p), (nx, ny, np_) in zip(plain, lent, strict=True):
        want = (x.double() - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        assert (nx - want).abs().max() < 1e-6 * 10 and torch.equal(y, ny) and torch.equal(p, np_)
        assert nx.dtype == torch.float32 and nx.is_contiguous(memory_format=torch.channels_last)


def test_batches_are_ready_for_the_model(photos: Path) -> None:
    x, y = next(iter(loaders(photos, recipe(batch_tfms=[Normalize((0.5,) * 3, (0.5,) * 3)])).train))
    assert x.dtype == torch.float32 and x.is_contiguous(memory_format=torch.channels_last)
    assert x.min() >= 0 and x.max() <= 1 and type(x) is Tensor and y.dtype == torch.int64


# ------------------------------------------------------------------------------------ other loaders
def test_torchs_loaders_are_wrapped() -> None:
    data = TensorDataset(torch.arange(10.0).view(10, 1), torch.arange(10))
    dls = DataLoaders(TorchLoader(data, batch_size=4), TorchLoader(data, batch_size=4))
    x, y = dls.one_batch()
    assert torch.equal(x, data.tensors[0][:4]) and torch.equal(y, torch.arange(4))
    assert dls.bs == 4 and len(dls.train) == 3 and dls.train_ds is data
    batches = list(batches_of(dls.valid))
    assert [b.positions for b in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    for ask in (dls.show_batch, dls.new, lambda: dls.test_dl([1]), lambda: dls.vocab):
        with pytest.raises((DataError, ArgumentError)):
            ask()


def test_lists_of_batches_are_loaders_too() -> None:
    batches = [(torch.zeros(2, 3), torch.tensor([0, 1]))] * 3
    assert [b.targets[0].tolist() for b in batches_of(batches)] == [[0, 1]] * 3
    three = [(torch.zeros(2), torch.ones(2), torch.tensor([0, 1]))]
    assert len(next(iter(batches_of(three))).inputs) == 2
    assert next(iter(batches_of([torch.zeros(2)]))).targets == ()


def test_numbers_as_inputs() -> None:
    """No image anywhere: lists of numbers and a target to predict."""
    rows = [([i, 2.0 * i], float(i)) for i in range(8)]
    block = DataBlock(
        (TransformBlock, RegressionBlock),
        getters=[lambda r: r[0], lambda r: r[1]],
        splitter=IndexSplitter([0, 1]),
    )
    x, y = next(iter(block.dataloaders(rows, bs=3, shuffle=False, device="cpu").train))
    assert x.tolist() == [[2, 4], [3, 6], [4, 8]] and y.tolist() == [2, 3, 4]
