"""Ratings that were held back: how well they are predicted, in what time, beside fastai and plain baselines.

Run: `python benchmarks/collab.py`, `--quick` (one seed, one epoch, to see that it works), `--help`.
MovieLens-100k: 943 users, 1,682 films, 100,000 ratings from 1 to 5; for each seed a random fifth is held
back, the same rows for every peer. wiggly and fastai train a dot product of 50 factors with biases (or a
network with layers of 200 and 100) on batches of 64 ratings, equally many epochs of one cycle at 0.005,
outputs between 0 and 5.5, a validation pass after each epoch, no bar and no table; fastai once as it comes
(its weight decay is 0.01) and once with the 0.1 of its course, wiggly as it comes. Nothing is stopped or
chosen by the ratings held back. The baselines: the mean of all; the mean plus a bias of each user and film
(ridge regression, in turns); alternating least squares of 10 factors on what the biases leave; and biased
matrix factorisation by gradient descent on one rating after the other, by hand, with the published settings
of the Surprise library (100 factors, 20 epochs, rate 0.005, decay 0.02). Each peer is a process of its own;
they take turns. Timed: making the loaders and training, by the clock and in processor time. Out: one JSON
line per run, a table. Read next: `support.py`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import emit, environment, footer, run_peer, shared_dir, table

PEERS = (
    "wiggly",
    "wiggly, network",
    "fastai, wd 0.1",
    "fastai",
    "fastai, network",
    "mean",
    "biases",
    "least squares",
    "one by one",
)
Peer = tuple[tuple[float, float], Callable[[], Any]]  # seconds, and what predicts: predictions, ratings
BS, LR, RANGE = 64, 5e-3, (0, 5.5)
GOALS = {"rmse": 0.91, "speed": 8.0}


class Clock:
    """Seconds since it was made: by the clock, and of the processor."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._wall, time.process_time() - self._cpu


def ratings() -> Any:
    """User, film, rating."""
    import pandas as pd

    file = shared_dir() / "data" / "tabular" / "ml-100k" / "u.data"
    return pd.read_csv(file, sep="\t", header=None, names=["user", "movie", "rating"], usecols=range(3))


