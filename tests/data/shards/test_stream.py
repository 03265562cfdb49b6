"""Rows of shards through loaders: the order and its parts, what is read when, positions, damage, memory."""

from __future__ import annotations

import io
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.shards.shard_files import CountingFileSystem, numbered, photo, tar_bytes, write_parquet

from wiggly import (
    CategoryBlock,
    ColReader,
    ColSplitter,
    DataBlock,
    DataLoader,
    FuncSplitter,
    GrandparentSplitter,
    ImageBlock,
    IndexSplitter,
    MultiCategoryBlock,
    ParquetSource,
    RandomSplitter,
    RegressionBlock,
    Resize,
    ShardSplitter,
    TarSource,
    TrainTestSplitter,
    TransformBlock,
    aug_transforms,
)
from wiggly.data.loader import item_seed
from wiggly.data.shards.rows import Segment
from wiggly.data.shards.source import Source
from wiggly.data.shards.stream import Order, ShardDataset, deal
from wiggly.errors import ArgumentError, BadItemsError, DataError, ItemError, LabelError

# The order, which needs no files


class Parts(Source):
    """Rows of parts of given sizes; each row says which it is."""

    def __init__(self, sizes: list[list[int]], buffer: int = 1000) -> None:
        super().__init__([f"s{k}" for k in range(len(sizes))], buffer=buffer)
        self.sizes, self.started = sizes, Counter[tuple[str, int, int]]()

    def measure(self, shard: str) -> list[int]:
        return self.sizes[int(shard[1:])]

    def read(self, shard: str, part: int, start: int, columns: Any = None) -> Iterator[Any]:  # pyright: ignore
        from wiggly.data.shards.source import ShardRow

        self.started[shard, part, start] += 1
        first = sum(map(sum, self.sizes[: int(shard[1:])])) + sum(self.sizes[int(shard[1:])][:part])
        for n in range(start, self.sizes[int(shard[1:])][part]):
            yield ShardRow({"x": float(first + n)}, f"{shard} row {n}")


def rows_of(source: Source, chosen: Any = None) -> Any:
    from wiggly.data.shards.rows import ShardRows

    return ShardRows(source, source.shards, None if chosen is None else np.array(chosen))


sizes = st.lists(st.lists(st.integers(0, 9), min_size=0, max_size=4), min_size=1, max_size=8).filter(
    lambda parts: sum(map(sum, parts)) > 0
)


