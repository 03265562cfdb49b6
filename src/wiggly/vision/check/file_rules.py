"""What is wrong with the files themselves: unreadable, damaged, of odd size, kind or orientation.

In: a subject and the probe of each item. Out: findings. Read next: `class_rules.py`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random
from statistics import median

from wiggly.errors import WigglyError
from wiggly.vision.check.findings import Finding, Severity
from wiggly.vision.check.fixes import fix_for
from wiggly.vision.check.probe import Probe
from wiggly.vision.check.subject import Subject

__all__ = ["file_findings", "finding", "plural"]

SMALL = 32  # pixels of the shorter side: a network's last features stand for 32×32 pixels each
SMALL_SHARE = 0.25  # of the shorter side that is usual in the set; sets of tiny pictures are what they are
ELONGATED, USUAL_RATIO = 5.0, 2.5  # longer over shorter side: a centre crop shows a fifth of it at most
RARE_MODE = 0.2  # share of the pictures up to which a colour mode is an exception

#: What a suffix promises, in Pillow's names; suffixes not here may hold anything.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
}
MODES = {
    "L": "grey",
    "1": "black and white",
    "LA": "grey with transparency",
    "CMYK": "CMYK (for print)",
    "RGBA": "with transparency",
    "I;16": "16-bit grey",
    "I": "32-bit grey",
    "F": "floating-point grey",
}


def finding(
    subject: Subject,
    kind: str,
    severity: Severity,
    message: str,
    items: Sequence[str] = (),
    details: Sequence[str] = (),
    groups: Sequence[Sequence[int]] = (),
    spare: Sequence[str] | None = None,
    pattern: str = "",
) -> Finding:
    """A finding with the fix of its kind; all its items are spare unless told otherwise."""
    left = items if spare is None else spare
    return Finding(kind, severity, message, fix_for(kind, subject, pattern), items, details, groups, left)


def plural(n: int, one: str, many: str = "") -> str:
    """A number and its noun.

    Example:
        >>> plural(1, "file"), plural(1200, "file"), plural(2, "class", "classes")
        ('1 file', '1,200 files', '2 classes')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def file_findings(subject: Subject, probes: Sequence[Probe]) -> Iterator[Finding]:
    """All findings about files."""
    yield from _where(
        subject,
        probes,
        "unreadable",
        "error",
        lambda probe, name: probe.reason,
        "{n} cannot be read; training leaves them out, and stops when they are more than 1 %",
    )
    yield from _where(
        subject,
        probes,
        "damaged",
        "warning",
        lambda probe, name: probe.damage if not probe.reason else "",
        "{n} can be read, but parts may be grey or shifted",
    )
    yield from _left_out(subject)
    yield from _sizes(subject, probes)
    yield from _mixed_sizes(subject, probes)
    yield from _where(
        subject,
        probes,
        "wrong-suffix",
        "note",
        _wrong_suffix,
        "{n} with a name that promises another format; files are read by content, so this is harmless here",
    )
    yield from _modes(subject, probes)
    yield from _where(
        subject,
        probes,
        "turned-by-exif",
        "note",
        lambda probe, name: f"orientation {probe.orientation}" if probe.orientation != 1 else "",
        "{n} stored sideways with an EXIF mark; other programs may show them so",
    )


def _where(
    subject: Subject,
    probes: Sequence[Probe],
    kind: str,
    severity: Severity,
    told: Callable[[Probe, str], str],
    message: str,
) -> Iterator[Finding]:
    """One finding with the items for which `told` has something to say."""
    said = [(item.name, told(probe, item.name)) for item, probe in zip(subject.items, probes, strict=True)]
    names, details = [name for name, text in said if text], [text for _, text in said if text]
    if names:
        shown = message.format(n=plural(len(names), "file"))
        yield finding(subject, kind, severity, shown, names, details)


def _wrong_suffix(probe: Probe, name: str) -> str:
    suffix = os.path.splitext(name)[1].lower()
    promised = next((kind for kind, suffixes in FORMATS.items() if suffix in suffixes), "")
    content = "JPEG" if probe.format == "MPO" else probe.format
    if probe.reason or not promised or not content or promised == content:
        return ""
    return f"is {content}"


def _left_out(subject: Subject) -> Iterator[Finding]:
    if subject.left_out:
        message = (
            f"{plural(len(subject.left_out), 'photo')} of a kind that is not read, and so not trained on"
        )
        yield finding(subject, "left-out", "warning", message, subject.left_out)


def _sizes(subject: Subject, probes: Sequence[Probe]) -> Iterator[Finding]:
    sizes = [
        (item.name, p.height, p.width) for item, p in zip(subject.items, probes, strict=True) if p.height
    ]
    if not sizes:
        return
    usual = median(min(h, w) for _, h, w in sizes)
    ratio = median(max(h, w) / min(h, w) for _, h, w in sizes)
    small = [size for size in sizes if min(size[1:]) < min(SMALL, SMALL_SHARE * usual)]
    if small:
        message = (
            f"{plural(len(small), 'picture')} of hardly any pixels; half of all have {usual:.0f} or more"
        )
        yield finding(subject, "small", "warning", message, *_with_sizes(small))
    long = [size for size in sizes if max(size[1:]) > ELONGATED * min(size[1:])]
    if long and ratio < USUAL_RATIO:
        message = f"{plural(len(long), 'picture')} more than {ELONGATED:.0f} times as long as wide"
        yield finding(subject, "elongated", "note", message, *_with_sizes(long))


def _with_sizes(sizes: Sequence[tuple[str, int, int]]) -> tuple[list[str], list[str]]:
    return [name for name, _, _ in sizes], [f"{width}×{height}" for _, height, width in sizes]


def _mixed_sizes(subject: Subject, probes: Sequence[Probe]) -> Iterator[Finding]:
    """Whether two pictures of different size still differ after the transforms: then no batch can be made."""
    start = 0
    for dataset in subject.datasets:
        by_size: dict[tuple[int, int], int] = {}
        for position, probe in enumerate(probes[start : start + len(dataset)]):
            if probe.height:
                by_size.setdefault((probe.height, probe.width), position)
        made: dict[tuple[int, int], str] = {}
        for position in sorted(by_size.values())[:2]:
            try:
                height, width = dataset.sample(position, Random(0))[0].size
            except (WigglyError, OSError):  # named elsewhere
                continue
            made.setdefault((height, width), subject.items[start + position].name)
        if len(made) > 1:
            details = [f"{width}×{height}" for height, width in made]
            message = (
                "pictures of different size still differ after the transforms: no batch can be made of them"
            )
            yield finding(subject, "mixed-sizes", "error", message, list(made.values()), details, spare=())
            return
        start += len(dataset)


def _modes(subject: Subject, probes: Sequence[Probe]) -> Iterator[Finding]:
    if subject.image is not None:  # bands, not colours
        return
    counts = Counter(probe.mode for probe in probes if probe.height)
    n = sum(counts.values())
    odd = {mode for mode, count in counts.items() if mode in MODES and count <= RARE_MODE * n}
    if odd:
        found = [(i.name, MODES[p.mode]) for i, p in zip(subject.items, probes, strict=True) if p.mode in odd]
        message = f"{plural(len(found), 'picture')} in other colours than the rest"
        names, details = [name for name, _ in found], [told for _, told in found]
        yield finding(subject, "colour-modes", "note", message, names, details)
