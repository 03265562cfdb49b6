"""Bundles of detectors: the same boxes from the file as from the learner, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image
from tests.bundle.support import entries_of, forged, rewrite
from tests.vision.detection.scenes import learner, loaders, scene

from wiggly.apps import photos
from wiggly.bundle.boxes import BoxesAnswer, boxes_apart
from wiggly.bundle.manifest import manifest_schema, read_manifest
from wiggly.bundle.predictor import load_bundle
from wiggly.cli import main
from wiggly.errors import BundleError
from wiggly.vision.augment import Resize
from wiggly.vision.detection.boxes import Detection
from wiggly.vision.detection.learner import DetectionLearner


@pytest.fixture(scope="module")
def learn() -> DetectionLearner:
    made = learner(loaders(n=40, item_tfms=Resize(64)))
    with made.no_bar(), made.no_logging():
        made.fit_one_cycle(4, 5e-3)
    made.min_score = 0.1
    return made


@pytest.fixture(scope="module")
def bundle(learn: DetectionLearner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learn.export(tmp_path_factory.mktemp("bundle") / "squares.wiggly", graph=False)


def photo(folder: Path, number: int) -> Path:
    """A scene as a file of another shape than the model sees."""
    file = folder / f"{number}.png"
    Image.fromarray(scene(number)[0]).resize((96, 160), Image.Resampling.NEAREST).save(file)
    return file


def test_the_same_boxes_as_the_learner(learn: DetectionLearner, bundle: Path, tmp_path: Path) -> None:
    predictor = load_bundle(bundle)
    assert isinstance(predictor.answer, BoxesAnswer)
    assert predictor.vocab == learn.dls.vocab
    files = [photo(tmp_path, number) for number in (1, 2, 3)]
    assert sum(len(learn.predict(file).decoded) for file in files) > 2
    for file, found in zip(files, predictor.predict_batch(files), strict=True):
        wanted = learn.predict(file)
        assert [box.label for box in found.decoded] == [box.label for box in wanted.decoded]
        assert torch.allclose(found.probs, wanted.probs, atol=1e-5)
        assert np.allclose([b.box for b in found.decoded], [b.box for b in wanted.decoded], atol=1e-2)


def test_what_is_in_it(learn: DetectionLearner, bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        content = json.loads(archive.read("model.json"))
        names = archive.namelist()
    jsonschema.Draft202012Validator(manifest_schema()).validate(content)
    assert content["task"] == "detection"
    assert content["outputs"] == [
        {"kind": "boxes", "vocabulary": ["#na#", "blue", "red"], "min_score": 0.1},
    ]
    assert [step["name"] for step in content["inputs"][0]["preprocessing"]] == ["Resize"]
    assert content["metrics"]["AP50"] == pytest.approx(learn.validate()[2])
    assert not any(name.endswith((".pkl", ".pt", ".pth")) for name in names)
    assert any(example["boxes"] for example in content["examples"])
    assert load_bundle(bundle).verify() < 1e-4


def test_a_changed_example_does_not_pass(bundle: Path, tmp_path: Path) -> None:
    def changed(change: Any) -> Path:
        entries = entries_of(bundle)
        content = json.loads(entries["model.json"])
        change(next(example for example in content["examples"] if example["boxes"])["boxes"])
        made = read_manifest(json.dumps(content), "x")
        files = {name: entries[name] for name in content["files"]}
        return rewrite(tmp_path / "changed.wiggly", forged(made, files))

    with pytest.raises(BundleError, match="lacks a box or has it elsewhere"):
        load_bundle(changed(lambda boxes: boxes[0].update(box=[0.0, 0.0, 1.0, 1.0]))).verify()
    with pytest.raises(BundleError, match="has a score that is"):
        load_bundle(changed(lambda boxes: boxes[0].update(score=boxes[0]["score"] / 2))).verify()
    with pytest.raises(BundleError, match="label"):
        load_bundle(changed(lambda boxes: boxes[0].update(label=[1])))


def test_task_output_and_examples_belong_together(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        content = json.loads(archive.read("model.json"))
    for change, message in (
        ({"task": "classification"}, "goes with 'classification'"),
        ({"outputs": [{"kind": "masks"}]}, "'boxes' or 'mask'"),
        (
            {"examples": [{"file": "examples/1.png", "label": "a", "actual": None, "probabilities": []}]},
            "another",
        ),
    ):
        with pytest.raises(BundleError, match=message):
            read_manifest(json.dumps({**content, **change}), "x")


def test_boxes_apart() -> None:
    one, moved = Detection("a", 0.9, (0, 0, 100, 100)), Detection("a", 0.8, (0, 0, 100.5, 100))
    assert boxes_apart([one], [moved], 0.3) == pytest.approx(0.1)
    assert boxes_apart([one], [one._replace(label="b")], 0.3) == float("inf")
    assert boxes_apart([one], [], 0.3) == float("inf")
    assert boxes_apart([one._replace(score=0.25)], [], 0.3) == 0  # too close to the border to tell
    assert boxes_apart([], [], 0.3) == 0


def test_the_command_line_names_boxes(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = photo(tmp_path, 3)
    assert main(["predict", str(bundle), str(file), "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert {"label", "score", "box"} == set(row["boxes"][0])
    assert main(["predict", str(bundle), str(file)]) == 0
    assert f"{row['boxes'][0]['label']} " in capsys.readouterr().out


def test_the_page_lays_boxes_over_the_photo(learn: DetectionLearner, bundle: Path, tmp_path: Path) -> None:
    predictor, file = load_bundle(bundle), photo(tmp_path, 3)
    gradio: Any = SimpleNamespace(AnnotatedImage=lambda **_: None)
    _, show = photos.SHOWN["boxes"](predictor, gradio)
    picture, boxes = show(predictor.predict(file), str(file))
    assert picture.size == (96, 160)
    found = predictor.predict(file).decoded
    assert [label for _, label in boxes] == [f"{box.label} {box.score:.0%}" for box in found]
    np.testing.assert_allclose([place for place, _ in boxes], [box.box for box in found], atol=1)


SCRIPT = """
import sys
from wiggly import load_learner
print(load_learner(sys.argv[1]).verify() < 1e-3)
rooms = ("wiggly.train", "wiggly.interpret", "wiggly.vision.detection.learner", "wiggly.bundle.export")
print([m for m in sys.modules if m.startswith(rooms)])
"""


@pytest.mark.slow
def test_imports_no_training_code(bundle: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(bundle)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", "[]"]
