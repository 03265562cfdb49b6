"""Predictions: against the model called by hand; order, bad items, several targets, real images."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tests.train.support import digit_learner, digits
from torch import nn

from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.errors import ArgumentError, DataError, ItemError
from wiggly.train.learner import Learner
from wiggly.vision.augment import RandomResizedCrop
from wiggly.vision.loaders import ImageDataLoaders
from wiggly.vision.models import Body


class Statistics(nn.Module):
    """A tiny body that normalises its own input, as those of vision models do."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.5, 0.25, 2.0]).view(1, 3, 1, 1))
        self.normalise = True
        self.conv = nn.Conv2d(3, 8, 3, stride=2)
        self.seen: list[bool] = []

    def forward(self, x):
        self.seen.append(self.normalise)
        x = (x - self.mean) / self.std if self.normalise else x
        return self.conv(x).relu().mean((2, 3))


@pytest.fixture
def photos(digits_folder: Path) -> ImageDataLoaders:
    torch.manual_seed(0)
    crop = RandomResizedCrop(24, min_scale=0.5)
    return ImageDataLoaders.from_folder(
        digits_folder, valid_pct=0.2, seed=42, item_tfms=crop, bs=32, device="cpu"
    )


def photo_learner(dls: Any, **settings: Any) -> Learner:
    torch.manual_seed(1)
    learn = Learner(dls, nn.Sequential(Statistics(), nn.Linear(8, 10)), **settings)
    learn.show_bar = learn.show_table = False
    return learn


def test_predictions_are_the_models_with_the_activation() -> None:
    learn = digit_learner()
    x, y = (t[-100:] for t in digits())
    with torch.no_grad():
        scores = learn.model.eval()(x)
    preds, targets, decoded, losses = learn.get_preds(with_decoded=True, with_loss=True)
    torch.testing.assert_close(preds, scores.softmax(1))
    assert torch.equal(targets, y)
    assert torch.equal(decoded, scores.argmax(1))
    torch.testing.assert_close(losses, F.cross_entropy(scores, y, reduction="none"))
    inputs, raw, _ = learn.get_preds(with_input=True, act=lambda scores: scores)
    assert torch.equal(inputs, x)
    torch.testing.assert_close(raw, scores)


def test_training_items_are_predicted_whole_and_in_order() -> None:
    learn = digit_learner()
    _, targets = learn.get_preds(ds_idx=0)
    assert torch.equal(targets, digits()[1][:256])
    assert learn.dls.train.epoch == 0
    rows = learn.predict_loader(learn.dls.train)
    assert rows.positions == list(range(256))


def test_order_is_put_back_unless_not_wanted() -> None:
    learn = digit_learner()
    x, y = digits()
    shuffled = DataLoader(list(zip(x[:50], y[:50], strict=True)), bs=8, shuffle=True, seed=3)
    assert torch.equal(learn.get_preds(dl=shuffled)[1], y[:50])
    assert not torch.equal(learn.get_preds(dl=shuffled, reorder=False)[1], y[:50])


def test_a_list_of_batches_is_a_loader() -> None:
    learn = digit_learner()
    x, y = (t[:7] for t in digits())
    preds, targets = learn.get_preds(dl=[(x, y)])
    assert preds.shape == (7, 10)
    assert torch.equal(targets, y)
    assert learn.get_preds(dl=[x])[1] is None
    rows = learn.predict_loader([x])
    assert (rows.targets, rows.losses, rows.positions) == (None, None, list(range(7)))
    assert learn.validate(dl=[(x, y)])[0] == pytest.approx(F.nll_loss(preds.log(), y).item(), rel=1e-5)


def test_nothing_to_predict_is_an_error() -> None:
    learn = digit_learner()
    with pytest.raises(DataError, match="at least 1 item to predict"):
        learn.get_preds(dl=[])
    with pytest.raises(DataError, match="at least 1 item to validate"):
        learn.validate(dl=[])
    with pytest.raises(DataError, match="carry none"):
        learn.get_preds(dl=[digits()[0][:3]], with_loss=True)


def test_two_targets_and_two_outputs() -> None:
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 2), nn.Linear(3, 4)

        def forward(self, x):
            return self.a(x), self.b(x)

    def loss(pred, first):
        return F.cross_entropy(pred[0], first) + F.cross_entropy(pred[1], first)

    rows = [(torch.randn(3), i % 2) for i in range(10)]
    dls = DataLoaders(DataLoader(rows, 4), DataLoader(rows, 4), device="cpu")
    learn = Learner(dls, Two(), loss_func=loss)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    (first, second), targets, losses = learn.get_preds(with_loss=True)
    assert (first.shape, second.shape, targets.shape, losses.shape) == ((10, 2), (10, 4), (10,), (10,))


def test_gradients_are_not_kept() -> None:
    for batch, pred in digit_learner().outputs(digit_learner().dls.valid):
        assert not pred.requires_grad
        assert not torch.is_inference(pred)  # or what is cached in a model could never be trained again
        assert len(batch) > 0


# Real images


def test_one_photo(photos: ImageDataLoaders, digits_folder: Path) -> None:
    learn = photo_learner(photos)
    path = sorted((digits_folder / "7").iterdir())[0]
    label, index, probs = learn.predict(path)
    assert label == photos.vocab[int(index)] == photos.vocab[int(probs.argmax())]
    assert float(probs.sum()) == pytest.approx(1)
    for same in (str(path), path.read_bytes(), Image.open(path), np.asarray(Image.open(path))):
        torch.testing.assert_close(learn.predict(same).probs, probs)
    among = learn.get_preds(dl=photos.test_dl([path, path]))[0]
    torch.testing.assert_close(among[1], probs)


