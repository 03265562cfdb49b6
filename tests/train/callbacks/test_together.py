"""All callbacks at once: in any order, in every kind of fit, stopped anywhere and resumed, on real photos."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tests.train.callbacks.test_trackers import Memory
from tests.train.support import digit_learner, digit_loaders, equal, weights_of

from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.callbacks.ema import EMA
from wiggly.train.callbacks.gradients import GradientAccumulation, GradientClip
from wiggly.train.callbacks.logs import CSVLogger, JSONLogger
from wiggly.train.callbacks.modes import BnFreeze, LabelSmoothing, MixedPrecision, ShortEpoch
from wiggly.train.callbacks.monitor import EarlyStopping, ReduceLROnPlateau
from wiggly.train.callbacks.save import SaveModel
from wiggly.train.mix import CutMix, MixUp


def everything() -> list[Callback]:
    """Every built-in callback, and the tracker of a few lines."""
    return [
        MixUp(),
        LabelSmoothing(0.1),
        MixedPrecision("bfloat16"),
        GradientAccumulation(48),
        GradientClip(0.5),
        BnFreeze(),
        EMA(0.9),
        ReduceLROnPlateau(patience=0, factor=0.5),
        SaveModel(),
        EarlyStopping(patience=20),
        ShortEpoch(0.5),
        CSVLogger(),
        JSONLogger("log.jsonl", every=1),
        Memory(every=1),
    ]


def learner(path: Path, cbs: list[Callback]) -> Any:
    torch.manual_seed(0)
    learn = digit_learner(dls=digit_loaders(256, 60, bs=16), path=path, cbs=cbs)
    learn.checkpoint_every = 0.0  # a checkpoint after every step
    return learn


def found(learn: Any) -> tuple[dict[str, torch.Tensor], pd.DataFrame, list[Any], list[float]]:
    table = pd.read_csv(learn.path / "history.csv").drop(columns="time")
    save = next(cb for cb in learn.cbs if isinstance(cb, SaveModel))
    return weights_of(learn), table, [save.best, save.best_epoch], learn.recorder.raw_losses


def check_same(one: Any, other: Any) -> None:
    (w1, t1, best1, losses1), (w2, t2, best2, losses2) = found(one), found(other)
    assert equal(w1, w2)
    pd.testing.assert_frame_equal(t1, t2, check_exact=True)
    assert best1 == best2 and losses1 == losses2


def test_any_order_gives_the_same_result(tmp_path: Path) -> None:
    kept: Any = None
    for number in range(3):
        cbs = everything()
        random.Random(number).shuffle(cbs)
        learn = learner(tmp_path / str(number), cbs)
        learn.fine_tune(2, 2e-2)
        if kept is not None:
            check_same(kept, learn)
        kept = learn
    assert kept.engine.precision == "float32" and kept.loss_func.label_smoothing == 0.0


class Crash(Callback):
    """Ends the program, so to speak, at one event of one epoch."""

    order = 1500  # after the checkpoint of this event has been written

    def __init__(self, phase: int, epoch: int, event: str, batch: int = 0) -> None:
        self.where = (phase, epoch, event, batch)

    def _maybe(self, event: str, state: State) -> None:
        phase = len(self.learner.recorder.phases)
        batch = state.batch_index if event == "after_batch" else 0
        if (phase, state.epoch, event, batch) == self.where and state.training == (event == "after_batch"):
            raise RuntimeError("the power is gone")

    def after_batch(self, state: State) -> None:
        self._maybe("after_batch", state)

    def before_validate(self, state: State) -> None:
        self._maybe("before_validate", state)

    def after_epoch(self, state: State) -> None:
        self._maybe("after_epoch", state)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run that nothing stops."""
    learn = learner(tmp_path_factory.mktemp("whole"), everything())
    learn.fine_tune(2, 2e-2, resume=True)
    return learn


