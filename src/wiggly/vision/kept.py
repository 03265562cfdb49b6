"""Images whose decoded pixels are kept in a cache: opened without reading the file, decoded once.

In: a path or bytes, and a `Keeping`. Out: an `EncodedImage` that looks into the cache first. Pixels are kept
under the file's content and the decode settings. In validation what is kept is the resampled picture, equal
to the bit to what would have been made without a cache; in training all draws of an image share one copy,
as fine as all but the rarest need, so those that would have decoded another differ a little. Read next:
`blocks.py`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import PIL
import simplejpeg

from wiggly.data.cache.keeping import Keeping
from wiggly.data.cache.store import FileFact, digest, file_stamp
from wiggly.errors import ItemError
from wiggly.vision.decode import EncodedImage, Pixels, read_file
from wiggly.vision.exact import Placement, resample_exactly
from wiggly.vision.geometry import LARGEST_SHRINK
from wiggly.vision.image import LazyImage

__all__ = ["KeptImage", "open_kept"]

# Raise when `decode.py` comes to give other pixels for the same file.
DECODER_VERSION = 1
# Draws tried on a dummy to find out how fine a copy they need, and how many of the finest are left out of
# account: what one draw in 30 needs is not worth four times the memory. Such a draw gets a copy of its own.
REHEARSALS, RAREST = 64, 2
# A draw asks for 1.5 pixels per pixel it makes (`LazyImage.pixels`); the finest do with this much less.
SLACK = LARGEST_SHRINK / 2
# Dummies are made in sizes a 12th of an octave apart; one is tried for all images near it.
STEPS_PER_OCTAVE = 12

Need = tuple[float, float]


Opener = Callable[[Any, str], EncodedImage]


@dataclass(frozen=True, slots=True)
class KeptImage(EncodedImage):
    """An image in a cache.

    Attributes:
        keeping: The cache, and the transforms whose draws decide how fine a copy is kept.
        content: Digest of the file.
        tag: What the opener makes of a file, in words; part of the key.
        opener: Opens the file where its pixels are not in the cache.
        is_jpeg: Whether it can be decoded at a smaller size.
        opened: The image itself, where it had to be read anyway.
    """

    keeping: Keeping | None = None
    content: bytes = b""
    tag: str = ""
    opener: Opener | None = None
    is_jpeg: bool = False
    opened: EncodedImage | None = None

    def pixels(self, min_height: float = 0, min_width: float = 0) -> Pixels:
        """The same as of any `EncodedImage`; what comes from the cache is read only."""
        assert self.keeping is not None
        least = self._least(min_height, min_width)
        key = digest(self.content, _settings(self.tag, self.scale_for(*least) if self.is_jpeg else None))
        found = self.keeping.cache.get(key)
        if found is None:
            found = self._read().pixels(*least)
            self.keeping.cache.put(key, found)
        return found

    def placed(self, placement: Placement) -> Pixels:
        """The same as of any `EncodedImage`; kept are the resampled pixels, few and always the same."""
        assert self.keeping is not None
        key = digest(self.content, _settings(self.tag, placement))
        found = self.keeping.cache.get(key)
        if found is None:
            found = resample_exactly(self._read().pixels(), placement)
            self.keeping.cache.put(key, found)
        return found

    def _least(self, min_height: float, min_width: float) -> Need:
        """At least what this draw needs, and in training what the others do."""
        keeping = self.keeping
        if keeping is None or not self.is_jpeg or not keeping.train or not (min_height and min_width):
            return min_height, min_width
        height, width = _need(keeping, self.height, self.width)
        if not (height and width):
            return 0.0, 0.0
        return max(height, min_height / SLACK), max(width, min_width / SLACK)

    def _read(self) -> EncodedImage:
        if self.opened is not None:
            return self.opened
        assert self.opener is not None
        data = read_file(self.name, self.name)
        if digest(data) != self.content:
            raise ItemError(self.name, "it was changed while it was being read", "Run again.")
        return self.opener(data, self.name)


def open_kept(source: Any, opener: Opener, tag: str, keeping: Keeping) -> EncodedImage:
    """An image for a run with a cache: a file that has not changed since it was last seen is not read.

    Args:
        source: What the opener takes; only paths and bytes are kept.
        opener: Makes an image of a source, or of bytes and the name that messages use.
        tag: Says how it does that: files opened under one tag are not those of another.
        keeping: The cache and the transforms.

    Raises:
        ItemError: It cannot be read or is no image.
    """
    if isinstance(source, dict) and "path" in source and source.get("bytes") is None:
        source = source["path"]  # a row of a Hugging Face data set
    data = source.get("bytes") if isinstance(source, dict) else source
    if isinstance(data, (bytes, bytearray, memoryview)):
        return _kept(opener(source, ""), digest(data), opener, tag, keeping)
    if not isinstance(source, (str, os.PathLike)):
        return opener(source, "")
    path: str = os.fspath(source)
    try:
        stamp, at_rest = file_stamp(path, tag)
    except (OSError, ValueError):
        return opener(source, path)  # says what is wrong with it
    fact = keeping.cache.recall(stamp)
    if fact is not None:
        height, width, made, turned, jpeg, _ = fact.numbers
        return KeptImage(
            path, height, width, made, None, None, turned, keeping, fact.content, tag, opener, bool(jpeg)
        )
    data = read_file(path, path)
    image = _kept(opener(data, path), digest(data), opener, tag, keeping)
    if at_rest:
        numbers = (image.height, image.width, image.channels, image.orientation, int(image.is_jpeg), 0)
        keeping.cache.note(stamp, FileFact(image.content, numbers))
    return image


def _kept(image: EncodedImage, content: bytes, opener: Opener, tag: str, keeping: Keeping) -> KeptImage:
    sizes = image.height, image.width, image.channels
    jpeg = image.data is not None
    return KeptImage(
        image.name, *sizes, None, None, image.orientation, keeping, content, tag, opener, jpeg, image
    )


@lru_cache(maxsize=256)
def _settings(tag: str, how: object) -> bytes:
    libraries = simplejpeg.__version__, PIL.__version__
    return repr((DECODER_VERSION, libraries, tag, how)).encode()


# ----------------------------------------------------------------------------------- what the draws need


class _AskedError(Exception):
    """Ends a rehearsal: all that matters is what was asked."""


@dataclass(frozen=True, slots=True)
class _Dummy(EncodedImage):
    """Stands in for an image of a size and raises what is asked of it."""

    def pixels(self, min_height: float = 0, min_width: float = 0) -> Pixels:
        raise _AskedError(min_height, min_width)


def _step(side: int) -> int:
    return round(STEPS_PER_OCTAVE * math.log2(side))


def _need(keeping: Keeping, height: int, width: int) -> Need:
    """The least size that serves nearly all draws of images of about this size; (0, 0) is full size."""
    known: Need | None = keeping.memo.get((height, width))
    if known is None:
        steps = "steps", _step(height), _step(width)
        known = keeping.memo.get(steps)
        if known is None:
            known = keeping.memo[steps] = _rehearsed(keeping, *steps[1:])
        keeping.memo[height, width] = known
    return known


def _rehearsed(keeping: Keeping, height_step: int, width_step: int) -> Need:
    height, width = (max(1, round(2 ** (s / STEPS_PER_OCTAVE))) for s in (height_step, width_step))
    asked = [_asked(keeping, _Dummy("a dummy", height, width, 3), draw) for draw in range(REHEARSALS)]
    if sum(not (h and w) for h, w in asked) > RAREST:
        return 0.0, 0.0
    height, width = (_enough(sorted(sides)) for sides in zip(*asked, strict=True))
    return height, width


def _enough(asked: list[float]) -> float:
    """What the usual draw asks for, or more if the finest ones need it."""
    return max(asked[len(asked) // 2], asked[-1 - RAREST] / SLACK)


def _asked(keeping: Keeping, dummy: EncodedImage, draw: int) -> Need:
    try:
        keeping.rehearse(LazyImage(dummy), draw).pixels()
    except _AskedError as asked:
        height, width = asked.args
        return height, width
    except Exception:  # a transform that needs the rest of the sample
        pass
    return 0.0, 0.0
