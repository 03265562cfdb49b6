"""Images whose reading and decoding are timed, for `dls.profile`.

In: a raw value and a stopwatch. Out: an image like any other, which tells the stopwatch. Read next:
`blocks.py`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

from wiggly.data.base import Block
from wiggly.data.cache.keeping import Keeping
from wiggly.data.profiling.stopwatch import Stopwatch
from wiggly.vision import decode
from wiggly.vision.decode import EncodedImage, Pixels
from wiggly.vision.exact import Placement, resample_exactly
from wiggly.vision.image import LazyImage

__all__ = ["watched"]


@dataclass(frozen=True, slots=True)
class _Watched(EncodedImage):
    """An image that times its decoding, whenever that happens."""

    source: EncodedImage | None = None
    watch: Stopwatch | None = None
    stage: str = ""

    def pixels(self, min_height: float = 0, min_width: float = 0) -> Pixels:
        assert self.source is not None
        assert self.watch is not None
        with self.watch(self.stage):
            return self.source.pixels(min_height, min_width)

    def placed(self, placement: Placement) -> Pixels:
        assert self.source is not None
        assert self.watch is not None
        if self.stage == "decode":
            return resample_exactly(self.pixels(), placement)
        with self.watch(self.stage):
            return self.source.placed(placement)


def watched(raw: Any, block: Block, keeping: Keeping | None, watch: Stopwatch) -> LazyImage:
    """What an image block loads, with reading, decoding and looking into the cache timed.

    Args:
        raw: What `Block.load` takes.
        block: Loads it.
        keeping: The cache, if there is one.
        watch: Told the time.

    Raises:
        ItemError: It cannot be read.
    """
    stage = "decode" if keeping is None else "cache"
    if keeping is None and isinstance(raw, (str, os.PathLike)):
        with watch("read"):
            raw = decode.read_file(os.fspath(raw), os.fspath(raw))
    with watch(stage):
        value: LazyImage = block.load(raw) if keeping is None else block.load_kept(raw, keeping)
    s = value.source
    return replace(
        value, source=_Watched(s.name, s.height, s.width, s.channels, source=s, watch=watch, stage=stage)
    )
