"""The Core ML program of a bundle: what Xcode sees, its weights, its numbers by an interpreter of our own."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageOps
from tests.bundle.support import ImageDataLoaders, Learner, Resize, learner

from wiggly import load_bundle
from wiggly.bundle.coreml import check_core_ml, core_ml_model, save_core_ml
from wiggly.bundle.export import export_bundle
from wiggly.bundle.pixels import prepare
from wiggly.errors import BundleError

pytest.importorskip("coremltools", reason="the extra `apple` is not installed")

from tests.bundle.mil import Program


@pytest.fixture(scope="module")
def saved(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits as an .mlpackage."""
    folder = tmp_path_factory.mktemp("coreml") / "Model.mlpackage"
    save_core_ml(core_ml_model(load_bundle(exported)), folder)
    return folder


def _image(predictor: Any, file: str) -> torch.Tensor:
    """What the phone puts in: prepared pixels 0 to 255."""
    taken = predictor.manifest.inputs[0]
    mode = "RGB" if taken.channels == 3 else "L"
    with Image.open(io.BytesIO(predictor._files[file])) as opened:
        pixels = np.asarray(ImageOps.exif_transpose(opened).convert(mode)).reshape(
            opened.height, opened.width, -1
        )
    return torch.from_numpy(prepare(pixels, taken.preprocessing).copy()).permute(2, 0, 1)[None].float()


def test_xcode_sees_an_image_labels_and_what_the_model_is(saved: Path, exported: Path) -> None:
    described, manifest = Program(saved).spec.description, load_bundle(exported).manifest
    image = described.input[0].type.imageType
    assert [part.name for part in described.input] == ["image"]
    assert (image.height, image.width) == manifest.inputs[0].size and image.colorSpace == 20  # RGB
    assert [part.name for part in described.output] == ["classLabel", "classLabel_probs"]
    told = described.metadata
    assert told.author.startswith("wiggly") and manifest.title in told.shortDescription
    assert told.versionString == manifest.created and told.license == "not stated"
    assert told.userDefined["wiggly.examples"] == str(len(manifest.examples))
    assert float(told.userDefined["wiggly.temperature.0"]) == manifest.outputs[0].temperature


def test_the_program_answers_as_the_bundle(saved: Path, exported: Path) -> None:
    program, predictor = Program(saved), load_bundle(exported)
    for example in predictor.manifest.examples:
        found = program.run(image=_image(predictor, example.file))
        assert found["classLabel"] == str(example.label)
        told = [found["classLabel_probs"][str(label)] for label in predictor.vocab]
        assert np.abs(np.array(told) - example.probabilities).max() < 1e-2


def test_the_weights_are_halves_of_the_bundles(saved: Path, exported: Path) -> None:
    program, model = Program(saved), load_bundle(exported).model
    held = program.constants().values()
    last = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1].weight.detach().numpy()
    same = [value for value in held if np.shape(value) == last.shape]
    assert same and same[-1].dtype == np.float16
    assert min(np.abs(value.astype(np.float32) - last).max() for value in same) <= np.abs(last).max() * 2**-10
    assert program.spec.specificationVersion >= 8  # iOS 17
    assert (saved / "Data/com.apple.CoreML/weights/weight.bin").stat().st_size < 2.5 * sum(
        p.numel() for p in model.parameters()
    )


def test_the_same_bundle_gives_the_same_bytes(saved: Path, exported: Path, tmp_path: Path) -> None:
    save_core_ml(core_ml_model(load_bundle(exported)), tmp_path / "b.mlpackage")
    first, second = (
        {f.relative_to(p): f.read_bytes() for p in [folder] for f in p.rglob("*") if f.is_file()}
        for folder in (saved, tmp_path / "b.mlpackage")
    )
    assert first == second
    entries = json.loads((saved / "Manifest.json").read_text())
    assert entries["rootModelIdentifier"] in entries["itemInfoEntries"]


