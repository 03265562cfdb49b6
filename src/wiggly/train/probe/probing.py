"""Probing: one pass over the data through the frozen body, then the head alone, on the features it gave.

In: a learner whose model is a body and a head. Out: the same learner with a trained head, and a row in its
history. The body is not touched. Read next: `features.py`, where the
features are kept; `head_fit.py`, which trains the head; `../fitting.py`, whose
`fine_tune` may start from this.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.data.shards.stream import ShardDataset
from wiggly.errors import ModelError
from wiggly.train.checks import whole_number
from wiggly.train.loop import Loop
from wiggly.train.predict import in_order
from wiggly.train.probe.features import FeatureLoader, Features, gather_features
from wiggly.train.probe.head_fit import fit_head
from wiggly.train.probe.stretch import stretch_for
from wiggly.train.progress import SECONDS_BETWEEN_DRAWS, cells_of, choose_display, show_phase

__all__ = ["can_probe", "probe_head", "split_model"]

DROPOUTS = nn.modules.dropout._DropoutNd  # pyright: ignore[reportPrivateUsage]  (the only common base)
# Chosen by measurement on the features of four data sets, see dev/LOG.md.
EPOCHS = 10
LEAST_STEPS, MOST_STEPS = 150, 3000
ROWS_PER_STEP = 64
HIGHEST_RATE, WEIGHT_DECAY, DECAY_FOR_NUMBERS = 5e-3, 3.0, 0.3
# Items per forward pass, if the batches of training are smaller: without gradients a device holds a few times
# as many.
ITEMS_PER_PASS = 64
# Share of the progress bar that the pass over the data takes.
PASS_SHARE = 0.8
# Of a limited time, by when the training items must be through the body, and the validation items.
SHARES_OF_TIME = (0.55, 0.75)


def split_model(learner: Loop) -> tuple[nn.Sequential, nn.Sequential]:
    """A model as the layers that stay as they are and those that learn.

    The head is the model's last child. Its first layers without parameters (pooling, flattening) belong to
    the part that stays, so that what is kept per item is a vector and no feature map.

    Args:
        learner: Its last parameter group must be the head's.

    Returns:
        Both parts; they share their layers with the model.

    Raises:
        ModelError: The model is not a sequence of a body and a head.
    """
    children = list(learner.model.children())
    groups = learner.groups
    if len(groups) == 1:
        raise ModelError(
            "`probe` trains the head of a model made of a body and a head",
            f"this {type(learner.model).__name__} has no such parts, it is one parameter group",
            "Train it with `fit_one_cycle`; where there are a body and a head, pass a `splitter` for them.",
        )
    plain = _in_turn(learner.model) and len(children) > 1 and len(groups) > 1
    plain = plain and not hasattr(children[0], "taps")  # a U-Net's encoder: what it gives are several maps
    if not plain or {id(p) for p in children[-1].parameters()} != {id(p) for p in groups[-1]}:
        raise ModelError(
            "`probe` needs a model that is an nn.Sequential of a body and a head, the head being the last "
            "parameter group",
            f"this {type(learner.model).__name__} has {len(groups)} parameter groups",
            "Train it with `fine_tune`, or pass a `splitter` that makes its last child the last group.",
        )
    head = children[-1]
    layers = list(head.children()) if _in_turn(head) else [head]
    kept = next((i for i, layer in enumerate(layers) if _learns_or_draws(layer)), 0)
    return nn.Sequential(*children[:-1], *layers[:kept]), nn.Sequential(*layers[kept:])


def _in_turn(module: nn.Module) -> bool:
    """Whether it calls its children one after the other and does nothing else."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def can_probe(learner: Loop) -> bool:
    """Whether the model is a sequence of a body and a head."""
    try:
        split_model(learner)
    except ModelError:
        return False
    return True


def _learns_or_draws(layer: nn.Module) -> bool:
    draws = any(isinstance(part, DROPOUTS) for part in layer.modules())
    return draws or any(True for _ in layer.parameters()) or any(True for _ in layer.buffers())


def probe_head(learner: Loop, augmented: int = 0, seconds: float = math.inf) -> int:
    """The work behind `learn.probe`; see there for the first argument.

    Args:
        learner: Its head learns.
        augmented: More passes, with random transforms.
        seconds: When they are about to be over, the rest of the data is left out.

    Returns:
        How many training items the head has learned from.

    Raises:
        ModelError: The model is not a sequence of a body and a head.
        ArgumentError: `augmented` is negative.
        DataError: There is nothing to learn from.
    """
    augmented = whole_number("augmented", augmented, lowest=0)
    front, head = split_model(learner)
    started = time.perf_counter()
    shown = _Shown(learner, started + seconds)
    try:
        learner.engine.start_fit()
        learner.recorder.start(_settings(learner))
        shown.header()
        train, valid = _gather(learner, front, augmented, shown)
        loader = FeatureLoader(train, ROWS_PER_STEP, _order(learner.dls.train, train))
        n_epochs = _epochs(len(loader))
        stretch = stretch_for(head, learner.loss_func, train.targets)
        layers = head if stretch is None else nn.Sequential(*head, stretch)
        layers.to(learner.engine.device)
        decay = WEIGHT_DECAY if stretch is None else DECAY_FOR_NUMBERS
        learner.recorder.phases[-1].update(epochs=n_epochs, wd=decay)
        start = _start(learner, head)
        fit = fit_head(layers, loader, learner.loss_func, n_epochs, HIGHEST_RATE, decay, shown.goes_on)
        if stretch is not None:
            stretch.fold_into(head)
        learner.probed = start, _copied(head)
        measured = {} if valid is None else _measured(learner, head, valid)
        took = time.perf_counter() - started
        shown.row(learner.recorder.take_over(fit.losses, fit.lrs, measured, took))
    finally:
        shown.close()
    learner.reset_optimizer()  # its averages are of the head before
    return len(set(train.positions))


