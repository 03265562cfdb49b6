"""How well are wrong labels found, and what does mending them bring? On human labels whose truth is known.

Run: `python benchmarks/clean.py` (six minutes on two cores), `--quick` (1,000 pictures, to see that it
works), `--help`. In: the first 10,000 training pictures of CIFAR-10 with five sets of labels by people (Wei
et al., CIFAR-10N), 9 to 41 % of them wrong, and the weights of `tf_efficientnet_lite0`. Rankings of the same:
wiggly's `suggest`; cleanlab's three scores of the probabilities of the same features' logistic regression out
of fold, and of wiggly's own; fastai's order, that is by loss on the training items, of its head trained on
those features; random. Out: one JSON line per result, and tables: average precision, precision at the true
number of errors, seconds; accuracy on 2,000 other pictures after the first n were removed, relabelled, or n
at random removed. Read next: `support.py`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from support import emit, footer, shared_dir, table

ARCH, WEIGHTS = "tf_efficientnet_lite0", "tf_efficientnet_lite0.in1k_backbone.fp16.safetensors"
SETS = ("aggre", "random1", "random2", "random3", "worse")
GOALS = {"aggre": 0.72, "random1": 0.86, "random2": 0.86, "random3": 0.86, "worse": 0.91}
SIDE = 128
DECAY = 300.0  # of the classifier whose accuracy is measured
SCORES = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")


def sheets(folder: Path, names: list[str]) -> Any:
    """Pictures `(n, 32, 32, 3)` of sheets of 20 by 50."""
    import numpy as np
    from PIL import Image

    pictures = [np.asarray(Image.open(folder / f"{name}.webp").convert("RGB")) for name in names]
    cut = [p.reshape(20, 32, 50, 32, 3).transpose(0, 2, 1, 3, 4).reshape(1000, 32, 32, 3) for p in pictures]
    return np.concatenate(cut)


def loaders(pictures: Any, labels: Any) -> Any:
    """Loaders of pictures in memory; every tenth is for validation."""
    from wiggly.vision.all import CategoryBlock, DataBlock, ImageBlock, IndexSplitter, Resize

    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=list(range(10)))),
        splitter=IndexSplitter(range(9, len(pictures), 10)),
        getters=[lambda i: pictures[i], lambda i: int(labels[i])],
        item_tfms=Resize(SIDE),
    )
    return block.dataloaders(list(range(len(pictures))), bs=64, seed=0)


def places(pool: Any) -> Any:
    """Of each row of a pool the number of its picture."""
    import numpy as np

    return np.array([pool.dataset(item).items[pool.positions[item]] for item in pool.seen])


def measured(wrong: Any, scores: Any) -> dict[str, float]:
    """Average precision, and precision at the true number of errors."""
    import numpy as np
    from sklearn.metrics import average_precision_score

    n = int(wrong.sum())
    first = np.argsort(-scores, kind="stable")[:n]
    return {"ap": float(average_precision_score(wrong, scores)), "at_n": float(wrong[first].mean())}


def fastai_order(features: Any, labels: Any, epochs: int) -> Any:
    """The loss of every training item after fastai's head was trained on all of them."""
    import fastai.callback.all  # noqa: F401 - gives its learner `fit_one_cycle` and `no_bar`
    import torch
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner
    from fastai.losses import CrossEntropyLossFlat
    from fastai.vision.learner import create_head

    torch.manual_seed(0)
    pairs = list(zip(features, torch.as_tensor(labels), strict=True))
    dls = DataLoaders(DataLoader(pairs, bs=64, shuffle=True), DataLoader(pairs, bs=256))
    head = create_head(features.shape[1], 10, pool=False)
    learn = Learner(dls, head, loss_func=CrossEntropyLossFlat())
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, 2e-3)
        return learn.get_preds(dl=dls.valid, with_loss=True)[2].numpy()


def cleanlab_scores(probs: Any, labels: Any) -> dict[str, Any]:
    """One minus cleanlab's label quality, by its three methods."""
    from cleanlab.rank import get_label_quality_scores

    return {m: 1 - get_label_quality_scores(labels, probs, method=m) for m in SCORES}


