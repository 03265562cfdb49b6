"""A bundle answers as its learner did, without training code, and refuses what it cannot trust."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from tests.bundle.support import entries_of, learner, rewrite

from wiggly.bundle.predictor import Predictor, load_bundle, load_learner
from wiggly.data.items import get_image_files
from wiggly.errors import ArgumentError, BundleError, ItemError, StorageError
from wiggly.vision.augment import Resize, aug_transforms
from wiggly.vision.loaders import ImageDataLoaders


@pytest.fixture(scope="module")
def predictor(exported: Path) -> Predictor:
    return load_bundle(exported)


def test_answers_as_the_learner(learn: Any, predictor: Predictor) -> None:
    files = learn.dls.valid_ds.items
    temperature = predictor.manifest.outputs[0].temperature
    assert temperature != 1
    expected = (learn.get_preds()[0].log() / temperature).softmax(1)
    found = predictor.predict_batch(files, bs=7)
    assert torch.allclose(torch.stack([p.probs for p in found]), expected, atol=1e-5)
    for file, prediction in zip(files[:5], found, strict=False):
        label, index, probs = predictor.predict(file)
        assert (label, int(index)) == (prediction.decoded, int(prediction.index))
        assert torch.allclose(probs, prediction.probs, atol=1e-5)
        assert label == learn.predict(file).decoded


def test_names_of_the_course(exported: Path, predictor: Predictor) -> None:
    learn = load_learner(exported)
    assert learn.dls.vocab == learn.vocab == predictor.vocab
    assert learn.vocab.o2i["3"] == 3
    assert "10 classes" in repr(learn)


def test_every_kind_of_item(learn: Any, predictor: Predictor) -> None:
    file = learn.dls.valid_ds.items[0]
    pixels = np.asarray(Image.open(file))
    lazy = Image.open(file)
    expected = predictor.predict(file).probs
    kinds = [
        str(file),
        file.read_bytes(),
        lazy,
        pixels,
        torch.from_numpy(pixels.copy())[None],
        Image.fromarray(pixels),
    ]
    for item in kinds:
        assert torch.allclose(predictor.predict(item).probs, expected, atol=1e-6)


def test_probabilities_are_probabilities(predictor: Predictor) -> None:
    probs = predictor.predict(np.zeros((50, 20, 3), np.uint8)).probs
    assert probs.shape == (10,)
    assert probs.dtype == torch.float32
    assert float(probs.sum()) == pytest.approx(1, abs=1e-5)
    assert not probs.requires_grad


def test_bad_items(predictor: Predictor, tmp_path: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("not a photo")
    with pytest.raises(ItemError, match=r"notes\.jpg"):
        predictor.predict(text)
    with pytest.raises(ItemError, match=r"missing\.jpg"):
        predictor.predict(tmp_path / "missing.jpg")
    with pytest.raises(ArgumentError):
        predictor.predict(5)
    with pytest.raises(ItemError, match=r"notes\.jpg"):
        predictor.predict_batch([np.zeros((8, 8), np.uint8), text])
    assert predictor.predict_batch([]) == []


def test_worked_examples(predictor: Predictor) -> None:
    assert predictor.verify() <= 1e-6
    for example in predictor.examples:
        assert predictor.predict(example.content).decoded == example.answer.decoded
        assert example.actual in predictor.vocab


def test_verify_notices_another_answer(exported: Path) -> None:
    predictor = load_bundle(exported)
    with torch.no_grad():
        predictor.model[1][-1].weight.mul_(1.01)
    with pytest.raises(BundleError, match=r"'examples/1\.png' is .* off"):
        predictor.verify()
    with torch.no_grad():
        predictor.model[1][-1].weight.fill_(float("nan"))
    with pytest.raises(BundleError, match="nan off"):
        predictor.verify()


SCRIPT = """
import sys
from wiggly import load_learner
predictor = load_learner(sys.argv[1])
print(predictor.verify() < 1e-4, predictor.predict(predictor.examples[0].content).decoded)
heavy = ("matplotlib", "pandas", "sklearn", "gradio", "IPython")
rooms = ("wiggly.train", "wiggly.interpret", "wiggly.vision.learner", "wiggly.bundle.export", "wiggly.cli")
print([m for m in sys.modules if m.split(".")[0] in heavy or m.startswith(rooms)])
"""


def test_imports_no_training_code(exported: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(exported)], capture_output=True, text=True, check=True
    )
    verified, loaded = ran.stdout.splitlines()
    assert verified.startswith("True ")
    assert loaded == "[]"


def test_nothing_is_unpickled(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("something was unpickled")

    for owner, name in [(pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")]:
        monkeypatch.setattr(owner, name, never)
    load_bundle(exported).verify()


@pytest.mark.parametrize("version", [1, 2])
def test_bundles_of_older_versions_are_read(exported: Path, tmp_path: Path, version: int) -> None:
    def older(content: dict[str, Any]) -> None:
        content["$schema"] = f"urn:wiggly:model:{version}"
        content["version"] = version
        del content["outputs"][0]["name"]  # of version 3

    load_bundle(forge(exported, tmp_path / "x.wiggly", older)).verify()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"gone\.wiggly"):
        load_bundle(tmp_path / "gone.wiggly")


# --- bundles of a clever forger: every hash is right --------------------------------------------------------
def forge(exported: Path, path: Path, change: Callable[[dict[str, Any]], None], **files: bytes) -> Path:
    entries = {
        **entries_of(exported),
        **{name.replace("__", "."): content for name, content in files.items()},
    }
    content = json.loads(entries["model.json"])
    for name in content["files"]:
        content["files"][name] = {
            "sha256": hashlib.sha256(entries[name]).hexdigest(),
            "bytes": len(entries[name]),
        }
    change(content)
    entries["model.json"] = json.dumps(content).encode()
    entries["model.json.sha256"] = (
        f"{hashlib.sha256(entries['model.json']).hexdigest()}  model.json\n".encode()
    )
    return rewrite(path, entries)


def nothing(content: dict[str, Any]) -> None:
    pass


def test_forging_works_at_all(exported: Path, tmp_path: Path) -> None:
    load_bundle(forge(exported, tmp_path / "x.wiggly", nothing)).verify()


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ({"arch": "hf-hub:stranger/model"}, "hf-hub:stranger"),
        ({"arch": "local-dir:/home"}, "local-dir"),
        ({"arch": "no_such_network"}, "can be built here"),
        ({"arch": None}, "None"),
        ({"library": "own"}, "'own'"),
        ({"library": "os"}, "'os'"),
        ({"arch_args": {"checkpoint_path": "/tmp/weights.pth"}}, "checkpoint_path"),
        ({"arch_args": {"pretrained": True}}, "pretrained"),
        ({"arch_args": {"pretrained_cfg_overlay": {"url": "http://localhost/x"}}}, "pretrained_cfg_overlay"),
        ({"library": "torchvision", "arch": "resnet18", "arch_args": {"weights": "DEFAULT"}}, "`weights`"),
        ({"arch_args": {"layers": "many"}}, "can be built here"),
        ({"arch_args": [1]}, "can be built here"),
        ({"n_in": "three"}, "can be built here"),
        ({"surprise": 1}, "can be built here"),
    ],
)
def test_forged_networks(exported: Path, tmp_path: Path, body: dict[str, Any], match: str) -> None:
    path = forge(exported, tmp_path / "x.wiggly", lambda content: content["model"]["body"].update(body))
    with pytest.raises(BundleError, match=match):
        load_bundle(path)


def test_forged_model_without_a_body(exported: Path, tmp_path: Path) -> None:
    for model in ({}, {"body": 3}, {"body": {}}):
        path = forge(
            exported, tmp_path / "x.wiggly", lambda content, model=model: content.update(model=model)
        )
        with pytest.raises(BundleError, match="network"):
            load_bundle(path)


@pytest.mark.parametrize(
    "step",
    [
        {"name": "system", "args": {}},
        {"name": "Resize", "args": {"size": -1}},
        {"name": "Resize", "args": {"size": 32, "surprise": 1}},
        {"name": "CategoryBlock", "args": {}},
        {"name": "Resize", "args": {"size": "big"}},
    ],
)
def test_forged_preprocessing(exported: Path, tmp_path: Path, step: dict[str, Any]) -> None:
    path = forge(
        exported, tmp_path / "x.wiggly", lambda content: content["inputs"][0].update(preprocessing=[step])
    )
    with pytest.raises(BundleError):
        load_bundle(path)


def test_weights_of_another_network(exported: Path, tmp_path: Path) -> None:
    other = safetensors.torch.save({"a": torch.zeros(1)})
    with pytest.raises(BundleError, match="must fit the network"):
        load_bundle(forge(exported, tmp_path / "x.wiggly", nothing, weights__safetensors=other))


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, pickle.dumps([1, 2, 3])])
def test_weights_that_are_no_safetensors(exported: Path, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BundleError, match="must fit the network"):
        load_bundle(forge(exported, tmp_path / "x.wiggly", nothing, weights__safetensors=content))


def test_worked_example_that_lies(exported: Path, tmp_path: Path) -> None:
    def lie(content: dict[str, Any]) -> None:
        content["examples"][0]["probabilities"] = [0.1] * 10

    with pytest.raises(BundleError, match="worked examples"):
        load_bundle(forge(exported, tmp_path / "x.wiggly", lie)).verify()


# --- real photos --------------------------------------------------------------------------------------------
def test_real_photos_through_a_pretrained_network(shared: Path, tmp_path: Path) -> None:
    dls = ImageDataLoaders.from_folder(
        shared / "data" / "hymenoptera",
        train="train",
        valid="val",
        item_tfms=Resize(256),
        batch_tfms=aug_transforms(size=128),
        num_workers=1,
    )
    dls.valid_ds.items = dls.valid_ds.items[::8]  # a few of both classes are enough
    dls.valid_ds.raws = [None, None]
    weights = shared / "weights" / "tf_efficientnet_lite0.in1k_backbone.fp16.safetensors"
    learn = learner(dls, "tf_efficientnet_lite0", weights=weights)
    path = learn.export(tmp_path / "insects.wiggly", graph=False)
    predictor = load_bundle(path)
    assert predictor.vocab == ["ants", "bees"]
    assert predictor.verify() < 1e-5
    files = list(dls.valid_ds.items)
    expected = learn.get_preds()[0]
    found = torch.stack([p.probs for p in predictor.predict_batch(files)])
    # The learner reads photos by a faster approximation of the same filter.
    assert (found.argmax(1) == expected.argmax(1)).float().mean() > 0.9
    assert torch.allclose(found, expected, atol=0.1) and (found - expected).abs().mean() < 0.02
    assert all(len(example.content) <= 200_000 for example in predictor.examples)
    assert {example.actual for example in predictor.examples} == {"ants", "bees"}
    assert get_image_files(shared / "data" / "hymenoptera")  # untouched


def test_prediction_unpacks(predictor: Predictor) -> None:
    label, index, probs = predictor.predict(io.BytesIO(predictor.examples[0].content).getvalue())
    assert label == predictor.vocab[index] == predictor.vocab[int(probs.argmax())]
    assert dataclasses.is_dataclass(predictor.manifest)
