"""The ONNX graph in a bundle: equal to torch and to the written specification; refused when not."""

from __future__ import annotations

import base64
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tests.bundle.test_kinds as pictures
import tests.bundle.test_tables as tables
import torch
from PIL import Image
from tests.bundle.support import entries_of, learner
from tests.vision.detection.scenes import learner as detector
from tests.vision.detection.scenes import loaders as detection_loaders
from tests.vision.detection.scenes import scene
from torch import nn

import wiggly.bundle.graph.making as making
import wiggly.bundle.graph.writing as writing
from wiggly.bundle.export import export_bundle
from wiggly.bundle.graph.checking import compare, open_graph
from wiggly.bundle.graph.modules import PictureGraph, graph_module
from wiggly.bundle.graph.resample import Resample
from wiggly.bundle.graph.variants import agreement
from wiggly.bundle.graph.writing import NoGraphError, Written, write_graph
from wiggly.bundle.parts import (
    BoxesOutput,
    CategoryOutput,
    ImageInput,
    LabelsOutput,
    MaskOutput,
    NumbersOutput,
    Output,
    Step,
)
from wiggly.bundle.pixels import prepare
from wiggly.bundle.predictor import Predictor, load_bundle
from wiggly.errors import ArgumentError, BundleError, DependencyError
from wiggly.tabular.learner import tabular_learner
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.vision.augment import Resize, aug_transforms
from wiggly.vision.loaders import ImageDataLoaders
from wiggly.vision.models import vision_model

pytest.importorskip("onnxruntime")

VECTORS = json.loads((Path(__file__).parent / "vectors" / "vectors.json").read_text())["resampling"]
NUMBER = (NumbersOutput("numbers", ("a",), (0.0,), (1.0,)),)
CHAIN = (
    Step("Resize", {"size": 90, "method": "pad", "pad_mode": "reflection"}),
    Step("RandomResizedCrop", {"size": (48, 64), "val_xtra": 0.2}),
)


