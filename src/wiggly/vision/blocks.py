"""The image block: a path becomes a row of a float batch, and a row becomes a picture again.

In: paths, bytes, arrays or pictures. Out: `(c, h, w)` float32 in [0, 1], channels_last in memory.
Read next: `loaders.py`.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from wiggly.data.blocks import Block
from wiggly.data.memory import BufferPool
from wiggly.errors import ArgumentError, DataError
from wiggly.vision.decode import EncodedImage, open_image
from wiggly.vision.image import LazyImage, PILImage, PILImageBW

__all__ = ["ImageBlock"]

# Look-ahead of a loader with several threads, and the batch in work; more would only hold memory.
_buffers = BufferPool(keep=6)


class ImageBlock(Block):
    """Pictures as inputs.

    Args:
        cls: `PILImage` for RGB, `PILImageBW` for grey, or its name; its `colour_mode` decides the channels.

    Example:
        >>> block = ImageBlock()
        >>> value = block.load(np.full((2, 3), 255, dtype=np.uint8))
        >>> block.encode(value).shape
        torch.Size([3, 2, 3])
    """

    def __init__(self, cls: type[PILImage] | str = PILImage) -> None:
        found = next((kind for kind in (PILImage, PILImageBW) if kind.__name__ == cls), cls)
        if isinstance(found, str):
            raise ArgumentError(
                "`cls` must be PILImage or PILImageBW", f"it is {cls!r}", "Pass PILImage for colour."
            )
        self.cls = found

    @property
    def channels(self) -> int:
        """3 for RGB, 1 for grey."""
        return 3 if self.cls.colour_mode == "RGB" else 1

    def accepts(self, raw: Any) -> bool:
        kinds = (str, os.PathLike, bytes, bytearray, Image.Image, np.ndarray, Tensor)
        return isinstance(raw, kinds)

    def load(self, raw: Any) -> LazyImage:
        return LazyImage(open_image(raw, self.channels))

    def encode(self, value: LazyImage) -> Tensor:
        h, w = value.size
        out = np.empty((h, w, self.channels), dtype=np.float32)
        value.write(out)
        return torch.from_numpy(out).permute(2, 0, 1)

    def encode_into(self, value: LazyImage, out: Tensor) -> None:
        size = (int(out.shape[1]), int(out.shape[2]))
        if value.size != size:
            raise DataError(
                "images of one batch must have the same size (height × width)",
                f"{value.size[0]}×{value.size[1]} came after {size[0]}×{size[1]}",
                "Add item_tfms=Resize(224), which brings every image to one size.",
            )
        value.write(out.permute(1, 2, 0).numpy())

    def allocate(self, first: Tensor, n: int) -> Tensor:
        c, h, w = first.shape
        return torch.from_numpy(_buffers.take((n, h, w, c))).permute(0, 3, 1, 2)

    def revive(self, encoded: Tensor) -> LazyImage:
        array = np.ascontiguousarray(encoded.permute(1, 2, 0).numpy())
        return LazyImage(EncodedImage("a row of a batch", *array.shape, array=array))

    def decode(self, encoded: Tensor) -> PILImage:
        cls = PILImage if encoded.shape[0] == 3 else PILImageBW
        return cls.from_pixels(encoded.detach().clamp(0, 1).permute(1, 2, 0).float().numpy())

    def present(self, value: LazyImage) -> PILImage:
        return value.picture()

    def draw(self, value: Any, axes: Any, title: str | None = None, colour: str = "black") -> None:
        array = np.asarray(value if isinstance(value, Image.Image) else self.present(value))
        axes.imshow(array, cmap="gray" if array.ndim == 2 else None, vmin=0, vmax=255)
        if title is not None:
            super().draw(value, axes, title, colour)

    def arguments(self) -> dict[str, Any]:
        return {"cls": self.cls.__name__}

    def describe(self) -> str:
        return f"ImageBlock, {'RGB' if self.channels == 3 else 'grey'}"
