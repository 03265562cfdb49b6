"""A bundle on ONNX Runtime answers as on PyTorch, without PyTorch, and refuses what it cannot trust."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.bundle.support import entries_of, rewrite, write

from wiggly.bundle.archive import read_archive
from wiggly.bundle.predictor import load_bundle
from wiggly.bundle.proof import prove
from wiggly.bundle.replies import reply_of
from wiggly.bundle.session import SessionPredictor, open_session
from wiggly.bundle.worked import check_examples
from wiggly.errors import ArgumentError, BundleError, ItemError
from wiggly.records import Prediction

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def predictor(exported: Path) -> SessionPredictor:
    return open_session(exported, threads=1)


def test_answers_as_pytorch(learn: Any, exported: Path, predictor: SessionPredictor) -> None:
    torch_one = load_bundle(exported)
    files = learn.dls.valid_ds.items[:12]
    found = predictor.predict_batch(files, bs=5)
    assert len(found) == len(files)
    for file, many in zip(files, found, strict=True):
        one, wanted = predictor.predict(file), torch_one.predict(file)
        for answer in (one, many):
            assert answer.decoded == wanted.decoded and int(answer.index) == int(wanted.index)
            assert answer.unsure == wanted.unsure
            assert isinstance(answer.probs, np.ndarray)
            np.testing.assert_allclose(answer.probs, wanted.probs.numpy(), atol=1e-5)
    assert predictor.sha256 == torch_one.sha256
    assert predictor.vocab == torch_one.vocab and predictor.vocab.o2i["3"] == 3
    assert "10 classes" in repr(predictor)


def test_the_same_reply(exported: Path, predictor: SessionPredictor) -> None:
    torch_one = load_bundle(exported)
    for example in predictor.examples:
        one = reply_of(predictor, predictor.predict(example.content))
        two = reply_of(torch_one, torch_one.predict(example.content))
        assert one["answers"][0]["label"] == two["answers"][0]["label"]
        assert one["model"] == two["model"]
        assert one["answers"][0]["confidence"] == pytest.approx(two["answers"][0]["confidence"], abs=1e-5)


@pytest.mark.parametrize("size", [(7, 300), (300, 7), (1, 1), (640, 480)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "I;16", "CMYK", "1"])
def test_any_picture(exported: Path, predictor: SessionPredictor, size: tuple[int, int], mode: str) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    deep = random.integers(0, 65536, (size[1], size[0])).astype(np.uint16)
    image = Image.fromarray(deep) if mode == "I;16" else Image.fromarray(pixels).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    torch_one = load_bundle(exported)
    for item in (buffer.getvalue(), image):
        wanted = torch_one.predict(item).probs.numpy()
        np.testing.assert_allclose(
            predictor.predict(item).probs, wanted, atol=2e-3 if mode == "I;16" else 1e-5
        )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_on_their_side(exported: Path, predictor: SessionPredictor, orientation: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(pixels).resize((300, 200)).save(buffer, "JPEG", quality=95, exif=exif)
    wanted = load_bundle(exported).predict(buffer.getvalue()).probs.numpy()
    np.testing.assert_allclose(predictor.predict(buffer.getvalue()).probs, wanted, atol=1e-5)


def test_every_kind_of_item(learn: Any, predictor: SessionPredictor) -> None:
    file = learn.dls.valid_ds.items[0]
    pixels = np.asarray(Image.open(file))
    expected = predictor.predict(file).probs
    kinds = [
        str(file),
        file.read_bytes(),
        bytearray(file.read_bytes()),
        Image.open(file),
        pixels,
        pixels[:, :, None],
    ]
    for item in [*kinds, pixels / 255, Image.fromarray(pixels)]:
        np.testing.assert_allclose(predictor.predict(item).probs, expected, atol=1e-6)


def bad_items(folder: Path) -> dict[str, Any]:
    """Files and bytes that hold no picture."""
    (folder / "notes.jpg").write_text("not a photo")
    (folder / "empty.png").touch()
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 90).convert("RGB").save(buffer, "JPEG")
    (folder / "cut.jpg").write_bytes(buffer.getvalue()[:300])
    bomb = bytearray(buffer.getvalue())
    at = bomb.index(b"\xff\xc0") + 5
    bomb[at : at + 4] = b"\xff\xff\xff\xff"
    (folder / "bomb.jpg").write_bytes(bytes(bomb))
    return {
        "text": folder / "notes.jpg",
        "missing": folder / "missing.jpg",
        "empty": folder / "empty.png",
        "folder": folder,
        "bytes": b"GIF89a nothing",
        "nothing": b"",
        "cut": folder / "cut.jpg",
        "bomb": folder / "bomb.jpg",
        "number": 5,
        "array": np.zeros((4, 4, 7), np.uint8),
        "values": np.full((4, 4), 300.0),
    }


def test_the_same_refusals_as_pytorch(exported: Path, predictor: SessionPredictor, tmp_path: Path) -> None:
    torch_one = load_bundle(exported)
    for name, item in bad_items(tmp_path).items():
        with pytest.raises((ItemError, ArgumentError)) as wanted:
            torch_one.predict(item)
        with pytest.raises(type(wanted.value)) as found:
            predictor.predict(item)
        if name in ("cut", "bomb", "number", "array", "values"):  # other words, or the item's place in a list
            continue
        assert str(found.value) == str(wanted.value), name
    with pytest.raises(ItemError, match=r"notes\.jpg"):
        predictor.predict_batch([np.zeros((8, 8), np.uint8), tmp_path / "notes.jpg"])
    assert predictor.predict_batch([]) == []


def test_worked_examples(predictor: SessionPredictor) -> None:
    assert predictor.verify() <= 1e-5
    for example in predictor.examples:
        assert predictor.predict(example.content).decoded == example.answer.decoded
        assert example.actual in predictor.vocab


def test_another_answer_or_label_is_noticed(exported: Path) -> None:
    archive = read_archive(exported)
    predictor = SessionPredictor(archive)

    def off(content: bytes) -> Prediction:
        found = predictor.predict(content)
        return Prediction(found.decoded, found.index, found.probs + 0.001)

    def nan(content: bytes) -> Prediction:
        found = predictor.predict(content)
        return Prediction(found.decoded, found.index, found.probs * np.nan)

    def renamed(content: bytes) -> Prediction:
        found = predictor.predict(content)
        return Prediction(f"{found.decoded}?", found.index, found.probs)

    for predict, match in ((off, "0.001 off"), (nan, "nan off"), (renamed, "another label")):
        with pytest.raises(BundleError, match=match):
            check_examples(archive.manifest, archive.files, predict)
    assert check_examples(archive.manifest, archive.files, off, tolerance=0.01) == pytest.approx(
        0.001, rel=0.05
    )


BLOCKED = """
import sys, time
started = time.perf_counter()
class Never:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "timm", "pandas", "cv2", "sklearn", "scipy",
                                  "narwhals", "safetensors", "simplejpeg", "matplotlib"}:
            raise ImportError(f"{name} is not to be imported")
