"""Small bundles of every kind with graphs made by hand: nothing is trained, so they are there in a second.

`python -m tests.apps.web.bundles FOLDER` writes them; those in `web/client/tests/fixtures` were written so.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper
from PIL import Image
from safetensors.numpy import save

from wiggly.bundle import measured, parts
from wiggly.bundle.archive import describe_file, write_archive
from wiggly.bundle.manifest import VERSION, Manifest
from wiggly.bundle.pixels import prepare

SIDE = 24
OPSET = 18
RANDOM = np.random.default_rng(7)


def picture(width: int, height: int, seed: int) -> Image.Image:
    """A smooth picture with some edges; the same everywhere."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    waves = [np.sin(9 * x + seed) + np.cos(7 * y * (k + 1) + seed) for k in range(3)]
    pixels = np.stack(waves, 2) * 60 + 128
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (230, 40 * seed % 255, 60)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def png(image: Image.Image) -> bytes:
    """As a file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def graph_of(
    nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], **weights: np.ndarray[Any, Any]
) -> bytes:
    """An ONNX file."""
    made = helper.make_graph(
        list(nodes),
        "by_hand",
        list(inputs),
        list(outputs),
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    checker.check_model(model)
    return model.SerializeToString()


def run(graph: bytes, **feeds: np.ndarray[Any, Any]) -> list[Any]:
    """What ONNX Runtime makes of it."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def image_input(method: str = "crop") -> parts.ImageInput:
    """Pictures of `SIDE` pixels."""
    step = parts.Step("Resize", {"size": SIDE, "method": method})
    return parts.ImageInput("image", 3, (SIDE, SIDE), (step,))


IMAGE = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", 3])
SCALED = [
    helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
    helper.make_node("Div", ["floats", "white"], ["scaled"]),
]
WHITE = np.array(255, np.float32)


