"""A bundle's network for Apple's devices: a Core ML program, activation and temperature included.

In: a `Predictor`. Out: a coremltools model, which `save_core_ml` writes as an .mlpackage, the same bytes for
the same bundle. Pictures go in as images of the model's size, prepared as docs/format.md says; scaling to
[0, 1] and normalising are in the program. Needs the extra `apple`; predicts only on a Mac or a phone. Read
next: `graph/modules.py`, the same network for ONNX.
"""

from __future__ import annotations

import io
import json
import logging
import shutil
import uuid
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wiggly.bundle.graph.modules import GraphModule, graph_module, names_of
from wiggly.bundle.manifest import Manifest
from wiggly.bundle.parts import (
    BoxesOutput,
    CategoryOutput,
    ImageInput,
    MaskOutput,
    NumbersOutput,
    PairInput,
    TableInput,
)
from wiggly.bundle.predictor import Predictor
from wiggly.errors import BundleError, DependencyError

__all__ = ["check_core_ml", "core_ml_model", "save_core_ml"]

#: Numbers beyond are predicted in 32 bits: 16 have 11 of precision (IEEE 754-2019, table 3.5).
LARGEST_IN_HALF = 1_000.0

#: From which names in a package are made, so that they are always the same.
NAMES = uuid.UUID("6f0b4a58-0d0a-5f4e-9c1e-3f6f1d2f7a10")


def check_core_ml(manifest: Manifest) -> None:
    """Refuses what cannot become a Core ML program.

    Raises:
        BundleError: It finds boxes, or takes pictures of any size.
    """
    taken = manifest.inputs[0]
    if isinstance(manifest.outputs[0], BoxesOutput):
        raise _refused("a model on the device must answer with as many numbers every time", "it finds boxes")
    if isinstance(taken, ImageInput) and taken.size is None:
        raise _refused("a model on the device must take pictures of one size", "it takes them as they are")


def _refused(rule: str, received: str) -> BundleError:
    return BundleError(rule, received, "Let the app ask a server: `wiggly ios BUNDLE DIR --endpoint URL`.")


def core_ml_model(predictor: Predictor) -> Any:
    """The network of a bundle as a coremltools `MLModel`, an ML program for iOS 17 and later.

    Args:
        predictor: Of `load_bundle`.

    Raises:
        BundleError: It cannot become one.
        DependencyError: coremltools is not installed.
    """
    manifest = predictor.manifest
    check_core_ml(manifest)
    with _quiet():
        try:
            import coremltools
        except ImportError as error:
            raise DependencyError(
                "a model on the device needs coremltools",
                "it is not installed",
                'Install it: `pip install "wiggly[apple]"`, or let the app ask a server with --endpoint URL.',
            ) from error
        model = _converted(coremltools, predictor)
    _describe(model, manifest)
    return model


def save_core_ml(model: Any, folder: Path) -> None:
    """Writes a model as an .mlpackage.

    Args:
        model: Of `core_ml_model`.
        folder: Its name ends in .mlpackage; what is there is replaced.
    """
    if folder.exists():
        shutil.rmtree(folder)
    with _quiet():
        model.save(str(folder))
    _same_bytes(folder)
    # Made for debuggers of another project; and identifiers that would differ every time.
    (folder / "executorch_debug_handle_mapping.json").unlink(missing_ok=True)
    place = folder / "Manifest.json"
    content = json.loads(place.read_text(encoding="utf-8"))
    entries = {_name(entry["path"]): entry for entry in content["itemInfoEntries"].values()}
    content["itemInfoEntries"] = dict(sorted(entries.items()))
    root = next(name for name, entry in entries.items() if entry["path"].endswith(".mlmodel"))
    content["rootModelIdentifier"] = root
    place.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")


def _same_bytes(folder: Path) -> None:
    """Writes the program again with its tables in order."""
    from coremltools.proto import Model_pb2

    for place in folder.rglob("*.mlmodel"):
        model: Any = Model_pb2.Model()
        model.ParseFromString(place.read_bytes())
        place.write_bytes(model.SerializeToString(deterministic=True))


def _name(path: str) -> str:
    return str(uuid.uuid5(NAMES, path)).upper()


@contextmanager
def _quiet() -> Generator[None]:
    """Without coremltools' many words: it warns of versions, of tracing, and draws bars."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


class _Program(nn.Module):
    """What is converted: prepared inputs to activated outputs, one item at a time."""

    def __init__(self, graph: GraphModule, taken: Any) -> None:
        super().__init__()
        self.whole, self.taken = graph, taken  # `graph` is a name of torch.fx

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Outputs by the names of the graph."""
        parts = list(inputs)
        if isinstance(self.taken, TableInput):
            if not self.taken.categories:
                parts.insert(0, torch.zeros((1, 0), dtype=torch.int32))
            elif not self.taken.numbers:
                parts.append(torch.zeros((1, 0)))
        raw = self.whole.network(*parts)
        if isinstance(self.whole.outputs[0], MaskOutput):
            return (raw.argmax(1).to(torch.int32),)
        return self.whole.finished(raw)