sys.meta_path.insert(0, Never())
from wiggly.bundle.session import open_session
predictor = open_session(sys.argv[1])
label = predictor.predict(predictor.examples[0].content).decoded
seconds = time.perf_counter() - started
print(predictor.verify() < 1e-4, label, seconds)
rooms = ("wiggly.train", "wiggly.interpret", "wiggly.bundle.export", "wiggly.bundle.predictor", "wiggly.cli")
print([name for name in sys.modules if name.startswith(rooms)])
"""


def test_without_torch_in_a_fresh_process(exported: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(exported)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    verified, loaded = ran.stdout.splitlines()
    assert verified.split()[0] == "True"
    assert loaded == "[]"


def test_start_is_quick(exported: Path) -> None:
    """Processor time, so that a busy machine does not count: importing, opening and the first answer."""
    code = BLOCKED.replace("perf_counter", "process_time")
    ran = subprocess.run(
        [sys.executable, "-c", code, str(exported)], capture_output=True, text=True, check=True
    )
    assert float(ran.stdout.split()[2]) < 1.0


# ---- graphs that are not as they should be ----


def forged(exported: Path, path: Path, change: Callable[[Any], bytes], fix_hash: bool = True) -> Path:
    """The bundle with another graph; `change` gets the ONNX model."""
    entries = entries_of(exported)
    entries["model.onnx"] = change(onnx.load_from_string(entries["model.onnx"]))
    if fix_hash:
        content = json.loads(entries["model.json"])
        content["files"]["model.onnx"] = {
            "sha256": hashlib.sha256(entries["model.onnx"]).hexdigest(),
            "bytes": len(entries["model.onnx"]),
        }
        entries["model.json"] = json.dumps(content).encode()
        entries["model.json.sha256"] = f"{hashlib.sha256(entries['model.json']).hexdigest()}  x\n".encode()
    return rewrite(path, entries)


def renamed_output(model: Any) -> bytes:
    node = onnx.helper.make_node("Identity", [model.graph.output[0].name], ["surprise"])
    model.graph.node.append(node)
    model.graph.output[0].name = "surprise"
    return model.SerializeToString()


def renamed_input(model: Any) -> bytes:
    node = onnx.helper.make_node("Identity", ["surprise"], [model.graph.input[0].name])
    model.graph.node.insert(0, node)
    model.graph.input[0].name = "surprise"
    return model.SerializeToString()


def too_new(model: Any) -> bytes:
    model.opset_import[0].version = 99
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (renamed_output, r"outputs of 'model\.onnx' must be those of model\.json"),
        (renamed_input, r"inputs of 'model\.onnx' must be those of model\.json"),
        (too_new, r"graph that this ONNX Runtime can run.*onnxruntime .* cannot"),
        (lambda model: b"\x00\x01 not a graph", "graph that this ONNX Runtime can run"),
        (lambda model: b"", "graph that this ONNX Runtime can run"),
    ],
)
def test_graphs_that_do_not_fit(exported: Path, tmp_path: Path, change: Any, match: str) -> None:
    path = forged(exported, tmp_path / "x.wiggly", change)
    with pytest.raises(BundleError, match=match):
        open_session(path)
    rows = {proof.runtime: proof for proof in prove(path)}
    assert rows["pytorch"].fits and not rows["onnxruntime"].fits


def test_a_damaged_graph_is_noticed_by_its_hash(exported: Path, tmp_path: Path) -> None:
    path = forged(
        exported, tmp_path / "x.wiggly", lambda model: model.SerializeToString()[:-1], fix_hash=False
    )
    with pytest.raises(BundleError, match=r"'model\.onnx' was changed afterwards"):
        open_session(path)


def test_no_graph(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wiggly", no_graph="operator torchvision::nms has no counterpart.")
    with pytest.raises(BundleError, match=r"must have an ONNX graph.*; operator torchvision::nms has no"):
        open_session(path)


def test_graphs_by_name(exported: Path) -> None:
    assert open_session(exported, graph="float32").runtime.graph.file == "model.onnx"
    with pytest.raises(ArgumentError, match="int8"):
        open_session(exported, graph="int8")


def test_prepared_items_go_through_together(learn: Any, predictor: SessionPredictor) -> None:
    prepared = [predictor.prepare(file) for file in learn.dls.valid_ds.items[:3]]
    prepared.append(predictor.prepare(np.zeros((90, 20, 3), np.uint8)))
    assert len({one.key for one in prepared}) == 1
    together = predictor.predict_prepared(prepared)
    for one, many in zip(prepared, together, strict=True):
        [alone] = predictor.predict_prepared([one])
        np.testing.assert_allclose(alone.probs, many.probs, atol=1e-6)


def test_unsure(exported: Path) -> None:
    archive = read_archive(exported)
    [output] = archive.manifest.outputs
    from wiggly.bundle.parts import CategoryOutput, Unsure

    assert isinstance(output, CategoryOutput)
    doubting = dataclasses.replace(output, unsure=Unsure(1.1, 1.0, 1.0, 1.0, 50))
    changed = dataclasses.replace(
        archive, manifest=dataclasses.replace(archive.manifest, outputs=(doubting,))
    )
    found = SessionPredictor(changed).predict(np.zeros((8, 8), np.uint8))
    label, _, _ = found
    assert found.unsure and label == found.decoded


def test_time_is_measured(exported: Path) -> None:
    started = time.perf_counter()
    proofs = prove(exported)
    elapsed = time.perf_counter() - started
    assert all(0 < proof.milliseconds < 1000 * elapsed for proof in proofs)
    assert [proof.runtime for proof in proofs] == ["pytorch", "onnxruntime"]
