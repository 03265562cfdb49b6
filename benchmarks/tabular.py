"""How good tables are learnt, and how long it takes: wiggly beside fastai and three libraries of trees.

Run: `python benchmarks/tabular.py`, `--quick` (one seed, one epoch, to see that it works), `--help`.
Data: Adult (accuracy) and California housing (root mean square error in dollars). A fifth of the rows, drawn
by the seed, is for the test and for nothing else; everybody has the same rows, all columns, and no other
settings than those named here. fastai and wiggly's [200, 100] train the same epochs, with the same batches
of 64 rows and the same highest rate; the trees are at their defaults; wiggly's `tabm` is trained by the
recipe below, which was chosen on a part of the training rows. Each peer is a process of its own per data
set, all seeds in it; its imports do not count, encoding does. Out: one JSON line per run, a table per data
set: mean and 95 % interval over the seeds (Student's t), median seconds. Read next: `support.py`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from support import emit, environment, footer, run_peer, shared_dir, table

PEERS = (
    "fastai",
    "HistGradientBoosting",
    "LightGBM",
    "CatBoost",
    "wiggly [200, 100]",
    "wiggly [200, 100], numbers embedded",
    "wiggly tabm",
)
DATA = {
    "adult": {"target": "salary", "labels": True, "epochs": 5},
    "california_housing": {"target": "median_house_value", "labels": False, "epochs": 20},
}
BS, LR = 64, 1e-3
# Of TabM, by data set: epochs, rows per batch, highest rate, weight decay, dropout.
TABM = {
    "adult": {"epochs": 12, "bs": 256, "lr": 2e-3, "wd": 0.2, "dropout": 0.25},
    "california_housing": {"epochs": 25, "bs": 128, "lr": 1e-2, "wd": 0.01, "dropout": 0.1},
}
# 97.5 % points of Student's t with n - 1 degrees of freedom.
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}


def halves(name: str, seed: int) -> tuple[Any, Any]:
    """Training and test rows, pandas tables; prices in 100,000 dollars, as a network without a scale needs
    numbers near 1."""
    import numpy as np
    import pandas as pd

    df = pd.read_csv(shared_dir() / "data" / "tabular" / f"{name}.csv", skipinitialspace=True)
    if not DATA[name]["labels"]:
        df[DATA[name]["target"]] /= 1e5
    order = np.random.default_rng(seed).permutation(len(df))
    n_test = len(df) // 5
    return df.iloc[order[n_test:]].reset_index(drop=True), df.iloc[order[:n_test]].reset_index(drop=True)


def columns(name: str, df: Any) -> tuple[list[str], list[str]]:
    """Categories and numbers: texts are categories, the rest are numbers."""
    rest = df.drop(columns=DATA[name]["target"])
    numbers = list(rest.select_dtypes("number").columns)
    return [column for column in rest.columns if column not in numbers], numbers


# Each peer: training rows, test rows -> predictions of the test rows, as labels or numbers.


def fastai(name: str, train: Any, test: Any, job: dict[str, Any]) -> Any:
    import numpy as np
    import pandas as pd
    from fastai.tabular.all import (
        Categorify,
        CategoryBlock,
        FillMissing,
        Normalize,
        RegressionBlock,
        TabularDataLoaders,
        set_seed,
        tabular_learner,
    )

    set_seed(job["seed"])
    target, labels = DATA[name]["target"], DATA[name]["labels"]
    cats, conts = columns(name, train)
    both = pd.concat([train, test], ignore_index=True)
    for column in conts:  # its FillMissing refuses a column that only the test rows lack numbers in
        both[column] = both[column].fillna(train[column].median())
    dls = TabularDataLoaders.from_df(
        both,
        procs=[Categorify, FillMissing, Normalize],
        cat_names=cats,
        cont_names=conts,
        y_names=target,
        y_block=CategoryBlock() if labels else RegressionBlock(),
        valid_idx=list(range(len(train), len(both))),
        bs=BS,
        device="cpu",
    )
    learn = tabular_learner(dls)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(job["epochs"], LR)
        probs = learn.get_preds(ds_idx=1)[0].numpy()
    return np.array(list(dls.vocab))[probs.argmax(1)] if labels else probs[:, 0]


def trees(make: Callable[[bool, list[str], int], Any]) -> Callable[..., Any]:
    def fit(name: str, train: Any, test: Any, job: dict[str, Any]) -> Any:
        import pandas as pd

        target = DATA[name]["target"]
        cats, _ = columns(name, train)
        both = pd.concat([train, test], ignore_index=True).drop(columns=target)
        for column in cats:
            both[column] = both[column].fillna("missing").astype("category")
        model = make(DATA[name]["labels"], cats, job["seed"])
        model.fit(both.iloc[: len(train)], train[target])
        return model.predict(both.iloc[len(train) :])

    return fit


def hist_gradient_boosting(labels: bool, cats: list[str], seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    return (HistGradientBoostingClassifier if labels else HistGradientBoostingRegressor)(random_state=seed)


def lightgbm(labels: bool, cats: list[str], seed: int) -> Any:
    from lightgbm import LGBMClassifier, LGBMRegressor

    return (LGBMClassifier if labels else LGBMRegressor)(random_state=seed, verbose=-1)


def catboost(labels: bool, cats: list[str], seed: int) -> Any:
    from catboost import CatBoostClassifier, CatBoostRegressor

    settings = {"cat_features": cats, "random_seed": seed, "verbose": False, "allow_writing_files": False}
    return (CatBoostClassifier if labels else CatBoostRegressor)(**settings)


def wiggly(name: str, train: Any, test: Any, job: dict[str, Any]) -> Any:
    """Both networks; the test rows stand in for validation, by which nothing is chosen."""
    import pandas as pd

    import wiggly as wg

    wg.set_seed(job["seed"])
    labels, target = DATA[name]["labels"], DATA[name]["target"]
    cats, conts = columns(name, train)
    tabm, embedded = job["peer"] == "wiggly tabm", job["peer"] == "wiggly [200, 100], numbers embedded"
    recipe = (
        {**TABM[name], "epochs": job["epochs"]} if tabm else {"bs": BS, "lr": LR, "epochs": job["epochs"]}
    )
    dls = wg.TabularDataLoaders.from_df(
        pd.concat([train, test], ignore_index=True),
        cat_names=cats,
        cont_names=conts,
        y_names=target,
        valid_idx=range(len(train), len(train) + len(test)),
        bs=recipe["bs"],
        device="cpu",
        seed=job["seed"],
        verbose=False,
    )
    config = wg.tabular_config(num_embeddings="piecewise") if embedded else None
    config = wg.tabular_config(dropout=recipe["dropout"]) if tabm else config
    learn = wg.tabular_learner(dls, config=config, arch="tabm" if tabm else "mlp")
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(recipe["epochs"], recipe["lr"], wd=recipe.get("wd"))
    probs = learn.get_preds()[0]
    return [dls.vocab[i] for i in probs.argmax(1).tolist()] if labels else probs[:, 0].numpy()


RUNS: dict[str, Callable[..., Any]] = {
    "fastai": fastai,
    "HistGradientBoosting": trees(hist_gradient_boosting),
    "LightGBM": trees(lightgbm),
    "CatBoost": trees(catboost),
    "wiggly [200, 100]": wiggly,
    "wiggly [200, 100], numbers embedded": wiggly,
    "wiggly tabm": wiggly,
}


def measure(job: dict[str, Any]) -> None:
    """One peer on one data set, all seeds."""
    import numpy as np

    found: list[dict[str, float]] = []
    for seed in job["seeds"]:
        train, test = halves(job["data"], seed)
        start = time.perf_counter()
        predicted = np.asarray(RUNS[job["peer"]](job["data"], train, test, {**job, "seed": seed}))
        seconds = time.perf_counter() - start
        truth = test[DATA[job["data"]]["target"]].to_numpy()
        if DATA[job["data"]]["labels"]:
            score = float((predicted.ravel() == truth).mean())
        else:
            score = float(np.sqrt(np.mean((predicted.ravel() - truth) ** 2))) * 1e5
        found.append({"seed": seed, "score": score, "seconds": seconds})
    Path(job["result"]).write_text(json.dumps(found))


def interval(scores: Sequence[float]) -> float:
    """Half the width of the 95 % interval of the mean."""
    return STUDENT[len(scores)] * stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else float("nan")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--data", nargs="*", default=list(DATA), choices=DATA)
    parser.add_argument("--seeds", type=int, default=5, help="2 to 10")
    parser.add_argument("--threads", type=int, help="threads of torch; all cores by default")
    parser.add_argument("--quick", action="store_true", help="one seed, one epoch")
    parser.add_argument("--out", help="file to append the JSON lines to")
    return parser.parse_args()


def main() -> None:
    asked = options()
    if asked.job:
        measure(json.loads(Path(asked.job).read_text()))
        return
    env, seeds = environment(asked.threads), list(range(1 if asked.quick else asked.seeds))
    for data in asked.data:
        rows: list[list[str]] = []
        for peer in asked.peers:
            epochs = 1 if asked.quick else (TABM if peer == "wiggly tabm" else DATA)[data]["epochs"]
            job = {"peer": peer, "data": data, "seeds": seeds, "epochs": epochs}
            runs: Any = run_peer(__file__, job, env)
            for run in runs:
                emit({"peer": peer, "data": data, "epochs": epochs, **run}, asked.out)
            rows.append(summary(peer, data, runs))
        score = "accuracy, %" if DATA[data]["labels"] else "RMSE, dollars"
        print("\n" + table([data, score, "95 %", "seconds"], rows) + "\n", flush=True)
    print(footer())


def summary(peer: str, data: str, runs: Sequence[dict[str, float]]) -> list[str]:
    """A row of the table."""
    labels = DATA[data]["labels"]
    scores = [run["score"] * (100 if labels else 1) for run in runs]
    written = "{:.2f}" if labels else "{:,.0f}"
    seconds = median(run["seconds"] for run in runs)
    return [peer, written.format(mean(scores)), "± " + written.format(interval(scores)), f"{seconds:.1f}"]


if __name__ == "__main__":
    main()