@settings(max_examples=150, deadline=None, database=None)
@given(parts=sizes, of=st.integers(1, 5), buffer=st.integers(1, 40), epoch=st.integers(0, 3), data=st.data())
def test_every_pass_is_a_division_of_all_rows(
    parts: list[list[int]], of: int, buffer: int, epoch: int, data: st.DataObject
) -> None:
    n = sum(map(sum, parts))
    chosen = data.draw(st.none() | st.sets(st.integers(0, n - 1), min_size=1).map(sorted))
    rows = rows_of(Parts(parts, buffer), chosen)
    n = len(rows)
    for seeds in ([7, epoch], None):
        shares = [list(Order(rows, seeds, rank, of)) for rank in range(of)]
        together = [p for share in shares for p in share]
        assert len(set(together)) == len(together), "no row twice"
        if seeds is None:
            assert together == list(range(n))
            assert [len(s) for s in shares] == [len(range(r, n, of)) for r in range(of)]
        else:
            assert {len(s) for s in shares} == {n // of}
            assert set(together) <= set(range(n))


@settings(max_examples=60, deadline=None, database=None)
@given(parts=sizes, buffer=st.integers(1, 40), first=st.integers(0, 100), shuffled=st.booleans())
def test_reading_gives_the_rows_of_the_order_from_any_place(
    parts: list[list[int]], buffer: int, first: int, shuffled: bool
) -> None:
    rows = rows_of(Parts(parts, buffer))
    order = Order(rows, [1, 2] if shuffled else None, buffer=buffer)
    expected = list(order)[first:]
    got: list[int] = []
    for positions, found in order.read(first, lambda name, reason: pytest.fail(name + reason)):
        got += positions
        assert {p: row["x"] for p, row in found.items() if p in positions} == {p: float(p) for p in positions}
    assert got == expected


def test_a_pass_is_resumed_without_reading_the_shards_before() -> None:
    source = Parts([[50], [50], [50], [50], [50], [50], [50], [50]], buffer=40)
    order = Order(rows_of(source), [0, 0])
    list(order.read(0, lambda *_: None))
    whole = Counter(shard for shard, _, _ in source.started)
    assert set(whole.values()) == {1}, "every shard is opened once in a pass"
    source.started.clear()
    list(order.read(300, lambda *_: None))
    assert len(source.started) == 4, "those that hold the last 100 rows"
    assert all(start > 0 or n == 1 for (_, _, start), n in source.started.items())


def test_orders_differ_by_epoch_and_seed_and_mix_over_all_shards() -> None:
    rows = rows_of(Parts([[50] * 20] * 10, buffer=500))
    orders = {s: list(Order(rows, s)) for s in ((0, 0), (0, 1), (1, 0))}
    assert len({tuple(o) for o in orders.values()}) == 3
    assert orders[0, 0] == list(Order(rows, (0, 0)))
    moved = np.abs(np.array(orders[0, 0]) - np.arange(10_000)).mean() / 10_000
    assert moved > 0.3, "1/3 for a uniform permutation"
    shards = np.array(orders[0, 0]).reshape(-1, 100) // 1000
    assert np.mean([len(set(batch)) for batch in shards]) > 5, "shards in a batch of 100"


def test_deal_gives_every_thread_about_the_same() -> None:
    segments = [Segment(k, a, b) for k, (a, b) in enumerate(pairwise(np.arange(0, 1001, 10).tolist()))]
    rows = [sum(s.stop - s.start for s in lane) for lane in deal(segments, [0, 0])]
    assert len(rows) == 4
    assert sum(rows) == 1000
    assert max(rows) - min(rows) <= 10


# Loaders over files


@pytest.fixture
def numbers(tmp_path: Path) -> ParquetSource:
    """5 shards of 24 rows in groups of 7, and one of 10 rows for validation."""
    for k in range(5):
        write_parquet(tmp_path / f"train-{k}.parquet", 24 * k, 24, group=7)
    write_parquet(tmp_path / "valid-0.parquet", 120, 10)
    return ParquetSource(str(tmp_path / "train-*.parquet"), valid=tmp_path / "valid-0.parquet", buffer=40)


def number_block(**options: Any) -> DataBlock:
    return DataBlock(
        (TransformBlock, CategoryBlock), get_x=ColReader("x"), get_y=ColReader("label"), **options
    )


def passes(loader: Any) -> list[tuple[list[int], list[float], list[int]]]:
    return [(b.positions, b.inputs[0].tolist(), b.targets[0].tolist()) for b in loader.batches()]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_hold_the_rows_of_their_positions(numbers: ParquetSource, workers: int) -> None:
    dls = number_block().dataloaders(numbers, bs=16, seed=3, num_workers=workers, device="cpu")
    assert dls.vocab == ["even", "odd"]
    assert (len(dls.train), len(dls.valid), dls.train.n_items, dls.valid.n_items) == (7, 1, 120, 10)
    for epoch in range(2):
        order = dls.train.order(epoch)
        assert sorted(order) == list(range(120))
        batches = passes(dls.train)
        assert [p for b in batches for p in b[0]] == order[: 7 * 16], "drop_last"
        for positions, x, y in batches:
            assert x == positions
            assert y == [p % 2 for p in positions]
    ((positions, x, _),) = passes(dls.valid)
    assert positions == list(range(10))
    assert x == list(range(120, 130))


def test_a_plain_loop_sees_tuples(numbers: ParquetSource) -> None:
    dls = number_block().dataloaders(numbers, bs=16, device="cpu")
    x, y = next(iter(dls.train))
    assert torch.equal(x.long() % 2, y)
    x, y = dls.one_batch()
    assert torch.equal(x.long() % 2, y)
    assert len(dls.train_ds) == 120
    assert dls.train_ds[-1] == (torch.tensor(119.0), torch.tensor(1))
    assert [x.item() for x, _ in dls.valid_ds] == list(range(120, 130))
    with pytest.raises(IndexError):
        dls.train_ds[120]


def test_processes_divide_an_epoch(numbers: ParquetSource) -> None:
    dls = number_block().dataloaders(numbers, bs=7, seed=0, device="cpu")
    parts = [dls.shard(rank, of=3) for rank in range(3)]
    seen = [p for part in parts for b in part.train.batches() for p in b.positions]
    assert [len(p.train) for p in parts] == [5, 5, 5]
    assert len(seen) == len(set(seen)) == 3 * 5 * 7
    valid = [p for part in parts for b in part.valid.batches() for p in b.positions]
    assert valid == list(range(10))


def test_the_position_survives_a_restart(numbers: ParquetSource, tmp_path: Path) -> None:
    def loader(seed: int) -> DataLoader:
        return number_block().dataloaders(numbers, bs=16, seed=seed, device="cpu").train

    whole = loader(5)
    expected = [passes(whole), passes(whole)]
    for epoch, done in ((0, 0), (0, 3), (1, 6), (0, 7)):
        first = loader(5)
        for _ in range(epoch):
            list(first.batches())
        batches = first.batches()
        for _ in range(done):
            next(batches)
        state = first.state_dict()
        again = loader(99)
        again.load_state_dict(state)
        assert passes(again) == (expected[epoch][done:] or expected[epoch + 1])


def test_images_are_drawn_by_seed_epoch_and_position_alone(tmp_path: Path) -> None:
    for k in range(2):
        pictures = [photo(10 * k + n, 40) for n in range(10)]
        write_parquet(tmp_path / f"{k}.parquet", 10 * k, 10, group=4, image=pictures)
    source = ParquetSource(str(tmp_path / "*.parquet"), valid=[tmp_path / "1.parquet"])
    source.addresses = [str(tmp_path / "0.parquet")]
    block = DataBlock(
        (ImageBlock, CategoryBlock),
        get_x=ColReader("image"),
        get_y=ColReader("label"),
        item_tfms=Resize(32),
        batch_tfms=aug_transforms(),
    )
    found: dict[tuple[int, int], torch.Tensor] = {}
    for workers, bs in ((0, 3), (2, 5)):
        dls = block.dataloaders(source, bs=bs, seed=4, num_workers=workers, device="cpu")
        for epoch in range(2):
            for batch in dls.train.batches():
                for position, image in zip(batch.positions, batch.inputs[0], strict=True):
                    same = found.setdefault((epoch, position), image)
                    assert torch.equal(same, image)
    values = dls.train_ds.sample(3, item_seed(4, 1, 3))  # read again, by itself
    assert torch.equal(dls.blocks[0].encode(values[0]), found[1, 3])
    assert not torch.equal(found[0, 3], found[1, 3])


def test_looking_moves_nothing_and_the_same_row_can_be_shown_again(numbers: ParquetSource) -> None:
    block, expected = number_block(), None
    for looks in (0, 2):
        dls = block.dataloaders(numbers, bs=16, seed=0, device="cpu")
        for _ in range(looks):
            assert len(dls.train.look(5)) == 5
            assert dls.train.repeat(7, 3).inputs[0].tolist() == [7.0] * 3
        got = passes(dls.train)
        assert expected is None or got == expected
        expected = got


def test_reading_ends_with_the_loop(numbers: ParquetSource) -> None:
    dls = number_block().dataloaders(numbers, bs=4, device="cpu", num_workers=2)
    for _ in dls.train:
        break
    batches = dls.train.batches()
    next(batches)
    batches.close()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("wiggly-reader")]


