"""Probing: as good as scikit-learn's logistic regression on the same features, and nothing but the head
moves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.train.support import (
    digit_learner,
    digit_loaders,
    digits,
    equal,
    small_model,
    weights_of,
)
from torch import nn

from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.errors import ArgumentError, ModelError
from wiggly.train.callback import Callback
from wiggly.train.learner import Learner
from wiggly.train.metrics.core import accuracy, error_rate
from wiggly.train.probe.probing import split_model
from wiggly.vision.augment import aug_transforms
from wiggly.vision.learner import vision_learner
from wiggly.vision.loaders import ImageDataLoaders
from wiggly.vision.resize import Resize

LITE0 = "tf_efficientnet_lite0.in1k_backbone.fp16.safetensors"


def with_norms_and_dropout(seed: int = 0) -> nn.Sequential:
    """A body and a head like that of vision models: pooling, flattening, batch norm, dropout, linear
    layers."""
    torch.manual_seed(seed)
    body = small_model(seed)[0]
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.BatchNorm1d(64),
        nn.Dropout(0.1),
        nn.Linear(64, 32, bias=False),
        nn.ReLU(),
        nn.BatchNorm1d(32),
        nn.Linear(32, 10),
    )
    return nn.Sequential(body, head)


def rows_of(learn: Learner, side: int) -> tuple[np.ndarray, np.ndarray]:
    """What the body and the pooling of a model make of the digits of one split."""
    front, _ = split_model(learn)
    x, y = digits()
    part = slice(0, 256) if side == 0 else slice(-100, None)
    with torch.no_grad():
        return front.eval()(x[part]).flatten(1).numpy(), y[part].numpy()


def test_only_the_head_moves_and_what_is_frozen_stays() -> None:
    learn = digit_learner(model=with_norms_and_dropout())
    learn.freeze()
    before = weights_of(learn)
    learn.probe()
    after = weights_of(learn)
    assert equal(*({k: v for k, v in w.items() if k.startswith("0.")} for w in (before, after)))
    assert all(not torch.equal(before[k], after[k]) for k in before if k.startswith("1."))
    assert learn.first_unfrozen == 1
    assert not any(p.requires_grad for p in learn.model[0][0].parameters())


def test_as_good_as_logistic_regression_on_the_same_features() -> None:
    learn = digit_learner(model=with_norms_and_dropout(), metrics=accuracy)
    learn.probe()
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    reference.fit(*rows_of(learn, 0))
    expected = reference.score(*rows_of(learn, 1))
    assert learn.validate()[1] >= expected - 0.02


def test_a_number_is_predicted_as_well_as_by_ridge_regression() -> None:
    x, _ = digits()
    dark = 40 + 100 * x[:, :, :4].flatten(1).mean(1, keepdim=True)  # far from 0, and wide
    pairs = list(zip(x, dark, strict=True))
    dls = DataLoaders(
        DataLoader(pairs[:256], 64, shuffle=True, seed=1), DataLoader(pairs[-100:], 64), device="cpu"
    )
    body = small_model()[0]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 1))
    learn = digit_learner(dls=dls, model=nn.Sequential(body, head), loss_func=nn.MSELoss())
    learn.probe()
    features = rows_of(learn, 0)[0], rows_of(learn, 1)[0]
    reference = make_pipeline(StandardScaler(), Ridge(1.0)).fit(features[0], dark[:256, 0].numpy())
    error = float(((reference.predict(features[1]) - dark[-100:, 0].numpy()) ** 2).mean())
    assert learn.validate()[0] <= 1.3 * error


def test_several_labels_per_item() -> None:
    x, y = digits()
    labels = torch.stack([y % 2 == 0, y > 4, y % 3 == 0], 1).float()
    pairs = list(zip(x, labels, strict=True))
    dls = DataLoaders(
        DataLoader(pairs[:256], 64, shuffle=True, seed=1), DataLoader(pairs[-100:], 64), device="cpu"
    )
    body, head = small_model()[0], nn.Sequential(nn.Flatten(), nn.BatchNorm1d(256), nn.Linear(256, 3))
    learn = digit_learner(dls=dls, model=nn.Sequential(body, head), loss_func=nn.BCEWithLogitsLoss())
    learn.probe()
    probabilities, targets = learn.get_preds(act=torch.sigmoid)
    assert float(((probabilities > 0.5) == targets.bool()).float().mean()) > 0.9


def test_the_row_says_what_validate_says() -> None:
    learn = digit_learner(model=with_norms_and_dropout(), metrics=[error_rate, accuracy])
    learn.probe()
    assert len(learn.recorder.values) == 1
    assert learn.recorder.values[0][1:] == pytest.approx(learn.validate(), abs=1e-5)
    phase = learn.recorder.phases[-1]
    assert (phase["phase"], len(phase["rows"]), phase["epochs"]) == ("probe", 1, 38)
    assert len(learn.recorder.losses) == phase["steps"] == 152


def test_the_same_seeds_give_the_same_head() -> None:
    found: list[dict[str, Any]] = []
    for _ in range(2):
        learn = digit_learner(model=with_norms_and_dropout(), dls=digit_loaders())
        torch.manual_seed(3)
        learn.probe()
        found.append(weights_of(learn))
    assert equal(*found)


def test_augmented_passes_give_other_features(digits_folder: Path) -> None:
    dls = ImageDataLoaders.from_folder(
        digits_folder,
        valid_pct=0.2,
        seed=1,
        item_tfms=Resize(32),
        batch_tfms=aug_transforms(),
        bs=16,
        device="cpu",
    )
    heads: list[torch.Tensor] = []
    for augmented in (0, 2):
        torch.manual_seed(0)
        learn = vision_learner(dls, "test_resnet", pretrained=False)
        with learn.no_bar(), learn.no_logging():
            learn.probe(augmented)
        heads.append(learn.model[1][4].weight.detach())
    assert not torch.equal(*heads)
    assert dls.train.epoch == 0


def test_items_drawn_by_weight_are_learned_by_weight() -> None:
    """With weight on two digits only, the head knows these two only."""
    x, y = digits()
    pairs = list(zip(x[:256], y[:256], strict=True))
    train = DataLoader(pairs, 64, seed=1, wgts=[float(label < 2) for label in y[:256]])
    learn = digit_learner(
        dls=DataLoaders(train, DataLoader(pairs, 64), device="cpu"), model=with_norms_and_dropout()
    )
    learn.probe()
    assert set(learn.get_preds()[0].argmax(1).tolist()) <= {0, 1}


def test_the_table_and_the_history_have_the_usual_form(capsys: pytest.CaptureFixture[str]) -> None:
    learn = digit_learner(model=with_norms_and_dropout(), metrics=error_rate)
    learn.show_table = True
    learn.probe()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "probe: 1 of 2 parameter groups learn"
    assert lines[1].split() == ["epoch", "train_loss", "valid_loss", "error_rate", "time"]
    assert re.fullmatch(r"\s+0(\s+\d\.\d{6}){3}\s+\d\d:\d\d", lines[2])
    assert len(lines) == 3


def test_fine_tune_may_start_from_it() -> None:
    learn = digit_learner(model=with_norms_and_dropout(), metrics=error_rate)
    learn.fine_tune(1, start="probe")
    assert [phase["phase"] for phase in learn.recorder.phases] == ["probe", "unfrozen"]
    assert learn.first_unfrozen == 0
    alone = digit_learner(model=with_norms_and_dropout())
    alone.fine_tune(0, start="probe")
    assert [phase["phase"] for phase in alone.recorder.phases] == ["probe"]


@pytest.mark.parametrize(
    ("model", "splitter"),
    [
        (small_model(), lambda model: list(model.parameters())),
        (nn.Module(), None),
        (
            nn.Sequential(small_model()[1], small_model()[0]),
            lambda m: [list(m[1].parameters()), list(m[0].parameters())],
        ),
    ],
)
def test_a_model_that_is_no_body_with_a_head_is_refused(model: nn.Module, splitter: Any) -> None:
    if splitter is None:
        model = nn.Bilinear(3, 3, 2)
        splitter = lambda m: [[m.weight], [m.bias]]  # noqa: E731
    learn = digit_learner(model=model, splitter=splitter)
    with pytest.raises(ModelError, match="body and a head"):
        learn.probe()
    assert learn.recorder.phases == []


class MeanFirst(nn.Sequential):
    """A head whose layers alone are not all that it does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.mean((2, 3)))


