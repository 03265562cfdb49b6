"""Where the record of a run is found: a report, a file of its own, a log, or a folder with one of them.

In: a path. Out: `RunRecord`. Read next: `about.py`, which asks about it.
"""

from __future__ import annotations

import csv
import html
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wiggly.errors import ArgumentError, DataError, WigglyError
from wiggly.interpret.record import MARK, Fit, RunRecord
from wiggly.teach.quiz.reading import read_path

__all__ = ["read_record"]

#: In a folder, richest first; a name with a star is any file that fits, the newest first.
NAMES = ("run.json", "record.json", "report.html", "*.html", "*.json", "log.jsonl", "*.jsonl", "history.csv")
HIDDEN = re.compile(rf'<template id="{MARK}">(.*?)</template>', re.DOTALL)


def read_record(path: str | Path) -> RunRecord:
    """The record of a run.

    Args:
        path: A report, what `RunRecord.save` wrote, what `JSONLogger` or `CSVLogger` wrote, or a folder with
            one of them.

    Raises:
        ArgumentError: There is none.
        DataError: It cannot be understood.
    """
    place = Path(path)
    if place.is_dir():
        return _in_folder(place)
    if place.suffix == ".wiggly":
        raise ArgumentError(
            "the record of a run is in its report",
            f"'{place}' is the model, which knows only its last epoch",
            "Pass the report.html that `wiggly train` wrote beside it.",
        )
    text = read_path(place)
    if place.suffix in (".html", ".htm"):
        found = HIDDEN.search(text)
        if not found:
            raise DataError(
                "a report must carry the record of its run",
                f"'{place}' carries none",
                "Reports of single labels do, since 0.1.0; write it anew, or use `quiz_about(learn)`.",
            )
        return RunRecord.of(html.unescape(found.group(1)))
    if place.suffix == ".csv":
        return RunRecord(fits=tuple(_fits(_csv_rows(text))))
    if place.suffix == ".jsonl":
        return RunRecord(fits=tuple(_fits(_log_rows(text, place))))
    return RunRecord.of(text)


def _in_folder(folder: Path) -> RunRecord:
    tried: list[str] = []
    for name in NAMES:
        for file in sorted(folder.glob(name), key=lambda each: each.stat().st_mtime, reverse=True):
            try:
                return read_record(file)
            except WigglyError:
                tried.append(file.name)
    raise ArgumentError(
        "the folder of a run must have a report or a log in it",
        f"'{folder}' has none" + (f"; tried {', '.join(dict.fromkeys(tried))}" if tried else ""),
        "Pass the report of `wiggly train`, or `run_record(learn).save('run.json')`.",
    )


def _csv_rows(text: str) -> Iterable[Mapping[str, Any]]:
    return csv.DictReader(text.splitlines())


def _log_rows(text: str, place: Path) -> Iterable[Mapping[str, Any]]:
    for number, line in enumerate(text.splitlines(), 1):
        try:
            told = json.loads(line)
        except ValueError:
            if number == len(text.splitlines()):  # the last line of a run that was killed
                return
            raise DataError(
                "each line of a log must be JSON", f"line {number} of '{place}' is not", "Pass another file."
            ) from None
        if isinstance(told, dict) and told.get("event") == "epoch":
            yield told


def _fits(rows: Iterable[Mapping[str, Any]]) -> list[Fit]:
    """A new fit begins where the epoch does not go on."""
    fits: list[list[Mapping[str, float]]] = []
    last = math.inf
    for row in rows:
        numbers = {str(name): value for name, value in _numbers(row)}
        epoch = numbers.get("epoch", last + 1)
        if epoch <= last:
            fits.append([])
        last = epoch
        fits[-1].append(numbers)
    return [Fit(tuple(rows)) for rows in fits]


def _numbers(row: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    for name, value in row.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if math.isfinite(number):
            yield name, number
