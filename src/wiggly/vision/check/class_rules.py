"""What is wrong with labels and classes: missing, empty, rare, on one side only, very unequal.

In: a subject. Out: findings. Read next: `leaks.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from wiggly.vision.check.file_rules import finding, plural
from wiggly.vision.check.findings import Finding
from wiggly.vision.check.subject import Subject

__all__ = ["class_findings"]

# Of fewer than 10, a fifth for validation is one item at most: the class is right in all cases or in none.
RARE = 10
# Largest over smallest class, as in the report: the smallest is then an afterthought to the loss.
IMBALANCE = 10


def class_findings(subject: Subject) -> Iterator[Finding]:
    """All findings about classes."""
    if subject.unlabelled:
        n = plural(len(subject.unlabelled), "file")
        names, details = list(subject.unlabelled), list(subject.unlabelled.values())
        yield finding(subject, "no-label", "error", f"{n} without a label of their own", names, details)
    counts = subject.class_counts()
    if not counts:
        return
    yield from _few(subject, counts)
    sides = subject.side_counts()
    if "train" in sides:
        yield from _on_one_side(subject, [side for side in sides if side != "train"])
    present = {label: n for label, n in counts.items() if n}
    if len(present) > 1 and max(present.values()) >= IMBALANCE * min(present.values()):
        large, small = max(present, key=lambda c: present[c]), min(present, key=lambda c: present[c])
        message = f"'{large}' has {present[large]:,} items, '{small}' {present[small]:,}"
        yield finding(subject, "imbalance", "note", message, [large, small], spare=())


def _few(subject: Subject, counts: dict[str, int]) -> Iterator[Finding]:
    empty = [label for label, n in counts.items() if n == 0]
    if empty:
        message = f"{plural(len(empty), 'class', 'classes')} without a single item"
        yield finding(subject, "empty-class", "warning", message, empty, spare=())
    rare = [label for label, n in counts.items() if 0 < n < RARE]
    if rare:
        message = (
            f"{plural(len(rare), 'class', 'classes')} of fewer than {RARE} items: a fifth for validation is "
            "then one at most, so their score is all or nothing"
        )
        yield finding(
            subject,
            "rare-class",
            "warning",
            message,
            rare,
            [plural(counts[c], "item") for c in rare],
            spare=(),
        )


def _on_one_side(subject: Subject, others: list[str]) -> Iterator[Finding]:
    training = subject.class_counts("train")
    for side in others:
        counts = subject.class_counts(side)
        if not any(counts.values()):  # a test set without labels
            continue
        unknown = [label for label, n in counts.items() if n and not training.get(label)]
        if unknown:
            n = plural(len(unknown), "class", "classes")
            message = f"{n} in '{side}' and not in training: never predicted, always counted wrong"
            details = [plural(counts[c], "item") for c in unknown]
            yield finding(subject, "class-only-in-valid", "error", message, unknown, details, spare=())
        missing = [label for label, n in training.items() if n and not counts.get(label)]
        if missing and subject.single:
            n = plural(len(missing), "class", "classes")
            message = f"{n} in training and not in '{side}': no score says how well they are found"
            yield finding(subject, "class-not-in-valid", "note", message, missing, spare=())
