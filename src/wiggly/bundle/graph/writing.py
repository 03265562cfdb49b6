"""A module as an ONNX file, by torch's exporter; what it logs and warns stays here.

In: a `GraphModule`. Out: the bytes of the file, or the reason why there is none, in one sentence. Read next:
`checking.py`, which runs the file.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import traceback
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from wiggly.bundle.graph.modules import GraphModule

__all__ = ["NoGraphError", "Written", "missing_packages", "write_graph"]

#: What is needed to write and check a graph; none is needed to use wiggly.
PACKAGES = ("onnx", "onnxscript", "onnxruntime")

#: onnxruntime 1.14 and everything later reads it; Resize, If and the like are settled since.
OPSET = 18

FIRST_LINES = 300  # letters of an exporter's error that are kept


class NoGraphError(Exception):
    """There is no graph, and why; never leaves the bundle's export."""


@dataclass(frozen=True)
class Written:
    """An ONNX file.

    Attributes:
        content: Its bytes.
        opset: Version of the operators.
        inputs: Names.
        outputs: Names.
    """

    content: bytes
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def missing_packages() -> list[str]:
    """Which of the packages that a graph needs are not installed."""
    return [name for name in PACKAGES if find_spec(name) is None]


def write_graph(module: GraphModule) -> Written:
    """Export a module.

    Raises:
        NoGraphError: Packages are missing, or an operator has no counterpart in ONNX.
    """
    if missing := missing_packages():
        names = " and ".join(missing)
        verb = "is" if len(missing) == 1 else "are"
        raise NoGraphError(f'{names} {verb} not installed: pip install "wiggly[export]".')
    try:
        content = _exported(module)
    except Exception as error:  # the exporter raises anything for operators that it cannot follow
        if not _plain_attention(module):
            raise NoGraphError(_reason(error)) from error
        return write_graph(module)
    return Written(content, OPSET, tuple(module.input_names), tuple(module.output_names))


def _exported(module: GraphModule) -> bytes:
    with _quiet(), torch.no_grad():
        program: Any = torch.onnx.export(
            module,
            module.examples(),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=module.input_names,
            output_names=module.output_names,
            dynamic_shapes=_shapes(module),
            custom_translation_table=_own_operators(module),
        )
        return _bytes_of(program)


def _own_operators(module: GraphModule) -> dict[Any, Any]:
    """What stands in the file for wiggly's own operators."""
    if module.batched:
        return {}
    from wiggly.bundle.graph.operators import write_suppressed
    from wiggly.vision.detection.fixed import SUPPRESSED

    return {SUPPRESSED: write_suppressed}


def _plain_attention(module: GraphModule) -> bool:
    """Have timm's layers compute attention step by step, which the exporter can follow in more networks;
    whether that changes anything."""
    fused: list[Any] = [part for part in module.modules() if getattr(part, "fused_attn", False)]
    for part in fused:
        part.fused_attn = False
    return bool(fused)


def _shapes(module: GraphModule) -> Any:
    """One entry per argument of `forward`; of a table's, which takes any number, one for all."""
    shapes = module.dynamic()
    return (shapes,) if type(module).__name__ == "TableGraph" else shapes


def _bytes_of(program: Any) -> bytes:
    """The file, without what tells of the machine it was written on."""
    model: Any = program.model_proto
    nodes = list(_nodes(model.graph))
    used = {name for node in nodes for name in node.input} | {value.name for value in model.graph.output}
    for node in nodes:
        del node.metadata_props[:]  # names of source files
        node.doc_string = ""
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _leave_out_unused(attribute.g, used)
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    for function in model.functions:
        del function.metadata_props[:]
    return model.SerializeToString(deterministic=True)


def _leave_out_unused(graph: Any, used: set[str]) -> None:
    """ONNX Runtime warns of constants that the exporter left behind."""
    used = used | {value.name for value in graph.output}
    kept = [constant for constant in graph.initializer if constant.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _reason(error: Exception) -> str:
    """What the exporter says, in one line; the cause says more than what was made of it."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = re.sub(r"\x1b\[[0-9;]*m", "", " ".join(str(cause).split()))
    operator = re.search(r"\b(aten|torchvision|prims|higher_order)[.:]+\w+(\.\w+)?", f"{text} {error}")
    name = _asked_by(cause) or (operator.group(0) if operator else "an operator")
    return f"torch's exporter cannot follow {name}: {type(cause).__name__}: {text}"[:FIRST_LINES]


def _asked_by(error: BaseException) -> str:
    """The innermost function of torchvision's or timm's that was being followed."""
    frames = traceback.extract_tb(error.__traceback__)
    found = [f for f in frames if re.search(r"[/\\](torchvision|timm)[/\\]", f.filename)]
    if not found:
        return ""
    library = re.search(r"(torchvision|timm)[/\\].*", found[-1].filename)
    place = "" if library is None else f" ({library.group(0)})"
    return f"`{found[-1].name}`{place}"


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Nothing the exporter prints, logs or warns reaches the user: what matters comes as an error."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