def test_weights_are_refused(numbers: ParquetSource) -> None:
    datasets = number_block().datasets(numbers)
    with pytest.raises(ArgumentError, match="wgts"):
        DataLoader(datasets.train, bs=4, wgts=[1.0] * 120)
    for wgts in ([1.0] * 120, "balanced"):
        with pytest.raises(ArgumentError, match="rows of shards"):
            number_block().weighted_dataloaders(numbers, wgts)


def test_new_shards_are_predicted_in_their_order(numbers: ParquetSource, tmp_path: Path) -> None:
    dls = number_block().dataloaders(numbers, bs=16, device="cpu")
    test = dls.test_dl(ParquetSource(tmp_path / "train-1.parquet"), with_labels=True)
    assert isinstance(test.dataset, ShardDataset)
    assert [x for _, xs, _ in passes(test) for x in xs] == list(range(24, 48))
    rows = dls.test_dl([{"x": 3.0}, {"x": 4.0}])
    assert [b.inputs[0].tolist() for b in rows.batches()] == [[3.0, 4.0]]


# Splits, labels, and what is read for them


def test_splitters_divide_rows_as_they_divide_a_table(tmp_path: Path) -> None:
    marks = [n % 5 == 0 for n in range(60)]
    for k in range(3):
        write_parquet(tmp_path / f"{k}.parquet", 20 * k, 20, group=6, is_valid=marks[20 * k : 20 * k + 20])
    source = ParquetSource(str(tmp_path / "*.parquet"))
    table = pq.read_table([str(tmp_path / f"{k}.parquet") for k in range(3)]).to_pandas()
    for splitter in (
        RandomSplitter(0.3, seed=42), TrainTestSplitter(0.25, random_state=1), IndexSplitter([3, 59, 20]),
        ColSplitter(), ColSplitter("label", on="odd"),
    ):  # fmt: skip
        block = DataBlock((TransformBlock, CategoryBlock(["even", "odd"])), get_x=ColReader("x"),
                          get_y=ColReader("label"), splitter=splitter)  # fmt: skip
        mine, theirs = block.datasets(source), block.datasets(table)
        for a, b in zip(mine, theirs, strict=True):
            assert sorted(float(x) for x, _ in b) == [float(x) for x, _ in a]
        dls = mine.dataloaders(bs=7, seed=0, device="cpu")
        read = [x for batch in dls.valid.batches() for x in batch.inputs[0].tolist()]
        assert read == sorted(float(x) for x, _ in theirs.valid)
        assert dls.valid_ds.item_name(0) == f"{tmp_path}/{int(read[0]) // 20}.parquet row {int(read[0]) % 20}"