def split(n: int, seed: int) -> tuple[Any, Any]:
    """Rows to train on, and a fifth that is held back."""
    import torch

    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()
    return order[n // 5 :], order[: n // 5]


def wiggly(job: dict[str, Any]) -> Peer:
    """wiggly as it comes."""
    import wiggly as wg

    df = ratings()
    held = split(len(df), job["seed"])
    splitter = wg.IndexSplitter(held[1].tolist())
    wg.set_seed(job["seed"])
    clock = Clock()
    dls = wg.CollabDataLoaders.from_df(
        df, splitter=splitter, seed=job["seed"], bs=BS, device="cpu", verbose=False
    )
    learn = wg.collab_learner(dls, use_nn="network" in job["peer"], y_range=RANGE)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(job["epochs"], LR)
    return clock.read(), lambda: [tensor.flatten() for tensor in learn.get_preds()]


def fastai(job: dict[str, Any]) -> Peer:
    """fastai."""
    from fastai.collab import CollabDataLoaders, collab_learner
    from fastai.torch_core import set_seed

    df = ratings()
    set_seed(job["seed"])
    clock = Clock()
    # Its splitter takes the same permutation.
    dls = CollabDataLoaders.from_df(df, valid_pct=0.2, seed=job["seed"], bs=BS, device="cpu")
    options = {"use_nn": True, "layers": [200, 100]} if "network" in job["peer"] else {"n_factors": 50}
    learn = collab_learner(dls, y_range=RANGE, **options)
    wd = {} if job["peer"] == "fastai" else {"wd": 0.1}
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(job["epochs"], LR, **wd)
    return clock.read(), lambda: [tensor.flatten() for tensor in learn.get_preds()]


def codes(seed: int) -> tuple[Any, Any, int, int]:
    """Training rows and those held back, `(n, 3)`: user, film, rating."""
    import numpy as np

    df = ratings()
    users, films = (np.unique(df[name], return_inverse=True)[1] for name in ("user", "movie"))
    whole = np.stack([users, films, df["rating"].to_numpy()], 1)
    train, held = split(len(df), seed)
    return whole[train], whole[held], int(users.max()) + 1, int(films.max()) + 1


def biases_of(train: Any, n_users: int, n_items: int, decay: float = 4.0) -> tuple[float, Any, Any]:
    """Mean, bias of each user, bias of each film: the least squares with `decay` added to each count."""
    import numpy as np

    users, items, y = train.T
    mean = y.mean()
    of_user, of_item = np.zeros(n_users), np.zeros(n_items)
    for _ in range(20):
        of_item = np.bincount(items, y - mean - of_user[users], n_items) / (
            np.bincount(items, minlength=n_items) + decay
        )
        of_user = np.bincount(users, y - mean - of_item[items], n_users) / (
            np.bincount(users, minlength=n_users) + decay
        )
    return float(mean), of_user, of_item


def baseline(job: dict[str, Any]) -> Peer:
    """The mean, with or without biases."""
    train, held, n_users, n_items = codes(job["seed"])
    clock = Clock()
    mean, of_user, of_item = biases_of(train, n_users, n_items)
    seconds = clock.read()
    added = 0 if job["peer"] == "mean" else of_user[held[:, 0]] + of_item[held[:, 1]]
    return seconds, lambda: (mean + added, held[:, 2])


def least_squares(job: dict[str, Any], rank: int = 10, decay: float = 8.0) -> Peer:
    """Alternating least squares on what the biases leave (Zhou et al., "Large-Scale Parallel Collaborative
    Filtering for the Netflix Prize", 2008, with a plain ridge)."""
    import numpy as np

    train, held, n_users, n_items = codes(job["seed"])
    clock = Clock()
    mean, of_user, of_item = biases_of(train, n_users, n_items)
    users, items, y = train.T
    rest = y - mean - of_user[users] - of_item[items]
    draw = np.random.default_rng(job["seed"])
    factors = [draw.normal(size=(n, rank)) / 10 for n in (n_users, n_items)]
    sides = [(users, items, n_users), (items, users, n_items)]
    grouped = [
        np.split(np.argsort(own), np.cumsum(np.bincount(own, minlength=n))[:-1]) for own, _, n in sides
    ]
    for _ in range(10):
        for side, (_, other, _) in enumerate(sides):
            for place, rows in enumerate(grouped[side]):
                known = factors[1 - side][other[rows]]
                square = known.T @ known + decay * np.eye(rank)
                factors[side][place] = np.linalg.solve(square, known.T @ rest[rows])
    seconds = clock.read()
    u, i = held[:, 0], held[:, 1]
    product = (factors[0][u] * factors[1][i]).sum(1)
    return seconds, lambda: (mean + of_user[u] + of_item[i] + product, held[:, 2])


def one_by_one(job: dict[str, Any]) -> Peer:
    """Gradient descent on one rating after the other (Funk's; settings of Surprise's `SVD`)."""
    import numpy as np

    train, held, n_users, n_items = codes(job["seed"])
    rate, decay, draw = 0.005, 0.02, np.random.default_rng(job["seed"])
    clock = Clock()
    p, q = (draw.normal(0, 0.1, (n, 100)) for n in (n_users, n_items))
    b, c, mean = [0.0] * n_users, [0.0] * n_items, float(train[:, 2].mean())
    rows = train.tolist()
    for _ in range(20 if job["epochs"] > 1 else 1):
        for u, i, y in rows:
            pu, qi = p[u], q[i]
            error = y - mean - b[u] - c[i] - float(pu @ qi)
            b[u] += rate * (error - decay * b[u])
            c[i] += rate * (error - decay * c[i])
            p[u], q[i] = pu + rate * (error * qi - decay * pu), qi + rate * (error * pu - decay * qi)
    seconds = clock.read()
    u, i = held[:, 0], held[:, 1]
    found = mean + np.array(b)[u] + np.array(c)[i] + (p[u] * q[i]).sum(1)
    return seconds, lambda: (np.clip(found, 1, 5), held[:, 2])


def measure(job: dict[str, Any]) -> None:
    """One peer, one seed: seconds of making the loaders and training, error on what was held back."""
    import numpy as np

    makers = {
        "wiggly": wiggly,
        "fastai": fastai,
        "mean": baseline,
        "biases": baseline,
        "least squares": least_squares,
        "one by one": one_by_one,
    }
    seconds, predict = makers[job["peer"].partition(",")[0]](job)
    found, targets = (np.asarray(side, dtype=np.float64) for side in predict())
    df = ratings()
    expected = df["rating"].to_numpy()[split(len(df), job["seed"])[1]]
    if not np.array_equal(targets, expected):
        raise SystemExit("each peer must hold back the same ratings, in the same order; these differ.")
    rmse = float(np.sqrt(np.square(found - targets).mean()))
    Path(job["result"]).write_text(json.dumps({"seconds": seconds[0], "processor": seconds[1], "rmse": rmse}))


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--seeds", type=int, default=3, help="splits and starts")
    parser.add_argument("--epochs", type=int, default=5, help="of wiggly and fastai")
    parser.add_argument("--threads", type=int, help="threads of torch; all cores by default")
    parser.add_argument("--quick", action="store_true", help="one seed, one epoch")
    parser.add_argument("--out", help="file to append the JSON lines to")
    return parser.parse_args()


def main() -> None:
    asked = options()
    if asked.job:
        measure(json.loads(Path(asked.job).read_text()))
        return
    if asked.quick:
        asked.seeds = asked.epochs = 1
    env, runs = environment(asked.threads), {peer: list[dict[str, float]]() for peer in asked.peers}
    for seed in range(asked.seeds):
        for peer in asked.peers:
            job = {"peer": peer, "seed": seed, "epochs": asked.epochs}
            result = run_peer(__file__, job, env)
            runs[peer].append(result)
            emit({**job, **result}, asked.out)
    report(runs)


def report(runs: dict[str, list[dict[str, float]]]) -> None:
    """The table: mean error over the seeds with its spread, the least time."""
    best = {peer: min(run["seconds"] for run in found) for peer, found in runs.items()}
    spent = {peer: min(run["processor"] for run in found) for peer, found in runs.items()}
    mean = {peer: statistics.mean(run["rmse"] for run in found) for peer, found in runs.items()}
    rows: list[list[str]] = []
    for peer, found in runs.items():
        errors = [run["rmse"] for run in found]
        spread = f"{min(errors):.4f} to {max(errors):.4f}"
        ratio = f"{spent[peer] / spent['wiggly']:.1f}" if "wiggly" in spent else "-"
        rows.append([peer, f"{mean[peer]:.4f}", spread, f"{best[peer]:.2f}", f"{spent[peer]:.2f}", ratio])
    head = ["ratings held back", "RMSE", "of the seeds", "seconds", "of the processor", "of wiggly's"]
    print("\n" + table(head, rows))
    if "wiggly" in mean:
        print(f"\nwiggly: RMSE {mean['wiggly']:.4f} (goal: at most {GOALS['rmse']})")
        if "fastai, wd 0.1" in best:
            clock, processor = (found["fastai, wd 0.1"] / found["wiggly"] for found in (best, spent))
            print(f"fastai / wiggly: {clock:.1f} by the clock, {processor:.1f} of the processor", end=" ")
            print(f"(goal: at least {GOALS['speed']})")
    print(f"\n{footer()}")


if __name__ == "__main__":
    main()