class Through(nn.Module):
    """A network that shows what it got."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.one


def shown(steps: tuple[Step, ...], size: tuple[int, int] | None) -> tuple[PictureGraph, Written]:
    module = graph_module(Through(), ImageInput("image", 3, size, steps), NUMBER)
    assert isinstance(module, PictureGraph)
    return module, write_graph(module)


def noise(height: int, width: int, n: int = 1) -> np.ndarray:
    draw = np.random.default_rng(height * 1000 + width)
    return draw.integers(0, 256, (n, height, width, 3), np.uint8)


# --- resampling ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    prepared = case["prepared"]
    shape, channels = (prepared["height"], prepared["width"]), case["channels"]
    steps = [Step(step["name"], step["args"]) for step in case["steps"]]
    before = np.frombuffer(base64.b64decode(case["pixels"]), np.uint8)
    before = before.reshape(1, case["height"], case["width"], channels)
    wanted = np.frombuffer(base64.b64decode(prepared["pixels"]), np.uint8).reshape(*shape, channels)
    found = Resample(steps, shape if steps else None)(torch.from_numpy(before.copy()))[0]
    apart = np.abs(found.permute(1, 2, 0).numpy() - wanted)
    assert apart.max() <= 1 and (apart > 0).mean() < 0.01


@pytest.fixture(scope="module")
def written() -> tuple[PictureGraph, Written]:
    return shown(CHAIN, (48, 64))


@pytest.fixture(scope="module")
def chain(written: tuple[PictureGraph, Written]) -> tuple[PictureGraph, Any]:
    return written[0], open_graph(written[1].content)


SIZES = [(100, 80), (33, 500), (1, 1), (1, 90), (200, 3), (47, 65), (480, 640)]


@pytest.mark.parametrize("size", SIZES)
def test_the_graph_resamples_as_torch_and_numpy_do(
    chain: tuple[PictureGraph, Any], size: tuple[int, int]
) -> None:
    module, session = chain
    photos = noise(*size, n=2)
    (found,) = session.run(None, {"image": photos})
    with torch.no_grad():
        (wanted,) = (part.numpy() for part in module(torch.from_numpy(photos)))
    levels = np.rint(found.reshape(2, 3, 48, 64) * 255).transpose(0, 2, 3, 1)
    apart = np.abs(levels[1] - prepare(photos[1], CHAIN))
    assert apart.max() <= 1 and (apart > 0).mean() < 2e-3
    unlike = np.abs(found - wanted) > 1e-5
    assert unlike.mean() < 2e-3  # a value beside a half may be rounded to either side


def test_a_prepared_picture_is_taken_as_it_is(chain: tuple[PictureGraph, Any]) -> None:
    photos = noise(48, 64, n=3)
    (found,) = chain[1].run(None, {"image": photos})
    assert np.array_equal(np.rint(found.reshape(3, 3, 48, 64) * 255).transpose(0, 2, 3, 1), photos)


def test_a_photo_of_12_megapixels(chain: tuple[PictureGraph, Any]) -> None:
    photo = noise(3000, 4000)
    begun = time.process_time()
    (found,) = chain[1].run(None, {"image": photo})
    assert time.process_time() - begun < 10
    levels = np.rint(found.reshape(3, 48, 64) * 255).transpose(1, 2, 0)
    assert np.abs(levels - prepare(photo[0], CHAIN)).max() <= 1


def test_pictures_as_they_are() -> None:
    _, written = shown((), None)
    photos = noise(20, 30, n=2)
    (found,) = open_graph(written.content).run(None, {"image": photos})
    assert np.array_equal(np.rint(found.reshape(2, 3, 20, 30) * 255).transpose(0, 2, 3, 1), photos)


def test_nothing_of_the_machine_is_in_the_file(written: tuple[PictureGraph, Written]) -> None:
    for word in (str(Path.home()), str(Path(__file__).parents[2]), "site-packages", ".py"):
        assert word.encode() not in written[1].content


# --- whole models -------------------------------------------------------------------------------------------
def answers(path: Path, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return open_graph(entries_of(path)["model.onnx"]).run(None, feeds)


def exported(learn: Any, folder: Path, **options: Any) -> tuple[Path, Predictor]:
    path = learn.export(folder / "x.wiggly", **options)
    return path, load_bundle(path)


def photo_feed(predictor: Predictor, number: int) -> dict[str, np.ndarray]:
    return {"image": pictures.photo(number)[None]}


@pytest.mark.parametrize(
    "kind", ["mask", *(pytest.param(k, marks=pytest.mark.slow) for k in ("labels", "points", "number"))]
)
def test_pictures(kind: str, tmp_path: Path) -> None:
    path, predictor = exported(pictures.learned(kind), tmp_path)
    manifest = predictor.manifest
    [graph] = manifest.graphs
    names = {"mask": "classes", "labels": "probabilities", "points": "points", "number": "values"}
    assert (graph.inputs, graph.outputs, graph.precision) == (("image",), (names[kind],), "float32")
    assert manifest.no_graph is None and manifest.agreement is not None and manifest.agreement.n == 10
    several = np.stack([pictures.photo(number) for number in (0, 4, 8)])
    (together,) = answers(path, {"image": several})
    alone = np.concatenate([answers(path, {"image": one[None]})[0] for one in several])
    assert len(together) == 3 and np.allclose(together, alone, atol=1e-5)
    for number in range(4, 8):
        found = answers(path, photo_feed(predictor, number))[0][0]
        wanted = predictor.predict(pictures.photo(number))
        if kind == "mask":
            assert found.dtype == np.uint8
            assert (found == wanted.index.numpy()).mean() > 0.995
        else:
            assert np.allclose(found.ravel(), wanted.probs.numpy().ravel(), rtol=1e-4, atol=1e-4)


def test_examples_are_png_and_jpeg_one_on_its_side(exported: Path) -> None:
    import io

    from PIL import Image

    predictor = load_bundle(exported)
    names = [example.name for example in predictor.examples]
    assert [name.rpartition(".")[2] for name in names[:6]] == ["png", "jpg", "jpg", "png", "png", "jpg"]
    opened = [Image.open(io.BytesIO(example.content)) for example in predictor.examples]
    assert [dict(image.getexif()) for image in opened] == [{}, {0x0112: 6}, *([{}] * 8)]
    assert predictor.manifest.graphs and predictor.manifest.agreement is not None
    assert predictor.manifest.agreement.same > 0.9


@pytest.mark.parametrize("arch", ["mlp", pytest.param("tabm", marks=pytest.mark.slow)])
def test_tables(arch: str, tmp_path: Path) -> None:
    path, predictor = exported(tables.trained("label", arch), tmp_path)
    rows = tables.people().iloc[:20]
    encoded: Any = predictor.reader
    cats, conts = encoded.tensors(encoded.encode(rows))
    (found,) = answers(path, {"categories": cats.numpy(), "numbers": conts.numpy()})
    wanted = torch.stack([one.probs for one in predictor.predict_batch(rows)])
    assert np.allclose(found, wanted.numpy(), atol=1e-5)


def test_a_table_of_numbers_alone_with_several_targets(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    table = pd.DataFrame({"a": draw.normal(size=80), "b": draw.normal(size=80)})
    table["sum"], table["more"] = table["a"] + table["b"], np.where(table["a"] > table["b"], "a", "b")
    dls = TabularDataLoaders.from_df(table, y_names=["sum", "more"], bs=16, seed=0, verbose=False)
    path, predictor = exported(tabular_learner(dls, layers=[8]), tmp_path)
    [graph] = predictor.manifest.graphs
    assert (graph.inputs, graph.outputs) == (("numbers",), ("values_0", "probabilities_1"))
    encoded: Any = predictor.reader
    _, conts = encoded.tensors(encoded.encode(table[:5]))
    found = answers(path, {"numbers": conts.numpy()})
    wanted = predictor.get_preds(table[:5])[0]
    assert all(
        np.allclose(a.ravel(), b.numpy().ravel(), atol=1e-5) for a, b in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize("use_nn", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_ratings(use_nn: bool, tmp_path: Path) -> None:
    path, predictor = exported(tables.rated(use_nn), tmp_path)
    pairs = np.array([[1, 2], [0, 3], [4, 0]])
    (found,) = answers(path, {"pairs": pairs})
    with torch.no_grad():
        wanted = predictor.model(torch.from_numpy(pairs)).numpy()
    assert found.shape == (3, 1) and np.allclose(found[:, 0], wanted, atol=1e-5)


def test_temperature_is_in_the_graph() -> None:
    output = CategoryOutput("category", ("a", "b"), "softmax", temperature=2.5)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    module = graph_module(network, ImageInput("image", 3, None, ()), [output])
    photo = noise(8, 8)
    (found,) = open_graph(write_graph(module).content).run(None, {"image": photo})
    with torch.no_grad():
        raw = module.network(torch.from_numpy(photo).permute(0, 3, 1, 2) / 255)
    assert np.allclose(found, (raw / 2.5).softmax(1).numpy(), atol=1e-6)


# --- no graph -----------------------------------------------------------------------------------------------
def test_without_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (writing, making):
        monkeypatch.setattr(module, "missing_packages", lambda: ["onnx", "onnxruntime"])
    learn = pictures.learned("labels")
    _, predictor = exported(learn, tmp_path)
    assert predictor.manifest.graphs == ()
    said = 'onnx and onnxruntime are not installed: pip install "wiggly[export]".'
    assert predictor.manifest.no_graph == said
    with pytest.raises(DependencyError, match="onnx is not installed"):
        learn.export(tmp_path / "y.wiggly", variants=["fp16"])


def test_when_it_is_not_wanted(tmp_path: Path) -> None:
    _, predictor = exported(tables.trained("number"), tmp_path, graph=False)
    assert (predictor.manifest.graphs, predictor.manifest.no_graph) == ((), "It was not asked for.")


def same_box(first: Any, second: Any) -> bool:
    """The label, the score to 1e-4, the corners to a thousandth of the picture's longer side."""
    near = np.abs(np.subtract(first.box, second.box)).max() <= 160 * 1e-3
    return first.label == second.label and abs(first.score - second.score) <= 1e-4 and bool(near)


