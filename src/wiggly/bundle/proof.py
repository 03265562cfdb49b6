"""The same answers everywhere: the worked examples, from their files, in every runtime that is at hand.

In: the path of a bundle. Out: a `RuntimeProof` for each runtime. A runtime more is one entry of `RUNTIMES`:
its name and how it is opened. Needs no torch where torch is not installed. Read next: `worked.py`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from wiggly.bundle.archive import Archive, read_archive
from wiggly.bundle.worked import Compared, Predict, compare_examples
from wiggly.errors import ArgumentError, WigglyError

__all__ = ["RUNTIMES", "RuntimeProof", "prove"]


@dataclass(frozen=True)
class RuntimeProof:
    """How one runtime did.

    Attributes:
        runtime: Its name, "onnxruntime" say; of a smaller graph with its precision.
        version: Of the package.
        compared: The worked examples; empty where it did not run.
        reason: Why it did not run; empty where it did.
        binding: Whether a difference is a failure: not of smaller graphs, which differ on purpose.
        failed: Whether it is installed and still could not run.
    """

    runtime: str
    version: str
    compared: tuple[Compared, ...]
    reason: str = ""
    binding: bool = True
    failed: bool = False

    @property
    def largest(self) -> float:
        """The largest difference; NaN where an answer is no number."""
        differences = [one.difference for one in self.compared]
        return math.nan if any(map(math.isnan, differences)) else max(differences, default=0.0)

    @property
    def same(self) -> int:
        """How many examples have the recorded labels."""
        return sum(one.same for one in self.compared)

    @property
    def milliseconds(self) -> float:
        """For one example, reading included; the fastest of them, for the first call warms up."""
        return 1000 * min((one.seconds for one in self.compared), default=0.0)

    @property
    def fits(self) -> bool:
        """Whether nothing is wrong."""
        return not self.failed and (not self.binding or all(one.fits for one in self.compared))


@dataclass(frozen=True)
class Opened:
    """A runtime with a bundle in it."""

    name: str
    version: str
    predict: Predict
    binding: bool = True


Open = Callable[[Archive, str], Iterator[Opened]]


def prove(
    path: str | os.PathLike[str], runtimes: Sequence[str] | None = None, tolerance: float | None = None
) -> list[RuntimeProof]:
    """Run the worked examples of a bundle in several runtimes.

    Args:
        path: The bundle.
        runtimes: Keys of `RUNTIMES`; None takes all.
        tolerance: Largest difference allowed; None: see `wiggly.bundle.worked.TOLERANCE`.

    Returns:
        One entry for each runtime, also for those that are not installed.

    Raises:
        ArgumentError: A runtime is not known.
        StorageError: The file cannot be read.
        BundleError: It is no bundle, or damaged.
    """
    chosen = list(RUNTIMES) if runtimes is None else list(runtimes)
    if unknown := [name for name in chosen if name not in RUNTIMES]:
        raise ArgumentError(
            f"a runtime must be one of {list(RUNTIMES)}", f"it is {unknown[0]!r}", "Leave it out for all."
        )
    archive, called = read_archive(path), f"'{os.fspath(path)}'"
    return [proof for name in chosen for proof in _proofs(name, archive, called, tolerance)]


def _proofs(name: str, archive: Archive, called: str, tolerance: float | None) -> Iterator[RuntimeProof]:
    package, open_all = RUNTIMES[name]
    if find_spec(package) is None:
        yield RuntimeProof(name, "", (), "not installed")
        return
    try:
        for one in open_all(archive, called):
            found = compare_examples(archive.manifest, archive.files, one.predict, tolerance)
            yield RuntimeProof(one.name, one.version, tuple(found), binding=one.binding)
    except WigglyError as error:
        yield RuntimeProof(name, _version(package), (), f"{error.rule}; {error.received}", failed=True)
    except NoGraphHereError as error:
        yield RuntimeProof(name, _version(package), (), str(error))


class NoGraphHereError(Exception):
    """The bundle has nothing for a runtime, and says why."""


def _pytorch(archive: Archive, called: str) -> Iterator[Opened]:
    from wiggly.bundle.predictor import Predictor

    yield Opened("pytorch", _version("torch"), Predictor(archive, name=called).predict)


def _onnxruntime(archive: Archive, called: str) -> Iterator[Opened]:
    from wiggly.bundle.session import SessionPredictor

    if not archive.manifest.graphs:
        raise NoGraphHereError(f"no graph: {archive.manifest.no_graph or 'the bundle is older than graphs'}")
    for graph in archive.manifest.graphs:
        whole = graph.precision == "float32"
        name = "onnxruntime" if whole else f"onnxruntime {graph.precision}"
        predictor = SessionPredictor(archive, graph.file, name=called)
        yield Opened(name, predictor.runtime.version, predictor.predict, binding=whole)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


#: Name: the package that must be there, and how a bundle is opened in it (one graph after the other).
RUNTIMES: dict[str, tuple[str, Open]] = {
    "pytorch": ("torch", _pytorch),
    "onnxruntime": ("onnxruntime", _onnxruntime),
}


def as_json(proofs: Sequence[RuntimeProof]) -> dict[str, Any]:
    """What `prove` returned as JSON types; `null` for a difference that is no number."""
    rows = [
        {
            "runtime": proof.runtime,
            "version": proof.version,
            "ran": bool(proof.compared) or not proof.reason,
            "reason": proof.reason,
            "examples": len(proof.compared),
            "same_labels": proof.same,
            "largest_difference": proof.largest if math.isfinite(proof.largest) else None,
            "milliseconds": round(proof.milliseconds, 3),
            "ok": proof.fits,
        }
        for proof in proofs
    ]
    return {"runtimes": rows, "ok": all(proof.fits for proof in proofs)}