def float_out(name: str, *shape: Any) -> Any:
    """An output of floats."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def classes(out: Path, kind: str = "category") -> Path:
    """Three classes of pictures; one picture in two is "unsure"."""
    weights = (RANDOM.standard_normal((SIDE * SIDE * 3, 3)) / 30).astype(np.float32)
    last = "Softmax" if kind == "category" else "Sigmoid"
    graph = graph_of(
        [
            *SCALED,
            helper.make_node("Flatten", ["scaled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "w"], ["logits"]),
            helper.make_node(last, ["logits"], ["probabilities"]),
        ],
        [IMAGE],
        [float_out("probabilities", "n", 3)],
        w=weights,
        white=WHITE,
    )
    names = ("ant", "bee", "wasp with a rather long name")
    images = [picture(90, 60, 1), picture(50, 70, 2), picture(64, 64, 3)]
    found = [run(graph, image=prepared(image))[0][0] for image in images]
    if kind == "category":
        middle = float(np.median([probs.max() for probs in found]))
        unsure = parts.Unsure(threshold=middle, share=0.4, accuracy=0.95, wanted=0.95, n=100)
        output: Any = parts.CategoryOutput("category", names, "softmax", unsure=unsure)
    else:
        output = parts.LabelsOutput("labels", names, 0.5)
    files = {f"examples/{i + 1}.png": png(image) for i, image in enumerate(images)}
    worked = [
        parts.Example(file, names[int(p.argmax())], names[0], tuple(map(float, p)))
        if kind == "category"
        else parts.LabelsExample("labels", file, tuple(map(float, p)), None)
        for file, p in zip(files, found, strict=True)
    ]
    task = "classification" if kind == "category" else "multilabel"
    score = parts.Score("accuracy", 0.938, 210, (0.897, 0.964), 0.19, "ant")
    return bundle(out, task, image_input(), output, graph, worked, files, "Ants or bees", score=score)


def prepared(image: Image.Image) -> np.ndarray[Any, Any]:
    """What the graph takes."""
    return prepare(np.asarray(image), [parts.Step("Resize", {"size": SIDE, "method": "crop"})])[None]


def masks(out: Path) -> Path:
    """Four classes of pixels by their colour."""
    weights = np.array([[4, -2, -2, 0.2], [-2, 4, -2, 0.2], [-2, -2, 4, 0.2]], np.float32)
    graph = graph_of(
        [
            *SCALED,
            helper.make_node("MatMul", ["scaled", "w"], ["logits"]),
            helper.make_node("ArgMax", ["logits"], ["classes"], axis=3, keepdims=0),
        ],
        [IMAGE],
        [helper.make_tensor_value_info("classes", TensorProto.INT64, ["n", "h", "w"])],
        w=weights,
        white=WHITE,
    )
    output = parts.MaskOutput("mask", ("rusty", "green", "blue", "nothing"), 3)
    image = picture(SIDE * 3, SIDE * 3, 4)
    indices = run(graph, image=prepared(image))[0][0].astype(np.uint8)
    mask = Image.fromarray(indices).resize(image.size, Image.Resampling.NEAREST)
    files = {"examples/1.png": png(image), "examples/1.mask.png": png(mask)}
    worked = [parts.MaskExample("mask", "examples/1.png", "examples/1.mask.png")]
    return bundle(out, "segmentation", image_input(), output, graph, worked, files, "Colours of a street")


def places(out: Path, kind: str) -> Path:
    """Points or boxes, somewhere fixed, moved a little by the picture's brightness."""
    bright = [
        *SCALED,
        helper.make_node("ReduceMean", ["scaled", "axes"], ["bright"], keepdims=1),
    ]
    axes = np.array([1, 2, 3], np.int64)
    if kind == "points":
        graph = graph_of(
            [
                *bright,
                helper.make_node("Reshape", ["bright", "one"], ["one_each"]),
                helper.make_node("Mul", ["one_each", "where"], ["points"]),
            ],
            [IMAGE],
            [float_out("points", "n", 3, 2)],
            axes=axes,
            one=np.array([-1, 1, 1], np.int64),
            where=np.array([[[-1, -1], [0.5, 0], [1, 1]]], np.float32),
            white=WHITE,
        )
        output: Any = parts.PointsOutput("points", 3)
    else:
        graph = graph_of(
            [
                *bright,
                helper.make_node("Reshape", ["bright", "flat"], ["one_each"]),
                helper.make_node("Mul", ["one_each", "share"], ["scores"]),
                helper.make_node("Identity", ["where"], ["boxes"]),
                helper.make_node("Identity", ["kinds"], ["classes"]),
            ],
            [IMAGE],
            [
                float_out("boxes", 3, 4),
                float_out("scores", 3),
                helper.make_tensor_value_info("classes", TensorProto.INT64, [3]),
            ],
            axes=axes,
            flat=np.array([-1], np.int64),
            share=np.array([1.5, 1.2, 0.1], np.float32),
            where=np.array([[-0.9, -0.8, 0.1, 0.2], [-0.2, -0.1, 0.8, 0.9], [0, 0, 1, 1]], np.float32),
            kinds=np.array([0, 1, 2], np.int64),
            white=WHITE,
        )
        output = parts.BoxesOutput("boxes", ("cat", "dog", "bird"), 0.3)
    task = "keypoints" if kind == "points" else "detection"
    image = picture(120, 90, 5)
    files = {"examples/1.png": png(image)}
    left, side = (120 - 90) / 2, 90.0

    def pixel(unit: Any, first: float) -> float:
        return round(first + (float(unit) + 1) / 2 * side, 4)

    if kind == "points":
        [found] = run(graph, image=prepared(image))
        places = tuple((pixel(x, left), pixel(y, 0)) for x, y in found[0])
        worked: list[Any] = [parts.PointsExample("points", "examples/1.png", places)]
    else:
        boxes, scores, kinds = run(graph, image=prepared(image))
        kept = [
            parts.FoundBox(
                output.vocabulary[int(k)],
                float(score),
                (pixel(a, left), pixel(b, 0), pixel(c, left), pixel(d, 0)),
            )
            for (a, b, c, d), score, k in zip(boxes, scores, kinds, strict=True)
            if score >= output.min_score
        ]
        worked = [parts.BoxExample("boxes", "examples/1.png", tuple(kept))]
    return bundle(out, task, image_input(), output, graph, worked, files, f"Some {kind}")