@pytest.mark.parametrize(
    ("arch", "epochs"),
    [
        ("fcos", 1),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in (("retinanet", 1), ("fasterrcnn", 5))),
    ],
)
def test_a_detector_finds_the_same_in_onnx_runtime(arch: str, epochs: int, tmp_path: Path) -> None:
    from wiggly.bundle.session import open_session
    from wiggly.vision.augment import Resize

    made = detector(detection_loaders(n=48, item_tfms=Resize(64)), arch)
    made.fit(epochs, 3e-3)
    made.loss_func.min_score = 0.05  # it has hardly learned anything: most boxes are sure of nothing
    path, predictor = exported(made, tmp_path)
    assert predictor.manifest.no_graph is None
    session, seen = open_session(path), 0
    for number in range(48, 60):
        photo = Image.fromarray(scene(number)[0]).resize((96, 160), Image.Resampling.BILINEAR)
        wanted, found = predictor.predict(photo).decoded, session.predict(photo).decoded
        assert len(found) == len(wanted)
        for box in wanted:  # whatever their order: many have nearly one score
            assert any(same_box(box, other) for other in found), box
        seen += len(found)
    assert seen > 5


def test_a_wrong_graph_is_no_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(module: Any) -> Written:
        with torch.no_grad():
            next(iter(module.network[1].parameters())).mul_(1.5)
        written = write_graph(module)
        with torch.no_grad():
            next(iter(module.network[1].parameters())).div_(1.5)
        return written

    monkeypatch.setattr(making, "write_graph", wrong)
    with pytest.raises(BundleError, match=r"worked example 'examples/1\.png'"):
        exported(pictures.learned("labels"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_examples_a_wrong_graph_is_noticed_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(module: Any) -> Written:
        output = module.outputs[0]
        module.outputs = (dataclasses.replace(output, temperature=3.0),)
        written = write_graph(module)
        module.outputs = (output,)
        return written

    learn = tables.trained("label")
    export_bundle(learn, tmp_path / "x.wiggly", examples=0)
    assert load_bundle(tmp_path / "x.wiggly").manifest.graphs
    monkeypatch.setattr(making, "write_graph", wrong)
    with pytest.raises(BundleError, match="made-up input"):
        export_bundle(learn, tmp_path / "y.wiggly", examples=0)


def test_a_graph_that_onnxruntime_cannot_run() -> None:
    with pytest.raises(NoGraphError, match="cannot run it"):
        open_graph(b"no graph")


@pytest.mark.parametrize(
    ("output", "wanted", "found", "said"),
    [
        (CategoryOutput("category", ("a", "b"), "softmax"), [[0.9, 0.1]], [[0.9, 0.1]], ""),
        (CategoryOutput("category", ("a", "b"), "softmax"), [[0.9, 0.1]], [[0.8999, 0.1001]], "off|^$"),
        (CategoryOutput("category", ("a", "b"), "softmax"), [[0.9, 0.1]], [[0.89, 0.11]], "0.01 off"),
        (CategoryOutput("category", ("a", "b"), "softmax"), [[0.9, 0.1]], [[float("nan"), 0.1]], "nan off"),
        (LabelsOutput("labels", ("a",), 0.5), [[0.9]], [[0.2]], "0.7 off"),
        (NumbersOutput("numbers", ("a",), (0.0,), (1000.0,)), [[500.0]], [[500.05]], ""),
        (NumbersOutput("numbers", ("a",), (0.0,), (1000.0,)), [[500.0]], [[501.0]], "0.001 off"),
        (MaskOutput("mask", ("a", "b")), np.zeros((1, 9, 9)), np.eye(9)[None], "11.11% of the pixels"),
        (MaskOutput("mask", ("a", "b")), np.zeros((1, 9, 9)), np.zeros((1, 9, 8)), "shape"),
    ],
)
def test_what_counts_as_the_same(output: Output, wanted: Any, found: Any, said: str) -> None:
    import re

    assert re.search(said, compare([output], [np.asarray(wanted)], [np.asarray(found)])) is not None
    if not said:
        assert compare([output], [np.asarray(wanted)], [np.asarray(found)]) == ""


def test_boxes_that_are_the_same() -> None:
    output = BoxesOutput("boxes", ("a", "b"), 0.5)
    box = np.array([[0.0, 0.0, 1.0, 1.0]])
    given = [box, np.array([0.9]), np.array([1])]
    assert compare([output], given, [box + 1e-4, np.array([0.9001]), np.array([1])]) == ""
    nothing = [np.empty((0, 4)), np.empty(0), np.empty(0, np.int64)]
    assert "is missing" in compare([output], given, nothing)
    assert "is missing" in compare([output], nothing, given)
    assert "is missing" in compare([output], given, [box, np.array([0.9]), np.array([0])])
    assert compare([output], [box, np.array([0.5]), np.array([1])], nothing) == ""


# --- variants -----------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_variants_are_measured_and_kept_within_the_bound(
    learn: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, predictor = exported(learn, tmp_path, variants=("fp16", "int8"), bound=0.5)
    manifest = predictor.manifest
    assert [graph.precision for graph in manifest.graphs] == ["float32", "float16", "int8"]
    assert [measured.metric for measured in manifest.quality] == ["accuracy", "accuracy"]
    assert all(measured.kept and measured.n == len(learn.dls.valid_ds) for measured in manifest.quality)
    files = entries_of(tmp_path / "x.wiggly")
    assert len(files["model.int8.onnx"]) < len(files["model.fp16.onnx"]) < len(files["model.onnx"])
    probs, targets = learn.get_preds()
    assert manifest.quality[0].float32 == pytest.approx(float((probs.argmax(1) == targets).float().mean()))
    said = capsys.readouterr().out
    assert "fp16: accuracy" in said and said.count(": kept") == 2
    photo = noise(40, 50)
    (whole,) = open_graph(files["model.onnx"]).run(None, {"image": photo})
    (half,) = open_graph(files["model.fp16.onnx"]).run(None, {"image": photo})
    assert half.dtype == np.float32 and np.allclose(half, whole, atol=0.02)


def test_a_variant_that_is_worse_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import wiggly.bundle.graph.variants as variants

    monkeypatch.setattr(variants, "_measured", lambda *_: ("accuracy", 0.7, 0.8))
    path, predictor = exported(tables.trained("label"), tmp_path, variants=["int8"])
    assert len(predictor.manifest.graphs) == 1
    [measured] = predictor.manifest.quality
    assert (measured.kept, measured.value, measured.float32, measured.bound) == (False, 0.7, 0.8, 0.01)
    assert not any("int8" in name for name in entries_of(path))
    assert "int8: accuracy 70.0% (float32 80.0%)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"variants": ["int4"]}, "int4"),
        ({"bound": 1.5}, "bound"),
        ({"variants": ["int8"], "graph": False}, "graph"),
    ],
)
def test_arguments_of_variants(learn: Any, tmp_path: Path, options: dict[str, Any], match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        learn.export(tmp_path / "x.wiggly", **options)


def test_agreement_of_variants() -> None:
    output = LabelsOutput("labels", ("a", "b"), 0.5)
    assert agreement([output], [np.array([[0.6, 0.4]])], [np.array([[0.7, 0.6]])]) == 0.5
    number = NumbersOutput("numbers", ("a",), (0.0,), (10.0,))
    assert agreement([number], [np.array([[5.0]])], [np.array([[5.05]])]) == 1.0
    assert agreement([number], [np.array([[5.0]])], [np.array([[5.2]])]) == 0.0
    mask = MaskOutput("mask", ("a", "b"))
    assert agreement([mask], [np.zeros((1, 2, 2))], [np.array([[[0, 1], [0, 0]]])]) == 0.75


# --- real photos, many networks -----------------------------------------------------------------------------
@pytest.mark.slow
def test_pets(shared: Path, tmp_path: Path) -> None:
    files = sorted((shared / "data" / "pets" / "images").iterdir())[::4]
    dls = ImageDataLoaders.from_name_func(
        ".", files, lambda name: name.rpartition("_")[0], item_tfms=Resize(460),
        batch_tfms=aug_transforms(size=224, min_scale=0.75), bs=16, num_workers=1, seed=0,
    )  # fmt: skip
    weights = shared / "weights" / "tf_efficientnet_lite0.in1k_backbone.fp16.safetensors"
    path, predictor = exported(learner(dls, "tf_efficientnet_lite0", weights=weights), tmp_path)
    assert [step.name for step in predictor.manifest.inputs[0].preprocessing] == [
        "Resize",
        "RandomResizedCrop",
    ]
    session = open_graph(entries_of(path)["model.onnx"])
    for file in files[:20]:
        wanted = predictor.predict(file)
        for feed in predictor.reader.feeds(file.read_bytes()):
            (found,) = session.run(None, {"image": feed[0]})
            assert np.allclose(found[0], wanted.probs.numpy(), atol=1e-4)


FAMILIES = [
    "test_convnext", "test_vit", "test_efficientnet", "test_byobnet", "test_nfnet", "resnet18", "regnety_002",
    "mobilenetv4_conv_small", "hiera_tiny_224", "swin_tiny_patch4_window7_224", "maxvit_nano_rw_256",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("arch", FAMILIES)
def test_families(arch: str) -> None:
    torch.manual_seed(0)
    network = vision_model(arch, 3, pretrained=False).eval()
    body: Any = network.body
    size = body.traits.size
    output = CategoryOutput("category", ("a", "b", "c"), "softmax")
    module = graph_module(network, ImageInput("image", 3, size, (Step("Resize", {"size": size}),)), [output])
    session = open_graph(write_graph(module).content)
    for photos in (noise(*size, n=2), noise(150, 131)):
        with torch.no_grad():
            wanted = module(torch.from_numpy(photos))[0].numpy()
        assert np.allclose(session.run(None, {"image": photos})[0], wanted, atol=1e-5)