def test_shard_splitters_choose_shards(tmp_path: Path) -> None:
    names = [f"s3://bucket/{side}/{k:03}.tar" for side in ("train", "val") for k in range(4)]
    assert ShardSplitter(1)(names)[1] == names[-1:]
    assert ShardSplitter(0.3)(names)[1] == names[-3:]
    assert ShardSplitter("*/val/*")(names) == (names[:4], names[4:])
    assert ShardSplitter(["000.tar", "s3://*1.tar"])(names)[1] == [names[0], names[1], names[4], names[5]]
    for wrong in (0, 1.0, -2, 0.0):
        with pytest.raises(ArgumentError):
            ShardSplitter(wrong)
    for empty in (8, "nothing"):
        with pytest.raises(DataError, match="at least 1 shard on each side"):
            ShardSplitter(empty)(names)


@pytest.mark.parametrize(
    "splitter", [None, RandomSplitter(), TrainTestSplitter(), FuncSplitter(bool), GrandparentSplitter()]
)
def test_a_split_that_would_not_come_again_is_refused(numbers: ParquetSource, splitter: Any) -> None:
    source = ParquetSource(numbers.addresses)
    with pytest.raises(ArgumentError, match="ShardSplitter") as caught:
        number_block(splitter=splitter).datasets(source)
    assert "seed=42" in caught.value.fix


def counted(files: dict[str, bytes]) -> None:
    fsspec.register_implementation("counted", CountingFileSystem, clobber=True)
    CountingFileSystem.store.clear()
    for name, content in files.items():
        CountingFileSystem().pipe_file(f"/{name}", content)
    CountingFileSystem.clear()