def test_a_head_with_a_forward_of_its_own_is_called_as_a_whole() -> None:
    body = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU())
    learn = digit_learner(model=nn.Sequential(body, MeanFirst(nn.Dropout(0.1), nn.Linear(16, 10))))
    learn.probe()
    assert learn.recorder.values[0][1] == pytest.approx(learn.validate()[0], rel=1e-4)

    class Halved(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x / 2)

    with pytest.raises(ModelError, match="body and a head"):
        digit_learner(model=Halved(*with_norms_and_dropout())).probe()


def test_a_second_probe_begins_where_the_first_began() -> None:
    model = nn.Sequential(small_model()[0], nn.Sequential(nn.Flatten(), nn.Linear(256, 10)))  # no dropout
    learn = digit_learner(model=model, metrics=accuracy)
    learn.probe()
    first = weights_of(learn)
    learn.probe()
    assert equal(first, weights_of(learn))
    with torch.no_grad():
        learn.model[1][1].bias.add_(1.0)  # it was changed: now it goes on from here
    learn.probe()
    assert not equal(first, weights_of(learn))


def test_wrong_arguments() -> None:
    with pytest.raises(ArgumentError, match="augmented"):
        digit_learner(model=with_norms_and_dropout()).probe(-1)
    with pytest.raises(ArgumentError, match="`augmented` must be a whole number"):
        digit_learner(model=with_norms_and_dropout()).probe(1.5)  # pyright: ignore
    with pytest.raises(ArgumentError, match="start"):
        digit_learner().fine_tune(1, start="middle")  # pyright: ignore