@pytest.mark.parametrize(
    "crash",
    [
        (1, 0, "after_batch", 4),
        (1, 0, "before_validate"),
        (1, 0, "after_epoch"),
        (2, 0, "after_batch", 3),
        (2, 1, "after_batch", 1),
        (2, 1, "before_validate"),
        (2, 1, "after_epoch"),
    ],
)
def test_a_stopped_run_goes_on_bit_by_bit(crash: tuple[Any, ...], whole: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="power"):
        learner(tmp_path, [*everything(), Crash(*crash)]).fine_tune(2, 2e-2, resume=True)
    again = learner(tmp_path, everything())
    again.fine_tune(2, 2e-2, resume=True)
    check_same(whole, again)


def test_lr_find_with_all_of_them_changes_and_writes_nothing(tmp_path: Path) -> None:
    learn = learner(tmp_path, everything())
    before = weights_of(learn)
    first = learn.lr_find(num_it=24, stop_div=False, show_plot=False)
    assert equal(before, weights_of(learn)) and learn.dls.train.epoch == 0
    assert learn.engine.precision == "float32" and learn.loss_func.label_smoothing == 0.0
    assert len(learn.recorder.lr_search["lrs"]) == 24 and not list(tmp_path.iterdir())
    assert learn.lr_find(num_it=24, stop_div=False, show_plot=False) == first


@pytest.mark.parametrize("make", [MixUp, CutMix])
def test_mixing_needs_no_state_to_go_on(make: Any, tmp_path: Path) -> None:
    assert make().state_dict() == {}
    results: list[Any] = []
    for name, crash in (("plain", None), ("stopped", Crash(1, 1, "after_batch", 5))):
        extra = [] if crash is None else [crash]
        learn = learner(tmp_path / name, [make(), *extra])
        try:
            learn.fit(3, 1e-2, resume=True)
        except RuntimeError:
            learn = learner(tmp_path / name, [make()])
            learn.fit(3, 1e-2, resume=True)
        results.append(weights_of(learn))
    assert equal(*results)


def test_fit_ends_as_it_began_when_something_fails(tmp_path: Path) -> None:
    learn = learner(tmp_path, everything())
    modes = {name: module.training for name, module in learn.model.named_modules()}
    with pytest.raises(RuntimeError):
        learn.fit(2, cbs=Crash(1, 1, "before_validate"))
    assert learn.engine.precision == "float32" and learn.loss_func.label_smoothing == 0.0
    assert all(p.grad is None for p in learn.model.parameters()) and modes
    learn.cbs.clear()
    learn.fit(1, 1e-3)  # and goes on without them


@pytest.mark.slow
def test_on_photos(shared: Path, tmp_path: Path) -> None:
    """Ants and bees from pretrained weights: the best epoch beats the majority class by far."""
    from wiggly.data.basics import set_seed
    from wiggly.train.metrics.core import accuracy
    from wiggly.vision.learner import vision_learner
    from wiggly.vision.loaders import ImageDataLoaders
    from wiggly.vision.resize import Resize

    photos = shared / "data" / "hymenoptera"
    weights = next((shared / "weights").glob("*lite0*"), None)
    if not photos.exists() or weights is None:
        pytest.skip("needs the photos of ants and bees, and weights of tf_efficientnet_lite0")
    set_seed(0)
    dls = ImageDataLoaders.from_folder(photos, train="train", valid="val", item_tfms=Resize(96), bs=16)
    learn = vision_learner(dls, "tf_efficientnet_lite0", weights=weights, metrics=accuracy, path=tmp_path)
    learn.show_bar = learn.show_table = False
    cbs = [GradientAccumulation(32), GradientClip(1.0), EMA(0.9), MixUp(), LabelSmoothing(), CSVLogger()]
    learn.fine_tune(1, 1e-2, cbs=[*cbs, SaveModel("accuracy", fname=None)])
    table = pd.read_csv(tmp_path / "history.csv")
    labels = [int(y) for _, ys in dls.valid for y in ys]
    majority = max(labels.count(label) for label in set(labels)) / len(labels)
    assert learn.validate()[1] == pytest.approx(table["accuracy"].max(), abs=1e-6)
    assert table["accuracy"].max() > majority + 0.2