def _start(learner: Loop, head: nn.Module) -> dict[str, Tensor]:
    """Where a head begins to learn. One that is as the last probe has left it begins where that began: fitted
    a second time to the same features it would know them by heart."""
    if learner.probed is not None:
        before, after = learner.probed
        now = head.state_dict()
        if now.keys() == after.keys() and all(torch.equal(now[name].cpu(), after[name]) for name in now):
            head.load_state_dict(before)
    return _copied(head)


def _copied(head: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().to("cpu", copy=True) for name, value in head.state_dict().items()}


def _gather(
    learner: Loop, front: nn.Module, augmented: int, shown: _Shown
) -> tuple[Features, Features | None]:
    """Features of the training items (then of as many augmented passes), and of the validation items."""
    dls = learner.dls
    # In random order if the time is limited, so that a part is like the whole.
    in_part = True if shown.until < math.inf else None
    loaders = [_large(in_order(dls.train), in_part), *[_large(dls.train)] * augmented]
    has_valid = dls.valid is not None and len(dls.valid) > 0
    valid = _large(in_order(dls.valid), in_part) if has_valid else None
    shown.n_batches = sum(map(len, loaders)) + (0 if valid is None else len(valid))
    now = time.perf_counter()
    ends = [now + share * (shown.until - now) for share in SHARES_OF_TIME]
    train = gather_features(learner, front, loaders, shown.passed, until=ends[0])
    if valid is None:
        return train, None
    return train, gather_features(learner, front, [valid], shown.passed, until=ends[1])


def _large(dl: Any, shuffle: bool | None = None) -> Any:
    """A copy of a loader of ours with large batches, which suit a pass without gradients; others as they
    are."""
    if not isinstance(dl, DataLoader):
        return dl
    made = dl.new(bs=max(dl.bs, min(ITEMS_PER_PASS, 4 * dl.bs)), shuffle=shuffle, drop_last=False)
    made.bad_items = dl.bad_items  # shared, so that they are reported
    return made


def _measured(learner: Loop, head: nn.Module, valid: Features) -> dict[str, float]:
    """Loss and metrics of a head, as `validate` gives them."""
    dls = DataLoaders(None, FeatureLoader(valid, ROWS_PER_STEP), device=learner.engine.device)
    return Loop(
        dls, head, loss_func=learner.loss_func, metrics=learner.metrics, engine=learner.engine
    ).evaluate(dls.valid)


def _settings(learner: Loop) -> dict[str, Any]:
    """What the history says about the phase; the number of epochs is known later."""
    groups = len(learner.groups)
    shape = {"epochs": 0, "schedule": "one_cycle", "lr": [HIGHEST_RATE]}
    return {"phase": "probe", **shape, "wd": WEIGHT_DECAY, "groups": groups, "first_unfrozen": groups - 1}


def _epochs(n_steps: int) -> int:
    """Epochs of the head, for so many steps in each: fewer for much data, more for little."""
    return max(math.ceil(LEAST_STEPS / n_steps), min(EPOCHS, math.ceil(MOST_STEPS / n_steps)))


def _order(dl: Any, features: Features) -> Callable[[int], Sequence[int]]:
    """Epoch to row numbers: the items as the loader draws them (by weight, if it has weights), shuffled; of
    several passes one per epoch, in turn."""
    seed = int(getattr(dl, "seed", 0)) % 2**64
    ends = [*features.starts[1:], len(features)]
    passes = [
        {features.positions[row]: row for row in range(start, end)}
        for start, end in zip(features.starts, ends, strict=True)
    ]
    ours = isinstance(dl, DataLoader) and not isinstance(dl.dataset, ShardDataset)

    def order(epoch: int) -> Sequence[int]:
        rows = passes[epoch % len(passes)]
        # An item that could not be read has no row.
        drawn = [rows[p] for p in dl.order(epoch) if p in rows] if ours else list(rows.values())
        return np.random.default_rng([seed, epoch]).permutation(drawn).tolist()

    return order


class _Shown:
    """The table and the bar, and the time at which a limited probe must be over."""

    def __init__(self, outer: Loop, until: float) -> None:
        self.outer, self.until = outer, until
        self.display = choose_display(outer.show_bar)
        self.n_batches = self._done = 0
        self._drawn = 0.0

    def header(self) -> None:
        """What learns, and the names of the columns."""
        if self.outer.show_table and self.outer.engine.is_main:
            show_phase(self.display, self.outer.recorder.phases[-1])

    def row(self, row: dict[str, float]) -> None:
        """The only row."""
        if self.outer.show_table and self.outer.engine.is_main:
            self.display.row(cells_of(self.outer.recorder.metric_names, row))

    def passed(self) -> None:
        """Another batch went through the body."""
        self._done += 1
        self._bar(PASS_SHARE * self._done / self.n_batches, "one pass through the body")

    def goes_on(self, share: float, loss: float) -> bool:
        """Another step of the head was made; tells whether there is time for more."""
        self._bar(PASS_SHARE + (1 - PASS_SHARE) * share, f"head, loss {loss:.4f}")
        return self.until == math.inf or self.outer.engine.agreed(time.perf_counter() < self.until)

    def _bar(self, share: float, text: str) -> None:
        now = time.monotonic()
        if self.outer.show_bar and self.outer.engine.is_main and now - self._drawn > SECONDS_BETWEEN_DRAWS:
            self._drawn = now
            self.display.bar(share, text)

    def close(self) -> None:
        """Takes the bar away."""
        self.display.close()
