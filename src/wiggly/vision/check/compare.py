"""Whether two pictures are copies of each other: laid one on the other, then compared detail by detail.

In: two pictures' pixels, or their 32×32 versions for a first look. Out: yes or no. Read next: `copies.py`.

Different photos of the same kind may agree in their large shapes but never in their details. A copy agrees in
both, whatever was done to size, brightness or compression; two filled-in copies of a form agree in most
details and contradict each other in some. So two bounds must hold: the correlation of the details over the
whole picture, and the share of blocks, among those with strong details, that contradict each other.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wiggly.vision.check.similar import SIDE, grey_of

__all__ = ["COMPARED", "FIRST_LOOK", "TINY", "closeness", "may_be_copies", "same_picture"]

Grey = npt.NDArray[np.float32]

COMPARED = 320  # pixels of the side on which pictures are compared: enough to read large print
ALIGNED = 128  # pixels on which they are laid on each other: 2 ms, and exact to 0.05 pixels
TINY = 64  # pixels: below, there are few details, and different digits differ in fewer
BLOCK = 16
# Measured on copies of 150 photos of four sets (quality 20, a quarter the size, 3 to 8 % cropped, 1.6 times
# as bright, blurred, with a line of text): correlation 0.82 to 1 at half size, where blurring shows less; 98
# of 100 have at most 0.05 disagreeing blocks, nearly all none. Consecutive frames of a video 0.4 and 0.98 in
# the middle; one form filled in differently 0.86 and 0.13; pages of text in one layout 0.66 and 0.8.
LEAST_CORRELATION, MOST_DISAGREEING = 0.8, 0.04
# Of 12,000 CIFAR-10 pictures this finds 33 real copies; of 10,000 digits two different ones agree up to 0.980
# without being moved, and up to 1 when they are: look-alikes are compared unmoved.
TINY_CORRELATION, LOOK_ALIKE_CORRELATION = 0.96, 0.99
FIRST_LOOK = 0.55  # aligned correlation of the details of two 32×32 versions; copies have 0.7 and more
MOST_BENT = 0.25  # of a matrix's four factors against those of "not moved"; 8 % cut at each border makes 0.19
DIFFERENT_COLOURS = 30.0  # mean difference of Cb and Cr, of 255; another white balance makes 20
COLOURLESS = 4.0  # mean distance of Cb and Cr from grey below which a picture counts as grey
OVERLAP = 0.5  # share of the picture that must lie on the other

_IDENTITY = np.eye(2, 3, dtype=np.float32)
_NEIGHBOURS = np.ones((9, 9), dtype=np.uint8)


def closeness(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> Grey:
    """Correlation of the details of 32×32 versions `(n, 32, 32)`, pair by pair, not moved: `(n,)`."""
    details = [
        np.stack([_details(thumb.astype(np.float32), 2.0) for thumb in side]) for side in (first, second)
    ]
    a, b = (side.reshape(len(side), -1) for side in details)
    norms = np.sqrt((a * a).sum(1) * (b * b).sum(1) + 1.0)
    return np.asarray((a * b).sum(1) / norms, dtype=np.float32)


def may_be_copies(
    first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], mirrored: bool = False
) -> bool:
    """A first look at two 32×32 versions laid on each other, 0.2 ms; nearly all that are no copies fail."""
    a, b = first.astype(np.float32), second.astype(np.float32)
    b = np.ascontiguousarray(b[:, ::-1]) if mirrored else b
    moved, inside = _moved(b, _laid(a, b, 3), 3)
    if inside.mean() < OVERLAP:
        return False
    return _correlation(_details(a, 2.0)[inside], _details(moved, 2.0)[inside]) > FIRST_LOOK


def same_picture(
    first: npt.NDArray[Any], second: npt.NDArray[Any], mirrored: bool = False, look_alikes: bool = False
) -> bool:
    """Whether one is a copy of the other: resized, recompressed, slightly cropped, brightened, made grey.

    Args:
        first: Pixels `(h, w, c)`, uint8 or floats in [0, 1].
        second: Pixels of the other.
        mirrored: Compare with the mirror image of the second.
        look_alikes: The set is full of small pictures that look alike, as digits do: be strict.
    """
    if mirrored:
        second = second[:, ::-1]
    if _colours_differ(first, second):
        return False
    a, b = grey_of(first), grey_of(second)
    smallest = min(*a.shape, *b.shape)
    side = max(SIDE, min(smallest // BLOCK * BLOCK, COMPARED))
    whole, other = _square(a, side), _square(b, side)
    if look_alikes:
        return _agreement(whole, other, _IDENTITY)[0] >= LOOK_ALIKE_CORRELATION
    return any(
        _agree(whole, other, matrix(), tiny=smallest < TINY)
        for matrix in (lambda: _IDENTITY, lambda: _aligning(a, b, side))
    )


def _agree(a: Grey, b: Grey, matrix: Grey, tiny: bool) -> bool:
    """Whether two squares are copies when the matrix lays one on the other."""
    correlation, disagreeing = _agreement(a, b, matrix)
    if tiny:  # four blocks are too few to contradict each other
        return correlation >= TINY_CORRELATION
    if disagreeing > MOST_DISAGREEING:
        return False
    half = a.shape[0] // 2
    scaled = matrix.copy()
    scaled[:, 2] *= half / a.shape[0]
    return _agreement(_square(a, half), _square(b, half), scaled)[0] >= LEAST_CORRELATION


def _square(grey: npt.NDArray[Any], side: int) -> Grey:
    return np.asarray(cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _aligning(a: npt.NDArray[Any], b: npt.NDArray[Any], side: int) -> Grey:
    """The matrix that lays `b` on `a`, for squares of `side` pixels; found coarse to fine."""
    small = min(ALIGNED, side)
    coarse = _laid(_square(a, SIDE), _square(b, SIDE), 3)
    scaled = coarse.copy()
    scaled[:, 2] *= small / SIDE
    matrix = _laid(_square(a, small), _square(b, small), 5, scaled).copy()
    matrix[:, 2] *= side / small
    return matrix


def _laid(a: Grey, b: Grey, blur: int, start: Grey = _IDENTITY) -> Grey:
    """Affine matrix from `a` to `b` by enhanced correlation (Evangelidis and Psarakis, 2008)."""
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
    try:
        found = cv2.findTransformECC(a, b, start.copy(), cv2.MOTION_AFFINE, stop, None, blur)  # pyright: ignore[reportCallIssue, reportArgumentType]
    except cv2.error:  # it does not converge on what has no common structure
        return start
    matrix = np.asarray(found[1], dtype=np.float32)
    return matrix if float(np.abs(matrix - _IDENTITY)[:, :2].max()) <= MOST_BENT else start


def _moved(b: Grey, matrix: Grey, margin: int) -> tuple[Grey, npt.NDArray[np.bool_]]:
    """`b` laid on the other picture, and where it covers that."""
    height, width = b.shape
    turn = cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(b, matrix, (width, height), flags=cv2.INTER_LINEAR | turn)
    full = np.ones((height, width), dtype=np.uint8)
    inside = cv2.warpAffine(full, matrix, (width, height), flags=cv2.INTER_NEAREST | turn)
    inside = cv2.erode(inside, _NEIGHBOURS[:margin, :margin], borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return np.asarray(moved, dtype=np.float32), inside > 0


def _details(grey: Grey, sigma: float = 3.0) -> Grey:
    return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), sigma), dtype=np.float32)


def _correlation(a: Grey, b: Grey) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum() + 1.0))


def _agreement(a: Grey, b: Grey, matrix: Grey) -> tuple[float, float]:
    """Correlation of the details, and the share of strongly detailed blocks that disagree."""
    moved, inside = _moved(b, matrix, 9)
    if inside.mean() < OVERLAP:
        return 0.0, 1.0
    details, others = _details(a) * inside, _details(moved) * inside
    energy, other, shared = (_blocks(x) for x in (details * details, others * others, details * others))
    gain = float(np.sqrt(other.sum() / (energy.sum() + 1e-6)))
    if gain == 0.0:
        return 0.0, 1.0
    stronger, weaker = np.maximum(energy * gain, other / gain), np.minimum(energy * gain, other / gain)
    # Strong in both: compression takes faint details away, which is no contradiction.
    # Of a small thing in an empty sky the noise of the sky is none either: hence the bound by the strongest.
    strong = weaker > max(0.25 * float(np.quantile(stronger, 0.9)), 0.02 * float(stronger.max()))
    agreeing = shared / (np.sqrt(energy * other) + 0.05)
    disagreeing = float((agreeing[strong] < 0.5).mean()) if strong.any() else 1.0
    return _correlation(details, others), disagreeing


def _blocks(values: Grey) -> Grey:
    """Means of blocks of 16×16."""
    side = max(1, values.shape[0] // BLOCK)
    return np.asarray(cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _colours_differ(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> bool:
    """Whether both are coloured, and differently: the same cup in red and in blue is no copy."""
    if first.shape[2] != 3 or second.shape[2] != 3:
        return False
    a, b = _colours(first), _colours(second)
    if min(float(np.abs(a).mean()), float(np.abs(b).mean())) < COLOURLESS:
        return False
    return float(np.abs(a - b).mean()) > DIFFERENT_COLOURS


def _colours(pixels: npt.NDArray[Any]) -> Grey:
    """Cb and Cr of a 16×16 version, 0 for grey."""
    small = cv2.resize(np.ascontiguousarray(pixels), (16, 16), interpolation=cv2.INTER_AREA)
    small = small.astype(np.float32) * (1 if pixels.dtype == np.uint8 else 255)
    blue_and_red = cv2.cvtColor(np.rint(small).clip(0, 255).astype(np.uint8), cv2.COLOR_RGB2YCrCb)[:, :, 1:]
    return blue_and_red.astype(np.float32) - 128
