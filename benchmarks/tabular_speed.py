"""What tables cost: encoding a million rows, and an epoch on Adult beside fastai and a loop by hand.

Run: `python benchmarks/tabular_speed.py`, `--quick` (few rows, one epoch, to see that it works), `--help`.
Epochs: everybody trains the network that fastai makes by default for these columns (embeddings, [200, 100],
batch norm) with batches of 64 rows, Adam, a validation pass over the same fifth of the rows, no bar and no
table. wiggly validates in batches of 1,024 rows, as it does by default, and so does the loop by hand;
fastai in its own of 64. Each peer is a process of its own; they take turns. Encoding: 15 columns, eight of
them texts with up to 20,000 values; from a table to tensors, 800,000 rows learnt from, all encoded. Out:
one JSON line per pass, two tables. Read next: `support.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import emit, environment, footer, run_peer, shared_dir, table

PEERS = ("by hand", "wiggly", "fastai")
LIBRARIES = ("pandas", "pandas objects", "polars", "pyarrow")
CATEGORIES = ["workclass", "education", "marital-status", "occupation", "relationship", "race"]
NUMBERS = ["age", "fnlwgt", "education-num"]
BS, VALID_BS, LR = 64, 1024, 1e-3
VALUES = (2, 5, 9, 16, 40, 100, 1000, 20_000)
GOALS = {"by hand": 1.2, "fastai": 8.0, "encoding": 3.0}


def adult() -> Any:
    """The Adult table."""
    import pandas as pd

    return pd.read_csv(shared_dir() / "data" / "tabular" / "adult.csv", skipinitialspace=True)


def valid_rows(n: int) -> list[int]:
    """A fifth of the rows."""
    import numpy as np

    return np.random.default_rng(0).permutation(n)[: n // 5].tolist()


def by_hand(job: dict[str, Any]) -> Callable[[], None]:
    """The loop that one writes over tensors: a permutation, indices, forward, backward, step."""
    import torch
    from torch.nn.functional import cross_entropy

    dls = wiggly_loaders()
    model = tabular_model(dls)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    train, valid = (loader.dataset.tensors for loader in (dls.train, dls.valid))

    def epoch() -> None:
        model.train()
        order = torch.randperm(len(train[0]))
        for rows in order[: len(order) // BS * BS].split(BS):
            loss = cross_entropy(model(train[0][rows], train[1][rows]), train[2][rows])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            for cats, conts, y in zip(*(tensor.split(VALID_BS) for tensor in valid), strict=True):
                preds = model(cats, conts)
                cross_entropy(preds, y).item()
                (preds.argmax(1) == y).float().mean().item()

    return lambda: [epoch() for _ in range(job["epochs"])] and None


def wiggly_loaders() -> Any:
    """wiggly's loaders of Adult."""
    from wiggly.tabular.loaders import TabularDataLoaders

    df = adult()
    return TabularDataLoaders.from_df(
        df,
        cat_names=CATEGORIES,
        cont_names=NUMBERS,
        y_names="salary",
        valid_idx=valid_rows(len(df)),
        bs=BS,
        val_bs=VALID_BS,
        device="cpu",
        verbose=False,
    )


def tabular_model(dls: Any) -> Any:
    """wiggly's default network."""
    from wiggly.tabular.learner import tabular_learner

    return tabular_learner(dls).model


def wiggly(job: dict[str, Any]) -> Callable[[], None]:
    """wiggly at its defaults."""
    from wiggly.tabular.learner import tabular_learner

    learn = tabular_learner(wiggly_loaders())

    def run() -> None:
        with learn.no_bar(), learn.no_logging():
            learn.fit(job["epochs"], LR)

    return run


def fastai(job: dict[str, Any]) -> Callable[[], None]:
    """fastai at its defaults."""
    from fastai.tabular.all import (
        Categorify,
        FillMissing,
        Normalize,
        TabularDataLoaders,
        accuracy,
        tabular_learner,
    )

    df = adult()
    dls = TabularDataLoaders.from_df(
        df,
        procs=[Categorify, FillMissing, Normalize],
        cat_names=list(CATEGORIES),
        cont_names=list(NUMBERS),
        y_names="salary",
        valid_idx=valid_rows(len(df)),
        bs=BS,
        device="cpu",
    )
    learn = tabular_learner(dls, metrics=accuracy)

    def run() -> None:
        with learn.no_bar(), learn.no_logging():
            learn.fit(job["epochs"], LR)

    return run


