"""The preflight: every item is looked at once, then the rules say what is wrong.

In: loaders or a folder. Out: `DataCheck`. 10,000 photos of 500×375 take 8 s on two cores. Read next:
`findings.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from wiggly.data.loader import default_workers
from wiggly.errors import ItemError
from wiggly.vision.check.class_rules import class_findings
from wiggly.vision.check.compare import COMPARED
from wiggly.vision.check.copies import find_copies
from wiggly.vision.check.file_rules import file_findings
from wiggly.vision.check.findings import SEVERITIES, DataCheck, Finding
from wiggly.vision.check.folder import DEFAULT_SEED, from_folder
from wiggly.vision.check.leaks import copy_findings, group_findings
from wiggly.vision.check.probe import Probe, probe, read_bytes
from wiggly.vision.check.subject import Groups, Subject, from_loaders
from wiggly.vision.check.target_rules import target_findings
from wiggly.vision.decode import open_image

if TYPE_CHECKING:
    from wiggly.data.loaders import DataLoaders

__all__ = ["check_folder", "check_loaders"]

#: Called now and then with how many items are done and how many there are.
Progress = Callable[[int, int], object]


def check_loaders(
    dls: DataLoaders, groups: Groups = None, near: bool = True, progress: Progress | None = None
) -> DataCheck:
    """Looks at every item of the loaders; what `dls.check()` does.

    Args:
        dls: Loaders of pictures built by a DataBlock.
        groups: What must stay on one side of the split (a patient, a video): a function of the item, the name
            of a column, or a pattern whose first group is looked for in the path.
        near: Also look for copies that are not byte-equal.
        progress: Called with the number of items done and in all.

    Raises:
        ArgumentError: The loaders were not built from blocks, or have no pictures.
    """
    start = time.perf_counter()
    return _check(from_loaders(dls, groups), near, progress, start)


def check_folder(
    folder: str | Path,
    label_regex: str | None = None,
    label_csv: str | Path | None = None,
    valid_pct: float | None = None,
    seed: int = DEFAULT_SEED,
    groups: Groups = None,
    near: bool = True,
    progress: Progress | None = None,
    command: str = "",
) -> DataCheck:
    """Looks at every picture of a folder, labelled and split as `wiggly train` would.

    Args:
        folder: The folder.
        label_regex: The label is the first group of this pattern in the file's name; None takes the name of
            the folder a file is in.
        label_csv: A table of file names and labels.
        valid_pct: Share for validation, at random; None takes sub-folders `train`, `valid` (`val`,
            `validation`) and `test` where there are at least two of them, else 0.2.
        seed: Of the random split.
        groups: As in `dls.check()`.
        near: Also look for copies that are not byte-equal.
        progress: Called with the number of items done and in all.
        command: The command line that asked, for fixes that repeat it.

    Raises:
        DataError: The folder is missing or has no pictures.
        ArgumentError: A pattern is wrong.

    Example:
        >>> from PIL import Image
        >>> for name in ("cat", "dog"):
        ...     Path(name).mkdir()
        ...     Image.effect_mandelbrot((96, 64), (-2, -1.5, 1, 1.5), 40).save(f"{name}/1.png")
        >>> check = check_folder(".")
        >>> check["conflicting-labels"].items
        ['cat/1.png', 'dog/1.png']
    """
    start = time.perf_counter()
    subject = from_folder(folder, label_regex, label_csv, valid_pct, seed, groups, command)
    return _check(subject, near, progress, start)


def _check(subject: Subject, near: bool, progress: Progress | None, start: float) -> DataCheck:
    threads = default_workers()
    probes = _probe_all(subject, threads, progress)
    found = sorted(_findings(subject, probes, near, threads), key=lambda f: SEVERITIES.index(f.severity))
    counts = subject.class_counts()
    return DataCheck(found, subject.root, subject.side_counts(), counts, time.perf_counter() - start)


def _findings(subject: Subject, probes: Sequence[Probe], near: bool, threads: int) -> Iterator[Finding]:
    yield from file_findings(subject, probes)
    yield from class_findings(subject)
    yield from copy_findings(subject, find_copies(probes, lambda k: _pixels(subject, k), threads, near))
    yield from group_findings(subject)
    yield from target_findings(subject, probes, threads)


def _probe_all(subject: Subject, threads: int, progress: Progress | None) -> list[Probe]:
    def one(position: int) -> Probe:
        raw = subject.items[position].raw
        if isinstance(raw, Exception):
            return Probe(reason=raw.reason if isinstance(raw, ItemError) else str(raw))
        return probe(raw, subject.items[position].name, subject.image)

    n, probes = len(subject.items), list[Probe]()
    with ThreadPoolExecutor(threads) as pool:
        for found in pool.map(one, range(n)):
            probes.append(found)
            if progress is not None:
                progress(len(probes), n)
    return probes


def _pixels(subject: Subject, position: int) -> Any:
    """Pixels for a closer look, no more than are compared."""
    raw = subject.items[position].raw
    if subject.image is not None:
        pixels = subject.image.load(raw).source.pixels()
    else:
        data = read_bytes(raw) if isinstance(raw, (str, Path)) else raw
        pixels = open_image(data).pixels(COMPARED, COMPARED)
    shrink = COMPARED / min(pixels.shape[:2])
    return (
        cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        if shrink < 0.5
        else pixels
    )
