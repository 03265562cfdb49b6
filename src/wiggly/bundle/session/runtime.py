"""ONNX Runtime around one graph of a bundle; what can be wrong with the graph is said by name.

In: a bundle that was read. Out: a session, and arrays by name. Needs no torch. Read next: `predictor.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from wiggly.bundle.archive import Archive
from wiggly.bundle.measured import Graph
from wiggly.bundle.session.decoding import names_of
from wiggly.errors import ArgumentError, BundleError, DependencyError

__all__ = ["Runtime", "choose_graph"]

Arrays = dict[str, npt.NDArray[Any]]

EXPORT_AGAIN = "Export the model again."


class Runtime:
    """A graph that runs.

    Args:
        archive: The bundle.
        graph: Which of its graphs.
        name: How errors call the bundle.
        threads: How many compute one answer; None leaves it to ONNX Runtime.

    Raises:
        DependencyError: onnxruntime is not installed.
        BundleError: The graph cannot be loaded, or takes or gives something else than model.json says.
    """

    def __init__(self, archive: Archive, graph: Graph, name: str, threads: int | None = None) -> None:
        runtime = _onnxruntime()
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # what it has to say comes as an exception
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self.session: Any = runtime.InferenceSession(
                archive.files[graph.file], options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime has its own exceptions, and no common base for them
            raise BundleError(
                f"'{graph.file}' of {name} must be a graph that this ONNX Runtime can run",
                f"onnxruntime {runtime.__version__} cannot (opset {graph.opset}): {_short(error)}",
                "Install a newer one, `pip install --upgrade onnxruntime`, or export the model again.",
            ) from error
        self.graph, self.name, self.version = graph, name, str(runtime.__version__)
        self.outputs = names_of(archive.manifest.outputs)
        self._check_names({entry.name for entry in self.session.get_inputs()})

    def _check_names(self, inputs: set[str]) -> None:
        given = {entry.name for entry in self.session.get_outputs()}
        for what, wanted, found in (
            ("inputs", set(self.graph.inputs), inputs),
            ("outputs", set(self.outputs), given),
        ):
            if wanted != found:
                raise BundleError(
                    f"the {what} of '{self.graph.file}' must be those of model.json, {sorted(wanted)}",
                    f"they are {sorted(found)}",
                    EXPORT_AGAIN,
                )

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """What the graph gives, by name.

        Raises:
            BundleError: It does not take these.
        """
        names = list(self.outputs)
        try:
            found = self.session.run(names, {name: feeds[name] for name in self.graph.inputs})
        except Exception as error:
            raise BundleError(
                f"'{self.graph.file}' of {self.name} must take what model.json describes",
                f"it fails: {_short(error)}",
                EXPORT_AGAIN,
            ) from error
        return dict(zip(names, found, strict=True))


def choose_graph(archive: Archive, wanted: str | None, name: str) -> Graph:
    """One of a bundle's graphs.

    Args:
        archive: The bundle.
        wanted: "float32", "float16", "int8", or the name of its file; None takes the first, float32.
        name: How errors call the bundle.

    Raises:
        BundleError: It has none.
        ArgumentError: It has not that one.
    """
    graphs = archive.manifest.graphs
    if not graphs:
        why = archive.manifest.no_graph or "it has no ONNX graph"
        raise BundleError(
            f"{name} must have an ONNX graph to run without PyTorch",
            why.rstrip("."),
            "Use `load_bundle`, or export the model again where the packages of `wiggly[export]` are.",
        )
    known = [graph for graph in graphs if wanted in (None, graph.precision, graph.file)]
    if not known:
        raise ArgumentError(
            f"`graph` must be one of those in {name}: {[graph.precision for graph in graphs]}",
            f"it is {wanted!r}",
            "Leave it out for float32.",
        )
    return known[0]


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise DependencyError(
            "running a bundle without PyTorch needs onnxruntime",
            f"it cannot be imported ({error})",
            "Install it: `pip install onnxruntime`.",
        ) from error
    return onnxruntime


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
