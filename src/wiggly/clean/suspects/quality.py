"""Poor pictures: blurred, dark, blank, tiny, of odd shape; each measured, and compared with the others.

In: pictures. Out: `Looks` of each, and suspects. Read next: `suggest.py`.

A bound alone would call all scans of ink blank and all small pictures tiny, so a picture is suspected only
when it is beyond a bound and far from what is usual in its set.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wiggly.clean.suspects.judging import suspect_of
from wiggly.clean.suspects.pool import Pool, Progress
from wiggly.clean.suspects.suspect import Suspect
from wiggly.data.loader import default_workers
from wiggly.errors import WigglyError
from wiggly.vision.check.file_rules import ELONGATED, SMALL, SMALL_SHARE
from wiggly.vision.check.probe import Probe, probe, read_bytes
from wiggly.vision.check.similar import grey_of
from wiggly.vision.check.subject import Subject
from wiggly.vision.decode import open_image

__all__ = ["Looks", "blur_of", "look_at_all", "quality_suspects"]

MEASURED = 256  # pixels of the shorter side at which sharpness is measured
SMALLEST = 48  # below, there are too few pixels to be called blurred
# Of 1,050 pet photos none has more than 0.51; blurred by a Gaussian of 2 pixels at that size 98 % have more
# than 0.62, of 3 pixels all. Four of the photos are darker than 70, and are rightly shown.
BLURRED, DARK, BLANK = 0.62, 70.0, 4.0
FAR = 3.5  # robust standard deviations (Iglewicz and Hoaglin, 1993)
LONG = 2.5  # times as long as is usual


@dataclass(frozen=True, slots=True)
class Looks:
    """What was measured of a picture.

    Attributes:
        probe: Format, size, sketch; why it cannot be read.
        blur: 0 for sharp, 1 for blurred; NaN where it is too small.
        bright: Grey level that 5 % of the pixels are above, 0 to 255.
        spread: Standard deviation of the grey levels.
    """

    probe: Probe
    blur: float = float("nan")
    bright: float = float("nan")
    spread: float = float("nan")


def look_at_all(subject: Subject, progress: Progress | None = None) -> list[Looks]:
    """Looks at every picture once, in threads."""

    def one(k: int) -> Looks:
        item = subject.items[k]
        if isinstance(item.raw, Exception):
            return Looks(Probe(reason=str(item.raw)))
        found = probe(item.raw, item.name, subject.image)
        return Looks(found) if found.reason else _measured(found, subject, item.raw)

    looks, n = list[Looks](), len(subject.items)
    with ThreadPoolExecutor(default_workers()) as pool:
        for found in pool.map(one, range(n)):
            looks.append(found)
            if progress is not None:
                progress(len(looks), n)
    return looks


def _measured(found: Probe, subject: Subject, raw: Any) -> Looks:
    try:
        if subject.image is not None:
            pixels = subject.image.load(raw).source.pixels()
        else:
            data = read_bytes(raw) if hasattr(raw, "__fspath__") or isinstance(raw, str) else raw
            pixels = open_image(data).pixels(MEASURED, MEASURED)
    except (WigglyError, OSError, ValueError):
        return Looks(found)
    grey = grey_of(pixels)
    shrink = MEASURED / min(grey.shape)
    if shrink < 1:
        grey = cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    grey = grey.astype(np.float32)
    blur = blur_of(grey) if min(grey.shape) >= SMALLEST else float("nan")
    return Looks(found, blur, float(np.percentile(grey, 95)), float(grey.std()))


def blur_of(grey: npt.NDArray[np.float32]) -> float:
    """How blurred a picture is, 0 to 1: what blurring it once more takes from the differences of neighbours.

    A sharp picture loses much, a blurred one hardly anything (Crete, Dolmiere, Ladret and Nicolas, "The blur
    effect: perception and estimation with a new no-reference perceptual blur metric", SPIE 6492, 2007).

    Args:
        grey: Grey levels `(h, w)`.

    Example:
        >>> sharp = np.random.default_rng(0).random((64, 64), dtype=np.float32)
        >>> blur_of(sharp) < 0.3 < blur_of(cv2.GaussianBlur(sharp, (0, 0), 4))
        True
    """
    worst = 0.0
    for axis in (0, 1):
        size = (1, 9) if axis == 0 else (9, 1)
        again = cv2.blur(grey, size)
        own, left = np.abs(np.diff(grey, axis=axis)), np.abs(np.diff(again, axis=axis))
        lost = np.maximum(own - left, 0)
        total = float(own.sum())
        worst = max(worst, (total - float(lost.sum())) / total if total > 0 else 1.0)
    return worst


def _far(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How far above the median each value is, in robust standard deviations; 0 for what was not measured."""
    center = np.nanmedian(values) if np.isfinite(values).any() else 0.0
    spread = 1.4826 * np.nanmedian(np.abs(values - center)) if np.isfinite(values).any() else 1.0
    return np.nan_to_num((values - center) / max(float(spread), 1e-3), nan=0.0)


def quality_suspects(pool: Pool, looks: Sequence[Looks]) -> list[Suspect]:
    """The pictures that are poor."""
    if not looks:
        return []
    made = [*_unreadable(pool, looks)]
    made += [*_blank(pool, looks), *_blurred(pool, looks), *_dark(pool, looks), *_tiny(pool, looks)]
    return [*made, *_odd_shaped(pool, looks)]


def _unreadable(pool: Pool, looks: Sequence[Looks]) -> list[Suspect]:
    reasons = {k: look.probe.reason for k, look in enumerate(looks) if look.probe.reason} | pool.unreadable
    return [
        suspect_of(pool, k, "unreadable", 1.0, f"cannot be read: {reason}", {"reason": reason})
        for k, reason in sorted(reasons.items())
    ]


def _blank(pool: Pool, looks: Sequence[Looks]) -> list[Suspect]:
    usual = float(np.nanmedian([look.spread for look in looks]))
    return [
        suspect_of(
            pool,
            k,
            "blank",
            0.9,
            "all of one colour",
            {"spread": round(look.spread, 2), "usual": round(usual, 1)},
        )
        for k, look in enumerate(looks)
        if look.spread < min(BLANK, usual / 4)
    ]


def _blurred(pool: Pool, looks: Sequence[Looks]) -> list[Suspect]:
    blur = np.array([look.blur for look in looks])
    far = _far(np.log(np.clip(blur, 1e-3, 0.999) / (1 - np.clip(blur, 1e-3, 0.999))))
    usual = float(np.nanmedian(blur)) if np.isfinite(blur).any() else 0.0
    made: list[Suspect] = []
    for k in np.flatnonzero((blur > BLURRED) & (far > FAR)).tolist():
        if looks[k].spread >= BLANK:
            said = f"blurred: {blur[k]:.2f} of 1, where {usual:.2f} is usual"
            evidence = {"blur": round(float(blur[k]), 3), "usual": round(usual, 3)}
            made.append(suspect_of(pool, k, "blurred", _score(float(far[k]), FAR), said, evidence))
    return made


def _dark(pool: Pool, looks: Sequence[Looks]) -> list[Suspect]:
    bright = np.array([look.bright for look in looks])
    usual = float(np.nanmedian(bright)) if np.isfinite(bright).any() else 0.0
    made: list[Suspect] = []
    for k in np.flatnonzero(bright < min(DARK, usual / 2)).tolist():
        said = f"dark: 95 % of its pixels are below {bright[k]:.0f} of 255, where {usual:.0f} is usual"
        evidence = {"bright": round(float(bright[k]), 1), "usual": round(usual, 1)}
        made.append(
            suspect_of(pool, k, "dark", 0.8 * (1 - float(bright[k]) / max(usual, 1.0)), said, evidence)
        )
    return made


def _tiny(pool: Pool, looks: Sequence[Looks]) -> list[Suspect]:
    sides = [min(look.probe.height, look.probe.width) for look in looks]
    usual = float(np.median([side for side in sides if side] or [0]))
    made: list[Suspect] = []
    for k, side in enumerate(sides):
        if 0 < side < min(2 * SMALL, SMALL_SHARE * usual):
            size = f"{looks[k].probe.width}×{looks[k].probe.height}"
            said = f"{size} pixels, where the shorter side usually has {usual:.0f}"
            evidence = {"width": looks[k].probe.width, "height": looks[k].probe.height, "usual": usual}
            made.append(suspect_of(pool, k, "tiny", 0.8 * (1 - side / usual), said, evidence))
    return made


def _odd_shaped(pool: Pool, looks: Sequence[Looks]) -> list[Suspect]:
    shapes = np.array(
        [look.probe.width / look.probe.height if look.probe.height else np.nan for look in looks]
    )
    if not np.isfinite(shapes).any():
        return []
    usual = float(np.nanmedian(np.exp(np.abs(np.log(shapes)))))  # longer over shorter side
    made: list[Suspect] = []
    for k, shape in enumerate(shapes.tolist()):
        ratio = max(shape, 1 / shape) if shape == shape else 0.0
        if ratio > min(ELONGATED, LONG * usual):
            said = f"{ratio:.1f} times as long as wide, where {usual:.1f} is usual"
            evidence = {"ratio": round(ratio, 2), "usual": round(usual, 2)}
            made.append(suspect_of(pool, k, "odd-shaped", 0.7 * (1 - usual / ratio), said, evidence))
    return made


def _score(far: float, bound: float) -> float:
    """0.4 at the bound, towards 0.85 far beyond it."""
    return 0.85 - 0.45 * float(np.exp(-(far - bound) / bound))
