"""Does the ONNX file answer as the network does? Nothing is written unless it does.

In: an ONNX file, what it was made of, worked examples. Out: nothing, or an error that names the example.
Read next: `making.py`, which asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from wiggly.bundle.graph.modules import GraphModule
from wiggly.bundle.graph.writing import NoGraphError, Written
from wiggly.bundle.parts import BoxesOutput, CategoryOutput, LabelsOutput, MaskOutput, NumbersOutput, Output
from wiggly.bundle.runner import Runner
from wiggly.errors import BundleError

__all__ = ["Session", "check_graph", "open_graph"]

Array = npt.NDArray[Any]
Session = Any

#: A probability, or a number as a share of its range in training, may differ by so much between runtimes.
TOLERANCE = 1e-4
#: So many pixels of a mask may fall to the other of two classes, and boxes move by so much.
PIXELS, BOXES = 1e-3, 1e-3

ERRORS_ONLY = 3  # ONNX Runtime's levels of logging: 0 says everything, 4 fatal errors alone


def open_graph(content: bytes, threads: int = 0) -> Session:
    """An ONNX Runtime session on the CPU.

    Args:
        content: An ONNX file.
        threads: How many; 0 leaves it to the runtime.

    Raises:
        NoGraphError: It cannot run the file.
    """
    import onnxruntime

    options: Any = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class
        reason = " ".join(str(error).split())[:300]
        raise NoGraphError(f"ONNX Runtime {onnxruntime.__version__} cannot run it: {reason}") from error


def check_graph(
    written: Written, module: GraphModule, runner: Runner, examples: Mapping[str, bytes]
) -> Session:
    """Run worked examples through both.

    Args:
        written: The ONNX file.
        module: What it was made of.
        runner: Reads the examples, and runs the network as the bundle's predictor will.
        examples: Content of their files by name; without any, made-up input is tried.

    Returns:
        The session, for further use.

    Raises:
        BundleError: An example comes out differently.
        NoGraphError: ONNX Runtime cannot run the file.
    """
    session = open_graph(written.content)
    for name, content in examples.items():
        wanted = expected(module, runner, content)
        for feed in runner.reader.feeds(content):
            _check(session, written, module, feed, wanted, f"the worked example '{name}'")
    if not examples:
        made_up = module.examples()
        with torch.inference_mode():
            wanted = [part.numpy() for part in module(*made_up)]
        feed = tuple(part.numpy() for part in made_up)
        _check(session, written, module, feed, wanted, "made-up input")
    return session


def _check(
    session: Session,
    written: Written,
    module: GraphModule,
    feed: tuple[Array, ...],
    wanted: list[Array],
    what: str,
) -> None:
    try:
        found = session.run(None, dict(zip(written.inputs, feed, strict=True)))
    except Exception as error:
        raise NoGraphError(f"ONNX Runtime fails on it: {' '.join(str(error).split())[:300]}") from error
    if trouble := compare(module.outputs, wanted, found):
        raise BundleError(
            "the ONNX graph must answer as the network does",
            f"for {what} {trouble}",
            "Export without it: learn.export(..., graph=False); and tell wiggly's authors, please.",
        )


def expected(module: GraphModule, runner: Runner, content: bytes) -> list[Array]:
    """What PyTorch says, in the form of the graph."""
    inputs, _ = runner.reader.one(content)
    with torch.inference_mode():
        raw = runner.model(*(part.to(runner.device) for part in inputs))
        return [part.cpu().numpy() for part in module.finished(raw)]


def compare(outputs: Sequence[Output], wanted: Sequence[Array], found: Sequence[Array]) -> str:
    """What is wrong, in words; empty if nothing is."""
    if isinstance(outputs[0], BoxesOutput):
        return _compare_boxes(outputs[0], wanted, found)
    for output, first, second in zip(outputs, wanted, found, strict=True):
        if first.shape != second.shape:
            return f"its result is of shape {second.shape} instead of {first.shape}"
        if isinstance(output, MaskOutput):
            share = float((first != second).mean())
            if share > PIXELS:
                return f"{share:.2%} of the pixels have another class"
            continue
        apart = float(np.max(np.abs(second - first) / scale_of(output, first), initial=0))
        if not apart <= TOLERANCE:  # so that NaN does not pass
            return f"a result is {apart:.2g} off"
        if _says(output, first) != _says(output, second):
            return "the label is another one"
    return ""


def scale_of(output: Output, values: Array) -> Array:
    """By what differences are divided: probabilities by 1, numbers by their range in training."""
    if isinstance(output, NumbersOutput):
        spread = np.asarray(output.high) - np.asarray(output.low)
        return np.where(spread > 0, spread, 1.0)
    if isinstance(output, CategoryOutput | LabelsOutput):
        return np.ones(1)
    return np.maximum(1.0, np.abs(values))


def _says(output: Output, values: Array) -> Any:
    """The label of the only item, if that is beyond rounding."""
    if isinstance(output, CategoryOutput):
        best, second = np.sort(values[0])[::-1][:2]
        return int(values[0].argmax()) if best - second > 2 * TOLERANCE else None
    if isinstance(output, LabelsOutput):
        clear = np.abs(values[0] - output.threshold) > 2 * TOLERANCE
        return tuple(np.flatnonzero((values[0] > output.threshold) & clear).tolist())
    return None


def _compare_boxes(output: BoxesOutput, wanted: Sequence[Array], found: Sequence[Array]) -> str:
    """Each box must have a counterpart, unless it is hardly sure enough to be named."""
    for first, second in ((wanted, found), (found, wanted)):
        for box, score, label in zip(*first, strict=True):
            near = [
                abs(float(score) - float(s))
                for b, s, k in zip(*second, strict=True)
                if k == label and np.abs(b - box).max() <= 2 * BOXES
            ]
            if not near and score > output.min_score + BOXES:
                return f"a box of score {float(score):.3f} is missing"
            if near and min(near) > BOXES:
                return f"the score of a box is {min(near):.2g} off"
    return ""