def image_shards(n: int, rows: int, size: int) -> dict[str, bytes]:
    """Parquet shards with a heavy column."""
    files: dict[str, bytes] = {}
    for k in range(n):
        buffer = io.BytesIO()
        heavy = [np.random.default_rng(k * rows + i).bytes(size) for i in range(rows)]
        write_parquet(buffer, k * rows, rows, group=rows // 2, heavy=heavy)
        files[f"p-{k:02}.parquet"] = buffer.getvalue()
    return files


def test_nothing_is_opened_or_listed_before_it_is_needed(tmp_path: Path) -> None:
    counted(image_shards(12, 20, 20_000))
    index = tmp_path / "index.json"

    def source() -> ParquetSource:
        return ParquetSource("counted://p-{00..11}.parquet", index=index)

    block = DataBlock(
        (TransformBlock, CategoryBlock(["even", "odd"])),
        get_x=ColReader("x"),
        get_y=ColReader("label"),
        splitter=ShardSplitter(2),
    )
    dls = block.dataloaders(source(), bs=8, device="cpu")
    assert not CountingFileSystem.opened
    assert not CountingFileSystem.listed
    dls.one_batch()
    assert len(CountingFileSystem.opened) == 4, "the shards it looks at"
    assert len(dls.train) == 25
    assert len(CountingFileSystem.opened) == 10, "a footer of each training shard, of none for validation"
    assert len(dls.valid) == 5
    heavy = 12 * 20 * 20_000
    assert sum(CountingFileSystem.read.values()) < 0.5 * heavy
    CountingFileSystem.clear()
    again = block.dataloaders(source(), bs=8, device="cpu", seed=0)
    assert len(again.train) == 25
    assert not CountingFileSystem.opened, "the index tells"
    next(again.train.batches())
    assert not CountingFileSystem.listed


def test_a_vocabulary_costs_a_pass_over_the_labels_alone() -> None:
    files = image_shards(4, 20, 100_000)
    counted(files)
    block = number_block(splitter=ShardSplitter(1))
    dls = block.dataloaders(ParquetSource("counted://p-*.parquet"), bs=8, device="cpu")
    assert dls.vocab == ["even", "odd"]
    assert sum(CountingFileSystem.read.values()) < 0.05 * sum(map(len, files.values()))
    tar = {f"{k}.tar": tar_bytes(numbered(10 * k, 10, size=100_000)) for k in range(3)}
    counted(tar)
    block = DataBlock((TransformBlock, CategoryBlock), get_x=lambda row: len(row["bin"]),
                      get_y=lambda row: row.get("cls") % 3, splitter=ShardSplitter(1))  # fmt: skip
    dls = block.dataloaders(TarSource("counted://{0..2}.tar"), bs=8, device="cpu")
    assert dls.vocab == [0, 1, 2]
    assert sum(CountingFileSystem.read.values()) < 0.3 * sum(map(len, tar.values()))


def test_getters_may_ask_for_whatever_they_like(numbers: ParquetSource) -> None:
    getters: list[Any] = [
        lambda row: row["label"],
        lambda row: row.get("label", "none"),
        lambda row: dict(row)["label"],
        lambda row: list(row.values())[1],
        ColReader(1),
        lambda row: "odd" if row["x"] % 2 else row["label"],  # the second column only for some
    ]
    for getter in getters:
        block = DataBlock((TransformBlock, CategoryBlock), get_x=ColReader("x"), get_y=getter)
        datasets = block.datasets(numbers)
        assert datasets.vocab == ["even", "odd"]
        assert datasets.train.raw_targets == ["even", "odd"] * 60
        assert datasets.valid.encoded_target(3) == 1


def test_blocks_learn_what_they_need(tmp_path: Path) -> None:
    tags = [["a", "b"][: n % 3] for n in range(20)]
    write_parquet(tmp_path / "a.parquet", 0, 20, tags=tags, pair=[[float(n), 1.0] for n in range(20)])
    source = ParquetSource(tmp_path / "a.parquet")
    block = DataBlock(
        (TransformBlock, MultiCategoryBlock, RegressionBlock),
        getters=[ColReader("x"), ColReader("tags"), ColReader("pair")],
        n_inp=1,
        splitter=IndexSplitter([0, 1]),
    )
    datasets = block.datasets(source)
    assert datasets.blocks[1].vocab == ["a", "b"]
    assert datasets.blocks[2].n_out == 2
    _, y, pair = next(iter(datasets.dataloaders(bs=18, device="cpu", shuffle=False).train))
    assert y.sum(1).tolist() == [len(t) for t in tags[2:]]
    assert pair.shape == (18, 2)


def test_wrong_labels_are_named_with_their_row(tmp_path: Path) -> None:
    for k, labels in enumerate((["a", "b", "a"], ["b", "c", "b"], ["a", None, "b"])):
        pq.write_table(pa.table({"x": [1.0, 2.0, 3.0], "y": labels}), tmp_path / f"{k}.parquet")
    block = DataBlock((TransformBlock, CategoryBlock), get_x=ColReader("x"), get_y=ColReader("y"))
    for k, reason in ((1, "'c'"), (2, "one is missing")):
        source = ParquetSource(tmp_path / "0.parquet", valid=tmp_path / f"{k}.parquet")
        with pytest.raises(LabelError, match=rf"{reason}.*{k}\.parquet row 1', in validation"):
            block.datasets(source)
    given = DataBlock((TransformBlock, CategoryBlock(["a", "b"])), get_x=ColReader("x"), get_y=ColReader("y"))
    dls = given.dataloaders(ParquetSource(tmp_path / "0.parquet", valid=tmp_path / "1.parquet"), bs=2)
    with pytest.raises(DataError, match=r"'c' is not among.*1\.parquet row 1"):
        list(dls.valid)
    missing = DataBlock((TransformBlock, CategoryBlock), get_x=ColReader("x"), get_y=ColReader("z"))
    with pytest.raises(DataError, match="'z'"):
        missing.datasets(ParquetSource(tmp_path / "0.parquet", valid=tmp_path / "1.parquet"))
    unsaid = DataBlock((TransformBlock, CategoryBlock), get_x=ColReader("x"))
    with pytest.raises(ArgumentError, match="get_y"):
        unsaid.datasets(ParquetSource(tmp_path / "0.parquet", valid=tmp_path / "1.parquet"))


# Damage


def tar_source(tmp_path: Path, rows: int = 100, shards: int = 5) -> TarSource:
    for k in range(shards):
        (tmp_path / f"{k}.tar").write_bytes(tar_bytes(numbered(rows * k, rows)))
    valid = tmp_path / "valid.tar"
    valid.write_bytes(tar_bytes(numbered(rows * shards, 5)))
    return TarSource(str(tmp_path / f"{{0..{shards - 1}}}.tar"), valid=valid, buffer=60)


tar_block = DataBlock(
    (TransformBlock, CategoryBlock(list(range(600)))),
    get_x=lambda row: float(row["bin"][0]),
    get_y=ColReader("cls"),
)


def cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def labels_of(loader: Any) -> list[int]:
    return [y for b in loader.batches() for y in b.targets[0].tolist()]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_cut_shard_is_named_its_rows_are_used_and_the_lost_ones_counted(
    tmp_path: Path, workers: int
) -> None:
    source = tar_source(tmp_path)
    cut(tmp_path / "1.tar", 0.9)
    dls = tar_block.dataloaders(source, bs=10, max_bad=0.05, shuffle=False, num_workers=workers, device="cpu")
    seen = labels_of(dls.train)
    lost = sorted(set(range(500)) - set(seen))
    assert lost == list(range(lost[0], 200))
    assert lost[0] > 185
    assert sorted(seen) == seen
    assert len(dls.bad_items) == len(lost)
    assert all(name.startswith(f"{tmp_path}/1.tar row ") for name in dls.bad_items)
    assert set(dls.bad_items) == {f"{tmp_path}/1.tar row {n - 100}" for n in lost}
    labels_of(dls.train)
    assert len(dls.bad_items) == len(lost), "once, however many epochs"
    strict = tar_block.dataloaders(source, bs=10, device="cpu")
    with pytest.raises(BadItemsError, match=r"1\.tar row"):
        labels_of(strict.train)


def test_rows_that_were_counted_and_are_lost_do_not_move_the_others(tmp_path: Path) -> None:
    source = tar_source(tmp_path)
    sound = tar_block.dataloaders(source, bs=10, seed=0, device="cpu")
    expected = [b.positions for b in sound.train.batches()]
    cut(tmp_path / "3.tar", 0.5)
    hurt = tar_block.dataloaders(source, bs=10, seed=0, device="cpu", max_bad=0.5)
    got = [b.positions for b in hurt.train.batches()]
    kept = [[p for p in batch if not 345 < p < 400] for batch in expected]
    assert [[p for p in batch if not 345 < p < 400] for batch in got] == kept
    assert 45 <= len(hurt.bad_items) <= 55
    state = hurt.train.state_dict()
    assert state["epoch"] == 1


def test_a_damaged_parquet_file_is_named_and_the_others_are_used(tmp_path: Path) -> None:
    for k in range(4):
        write_parquet(tmp_path / f"{k}.parquet", 20 * k, 20)
    cut(tmp_path / "2.parquet", 0.6)
    source = ParquetSource(str(tmp_path / "*.parquet"))
    block = number_block(splitter=ShardSplitter(1))
    with pytest.raises(BadItemsError, match=r"2\.parquet row 0' \(its footer cannot be read"):
        labels_of(block.dataloaders(source, bs=10, device="cpu").train)
    dls = block.dataloaders(source, bs=10, max_bad=0.5, device="cpu")
    seen = [x for b in dls.train.batches() for x in b.inputs[0].tolist()]
    assert sorted(seen) == list(range(40))
    assert len(dls.bad_items) == 20


def test_a_damaged_shard_is_counted_once_where_rows_are_split_at_random(tmp_path: Path) -> None:
    for k in range(4):
        write_parquet(tmp_path / f"{k}.parquet", 20 * k, 20)
    cut(tmp_path / "2.parquet", 0.6)
    source = ParquetSource(str(tmp_path / "*.parquet"))
    block = number_block(splitter=RandomSplitter(0.2, seed=0))
    with pytest.raises(BadItemsError):
        labels_of(block.dataloaders(source, bs=10, device="cpu").train)
    dls = block.dataloaders(source, bs=10, max_bad=0.5, device="cpu", shuffle=False)
    assert len(labels_of(dls.train)) + len(labels_of(dls.valid)) == 60
    assert len(dls.bad_items) == 20


def test_damaged_pictures_in_shards_are_skipped_like_damaged_files(tmp_path: Path) -> None:
    pictures = [photo(n) for n in range(30)]
    pictures[7] = pictures[7][:50]
    pictures[21] = b""
    structs = [{"bytes": p, "path": f"{n}.jpg"} for n, p in enumerate(pictures)]
    write_parquet(tmp_path / "a.parquet", 0, 30, image=structs)
    block = DataBlock((ImageBlock, CategoryBlock), get_x=ColReader("image"), get_y=ColReader("label"),
                      splitter=IndexSplitter([0, 1]))  # fmt: skip
    source = ParquetSource(tmp_path / "a.parquet")
    dls = block.dataloaders(source, bs=7, max_bad=0.2, shuffle=False, device="cpu")
    seen = [p for b in dls.train.batches() for p in b.positions]
    assert seen == [p for p in range(28) if p not in (5, 19)]
    assert set(dls.bad_items) == {f"{tmp_path}/a.parquet row {n}" for n in (7, 21)}
    with pytest.raises(ItemError, match=r"a\.parquet row 7' is not"):
        list(dls.test_dl(source).batches())


def test_a_shard_that_vanishes_stops_the_run_with_its_name(tmp_path: Path) -> None:
    source = tar_source(tmp_path)
    dls = tar_block.dataloaders(source, bs=10, device="cpu")
    assert len(dls.train) == 50
    (tmp_path / "2.tar").unlink()
    with pytest.raises(DataError, match=r"2\.tar' is missing"):
        labels_of(dls.train)


# Memory


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def peak(rows: int) -> float:
        for k in range(rows // 1000):
            blobs = [rng.bytes(4000) for _ in range(1000)]
            write_parquet(tmp_path / f"{rows}-{k}.parquet", 1000 * k, 1000, group=100, b=blobs)
        source = ParquetSource(str(tmp_path / f"{rows}-*.parquet"), buffer=300)
        block = DataBlock((TransformBlock, TransformBlock), get_x=lambda r: float(len(r["b"])),
                          get_y=ColReader("x"), splitter=ShardSplitter(1))  # fmt: skip
        dls = block.dataloaders(source, bs=50, seed=0, device="cpu", num_workers=2)
        pool = pa.total_allocated_bytes()
        tracemalloc.start()
        seen, arrow = 0, 0
        for batch in dls.train.batches():
            seen += len(batch)
            arrow = max(arrow, pa.total_allocated_bytes() - pool)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert seen == rows - 1000
        return (most + arrow) / 1e6

    few, many = peak(4000), peak(16_000)
    assert many < 1.25 * few + 1, f"{few:.1f} MB for 16 MB of rows, {many:.1f} MB for 64 MB"
    assert many < 12, "two buffers of 1.2 MB, and what pyarrow holds while it reads 4 row groups"