def _converted(coremltools: Any, predictor: Predictor) -> Any:
    manifest = predictor.manifest
    taken, outputs = manifest.inputs[0], manifest.outputs
    graph = graph_module(predictor.model, taken, outputs)
    specs, examples = _inputs(coremltools, taken)
    with torch.no_grad():
        exported = torch.export.export(_Program(graph, taken).eval(), examples)
        program = exported.run_decompositions(IN_OTHERS)
    half = isinstance(taken, ImageInput) and not _has_large_numbers(outputs)
    precision = coremltools.precision
    try:
        return coremltools.convert(
            program,
            inputs=specs,
            outputs=_results(coremltools, graph, outputs),
            classifier_config=_labels(coremltools, outputs),
            convert_to="mlprogram",
            compute_precision=precision.FLOAT16 if half else precision.FLOAT32,
            minimum_deployment_target=coremltools.target.iOS17,
            skip_model_load=True,
        )
    except Exception as error:  # coremltools raises anything for an operator it does not know
        raise _refused(
            "the network must be one that coremltools can convert", f"{type(error).__name__}: {error}"
        ) from error


def _addcmul(first: Tensor, second: Tensor, third: Tensor, *, value: float = 1) -> Tensor:
    return first + value * (second * third)


def _clamp(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    x = x if low is None else torch.maximum(x, low)
    return x if high is None else torch.minimum(x, high)


def _any(x: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    return x.to(torch.float32).sum(dim, keepdim) > 0


#: Operators that coremltools 9 does not know, or not with tensors, in others that it does.
IN_OTHERS: dict[Any, Any] = {
    torch.ops.aten.addcmul.default: _addcmul,
    torch.ops.aten.clamp.Tensor: _clamp,
    torch.ops.aten.any.dim: _any,
}


def _inputs(coremltools: Any, taken: Any) -> tuple[list[Any], tuple[Tensor, ...]]:
    """What goes in, for Core ML, and tensors to trace it with."""
    import numpy as np

    if isinstance(taken, ImageInput):
        assert taken.size is not None
        shape = (1, taken.channels, *taken.size)
        colours = coremltools.colorlayout.RGB if taken.channels == 3 else coremltools.colorlayout.GRAYSCALE
        image = coremltools.ImageType(name="image", shape=shape, scale=1 / 255, color_layout=colours)
        return [image], (torch.rand(shape),)
    if isinstance(taken, PairInput):
        pairs = torch.zeros((1, 2), dtype=torch.int32)
        return [coremltools.TensorType(name="pairs", shape=(1, 2), dtype=np.int32)], (pairs,)
    specs: list[Any] = []
    examples: list[Tensor] = []
    widths = (("categories", taken.categories, torch.int32), ("numbers", taken.numbers, torch.float32))
    for name, columns, kind in widths:
        if columns:
            shape = (1, len(columns))
            number = np.int32 if kind == torch.int32 else np.float32
            specs.append(coremltools.TensorType(name=name, shape=shape, dtype=number))
            examples.append(torch.zeros(shape, dtype=kind))
    return specs, tuple(examples)


def _results(coremltools: Any, graph: GraphModule, outputs: Sequence[Any]) -> list[Any]:
    """What comes out: 32 bits, also of a network that computes in 16."""
    import numpy as np

    kind = np.int32 if isinstance(outputs[0], MaskOutput) else np.float32
    return [coremltools.TensorType(name=name, dtype=kind) for name in graph.output_names]


def _labels(coremltools: Any, outputs: Sequence[Any]) -> Any:
    """Labels in the model, where it names one class and their texts differ: Xcode and Vision show them."""
    if len(outputs) != 1 or not isinstance(outputs[0], CategoryOutput):
        return None
    texts = [str(label) for label in outputs[0].vocabulary]
    return coremltools.ClassifierConfig(texts) if len(set(texts)) == len(texts) else None


def _has_large_numbers(outputs: Sequence[Any]) -> bool:
    limits = [abs(v) for o in outputs if isinstance(o, NumbersOutput) for v in (*o.low, *o.high)]
    return max(limits, default=0.0) > LARGEST_IN_HALF


def _describe(model: Any, manifest: Manifest) -> None:
    """What Xcode shows of it."""
    model.author = f"wiggly {manifest.wiggly}"
    model.license = manifest.licence or "not stated"
    model.short_description = f"{manifest.title}. {manifest.description}".strip()
    model.version = manifest.created
    told = model.user_defined_metadata
    if "com.github.apple.coremltools.conversion_date" in told:
        del told["com.github.apple.coremltools.conversion_date"]  # the same bundle gives the same bytes
    told["wiggly.task"] = manifest.task
    told["wiggly.examples"] = str(len(manifest.examples))
    for i, output in enumerate(manifest.outputs):
        temperature = getattr(output, "temperature", None)
        if temperature is not None:
            told[f"wiggly.temperature.{i}"] = repr(float(temperature))
        told[f"wiggly.output.{i}"] = f"{output.kind}: {', '.join(names_of(output))}"
