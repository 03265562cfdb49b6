"""The graphs of a bundle: written, checked, and their smaller variants tried.

In: what a learner's export has put together. Out: the ONNX files and what `model.json` says of them, or why
there are none. Read next: `variants.py`; `../export.py`, which asks.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from wiggly.bundle.graph.checking import check_graph
from wiggly.bundle.graph.modules import graph_module
from wiggly.bundle.graph.variants import VARIANTS, Tried, Validation, try_variants
from wiggly.bundle.graph.writing import NoGraphError, missing_packages, write_graph
from wiggly.bundle.measured import Graph, Quality
from wiggly.bundle.parts import Input, Output
from wiggly.bundle.runner import Runner
from wiggly.errors import ArgumentError, DependencyError

__all__ = ["GRAPH_FILE", "Graphs", "check_variants", "make_graphs"]

#: The float32 graph's file.
GRAPH_FILE = "model.onnx"


@dataclass(frozen=True)
class Graphs:
    """What goes into a bundle.

    Attributes:
        graphs: Descriptions, float32 first.
        files: Content by name.
        reason: Why there is none, in a sentence.
        quality: Of the variants that were tried.
    """

    graphs: tuple[Graph, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=lambda: dict[str, bytes]())
    reason: str | None = None
    quality: tuple[Quality, ...] = ()


def check_variants(variants: Sequence[str], graph: bool, bound: float) -> None:
    """Find out before any work is done whether variants can be had.

    Raises:
        ArgumentError: One is unknown, or there is to be no graph.
        DependencyError: Packages are missing.
    """
    for name in variants:
        if name not in VARIANTS:
            names = " and ".join(f'"{known}"' for known in VARIANTS)
            raise ArgumentError("`variants` must be among those known", f"one is {name!r}", f"Pass {names}.")
    if not 0 <= bound < 1:
        raise ArgumentError("`bound` must be in [0, 1)", f"it is {bound}", "E.g. 0.01: one point.")
    if variants and not graph:
        raise ArgumentError("variants are of the graph", "graph=False", "Leave one of them out.")
    if variants and (missing := missing_packages()):
        raise DependencyError(
            "variants of a graph need ONNX", f"{missing[0]} is not installed", 'Install "wiggly[export]".'
        )


def make_graphs(
    runner: Runner,
    described: Input,
    outputs: Sequence[Output],
    examples: Mapping[str, bytes],
    validation: Callable[[], Validation | None],
    variants: Sequence[str] = (),
    bound: float = 0.01,
) -> Graphs:
    """Write the graph of a network.

    Args:
        runner: Reader, network and answer.
        described: What `model.json` says of the input.
        outputs: What it says of the outputs.
        examples: Worked examples' files by name; without any the graph is tried on made-up input.
        validation: Makes validation items, for the variants.
        variants: Some of "fp16" and "int8".
        bound: How much worse a variant may be.

    Raises:
        BundleError: The graph answers otherwise than the network.
    """
    try:
        module = graph_module(copy.deepcopy(runner.model), described, outputs)
        written = write_graph(module)
        session = check_graph(written, module, runner, examples)
    except NoGraphError as error:
        reason = str(error)
        if not missing_packages():
            print(f"exported without an ONNX graph: {reason}", file=sys.stderr)
        return Graphs(reason=reason)
    graph = Graph(GRAPH_FILE, "float32", written.opset, written.inputs, written.outputs)
    tried: list[Tried] = []
    items = validation() if variants else None
    if items is not None:
        tried = try_variants(variants, module, written, session, items, bound)
    kept = [one for one in tried if one.quality.kept]
    return Graphs(
        (graph, *(one.graph for one in kept)),
        {GRAPH_FILE: written.content, **{one.graph.file: one.content for one in kept}},
        None,
        tuple(one.quality for one in tried),
    )
