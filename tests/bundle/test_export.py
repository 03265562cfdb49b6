"""From a learner to a file: what is in it, what cannot travel, what if the file cannot be written."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from sklearn.metrics import accuracy_score
from tests.bundle.support import learner
from torch import nn

from wiggly.bundle import export as module
from wiggly.bundle.export import export_bundle
from wiggly.bundle.manifest import manifest_schema
from wiggly.bundle.predictor import load_bundle
from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock
from wiggly.data.items import get_image_files, parent_label
from wiggly.data.loaders import DataLoaders
from wiggly.data.split import RandomSplitter
from wiggly.data.transform import Transform
from wiggly.errors import BundleError, StorageError
from wiggly.train.learner import Learner
from wiggly.vision.augment import Normalize, Resize, aug_transforms
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.image import PILImageBW


def loaders(folder: Path, **changes: Any) -> DataLoaders:
    parts: dict[str, Any] = {
        "blocks": (ImageBlock, CategoryBlock),
        "get_items": get_image_files,
        "splitter": RandomSplitter(0.2, seed=1),
        "get_y": parent_label,
        "item_tfms": Resize(32),
    }
    return DataBlock(**{**parts, **changes}).dataloaders(folder, bs=32, num_workers=0, seed=0)


def content_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("model.json"))


# --- what is in it ------------------------------------------------------------------------------------------
def test_manifest_fits_the_schema_and_tells_the_model(learn: Any, exported: Path) -> None:
    content = content_of(exported)
    jsonschema.Draft202012Validator(manifest_schema()).validate(content)
    assert content["outputs"][0]["vocabulary"] == [str(i) for i in range(10)]
    assert content["inputs"][0]["size"] == [32, 32]
    assert content["inputs"][0]["channels"] == 3
    assert [step["name"] for step in content["inputs"][0]["preprocessing"]] == ["Resize"]
    assert content["title"] == "Digits"
    assert set(content["metrics"]) == {"train_loss", "valid_loss", "error_rate"}
    assert content["versions"]["torch"] == torch.__version__.split("+")[0]


def test_score_is_that_of_the_validation_set(learn: Any, exported: Path) -> None:
    probs, targets = learn.get_preds()
    score = content_of(exported)["score"]
    assert score["value"] == pytest.approx(accuracy_score(targets, probs.argmax(1)))
    assert score["n"] == len(targets)
    labels = learn.dls.train_ds.raw_targets
    usual = max(sorted(set(labels)), key=labels.count)
    assert score["baseline_label"] == usual
    assert score["baseline"] == pytest.approx(np.mean([t == usual for t in learn.dls.valid_ds.raw_targets]))
    assert score["interval"][0] < score["value"] < score["interval"][1]


def test_weights_are_plain_safetensors(learn: Any, exported: Path) -> None:
    with zipfile.ZipFile(exported) as archive:
        tensors = safetensors.torch.load(archive.read("weights.safetensors"))
    state = learn.model.state_dict()
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[name], state[name].cpu()) for name in state)


def test_examples_are_validation_photos_of_different_classes(learn: Any, exported: Path) -> None:
    examples = content_of(exported)["examples"]
    assert len(examples) == len({example["actual"] for example in examples}) == 10
    with zipfile.ZipFile(exported) as archive:
        first = np.asarray(Image.open(io.BytesIO(archive.read(examples[0]["file"]))).convert("L"))
    pictures = [np.asarray(learn.dls.valid_ds[i][0].convert("L")) for i in range(len(learn.dls.valid_ds))]
    assert any(np.array_equal(first, picture) for picture in pictures)


def test_nothing_of_the_users_machine_travels(learn: Any, exported: Path) -> None:
    whole = exported.read_bytes()
    assert str(learn.dls.path).encode() not in whole
    assert str(Path.home()).encode() + b"/" not in whole


def test_options(learn: Any, tmp_path: Path) -> None:
    path = export_bundle(
        learn,
        tmp_path / "model.pkl",
        title="Ziffern",
        description="0 to 9.",
        licence="CC0-1.0",
        examples=0,
        graph=False,
    )
    assert path == tmp_path / "model.pkl"
    predictor = load_bundle(path)
    assert predictor.manifest.title == "Ziffern"
    assert predictor.manifest.licence == "CC0-1.0"
    assert predictor.examples == []
    assert predictor.manifest.inputs[0].size == (32, 32)
    assert predictor.verify() == 0.0


def test_learner_is_left_as_it_was(learn: Any, tmp_path: Path) -> None:
    learn.model.train()
    before = {name: value.clone() for name, value in learn.model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    learn.export(tmp_path / "x.wiggly", graph=False)
    assert torch.equal(torch.rand(1), expected)
    after = learn.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.requires_grad for parameter in learn.model.parameters())


def test_without_a_resize_the_size_is_open(digits_folder: Path, tmp_path: Path) -> None:
    learn = learner(loaders(digits_folder, item_tfms=None))
    path = learn.export(tmp_path / "x.wiggly", graph=False)
    predictor = load_bundle(path)
    assert predictor.manifest.inputs[0].size is None
    found = predictor.predict_batch([np.zeros((32, 32), np.uint8), np.zeros((40, 64), np.uint8)])
    assert torch.allclose(found[1].probs, predictor.predict(np.zeros((40, 64), np.uint8)).probs, atol=1e-6)


def test_grey_images_augmentation_and_own_labels(digits_folder: Path, tmp_path: Path) -> None:
    dls = loaders(
        digits_folder,
        blocks=(ImageBlock(PILImageBW), CategoryBlock),
        get_y=lambda path: int(path.parent.name) > 4,
        item_tfms=Resize(40, method="pad", pad_mode="zeros"),
        batch_tfms=[*aug_transforms(size=(24, 32), min_scale=0.7), Normalize.from_stats([0.3], [0.3])],
    )
    learn = learner(dls)
    predictor = load_bundle(learn.export(tmp_path / "x.wiggly", calibrate=False, graph=False))
    assert predictor.vocab == [False, True]
    assert predictor.manifest.inputs[0].channels == 1
    assert predictor.manifest.inputs[0].size == (24, 32)
    files = get_image_files(digits_folder)[:20]
    expected = learn.get_preds(dl=dls.test_dl(files))[0]
    found = predictor.predict_batch(files)
    assert torch.allclose(torch.stack([p.probs for p in found]), expected, atol=1e-5)
    assert found[0].decoded is bool(found[0].index)


# --- what cannot travel -------------------------------------------------------------------------------------
def refused(learn: Any, folder: Path, match: str, error: type[Exception] = BundleError) -> None:
    path = folder / "x.wiggly"
    with pytest.raises(error, match=match):
        learn.export(path, graph=False)
    assert list(folder.iterdir()) == []


def shout(image: Any) -> Any:
    return image


def test_own_function_in_the_transforms(digits_folder: Path, tmp_path: Path) -> None:
    refused(
        learner(loaders(digits_folder, item_tfms=[Resize(32), shout])), tmp_path, "`shout` is one of your own"
    )
    refused(learner(loaders(digits_folder, batch_tfms=[shout])), tmp_path, "`shout` is one of your own")
    refused(
        learner(loaders(digits_folder, item_tfms=[lambda image: image, Resize(32)])),
        tmp_path,
        "one of your own",
    )


def test_own_function_of_training_alone_may_stay(digits_folder: Path, tmp_path: Path) -> None:
    class Noisy:
        split_idx = 0

        def __call__(self, image: Any) -> Any:
            raise AssertionError("never in validation")

    path = learner(loaders(digits_folder, item_tfms=[Noisy(), Resize(32)])).export(
        tmp_path / "x.wiggly", graph=False
    )
    assert [step.name for step in load_bundle(path).manifest.inputs[0].preprocessing] == ["Resize"]


@dataclass(frozen=True)
class HalfDark(Transform):
    """A transform class of a user: known here, unknown where the bundle is read."""

    def apply(self, values: tuple[Any, ...], random: Random, train: bool) -> tuple[Any, ...]:
        return values


def test_own_transform_class(digits_folder: Path, tmp_path: Path) -> None:
    refused(learner(loaders(digits_folder, item_tfms=[HalfDark(), Resize(32)])), tmp_path, "HalfDark")


def test_own_network(digits_folder: Path, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    refused(Learner(loaders(digits_folder), model), tmp_path, "`Sequential` is one of your own")


def test_network_changed_after_it_was_made(digits_folder: Path, tmp_path: Path) -> None:
    learn = learner(loaders(digits_folder))
    learn.model[1][-1] = nn.Sequential(learn.model[1][-1], nn.Linear(10, 10))
    refused(learn, tmp_path, "weights of this learner must fit")


def test_diverged_network(digits_folder: Path, tmp_path: Path) -> None:
    learn = learner(loaders(digits_folder))
    with torch.no_grad():
        learn.model[1][-1].weight.fill_(float("nan"))
    refused(learn, tmp_path, "NaN")


def test_other_activation(digits_folder: Path, tmp_path: Path) -> None:
    class Odd(nn.CrossEntropyLoss):
        def activation(self, logits: torch.Tensor) -> torch.Tensor:
            return logits.sigmoid()

    learn = learner(loaders(digits_folder))
    learn.loss_func = Odd()
    refused(learn, tmp_path, "must answer as its learner does")


def test_other_targets(digits_folder: Path, tmp_path: Path) -> None:
    blocks = (ImageBlock, CategoryBlock, CategoryBlock)
    dls = loaders(digits_folder, blocks=blocks, get_y=[parent_label, parent_label], n_inp=1)
    learn = learner(dls, n_out=20, loss_func=nn.CrossEntropyLoss(), metrics=[])
    refused(learn, tmp_path, "'CategoryBlock', 'CategoryBlock'")


def test_loaders_made_elsewhere(tmp_path: Path) -> None:
    batch = (torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 0, 1]))
    dls = DataLoaders([batch], [batch], device="cpu")
    refused(Learner(dls, nn.Flatten(), loss_func=nn.CrossEntropyLoss()), tmp_path, "no blocks|unknown")


def test_photos_that_have_gone_do_not_stop_an_export(digits_folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(digits_folder, photos)
    learn = learner(loaders(photos))
    shutil.rmtree(photos)
    with pytest.warns(UserWarning, match="exported without a score"):
        path = learn.export(tmp_path / "x.wiggly", graph=False)
    predictor = load_bundle(path)
    assert predictor.manifest.score is None
    assert predictor.examples == []
    assert predictor.predict(np.zeros((32, 32), np.uint8)).decoded in predictor.vocab


# --- when the file cannot be written ------------------------------------------------------------------------
def test_other_files_are_not_replaced(learn: Any, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"my only copy")
    with pytest.raises(StorageError, match=r"photo\.jpg' is a file of another kind"):
        learn.export(photo, graph=False)
    assert photo.read_bytes() == b"my only copy"
    export_bundle(learn, photo, overwrite=True, graph=False)
    load_bundle(photo)


def test_an_earlier_bundle_and_an_empty_file_are_replaced(learn: Any, exported: Path, tmp_path: Path) -> None:
    old = tmp_path / "x.wiggly"
    old.write_bytes(exported.read_bytes())
    export_bundle(learn, old, title="second", graph=False)
    assert load_bundle(old).manifest.title == "second"
    old.write_bytes(b"")
    load_bundle(learn.export(old, graph=False))


def test_places_where_no_file_can_be(learn: Any, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is a folder"):
        learn.export(tmp_path, graph=False)
    with pytest.raises(StorageError, match="too long"):
        learn.export(tmp_path / ("x" * 300), graph=False)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="Not a directory"):
        learn.export(tmp_path / "file" / "x.wiggly", graph=False)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="is a device"):
        export_bundle(learn, tmp_path / "pipe", overwrite=True, graph=False)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_full_disk_leaves_the_old_bundle(
    learn: Any, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.wiggly"
    path.write_bytes(exported.read_bytes())

    def full(place: Path, *_: Any) -> None:
        Path(place).write_bytes(b"PK half a file")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_archive", full)
    with pytest.raises(StorageError, match="No space left"):
        learn.export(path, graph=False)
    assert path.read_bytes() == exported.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_no_permission(learn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As root every folder is writable, so what the system would answer is put in its place.
    monkeypatch.setattr(module.os, "access", lambda *_: False)
    with pytest.raises(StorageError, match="must be writable"):
        learn.export(tmp_path / "x.wiggly", graph=False)
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_is_proved_before_it_takes_the_name(
    learn: Any, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.wiggly"
    path.write_bytes(exported.read_bytes())

    def rotten(model: nn.Module) -> bytes:
        changed = {name: value.detach().clone().contiguous() for name, value in model.state_dict().items()}
        changed["1.8.weight"] += 0.1 * torch.rand_like(changed["1.8.weight"])
        return safetensors.torch.save(changed)

    monkeypatch.setattr(module, "_weights", rotten)
    with pytest.raises(BundleError, match="worked examples must come out"):
        learn.export(path, graph=False)
    assert path.read_bytes() == exported.read_bytes()


def test_a_link_stays_a_link(learn: Any, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "v1.wiggly", tmp_path / "latest.wiggly"
    learn.export(target, graph=False)
    link.symlink_to(target)
    export_bundle(learn, link, title="newer", graph=False)
    assert link.is_symlink()
    assert load_bundle(target).manifest.title == "newer"


def test_a_model_is_called_after_its_file(learn: Any, tmp_path: Path) -> None:
    assert (
        load_bundle(export_bundle(learn, tmp_path / "my_pets.wiggly", examples=0, graph=False)).manifest.title
        == "My pets"
    )