def test_a_killed_probe_begins_anew_and_ends_the_same(tmp_path: Path) -> None:
    def learner() -> Learner:
        torch.manual_seed(0)
        made = digit_learner(model=with_norms_and_dropout(), dls=digit_loaders(), path=tmp_path)
        torch.manual_seed(1)
        return made

    whole = learner()
    whole.fine_tune(1, start="probe")
    cut = learner()
    with pytest.raises(KeyboardInterrupt):
        cut.fine_tune(1, start="probe", resume=True, cbs=_Interrupt())
    again = learner()
    again.fine_tune(1, start="probe", resume=True)
    assert equal(weights_of(whole), weights_of(again))
    assert [p["phase"] for p in again.recorder.phases] == ["probe", "unfrozen"]


class _Interrupt(Callback):
    def after_batch(self, state: Any) -> None:
        if state.step == 2:
            raise KeyboardInterrupt


def test_real_photos(shared: Path) -> None:
    """Ants and bees at 64 px: a pretrained body is probed by default, which is far above the more frequent
    class (54 %), and what comes after never ends below that."""
    torch.manual_seed(0)
    dls = ImageDataLoaders.from_folder(
        shared / "data" / "hymenoptera",
        train="train",
        valid="val",
        item_tfms=Resize(64),
        bs=32,
        seed=1,
        device="cpu",
    )
    learn = vision_learner(dls, "tf_efficientnet_lite0", weights=shared / "weights" / LITE0, metrics=accuracy)
    with learn.no_bar(), learn.no_logging():
        learn.fine_tune(1)
    probed, after = learn.recorder.phases
    assert (probed["phase"], after["phase"]) == ("probe", "unfrozen")
    assert probed["rows"][0][3] > 0.72
    assert learn.validate()[1] >= probed["rows"][0][3]


def test_who_is_probed_by_default() -> None:
    def phases(**settings: Any) -> list[str]:
        learn = digit_learner(model=with_norms_and_dropout(), train_bn=settings.pop("train_bn", False))
        learn.fine_tune(1, **settings)
        return [phase["phase"] for phase in learn.recorder.phases]

    assert phases() == ["probe", "unfrozen"]
    assert phases(train_bn=True) == ["frozen", "unfrozen"]
    assert phases(start="frozen") == ["frozen", "unfrozen"]
    assert phases(freeze_epochs=2) == ["frozen", "unfrozen"]
    assert phases(freeze_epochs=0) == ["unfrozen"]
    assert phases(train_bn=True, start="probe") == ["probe", "unfrozen"]


def test_after_a_probe_the_rates_are_lower() -> None:
    learn = digit_learner(model=with_norms_and_dropout(), train_bn=False)
    learn.fine_tune(1, 8e-3)
    assert learn.recorder.phases[-1]["lr"] == pytest.approx([1e-5, 1e-3])
    learn.fine_tune(1, 8e-3, start="frozen")
    assert learn.recorder.phases[-1]["lr"] == pytest.approx([4e-5, 4e-3])
