"""Row groups give the same encoder and the same rows as the table in memory, each once, in any division."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from wiggly.errors import LabelError, StorageError
from wiggly.tabular.encoder import TableEncoder
from wiggly.tabular.learner import tabular_config, tabular_learner
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.tabular.stream import RowGroups, Taken

N = 1000


def big(n: int = N) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    age = draw.normal(40, 10, n)
    age[draw.random(n) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "row": np.arange(n),
            "city": draw.choice(["Rome", "Oslo", "Bern", None], n),
            "age": age,
            "rooms": draw.integers(1, 6, n),
            "buys": draw.choice(["no", "yes"], n),
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    df = big()
    df.iloc[:600].to_parquet(tmp_path / "a.parquet", row_group_size=70, index=False)
    df.iloc[600:].to_parquet(tmp_path / "b.parquet", row_group_size=130, index=False)
    return tmp_path


def loaders(files: Path, bs: int = 32, buffer_rows: int = 200) -> TabularDataLoaders:
    return TabularDataLoaders.from_parquet(
        files,
        y_names="buys",
        cat_names=["city", "rooms"],
        cont_names=["row", "age"],
        bs=bs,
        seed=5,
        buffer_rows=buffer_rows,
        verbose=False,
    )


def sides(files: Path) -> tuple[list[int], list[int]]:
    groups = RowGroups(files)
    both = [
        np.concatenate([g.first + Taken(0.2, 5, valid).rows(g) for g in groups.groups])
        for valid in (False, True)
    ]
    return both[0].tolist(), both[1].tolist()


def test_the_encoder_is_that_of_the_table_in_memory(files: Path) -> None:
    train, valid = sides(files)
    assert sorted(train + valid) == list(range(N))
    assert 150 < len(valid) < 250
    whole = TableEncoder.fit(big(), ["city", "rooms"], ["row", "age"], rows=train)
    made = loaders(files).table.encoder
    assert made.classes == whole.classes
    for one, other in zip(made.numbers, whole.numbers, strict=True):
        assert (one.name, one.kind, one.flagged, one.fill) == (
            other.name,
            other.kind,
            other.flagged,
            other.fill,
        )
        np.testing.assert_allclose([one.mean, one.std], [other.mean, other.std], rtol=1e-12)


def test_every_row_comes_once_and_is_itself(files: Path) -> None:
    dls, (train, valid) = loaders(files), sides(files)
    reference = dls.table.encoder.encode(big())
    targets = (big()["buys"] == "yes").to_numpy().astype(int)
    for loader, rows in ((dls.train.new(drop_last=False), train), (dls.valid, valid)):
        seen: list[int] = []
        for batch in loader.batches():
            assert torch.equal(batch.inputs[0], reference.cats[batch.positions])
            assert torch.equal(batch.inputs[1], reference.conts[batch.positions])
            assert batch.targets[0].tolist() == targets[batch.positions].tolist()
            seen += batch.positions
        assert sorted(seen) == rows
        assert (seen == rows) is not loader.shuffle
    assert len(dls.train) == len(list(dls.train)) == len(train) // 32


def test_orders_differ_by_epoch_and_agree_with_the_batches(files: Path) -> None:
    loader = loaders(files).train
    said = loader.order(0)[: len(loader) * 32]
    assert [p for batch in loader.batches() for p in batch.positions] == said
    assert loader.epoch == 1
    assert loader.order(1)[:100] != said[:100]
    assert len(set(said[:32]) & set(range(200))) < 32, "neighbours stayed together"


def test_goes_on_where_it_stopped(files: Path) -> None:
    loader, again = loaders(files).train, loaders(files).train
    batches = iter(loader.batches())
    for _ in range(9):
        next(batches)
    again.load_state_dict(loader.state_dict())
    rest = [batch.positions for batch in batches]
    assert [batch.positions for batch in again.batches()] == rest


def test_parts_do_not_overlap(files: Path) -> None:
    loader = loaders(files).train
    parts = [loader.shard(rank, 3) for rank in range(3)]
    orders = [part.order(0) for part in parts]
    assert len({len(order) for order in orders}) == 1
    assert len(set().union(*orders)) == sum(map(len, orders)) == len(sides(files)[0]) // 3 * 3
    batches = [p for batch in parts[1].new(drop_last=False).batches() for p in batch.positions]
    assert batches == orders[1]


def test_trains_and_predicts_in_order(files: Path) -> None:
    dls = loaders(files)
    learn = tabular_learner(dls)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 1e-2)
    probs, targets = learn.get_preds()
    valid = sides(files)[1]
    assert targets.tolist() == (big()["buys"] == "yes").to_numpy()[valid].astype(int).tolist()
    new, _ = learn.get_preds(dl=dls.test_dl(big().iloc[valid]))
    torch.testing.assert_close(new, probs)
    dls.show_batch(max_n=2)
    assert dls.recipe()["n_valid"] == len(valid)


def test_the_range_of_numbers_is_that_of_all_rows_not_of_those_looked_at(files: Path) -> None:
    dls = loaders(files, buffer_rows=1)
    dls.train.look = lambda n=None, look=dls.train.look: look(32)  # as if there were more than fit
    learn = tabular_learner(dls, config=tabular_config(num_embeddings="piecewise", n_bins=4))
    rows = dls.table.encoder.encode(big()).conts[sides(files)[0]]
    torch.testing.assert_close(learn.model.numbers.ends, torch.stack([rows.amin(0), rows.amax(0)]))
    assert not learn.model.outputs.bounded


def test_refusals(files: Path) -> None:
    with pytest.raises(StorageError, match="no such"):
        TabularDataLoaders.from_parquet("no such.parquet", y_names="buys")
    big().assign(buys=None).to_parquet(files / "c.parquet")
    with pytest.raises(LabelError):
        list(loaders(files).train)


SCRIPT = """
import sys
from wiggly.tabular.loaders import TabularDataLoaders
make = TabularDataLoaders.from_parquet
dls = make(sys.argv[1], y_names="y", bs=4096, seed=0, verbose=False, buffer_rows=50000)
for cats, conts, y in dls.train: pass
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to read its peak memory")
def test_memory_is_flat(tmp_path: Path) -> None:
    """Ten times the rows take no more than a little more memory; in memory they would take 300 MB more."""
    import os

    draw, peaks = np.random.default_rng(0), list[int]()
    for n in (300_000, 3_000_000):
        columns = {f"x{k}": draw.normal(size=n) for k in range(10)}
        path = tmp_path / f"{n}.parquet"
        pd.DataFrame(
            {**columns, "c": draw.choice(list("abc"), n), "y": draw.choice(["n", "y"], n)}
        ).to_parquet(path, row_group_size=50_000, index=False)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(path)],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        peaks.append(int(done.stdout) // 1024)
    assert peaks[1] - peaks[0] < 120, peaks
