"""What the tests of this room share: an HTML reader, made-up facts, a learner with known predictions."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np
from torch import nn

from wiggly.data.blocks import CategoryBlock, TransformBlock
from wiggly.data.dataset import Dataset
from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.errors import ItemError
from wiggly.interpret.facts import Error, Facts, Phase
from wiggly.interpret.score import score_against
from wiggly.train.learner import Learner
from wiggly.train.metrics.core import error_rate

VOID = {"br", "img", "meta"}


class Tree(HTMLParser):
    """Reads a page and complains about every tag that is not closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.starts: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.style = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.starts.append((tag, attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text += data


def parse(markup: str) -> Tree:
    """Parse a page or a part of one; every tag must be closed."""
    tree = Tree()
    tree.feed(markup)
    tree.close()
    assert not tree.open, f"left open: {tree.open}"
    return tree


def made_facts(n_classes: int = 3, n: int = 210, **changes: Any) -> Facts:
    """Facts of a model that is right 9 times in 10."""
    random = np.random.default_rng(0)
    actual = random.integers(0, n_classes, n)
    predicted = np.where(random.uniform(size=n) < 0.9, actual, random.integers(0, n_classes, n))
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (actual, predicted), 1)
    labels = [f"class {i}" for i in range(n_classes)]
    wrong = np.flatnonzero(actual != predicted)[:24]
    errors = [Error(f"photo {i}.jpg", labels[actual[i]], labels[predicted[i]], 0.8, 2.5, None) for i in wrong]
    settings: dict[str, Any] = {
        "title": f"Classifier for {n_classes} classes",
        "subtitle": "made_up, trained on 'photos'",
        "noun": "photos",
        "labels": labels,
        "majority": 0,
        "score": score_against(actual, predicted, 0),
        "counts": counts,
        "train_counts": np.full(n_classes, 40),
        "confidence": 0.91,
        "calibration": 0.04,
        "calibration_bins": 15,
        "phases": [
            Phase(
                "frozen body",
                [{"train_loss": 1.2, "valid_loss": 0.8, "error_rate": 0.2, "time": 12.0}],
            ),
            Phase(
                "all layers",
                [{"train_loss": 0.6, "valid_loss": 0.5, "error_rate": 0.1, "time": 75.0}],
            ),
        ],
        "errors": errors,
        "model": {"Architecture": "made up"},
        "versions": {"Python": "3"},
        "snippet": "print(1 < 2)",
    }
    return Facts(**{**settings, **changes})


class LogitsBlock(TransformBlock):
    """An input that is the model's answer itself; None stands for a file that cannot be read."""

    def load(self, raw: Any) -> Any:
        if raw is None:
            raise ItemError("damaged", "it is None")
        return raw


def echo_learner(logits: list[list[float] | None], labels: list[str], vocab: list[str]) -> Learner:
    """A learner whose model returns its input, so that every prediction is known beforehand."""
    blocks = [LogitsBlock(), CategoryBlock(vocab=vocab, sort=False)]
    items = list(zip(logits, labels, strict=True))

    def loader() -> DataLoader:
        dataset = Dataset(items, [lambda item: item[0], lambda item: item[1]], blocks, n_inp=1)
        return DataLoader(dataset, bs=3, num_workers=0, max_bad=1.0)

    dls = DataLoaders(loader(), loader(), blocks=blocks, device="cpu")
    return Learner(dls, nn.Identity(), metrics=[error_rate])
