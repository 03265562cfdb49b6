"""The image block: a path becomes a row of a float batch, and a row becomes a picture again.

In: paths, bytes, arrays or pictures, of any number of channels. Out: `(c, h, w)` float32 in [0, 1],
channels_last in memory. Read next: `loaders.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from wiggly.data.blocks import Block
from wiggly.data.cache.keeping import Keeping
from wiggly.data.memory import BufferPool
from wiggly.data.profiling.stopwatch import Stopwatch
from wiggly.data.transfer import host_memory
from wiggly.errors import ArgumentError, DataError, ItemError
from wiggly.vision.arrays import open_bands
from wiggly.vision.decode import EncodedImage, open_image
from wiggly.vision.device import render
from wiggly.vision.image import LazyImage, PILImage, PILImageBW
from wiggly.vision.kept import open_kept
from wiggly.vision.watched import watched

__all__ = ["ImageBlock"]

# Look-ahead of a loader with several threads, and the batch in work; more would only hold memory.
_buffers = BufferPool(keep=6)


class ImageBlock(Block):
    """Pictures as inputs.

    Args:
        cls: `PILImage` for RGB, `PILImageBW` for grey, or its name; its `colour_mode` decides the channels.
        channels: For pictures that are no photos (satellite bands, depth, microscopy): how many channels they
            have. They are then read as stored: `.npy`, TIFF, PNG and other files, arrays `(h, w, c)`, tensors
            `(c, h, w)`. Colour transforms act on every channel alike; a callable of yours gets an array.
        value_range: With `channels`: the stored values that become 0 and 1; what is beyond is clipped. None
            takes 0 to 255 for 8 bits, 0 to 65,535 for 16 bits without sign, and floats that are in [0, 1].
        shown: With `channels`: which three are drawn as red, green and blue, or which one as grey; None takes
            the first three, or the first.

    Raises:
        ArgumentError: An argument is out of range.

    Example:
        >>> block = ImageBlock()
        >>> value = block.load(np.full((2, 3), 255, dtype=np.uint8))
        >>> block.encode(value).shape
        torch.Size([3, 2, 3])
        >>> bands = ImageBlock(channels=12, value_range=(0, 10_000), shown=(3, 2, 1))
        >>> bands.encode(bands.load(np.zeros((2, 3, 12), dtype=np.int16))).shape
        torch.Size([12, 2, 3])
    """

    is_picture = True
    renders: bool = True

    def __init__(
        self,
        cls: type[PILImage] | str = PILImage,
        channels: int | None = None,
        value_range: Sequence[float] | None = None,
        shown: Sequence[int] | None = None,
    ) -> None:
        found = next((kind for kind in (PILImage, PILImageBW) if kind.__name__ == cls), cls)
        if isinstance(found, str) or not hasattr(found, "colour_mode"):
            raise ArgumentError(
                "`cls` must be PILImage or PILImageBW",
                f"it is {cls!r}",
                "Pass PILImage for colour, or use MaskBlock for masks.",
            )
        self.cls, self.stored_channels = found, channels
        self.value_range = _checked_range(value_range, channels)
        self.shown = _checked_shown(shown, channels)
        self.renders = channels is None

    @property
    def channels(self) -> int:
        """3 for RGB, 1 for grey, else what was asked for."""
        return self.stored_channels or (3 if self.cls.colour_mode == "RGB" else 1)

    def accepts(self, raw: Any) -> bool:
        kinds = (str, os.PathLike, bytes, bytearray, Image.Image, np.ndarray, Tensor)
        return isinstance(raw, kinds)

    def load(self, raw: Any) -> LazyImage:
        return LazyImage(self._open(raw))

    def _open(self, raw: Any, name: str = "") -> EncodedImage:
        if self.stored_channels is not None:
            return open_bands(raw, self.stored_channels, self.value_range, name)
        return open_image(raw, self.channels, name)

    def load_kept(self, raw: Any, keeping: Keeping) -> LazyImage:
        if self.stored_channels is not None:
            tag = f"bands {self.stored_channels} {self.value_range}"
            return LazyImage(open_kept(raw, self._open, tag, keeping))
        return LazyImage(open_kept(raw, self._open, f"image {self.channels}", keeping))

    def exact(self, value: LazyImage) -> LazyImage:
        return replace(value, exact=True) if self.stored_channels is None else value

    def load_watched(self, raw: Any, keeping: Keeping | None, watch: Stopwatch) -> LazyImage:
        return watched(raw, self, keeping, watch)

    def encode(self, value: LazyImage) -> Tensor:
        h, w = value.size
        out = np.empty((h, w, self.channels), dtype=np.float32)
        value.write(out)
        return torch.from_numpy(out).permute(2, 0, 1)

    def encode_into(self, value: LazyImage, out: Tensor) -> None:
        self.check_size(value, out)
        value.write(out.permute(1, 2, 0).numpy())

    def check_size(self, value: LazyImage, out: Tensor) -> None:
        """Raises a `DataError` unless a picture is as large as its row of a batch."""
        size = (int(out.shape[1]), int(out.shape[2]))
        if value.size != size:
            raise DataError(
                "images of one batch must have the same size (height × width)",
                f"{value.size[0]}×{value.size[1]} came after {size[0]}×{size[1]}",
                "Add item_tfms=Resize(224), which brings every image to one size.",
            )

    def allocate(self, first: Tensor, n: int) -> Tensor:
        c, h, w = first.shape
        rows = host_memory((n, h, w, c))
        if rows is None:
            rows = torch.from_numpy(_buffers.take((n, h, w, c)))
        return rows.permute(0, 3, 1, 2)

    def render(
        self, values: Sequence[LazyImage], device: torch.device
    ) -> tuple[Tensor, Mapping[int, ItemError]]:
        return render(values, device)

    def revive(self, encoded: Tensor) -> LazyImage:
        array = np.ascontiguousarray(encoded.permute(1, 2, 0).numpy())
        return LazyImage(EncodedImage("a row of a batch", *array.shape, array=array))

    def decode(self, encoded: Tensor) -> PILImage:
        if self.stored_channels is not None:
            encoded = encoded[list(self.shown)]
        cls = PILImage if encoded.shape[0] == 3 else PILImageBW
        return cls.from_pixels(encoded.detach().clamp(0, 1).permute(1, 2, 0).float().numpy())

    def present(self, value: LazyImage) -> PILImage:
        return value.picture() if self.stored_channels is None else self.decode(self.encode(value))

    def draw(self, value: Any, axes: Any, title: str | None = None, colour: str = "black") -> None:
        array = np.asarray(value if isinstance(value, Image.Image) else self.present(value))
        axes.imshow(array, cmap="gray" if array.ndim == 2 else None, vmin=0, vmax=255)
        if title is not None:
            super().draw(value, axes, title, colour)

    def arguments(self) -> dict[str, Any]:
        given: dict[str, Any] = {"cls": self.cls.__name__}
        if self.stored_channels is not None:
            given |= {"channels": self.channels, "value_range": self.value_range, "shown": self.shown}
        return given

    def describe(self) -> str:
        if self.stored_channels is not None:
            return f"ImageBlock, {self.channels} channels"
        return f"ImageBlock, {'RGB' if self.channels == 3 else 'grey'}"


def _checked_range(value_range: Sequence[float] | None, channels: int | None) -> tuple[float, float] | None:
    if channels is not None and channels < 1:
        raise ArgumentError("`channels` must be at least 1", f"it is {channels}", "Pass e.g. channels=12.")
    if value_range is None:
        return None
    if channels is None or len(value_range) != 2 or not value_range[0] < value_range[1]:
        raise ArgumentError(
            "`value_range` must be two numbers, the smaller first, and goes with `channels`",
            f"it is {value_range!r} with channels={channels}",
            "Pass e.g. channels=12, value_range=(0, 10_000).",
        )
    return float(value_range[0]), float(value_range[1])


def _checked_shown(shown: Sequence[int] | None, channels: int | None) -> tuple[int, ...]:
    if shown is None:
        return () if channels is None else tuple(range(3)) if channels >= 3 else (0,)
    if channels is None or len(shown) not in (1, 3) or not all(0 <= k < channels for k in shown):
        raise ArgumentError(
            "`shown` must be one or three positions of channels, and goes with `channels`",
            f"it is {shown!r} with channels={channels}",
            "Pass e.g. channels=12, shown=(3, 2, 1).",
        )
    return tuple(shown)