def test_the_temperature_is_in_the_program(exported: Path, tmp_path: Path) -> None:
    import dataclasses

    predictor = load_bundle(exported)
    warm = dataclasses.replace(predictor.manifest.outputs[0], temperature=4.0)
    predictor.manifest = dataclasses.replace(predictor.manifest, outputs=(warm,))
    save_core_ml(core_ml_model(predictor), tmp_path / "warm.mlpackage")
    image = _image(predictor, predictor.manifest.examples[0].file)
    found = Program(tmp_path / "warm.mlpackage").run(image=image)["classLabel_probs"].values()
    with torch.inference_mode():
        wanted = (predictor.model(image / 255) / 4).softmax(1)[0]
    assert np.allclose(list(found), wanted, atol=5e-3)


def _pictures(labels: Any, tmp_path: Path, **options: Any) -> Learner:
    random = np.random.default_rng(0)
    photos = [Image.fromarray(random.integers(0, 256, (40, 50, 3), dtype=np.uint8)) for _ in range(16)]
    dls = ImageDataLoaders.from_lists(".", photos, labels * 8, seed=1, bs=4, item_tfms=Resize(32), **options)
    return learner(dls)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("labels", "name", "recorded"),
    [([["a", "b"], ["b"]], "probabilities", "probabilities"), ([0.5, 2.5], "values", "values")],
)
def test_labels_and_numbers(labels: Any, name: str, recorded: str, tmp_path: Path) -> None:
    made = export_bundle(_pictures(labels, tmp_path), tmp_path / "m.wiggly")
    predictor = load_bundle(made)
    save_core_ml(core_ml_model(predictor), tmp_path / "m.mlpackage")
    program = Program(tmp_path / "m.mlpackage")
    assert [part.name for part in program.spec.description.output] == [name]
    assert program.spec.description.output[0].type.multiArrayType.dataType == 65568  # float32
    for example in predictor.manifest.examples:
        found = program.run(image=_image(predictor, example.file))[name].flatten()
        assert np.allclose(found, getattr(example, recorded), atol=1e-2)


def test_a_table(tmp_path: Path) -> None:
    from wiggly.tabular.all import TabularDataLoaders, tabular_learner

    rows = pd.DataFrame(
        {
            "city": ["Rome", "Oslo", "Bern", "Oslo"] * 12,
            "age": np.linspace(20, 60, 48),
            "rich": ["no", "yes", "no", "yes"] * 12,
        }
    )
    dls = TabularDataLoaders.from_df(
        rows, y_names="rich", cat_names=["city"], cont_names=["age"], seed=1, bs=8
    )
    torch.manual_seed(0)
    made = export_bundle(tabular_learner(dls, layers=[16]), tmp_path / "t.wiggly")
    predictor = load_bundle(made)
    save_core_ml(core_ml_model(predictor), tmp_path / "t.mlpackage")
    program = Program(tmp_path / "t.mlpackage")
    kinds = {part.name: part.type.multiArrayType.dataType for part in program.spec.description.input}
    assert kinds == {"categories": 131104, "numbers": 65568}  # int32, float32
    reader: Any = predictor.reader
    for example in predictor.manifest.examples:
        cats, conts = reader.one(predictor._files[example.file])[0]
        found = program.run(categories=cats.to(torch.int32), numbers=conts)["classLabel_probs"]
        assert np.allclose(list(found.values()), example.probabilities, atol=1e-4)


def test_what_cannot_be_converted_is_refused_by_name(exported: Path) -> None:
    import dataclasses

    from wiggly.bundle.parts import BoxesOutput

    manifest = load_bundle(exported).manifest
    boxes = dataclasses.replace(manifest, outputs=(BoxesOutput("boxes", ("a",), 0.5),))
    with pytest.raises(BundleError, match=r"finds boxes.*\n.*--endpoint"):
        check_core_ml(boxes)
    free = dataclasses.replace(manifest, inputs=(dataclasses.replace(manifest.inputs[0], size=None),))
    with pytest.raises(BundleError, match="of one size"):
        check_core_ml(free)