def test_a_photo_that_does_not_open_is_named(photos: ImageDataLoaders, tmp_path: Path) -> None:
    learn = photo_learner(photos)
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(ItemError, match=r"broken\.png"):
        learn.predict(tmp_path / "broken.png")
    with pytest.raises(ItemError, match=r"nowhere\.png"):
        learn.predict(tmp_path / "nowhere.png")


def test_predicting_one_item_needs_blocks() -> None:
    with pytest.raises(ArgumentError, match="test_dl"):
        digit_learner().predict(digits()[0][0])


def test_lending_changes_no_result(photos: ImageDataLoaders, monkeypatch: pytest.MonkeyPatch) -> None:
    def results(lend: bool):
        if not lend:
            monkeypatch.setattr("wiggly.train.passes.lender", lambda learner, dl: None)
        photos.train.epoch = 0
        learn = photo_learner(photos)
        learn.fit(1, 1e-2)
        body = learn.model[0]
        assert body.normalise
        assert set(body.seen) == {not lend}
        return learn.recorder.raw_losses, learn.validate(), learn.get_preds()[0], learn.get_preds(ds_idx=0)[0]

    for lent, own in zip(results(True), results(False), strict=True):
        torch.testing.assert_close(torch.as_tensor(lent), torch.as_tensor(own), rtol=1e-5, atol=1e-5)


def test_inputs_come_back_in_zero_to_one(photos: ImageDataLoaders) -> None:
    learn = photo_learner(photos)
    inputs, preds, _ = learn.get_preds(with_input=True)
    assert 0 <= inputs.min() < inputs.max() <= 1
    assert learn.model[0].seen == [True, True]
    torch.testing.assert_close(preds, learn.get_preds()[0], rtol=1e-5, atol=1e-5)


def test_statistics_come_home_after_an_error(photos: ImageDataLoaders) -> None:
    def fail(pred, target):
        raise RuntimeError("on purpose")

    learn = photo_learner(photos, loss_func=fail)
    with pytest.raises(RuntimeError):
        learn.fit(1)
    assert learn.model[0].normalise
    rows = learn.outputs(learn.dls.valid)
    next(rows)
    assert not learn.model[0].normalise
    rows.close()
    assert learn.model[0].normalise


def test_a_batch_transform_sees_zero_to_one(photos: ImageDataLoaders) -> None:
    seen = []

    def watch(x):
        seen.append((float(x.min()), float(x.max())))
        return x

    photos.valid.batch_tfms = [watch]
    photo_learner(photos).validate()
    assert all(0 <= low < high <= 1 for low, high in seen)
    assert seen


def test_bodies_of_vision_models_lend() -> None:
    annotated = {name for cls in Body.__mro__ for name in vars(cls).get("__annotations__", {})}
    assert {"mean", "std"} <= annotated  # what the loop looks for; `normalise` is set by Body


def test_evaluation_of_training_items_is_without_augmentation(photos: ImageDataLoaders) -> None:
    learn = photo_learner(photos)
    first, targets = learn.get_preds(ds_idx=0)
    again, _ = learn.get_preds(ds_idx=0)
    assert torch.equal(first, again)
    assert len(first) == len(photos.train_ds) == 240
    items = photos.train_ds.items
    torch.testing.assert_close(learn.get_preds(dl=photos.test_dl(items))[0], first)
    assert [photos.vocab[i] for i in targets.tolist()] == [Path(item).parent.name for item in items]
    assert photos.train_ds.train  # training itself goes on as before


def test_bad_items_are_left_out_and_the_rest_stays_aligned(digits_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(digits_folder, folder)
    dls = ImageDataLoaders.from_folder(folder, valid_pct=0.4, seed=1, bs=16, device="cpu")
    bad = [3, 20]
    for position in bad:
        Path(dls.valid_ds.items[position]).write_bytes(b"no image")
    dls.valid.max_bad = 0.1
    learn = photo_learner(dls)
    rows = learn.predict_loader(dls.valid)
    wanted = [i for i in range(len(dls.valid_ds)) if i not in bad]
    assert rows.positions == wanted
    assert rows.probs.shape[0] == rows.losses.shape[0] == rows.targets.shape[0] == len(wanted)
    labels = [Path(dls.valid_ds.items[i]).parent.name for i in wanted]
    assert [dls.vocab[i] for i in rows.targets.tolist()] == labels
    torch.testing.assert_close(rows.losses, F.nll_loss(rows.probs.log(), rows.targets, reduction="none"))
    assert len(dls.bad_items) == 2


def test_show_results_draws_target_over_prediction(photos: ImageDataLoaders) -> None:
    import matplotlib.pyplot as plt

    learn = photo_learner(photos)
    learn.show_results(max_n=4)
    titles = [ax.get_title() for ax in plt.gcf().axes]
    assert len(titles) == 4
    learn.show_results(max_n=4)
    learn.show_results(max_n=4, shuffle=False)
    decoded = learn.get_preds(with_decoded=True)
    wanted = [
        f"{photos.vocab[t]}\n{photos.vocab[p]}" for t, p in zip(decoded[1][:4], decoded[2][:4], strict=True)
    ]
    assert [ax.get_title() for ax in plt.gcf().axes] == wanted


def test_show_results_without_blocks_says_so() -> None:
    with pytest.raises(DataError, match="built from blocks"):
        digit_learner().show_results()
