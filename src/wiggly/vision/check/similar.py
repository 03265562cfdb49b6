"""Sketches of pictures, and which pictures may be copies of each other.

In: grey pixels. Out: a `Sketch` of 1.8 kB; `candidates` finds the pairs worth a closer look among all of them
by matrix products, 10,000 pictures in about a second. Read next: `compare.py`, which takes the closer look.

A sketch holds the 63 lowest frequencies of a 32×32 version of the picture, as in Zauner, "Implementation and
benchmarking of perceptual image hash functions" (2010), but as numbers instead of one bit each, and with
higher frequencies weighted up, because natural pictures have amplitudes that fall as 1/f: else all pictures
with a bright sky would look alike. Three cuts (the whole picture, without 3 % and without 8 % at each border)
find cropped copies; turning the sign of the odd horizontal frequencies is a mirrored copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["SIDE", "Candidate", "Sketch", "candidates", "grey_of", "make_sketch"]

Grey = npt.NDArray[np.float32]

SIDE = 32
FREQUENCIES = 8
BORDERS = (0.0, 0.03, 0.08)
# Standard deviation in grey levels of the 32×32 version below which a picture shows nothing to compare.
FLAT = 2.0
# Cosine of two sketches: of 550,000 pairs of different pet photos one is above; of copies (recompressed to
# quality 20, a quarter the size, 8 % cropped, 1.6 times as bright) all.
LIKENESS = 0.72
MOST_LIKE = 8  # candidates kept per picture: a set of look-alikes must not make n² of them
BLOCK = 1024  # rows of the product at a time: 1024 × 100,000 numbers are 400 MB

_rows, _columns = np.mgrid[:FREQUENCIES, :FREQUENCIES]
_WEIGHTS = np.hypot(_rows, _columns).astype(np.float32)  # 0 for the mean: brightness does not count
_MIRROR = np.where(_columns % 2 == 1, -1, 1).astype(np.float32).ravel()


@dataclass(frozen=True, slots=True)
class Sketch:
    """A picture in short.

    Attributes:
        vectors: `(3, 64)` float32, each of length 1: the three cuts.
        thumb: `(32, 32)` uint8.
    """

    vectors: Grey
    thumb: npt.NDArray[np.uint8]


class Candidate(NamedTuple):
    """Two pictures that may be copies; `first < second`."""

    first: int
    second: int
    likeness: float
    mirrored: bool


def grey_of(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Pixels `(h, w, c)`, uint8 or floats in [0, 1], as grey levels `(h, w)` from 0 to 255."""
    if pixels.dtype != np.uint8:
        pixels = (np.clip(pixels, 0, 1) * 255).astype(np.float32)
    if pixels.shape[2] != 3:
        return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels.mean(axis=2, dtype=np.float32)
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY))


def make_sketch(grey: npt.NDArray[Any]) -> Sketch | None:
    """The sketch of grey pixels `(h, w)`; None for a picture without content.

    Example:
        >>> make_sketch(np.zeros((40, 60), dtype=np.uint8)) is None
        True
    """
    thumbs = [_thumb(grey, border) for border in BORDERS]
    if float(thumbs[0].std()) < FLAT:
        return None
    vectors = np.stack([_vector(thumb) for thumb in thumbs])
    return Sketch(vectors, np.rint(thumbs[0]).astype(np.uint8))


def _thumb(grey: npt.NDArray[Any], border: float) -> Grey:
    height, width = grey.shape
    top, left = round(height * border), round(width * border)
    cut = np.ascontiguousarray(grey[top : height - top, left : width - left])
    return np.asarray(cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _vector(thumb: Grey) -> Grey:
    vector = (cv2.dct(thumb)[:FREQUENCIES, :FREQUENCIES] * _WEIGHTS).ravel()
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-6), dtype=np.float32)


def candidates(sketches: Sequence[Sketch]) -> list[Candidate]:
    """Pairs that may be copies of each other, likeliest first; at most eight per picture.

    Args:
        sketches: One per picture.

    Returns:
        Pairs of positions.
    """
    if len(sketches) < 2:
        return []
    cuts = np.stack([sketch.vectors for sketch in sketches], axis=1)  # (3, n, 64)
    whole = np.ascontiguousarray(cuts[0].T)
    best: dict[tuple[int, int, bool], float] = {}
    for queries, mirrored in (
        (cuts[0], False),
        (cuts[1], False),
        (cuts[2], False),
        (cuts[0] * _MIRROR, True),
    ):
        for start in range(0, len(sketches), BLOCK):
            likeness = queries[start : start + BLOCK] @ whole
            for row, column, value in _most_alike(likeness, start):
                key = (min(row, column), max(row, column), mirrored)
                best[key] = max(value, best.get(key, 0.0))
    found = [Candidate(first, second, value, flip) for (first, second, flip), value in best.items()]
    return sorted(found, key=lambda pair: (-pair.likeness, pair.first, pair.second))


def _most_alike(likeness: Grey, start: int) -> list[tuple[int, int, float]]:
    """Of each row the largest values above the bound, as (row, column, value)."""
    rows = np.arange(len(likeness))
    likeness[rows, rows + start] = -1.0  # itself
    found: list[tuple[int, int, float]] = []
    for row in np.flatnonzero(likeness.max(axis=1) > LIKENESS).tolist():
        columns = np.flatnonzero(likeness[row] > LIKENESS)
        if len(columns) > MOST_LIKE:
            columns = columns[np.argpartition(-likeness[row, columns], MOST_LIKE)[:MOST_LIKE]]
        found += [(row + start, int(column), float(likeness[row, column])) for column in columns]
    return found
