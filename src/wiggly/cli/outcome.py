"""What `wiggly train` says of its data and of what came out: on the screen, and for programs.

In: a learner and the files it wrote. Out: lines, and a dict of JSON types. Read next: `training.py`.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wiggly.errors import ArgumentError

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["say_result", "say_what", "summary_of", "write_page"]


def write_page(learn: Learner, page: Path, force: bool) -> Path | None:
    """Writes the report; None, and a word, where there is none for this kind of target."""
    from wiggly.interpret.report import write_report

    try:
        return write_report(learn, page, overwrite=force)
    except ArgumentError as error:
        print(f"no report: {error.rule}; {error.received}", file=sys.stderr, flush=True)
        return None


def say_what(learn: Learner) -> None:
    """One line on the data, before the progress of training begins."""
    dls, names = learn.dls, getattr(learn.dls, "y_names", None)
    labels = list(map(str, _classes(learn)))
    classes = f"{', '.join(labels[:8])}{', ...' if len(labels) > 8 else ''}"
    what = f"pictures of {len(labels)} classes: {classes}"
    if names:
        what = f"rows; predicts {', '.join(names)}" + (f": {classes}" if labels else "")
    print(f"{len(dls.train_ds):,} training and {len(dls.valid_ds):,} validation {what}", flush=True)


def _classes(learn: Learner) -> list[Any]:
    """The labels of the only target; empty where it has none."""
    return list(learn.dls.target_blocks[0].vocab or ())


def summary_of(learn: Learner, bundle: Path, page: Path | None, seconds: float) -> dict[str, Any]:
    """What a program wants to know about a finished run; the score is the one the bundle carries."""
    from wiggly.bundle.archive import read_archive

    score = read_archive(bundle).manifest.score
    return {
        "bundle": str(bundle),
        "report": None if page is None else str(page),
        "classes": _classes(learn),
        "n_train": len(learn.dls.train_ds),
        "n_valid": len(learn.dls.valid_ds),
        "score": asdict(score) if score else None,
        "accuracy": score.value if score and score.name == "accuracy" else None,
        "interval": list(score.interval) if score else None,
        "baseline": score.baseline if score else None,
        "items": "rows" if getattr(learn.dls, "y_names", None) else "pictures",
        "bad_items": dict(learn.dls.bad_items),
        "seconds": round(seconds, 1),
    }


def say_result(summary: dict[str, Any]) -> None:
    """The score with its interval, where things are, and what to do next."""
    print(f"\n{_score_line(summary)} after {summary['seconds']:.0f} s")
    bundle = shlex.quote(summary["bundle"])
    print(f"  report  {summary['report'] or '-'}\n  model   {summary['bundle']}")
    item = "ROWS.csv" if summary["items"] == "rows" else "PICTURE"
    print(f"\nNext: wiggly predict {bundle} {item}    or    wiggly app {bundle}", flush=True)


def _score_line(summary: dict[str, Any]) -> str:
    score = summary["score"]
    if score is None:
        return "trained"
    n, what = summary["n_valid"], summary["items"]
    if score["name"] == "accuracy":
        value, low, high, usual = (
            f"{100 * part:.1f}" for part in (score["value"], *score["interval"], score["baseline"])
        )
        return (
            f"{value} % of {n:,} validation {what} right (95 % interval {low}\u2013{high} %; always "
            f"{score['baseline_label']!r}: {usual} %)"
        )
    value, low, high, usual = (
        f"{part:.4g}" for part in (score["value"], *score["interval"], score["baseline"])
    )
    return (
        f"root mean square error {value} on {n:,} validation {what} (95 % interval {low}\u2013{high}; always "
        f"the mean: {usual})"
    )
