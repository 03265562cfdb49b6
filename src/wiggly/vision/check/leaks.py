"""The same picture twice, with another label, or on both sides of the split; the same group on both sides.

In: a subject and its copies. Out: findings. Read next: `target_rules.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from wiggly.vision.check.copies import Copies
from wiggly.vision.check.file_rules import finding, plural
from wiggly.vision.check.findings import Finding, Severity
from wiggly.vision.check.subject import Subject

__all__ = ["copy_findings", "group_findings"]

Groups = Sequence[Sequence[int]]

NEAR = "(resized, recompressed, brightened or slightly cropped)"
# Of copies the one on the rarest side stays: what is only for scoring is hardest to replace.
KEPT_FIRST = ("test", "valid", "train", "all")
# Names that say what a picture is of or from; anything less plain (`Abyssinian_12`) is a class as often.
TELLING = (
    "patient",
    "subject",
    "person",
    "participant",
    "video",
    "clip",
    "session",
    "slide",
    "specimen",
    "scene",
)


def copy_findings(subject: Subject, copies: Copies) -> Iterator[Finding]:
    """All findings about copies."""
    twins = {p: group for group in copies.exact for p in group}
    near, mirrored = (
        [sorted({twin for p in group for twin in twins.get(p, [p])}) for group in groups]
        for groups in (copies.near, copies.mirrored)
    )
    yield from _across(subject, copies.exact, near, mirrored)
    yield from _conflicts(subject, copies.exact, near)
    yield from _within(subject, copies.exact, near, mirrored)
    if copies.left_out:
        message = (
            f"{copies.left_out:,} pairs look alike and were not compared, because there are so many: frames "
            "of videos, perhaps, which must not be split at random"
        )
        yield finding(subject, "not-compared", "warning", message)


def _across(subject: Subject, exact: Groups, near: Groups, mirrored: Groups) -> Iterator[Finding]:
    """Copies on several sides of the split."""
    kinds: list[tuple[str, Severity, Groups, str]] = [
        ("exact", "error", exact, "byte for byte: the score counts what was learnt by heart"),
        ("near", "error", near, f"as near copies {NEAR}: the score is too good"),
        ("mirrored", "warning", mirrored, "once mirrored: the score is too good"),
    ]
    for name, severity, groups, told in kinds:
        across = [group for group in groups if _differ(subject, group, "side")]
        message = f"{{n}} on both sides of the split, {told}"
        yield from _copies(subject, f"{name}-across", severity, across, message)


def _conflicts(subject: Subject, exact: Groups, near: Groups) -> Iterator[Finding]:
    """Copies with different labels; of near ones those that are not told as exact ones already."""
    if not subject.single:
        return
    same = [group for group in exact if _differ(subject, group, "labels")]
    message = "{n} more than once with different labels"
    yield from _copies(subject, "conflicting-labels", "error", same, message, keep=False)
    nearly = [group for group in near if _differ(subject, group, "labels")]
    message = f"{{n}} in near copies {NEAR} with different labels"
    yield from _copies(subject, "near-conflict", "warning", nearly, message, keep=False)


def _within(subject: Subject, exact: Groups, near: Groups, mirrored: Groups) -> Iterator[Finding]:
    """Copies on one side, with one label."""

    def told_already(group: Sequence[int]) -> bool:
        conflict = subject.single and _differ(subject, group, "labels")
        return conflict or _differ(subject, group, "side")

    same = [group for group in exact if not told_already(group)]
    repeated = [group for group in same if not _differ(subject, group, "name")]
    files = [group for group in same if group not in repeated]
    yield from _copies(subject, "exact-copies", "warning", files, "{n} more than once, byte for byte")
    yield from _copies(subject, "repeated-item", "warning", repeated, "{n} more than once in the list")
    near = [group for group in near if not told_already(group)]
    yield from _copies(subject, "near-copies", "warning", near, f"{{n}} more than once {NEAR}")
    mirrored = [group for group in mirrored if not _differ(subject, group, "side")]
    yield from _copies(subject, "mirrored-copies", "note", mirrored, "{n} beside the mirror image")


def _differ(subject: Subject, group: Sequence[int], attribute: str) -> bool:
    return len({getattr(subject.items[p], attribute) for p in group}) > 1


def _copies(
    subject: Subject,
    kind: str,
    severity: Severity,
    groups: Groups,
    message: str,
    keep: bool = True,
) -> Iterator[Finding]:
    if not groups:
        return
    names, details, places, spare = list[str](), list[str](), list[list[int]](), list[str]()
    for group in groups:
        ordered = sorted(group, key=lambda p: (KEPT_FIRST.index(subject.items[p].side), p))
        shown = sorted(group)
        places.append(list(range(len(names), len(names) + len(group))))
        names += [subject.items[p].name for p in shown]
        with_labels = len({subject.items[p].labels for p in group}) > 1
        details += [_told(subject, p, with_labels) for p in shown]
        spare += [subject.items[p].name for p in (ordered[1:] if keep else shown)]
    said = message.format(n=plural(len(groups), "picture"))
    yield finding(subject, kind, severity, said, names, details, places, spare)


def _told(subject: Subject, position: int, with_label: bool) -> str:
    """Side of an item where its name does not say it, and label where the copies differ in it."""
    item = subject.items[position]
    side = item.side if subject.random or subject.how == "python" else "all"
    label = "+".join(item.labels) if with_label and item.labels else ""
    return ", ".join(filter(None, ["" if side == "all" else side, label]))


def group_findings(subject: Subject) -> Iterator[Finding]:
    """Groups on several sides: those that were given, else a guess from telling file names."""
    given = any(item.group is not None for item in subject.items)
    groups = [item.group if given else _guessed(item.name) for item in subject.items]
    places: dict[str, list[int]] = {}
    for position, group in enumerate(groups):
        if group is not None:
            places.setdefault(group, []).append(position)
    crossing = {g: _sides_first(subject, p) for g, p in places.items() if _differ(subject, p, "side")}
    if not crossing:
        return
    names = [subject.items[p].name for group in crossing.values() for p in group]
    details = [f"{group}, {subject.items[p].side}" for group, found in crossing.items() for p in found]
    starts = [0]
    for found in crossing.values():
        starts.append(starts[-1] + len(found))
    indices = [list(range(low, high)) for low, high in pairwise(starts)]
    n = plural(len(crossing), "group")
    if given:
        message = f"{n} on both sides of the split: the model may know the group instead of the class"
        yield finding(subject, "group-across", "error", message, names, details, indices)
    else:
        message = f"judging by the names, {n} on both sides of the split: if so, the score is too good"
        pattern = f"({'|'.join(TELLING)})[-_ ]?(\\w*\\d)"
        yield finding(
            subject, "group-guess", "note", message, names, details, indices, pattern=f"(?i)({pattern})"
        )


def _sides_first(subject: Subject, group: Sequence[int]) -> list[int]:
    """The group with one item of each side in front, for those who read only the beginning."""
    first = {subject.items[p].side: p for p in reversed(group)}
    return [*first.values(), *(p for p in group if p not in first.values())]


_TELLING = re.compile(rf"(?i)(?:^|[^a-z])((?:{'|'.join(TELLING)})[-_ ]?[a-z]?\d+)(?=[^0-9])")


def _guessed(name: str) -> str | None:
    found = _TELLING.search(name)
    return None if found is None else found.group(1).lower()