def accuracy(features: Any, labels: Any, others: Any, truth: Any) -> float:
    """Accuracy on other pictures of a logistic regression on these."""
    import torch

    mean, spread = features.mean(0), features.std(0) + 1e-6
    x, y = (features - mean) / spread, torch.eye(10)[torch.as_tensor(labels)]
    weights = torch.zeros(x.shape[1], 10, requires_grad=True)
    bias = torch.zeros(10, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=40, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(x @ weights + bias, y)
        loss = loss + DECAY / 2 / len(x) * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        found = (((others - mean) / spread) @ weights + bias).argmax(1)
    return float((found == torch.as_tensor(truth)).float().mean())


def effects(
    features: Any, given: Any, truth: Any, found: Any, others: Any, other_truth: Any
) -> dict[str, float]:
    """Accuracy after the first n are removed or relabelled, n the number that wiggly estimates; after n at
    random are removed; and with all labels right."""
    import numpy as np

    n, order = found.n_wrong, np.argsort(-found.scores, kind="stable")
    rest, mended = order[n:], given.copy()
    mended[order[:n]] = found.parts[order[:n]]
    draws = [np.random.default_rng(seed).permutation(len(given))[n:] for seed in range(3)]

    def score(rows: Any, labels: Any) -> float:
        return accuracy(features[rows], labels[rows], others, other_truth)

    every = np.arange(len(given))
    return {
        "n": n,
        "as_given": score(every, given),
        "removed": score(rest, given),
        "relabelled": score(every, mended),
        "removed_at_random": float(np.mean([score(rows, given) for rows in draws])),
        "all_right": score(every, truth),
    }


def rankings(features: Any, given: Any, disputes: Any, epochs: int) -> dict[str, tuple[Any, float]]:
    """Scores of the peers, each with the seconds it took beside the features."""
    import numpy as np
    import torch

    from wiggly.clean.suspects.folds import fold_of_each, place_of_each
    from wiggly.clean.suspects.linear import out_of_fold, standardised

    start = time.perf_counter()
    folds = torch.from_numpy(fold_of_each(place_of_each(features.numpy()), given, 5, 0))
    judged = out_of_fold(standardised(features), torch.eye(10)[torch.as_tensor(given)], folds)
    plain = judged.logits.softmax(1).double().numpy()
    plain = plain / plain.sum(1, keepdims=True)
    seconds = time.perf_counter() - start
    made: dict[str, tuple[Any, float]] = {}
    own = disputes.probs.astype(np.float64)
    for name, probs in (("plain", plain), ("wiggly's", own / own.sum(1, keepdims=True))):
        for method, scores in cleanlab_scores(probs, given).items():
            made[f"cleanlab {method}, {name} probabilities"] = (scores, seconds if name == "plain" else 0.0)
    start = time.perf_counter()
    made["fastai, training loss"] = (fastai_order(features, given, epochs), 0.0)
    made["fastai, training loss"] = (made["fastai, training loss"][0], time.perf_counter() - start)
    made["random"] = (np.random.default_rng(0).random(len(given)), 0.0)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", default=",".join(SETS), help="which label sets, with commas between them")
    parser.add_argument("--epochs", type=int, default=5, help="of fastai's head")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="1,000 pictures, one label set")
    parser.add_argument("--out", help="append JSON lines to this file")
    options = parser.parse_args()
    import pandas as pd
    import torch

    from wiggly.clean.suspects.disputes import dispute
    from wiggly.clean.suspects.suggest import suggest

    torch.set_num_threads(options.threads)
    folder, weights = shared_dir() / "data" / "cifar10", shared_dir() / "weights" / WEIGHTS
    labels = pd.read_csv(folder / "labels_train.csv")
    n_sheets, sets = (1, ["aggre"]) if options.quick else (10, options.sets.split(","))
    pictures = sheets(folder, [f"train_{k:02}" for k in range(n_sheets)])
    n, cells, gains = len(pictures), [], []
    start = time.perf_counter()
    found = suggest(
        loaders(pictures, labels[sets[0]].to_numpy()), arch=ARCH, weights=weights, kinds=["label"]
    )
    whole = time.perf_counter() - start
    rows = places(found.pool)
    features, truth = found.pool.features, labels["clean"].to_numpy()[rows]
    others, other_truth = held_out(folder, weights, labels, options.quick)
    for name in sets:
        given = labels[name].to_numpy()[rows]
        start = time.perf_counter()
        disputes = (
            found.disputes if name == sets[0] else dispute(features, torch.eye(10)[torch.as_tensor(given)])
        )
        seconds = whole if name == sets[0] else time.perf_counter() - start
        peers = {"wiggly": (disputes.scores, seconds), **rankings(features, given, disputes, options.epochs)}
        for peer, (scores, took) in peers.items():
            result = measured(given != truth, scores)
            told = {"set": name, "n": n, "wrong": int((given != truth).sum()), "peer": peer, "seconds": took}
            with_features = peer == "wiggly" and name == sets[0]
            emit({**told, **result, "with_features": with_features}, options.out)
            goal = f"{GOALS[name]:.2f}" if peer == "wiggly" else ""
            cells.append([name, peer, f"{result['ap']:.3f}", goal, f"{result['at_n']:.3f}", f"{took:.1f}"])
        gain = effects(features, given, truth, disputes, others, other_truth)
        emit({"set": name, "effect": gain}, options.out)
        gains.append([name, f"{gain['n']:,}", *(f"{100 * v:.1f} %" for k, v in gain.items() if k != "n")])
    print(
        "\n" + table(["labels", "ranking", "average precision", "goal", "precision at n", "seconds"], cells)
    )
    header = ["labels", "n", "as given", "first n removed", "relabelled", "n at random removed", "all right"]
    print("\n" + table(header, gains) + f"\n\nSeconds of the first line include the features.\n{footer()}")


def held_out(folder: Path, weights: Path, labels: Any, quick: bool) -> tuple[Any, Any]:
    """Features and true labels of pictures that no ranking has seen."""
    import numpy as np
    import pandas as pd

    from wiggly.clean.suspects.pool import make_pool

    names = ["test_00"] if quick else ["train_10", "test_00"]
    test = pd.read_csv(folder / "labels_test.csv")
    column = next(name for name in ("clean", "label", test.columns[-1]) if name in test.columns)
    truth = test[column].to_numpy()[:1000]
    if not quick:
        truth = np.concatenate([labels["clean"].to_numpy()[10_000:11_000], truth])
    pool = make_pool(loaders(sheets(folder, names), truth), ARCH, weights, True, None)
    return pool.features, truth[places(pool)]


if __name__ == "__main__":
    main()