def tables(out: Path) -> Path:
    """Income by city, age and more; and a number beside it."""
    city = parts.CategoryField("city", ("Bern", "Oslo", "Rome"))
    truth = parts.CategoryField("member", (False, True))
    flag = parts.CategoryField("age_na", (False, True), "age")
    numbers = [("age", "number", 40.0, True, 18, 80), ("hours", "integer", 38.0, False, 1, 99)]
    numbers.append(("since", "date", 1.6e9, False, 1.2e9, 1.7e9))
    fields = tuple(
        parts.NumberField(name, kind, fill, flagged, 0, fill, (high - low) / 4, low, high)  # type: ignore[arg-type]
        for name, kind, fill, flagged, low, high in numbers
    )
    table = parts.TableInput("table", (city, truth, flag), fields)
    codes = helper.make_tensor_value_info("categories", TensorProto.INT64, ["n", 3])
    floats = helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["n", 3])
    graph = graph_of(
        [
            helper.make_node("Cast", ["categories"], ["codes"], to=TensorProto.FLOAT),
            helper.make_node("Concat", ["codes", "numbers"], ["all"], axis=1),
            helper.make_node("Gemm", ["all", "w"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities_0"]),
            helper.make_node("Gemm", ["all", "v", "b"], ["values_1"]),
        ],
        [codes, floats],
        [float_out("probabilities_0", "n", 2), float_out("values_1", "n", 1)],
        w=(RANDOM.standard_normal((6, 2))).astype(np.float32),
        v=np.array([[3], [5], [0], [10], [2], [1]], np.float32),
        b=np.array([50], np.float32),
    )
    outputs = (
        parts.CategoryOutput("category", ("high", "low"), "softmax", "income"),
        parts.NumbersOutput("numbers", ("rent",), (20.0,), (99.0,)),
    )
    rows = [
        {"city": "Rome", "member": True, "age": 61.0, "hours": 40, "since": {"date": "2019-05-06T00:00:00"}},
        {"city": None, "member": False, "age": None, "hours": 38, "since": {"date": "2020-09-13T12:26:40"}},
    ]
    encoded = [
        ([[3, 2, 1]], [[21 / 15.5, 2 / 24.5, (1557100800 - 1.6e9) / 1.25e8]]),
        ([[0, 1, 2]], [[0, 0, 0]]),
    ]
    files = {f"examples/{i + 1}.json": json.dumps(row).encode() for i, row in enumerate(rows)}
    worked: list[Any] = []
    for file, (cats, conts) in zip(files, encoded, strict=True):
        probs, value = run(graph, categories=np.array(cats), numbers=np.array(conts, np.float32))
        label = outputs[0].vocabulary[int(probs[0].argmax())]
        first = parts.Example(file, label, None, tuple(map(float, probs[0])))
        second = parts.NumbersExample("numbers", file, (float(value[0, 0]),))
        worked.append(parts.SeveralExample("several", file, (first, second)))
    return bundle(out, "several", table, outputs, graph, worked, files, "People and their rent")


def ratings(out: Path) -> Path:
    """Films by two factors."""
    films = ("Alien", "Blade Runner", "Casablanca", "Dracula", "Emma", "Fargo", "Gandhi", "Heat")
    users = tuple(range(1, 6))
    items = RANDOM.standard_normal((len(films) + 1, 4)).astype(np.float32)
    people = RANDOM.standard_normal((len(users) + 1, 4)).astype(np.float32)
    weights = {
        "i_weight.weight": items,
        "u_weight.weight": people,
        "i_count": np.array([0, 50, 40, 30, 2, 25, 60, 35, 45], np.int64),
        "u_count": np.array([0, 50, 60, 70, 80, 27], np.int64),
    }
    graph = graph_of(
        [
            helper.make_node("Gather", ["pairs", "zero"], ["who"], axis=1),
            helper.make_node("Gather", ["pairs", "one"], ["what"], axis=1),
            helper.make_node("Gather", ["people", "who"], ["a"]),
            helper.make_node("Gather", ["items", "what"], ["b"]),
            helper.make_node("Mul", ["a", "b"], ["both"]),
            helper.make_node("ReduceSum", ["both", "one_axis"], ["values"], keepdims=1),
        ],
        [helper.make_tensor_value_info("pairs", TensorProto.INT64, ["n", 2])],
        [float_out("values", "n", 1)],
        zero=np.array(0, np.int64),
        one=np.array(1, np.int64),
        one_axis=np.array([1], np.int64),
        people=people,
        items=items,
    )
    user, film = parts.CategoryField("user", users), parts.CategoryField("film", films)
    row = {"user": 2, "film": "Casablanca"}
    [value] = run(graph, pairs=np.array([[2, 3]]))
    files = {"examples/1.json": json.dumps(row).encode()}
    worked = [parts.NumbersExample("numbers", "examples/1.json", (float(value[0, 0]),))]
    output = parts.NumbersOutput("numbers", ("rating",), (-5.0,), (5.0,))
    taken = parts.PairInput("pairs", user, film)
    return bundle(out, "recommendation", taken, output, graph, worked, files, "Films", weights=save(weights))


def bundle(
    out: Path,
    task: Any,
    taken: Any,
    output: Any,
    graph: bytes,
    worked: Sequence[Any],
    files: dict[str, bytes],
    title: str,
    weights: bytes | None = None,
    **more: Any,
) -> Path:
    """The file."""
    outputs = output if isinstance(output, tuple) else (output,)
    nothing = save({"none": np.zeros(1, np.float32)})
    content = {"weights.safetensors": weights or nothing, "model.onnx": graph, **files}
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [[one.name for one in some] for some in (session.get_inputs(), session.get_outputs())]
    manifest = Manifest(
        format="wiggly-bundle",
        version=VERSION,
        wiggly="0.1.0",
        created="2024-05-06T07:08:09Z",
        task=task,
        title=title,
        inputs=(taken,),
        outputs=outputs,
        model={"by": "hand"},
        files={name: describe_file(one) for name, one in content.items()},
        examples=tuple(worked),
        graphs=(measured.Graph("model.onnx", "float32", OPSET, tuple(names[0]), tuple(names[1])),),
        **more,
    )
    write_archive(out, manifest, content)
    return out


KINDS: dict[str, Callable[[Path], Path]] = {
    "category": classes,
    "labels": lambda out: classes(out, "labels"),
    "mask": masks,
    "points": lambda out: places(out, "points"),
    "boxes": lambda out: places(out, "boxes"),
    "table": tables,
    "pairs": ratings,
}


def write_all(folder: Path) -> dict[str, Path]:
    """One bundle of each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    return {kind: make(folder / f"{kind}.wiggly") for kind, make in KINDS.items()}


def choice(out: Path) -> Path:
    """A graph with an `If`: x and a half where all of x is positive, else -x."""
    value = float_out("picked", "n")
    half = numpy_helper.from_array(np.array(0.5, np.float32), "half")
    first = helper.make_graph([helper.make_node("Add", ["x", "half"], ["picked"])], "a", [], [value], [half])
    second = helper.make_graph([helper.make_node("Neg", ["x"], ["picked"])], "b", [], [value])
    graph = graph_of(
        [
            helper.make_node("ReduceMin", ["x"], ["least"], keepdims=0),
            helper.make_node("Greater", ["least", "zero"], ["positive"]),
            helper.make_node("If", ["positive"], ["found"], then_branch=first, else_branch=second),
            helper.make_node("Identity", ["found"], ["y"]),
        ],
        [float_out("x", "n")],
        [float_out("y", "n")],
        zero=np.array(0, np.float32),
    )
    out.write_bytes(graph)
    return out


if __name__ == "__main__":
    print(*write_all(Path(sys.argv[1])).values(), choice(Path(sys.argv[1]) / "if.onnx"), sep="\n")
