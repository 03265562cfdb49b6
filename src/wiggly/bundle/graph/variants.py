"""Smaller variants of a graph, kept only if they are nearly as good on validation items.

In: the float32 graph and validation items. Out: float16 and int8 graphs with what was measured. float16 is
the network itself in half precision; int8 is ONNX Runtime's quantisation: of pictures static, calibrated on
training photos (Nagel et al., "A White Paper on Neural Network Quantization", arXiv:2106.08295), of tables
dynamic. Read next: `checking.py`.
"""

from __future__ import annotations

import copy
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from wiggly.bundle.graph.checking import ERRORS_ONLY, Session, open_graph, scale_of
from wiggly.bundle.graph.modules import GraphModule
from wiggly.bundle.graph.writing import NoGraphError, Written, write_graph
from wiggly.bundle.measured import Graph, Quality
from wiggly.bundle.parts import BoxesOutput, CategoryOutput, MaskOutput, Output

__all__ = ["VARIANTS", "Tried", "Validation", "try_variants"]

Array = npt.NDArray[Any]

#: What users call them, and what `model.json` does.
VARIANTS = {"fp16": "float16", "int8": "int8"}

WARNINGS = 2  # what ONNX Runtime's log says by default

#: A number counts as the same if it is no farther away than this share of its range.
SAME_NUMBER = 0.01


@dataclass(frozen=True)
class Validation:
    """Items to measure on.

    Attributes:
        feeds: The graph's inputs, item by item, with a batch axis of 1.
        targets: Encoded classes `(n,)` of a model with one category; None for other models.
        calibration: Inputs of training items, for int8.
    """

    feeds: Sequence[tuple[Array, ...]]
    targets: Array | None
    calibration: Sequence[tuple[Array, ...]]


@dataclass(frozen=True)
class Tried:
    """A variant and how good it is."""

    graph: Graph
    content: bytes
    quality: Quality


def try_variants(
    names: Sequence[str],
    module: GraphModule,
    written: Written,
    session: Session,
    items: Validation,
    bound: float,
) -> list[Tried]:
    """Make and measure variants; says of each what was found.

    Args:
        names: Keys of `VARIANTS`.
        module: What the float32 graph was made of.
        written: That graph.
        session: It, running.
        items: What to measure on.
        bound: How much worse one may be and still be kept.
    """
    wanted = [_run(session, written, feed) for feed in items.feeds]
    found: list[Tried] = []
    for name in names:
        try:
            content = _half(module) if name == "fp16" else _int8(written, module, items)
            answers = _answers(content, written, items)
        except NoGraphError as error:
            print(f"{name}: not made ({error})")
            continue
        metric, value, before = _measured(module.outputs, wanted, answers, items.targets)
        kept = before - value <= bound
        precision: Any = VARIANTS[name]
        quality = Quality(precision, metric, value, before, len(wanted), bound, kept)
        graph = Graph(
            f"model.{name}.onnx", precision, written.opset, written.inputs, written.outputs, quality
        )
        verdict = "kept" if kept else "not kept"
        print(
            f"{name}: {metric} {value:.1%} (float32 {before:.1%}) on {len(wanted)} validation items, "
            f"{len(content) / 1e6:.1f} MB instead of {len(written.content) / 1e6:.1f}: {verdict}"
        )
        found.append(Tried(graph, content, quality))
    return found


def _half(module: GraphModule) -> bytes:
    """The same with the network in half precision; preparation and activation stay in 32 bits."""
    made = copy.deepcopy(module)
    made.network.half()
    return write_graph(made).content


def _int8(written: Written, module: GraphModule, items: Validation) -> bytes:
    """Weights, and of pictures also activations, in 8 bits."""
    import onnxruntime
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    onnxruntime.set_default_logger_severity(ERRORS_ONLY)  # of the sessions that it makes for itself
    try:
        with tempfile.TemporaryDirectory() as folder:
            before, after = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
            before.write_bytes(written.content)
            if written.inputs == ("image",):
                _prepare(before)
                quantize_static(
                    before,
                    after,
                    cast("Any", _Reader(written, items.calibration)),
                    quant_format=QuantFormat.QDQ,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    per_channel=True,
                    op_types_to_quantize=["Conv", "Gemm", "MatMul"],
                )
            else:
                quantize_dynamic(before, after, weight_type=QuantType.QInt8)
            return after.read_bytes()
    except Exception as error:  # its errors have no common class
        raise NoGraphError(" ".join(str(error).split())[:300]) from error
    finally:
        logging.disable(level)
        onnxruntime.set_default_logger_severity(WARNINGS)


def _prepare(path: Path) -> None:
    """Batch norms into their convolutions, so that what is measured is what will run."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(path, path, skip_symbolic_shape=True)


class _Reader:
    """Calibration items, one after the other, as `quantize_static` asks for them."""

    def __init__(self, written: Written, feeds: Sequence[tuple[Array, ...]]) -> None:
        self.feeds: Iterator[dict[str, Array]] = (
            dict(zip(written.inputs, feed, strict=True)) for feed in feeds
        )

    def get_next(self) -> dict[str, Array] | None:
        return next(self.feeds, None)


def _answers(content: bytes, written: Written, items: Validation) -> list[list[Array]]:
    session = open_graph(content)
    try:
        return [_run(session, written, feed) for feed in items.feeds]
    except Exception as error:
        raise NoGraphError(" ".join(str(error).split())[:300]) from error


def _run(session: Session, written: Written, feed: tuple[Array, ...]) -> list[Array]:
    return session.run(None, dict(zip(written.inputs, feed, strict=True)))


def _measured(
    outputs: Sequence[Output],
    wanted: Sequence[list[Array]],
    found: Sequence[list[Array]],
    targets: Array | None,
) -> tuple[str, float, float]:
    """Name of the metric, its value for the variant and for float32."""
    if targets is not None and len(outputs) == 1 and isinstance(outputs[0], CategoryOutput):
        before, after = (
            float(np.mean([int(one[0][0].argmax()) == int(t) for one, t in zip(many, targets, strict=True)]))
            for many in (wanted, found)
        )
        return "accuracy", after, before
    shares = [agreement(outputs, a, b) for a, b in zip(wanted, found, strict=True)]
    return "agreement", float(np.mean(shares)), 1.0


def agreement(outputs: Sequence[Output], wanted: Sequence[Array], found: Sequence[Array]) -> float:
    """Share of the answers to one item that are the same: labels, pixels, numbers within 1 % of their
    range."""
    if isinstance(outputs[0], BoxesOutput):
        return float(len(wanted[2]) == len(found[2]) and bool((wanted[2] == found[2]).all()))
    shares: list[float] = []
    for output, first, second in zip(outputs, wanted, found, strict=True):
        if isinstance(output, MaskOutput):
            same = first == second
        elif isinstance(output, CategoryOutput):
            same = first.argmax(1) == second.argmax(1)
        elif hasattr(output, "threshold"):
            limit = getattr(output, "threshold")  # noqa: B009
            same = (first > limit) == (second > limit)
        else:
            same = np.abs(first - second) / scale_of(output, first) <= SAME_NUMBER
        shares.append(float(np.mean(same)))
    return float(np.mean(shares))