def million(rows: int) -> Any:
    """A table of 15 columns: eight of texts, seven of numbers."""
    import numpy as np
    import pandas as pd

    draw = np.random.default_rng(0)
    columns: dict[str, Any] = {}
    for k, n in enumerate(VALUES):
        columns[f"text{k}"] = np.array([f"value {i}" for i in range(n)])[draw.integers(0, n, rows)]
    for k in range(5):
        columns[f"number{k}"] = draw.normal(size=rows)
        columns[f"number{k}"][draw.random(rows) < 0.05 * (k < 2)] = np.nan
    columns["whole"] = draw.integers(0, 100_000, rows)
    columns["few"] = draw.integers(0, 10, rows)
    return pd.DataFrame(columns)


def encoding(job: dict[str, Any]) -> Callable[[], None]:
    """From a table in memory to tensors; vocabularies, fills and means are learnt from four fifths."""
    import numpy as np

    from wiggly.tabular.encoder import Columns, TableEncoder
    from wiggly.tabular.reading import as_frame

    df, library = million(job["rows"]), job["library"]
    if library == "pandas objects":
        df = df.astype({f"text{k}": object for k in range(len(VALUES))})
    elif library == "polars":
        import polars as pl

        df = pl.from_pandas(df)
    elif library == "pyarrow":
        import pyarrow as pa

        df = pa.Table.from_pandas(df, preserve_index=False)
    categories = [f"text{k}" for k in range(len(VALUES))] + ["few"]
    numbers = [f"number{k}" for k in range(5)] + ["whole"]
    train = np.sort(np.random.default_rng(1).permutation(job["rows"])[: job["rows"] * 4 // 5])

    def run() -> None:
        columns = Columns(as_frame(df))
        TableEncoder.fit(columns, categories, numbers, rows=train).encode(columns)

    return run


def measure(job: dict[str, Any]) -> None:
    """One peer, one pass: once to warm up, then timed."""
    makers = {"by hand": by_hand, "wiggly": wiggly, "fastai": fastai, "encoding": encoding}
    run = makers[job["peer"]](job)
    run()
    start = time.perf_counter()
    run()
    seconds = (time.perf_counter() - start) / job["epochs"]
    Path(job["result"]).write_text(json.dumps({"seconds": seconds}))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--libraries", nargs="*", default=list(LIBRARIES), choices=LIBRARIES)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows that are encoded")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of a pass")
    parser.add_argument("--rounds", type=int, default=3, help="passes of each peer, in turn")
    parser.add_argument("--threads", type=int, help="threads of torch; all cores by default")
    parser.add_argument("--quick", action="store_true", help="10,000 rows, one epoch, one pass")
    parser.add_argument("--out", help="file to append the JSON lines to")
    return parser.parse_args()


def main() -> None:
    asked = options()
    if asked.job:
        measure(json.loads(Path(asked.job).read_text()))
        return
    if asked.quick:
        asked.rows, asked.epochs, asked.rounds = 10_000, 1, 1
    env, best = environment(asked.threads), dict[str, float]()
    jobs = [{"peer": peer, "epochs": asked.epochs} for peer in asked.peers]
    jobs += [
        {"peer": "encoding", "library": name, "rows": asked.rows, "epochs": 1} for name in asked.libraries
    ]
    for round_ in range(asked.rounds):
        for job in jobs:
            name = str(job.get("library", job["peer"]))
            seconds = run_peer(__file__, job, env)["seconds"]
            best[name] = min(seconds, best.get(name, seconds))
            emit({**job, "round": round_, "seconds": seconds}, asked.out)
    report(best, asked)


def report(best: dict[str, float], asked: argparse.Namespace) -> None:
    """The two tables, of the fastest pass of each."""
    ours = best.get("wiggly")
    epochs = [
        [name, f"{best[name]:.2f}", f"{best[name] / ours:.2f}" if ours else "-"] for name in asked.peers
    ]
    print("\n" + table(["an epoch of Adult", "seconds", "of wiggly's"], epochs))
    rows = [[name, f"{best[name]:.2f}"] for name in asked.libraries]
    print("\n" + table([f"encoding {asked.rows:,} rows × 15 columns", "seconds"], rows))
    if ours:
        with contextlib.suppress(KeyError):
            print(f"\nwiggly / by hand: {ours / best['by hand']:.2f} (goal: at most {GOALS['by hand']})")
            print(f"fastai / wiggly: {best['fastai'] / ours:.1f} (goal: at least {GOALS['fastai']})")
    print(f"encoding: goal at most {GOALS['encoding']} s\n\n{footer()}")


if __name__ == "__main__":
    main()
