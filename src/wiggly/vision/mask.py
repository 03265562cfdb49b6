"""Masks: one class index per pixel, moved with the picture and never mixed.

In: PNG or any other lossless file, an array or a picture of indices. Out: `(h, w)` int64. A mask is resampled
once, each pixel taking the nearest one, so no index appears that was not there. What lies outside the picture
under "reflection" and "border" is mirrored or repeated as the picture is; under "zeros" it is `void`, or
index 0 where there is none. Read next: `points.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from wiggly.data.base import Block
from wiggly.data.cache.keeping import Keeping
from wiggly.data.loader import default_workers
from wiggly.data.vocab import Vocab, plain_label, some_of
from wiggly.errors import ArgumentError, ItemError, LabelError
from wiggly.vision.arrays import open_indices
from wiggly.vision.back import mask_in_picture
from wiggly.vision.decode import EncodedImage
from wiggly.vision.drawing import class_colours, draw_indices
from wiggly.vision.exact import placement_of
from wiggly.vision.frame import SameFrame, picture_of
from wiggly.vision.geometry import Geometry, Matrix, resample, scaling
from wiggly.vision.kept import open_kept

__all__ = ["LazyMask", "MaskBlock", "PILMask"]

Indices = npt.NDArray[Any]
# What `torch.nn.functional.cross_entropy` ignores by default; no pixel has it.
NO_INDEX = -100


class PILMask(Image.Image):
    """A Pillow picture of class indices, upright, fully loaded.

    Example:
        >>> mask = PILMask.create(np.array([[0, 1], [2, 2]]))
        >>> mask.size, mask.getpixel((1, 0))
        ((2, 2), 1)
    """

    @classmethod
    def create(cls, source: Any) -> PILMask:
        """Reads a mask from a path, bytes, array, tensor or Pillow image.

        Raises:
            ItemError: It cannot be read.
            LabelError: It holds colours instead of indices.
        """
        return cls.from_indices(open_indices(source)[0])

    @classmethod
    def from_indices(cls, indices: Indices) -> PILMask:
        """From whole numbers `(h, w)`; 8 bits per pixel if they are enough, else 32."""
        low, high = int(indices.min(initial=0)), int(indices.max(initial=0))
        plain = Image.fromarray(indices.astype(np.uint8 if low >= 0 and high < 256 else np.int32))
        made = cls()
        made.__dict__.update(plain.__dict__)  # Pillow has no public way to make one of a subclass
        return made

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width


@dataclass(frozen=True, slots=True)
class LazyMask:
    """A mask and the map that is still to be applied to it.

    Attributes:
        indices: `(h, w)`, upright; an integer type that OpenCV moves.
        name: How messages call it.
        geometry: Map from these pixels to the target; None for none.
        outside: Index of what lies outside the picture under "zeros".
    """

    indices: Indices
    name: str
    geometry: Geometry | None = None
    outside: int = 0

    kind: ClassVar[str] = "mask"  # how transforms of other libraries call it
    shown_as: ClassVar[type] = PILMask  # what a callable gets
    on_picture: ClassVar[bool] = True

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels, as the next transform sees it."""
        return self.geometry.size if self.geometry else (self.indices.shape[0], self.indices.shape[1])

    def moved(self, geometry: Geometry) -> LazyMask:
        """With one more geometric step."""
        return replace(self, geometry=self.geometry.then(geometry) if self.geometry else geometry)

    def replaced(self, indices: Any) -> LazyMask:
        """Other indices in its place (an array, tensor or picture)."""
        return replace(self, indices=open_indices(indices, self.name)[0], geometry=None)

    def mapped(self, f: Callable[[Any], Any]) -> LazyMask:
        """Ends the fused run: `f` gets the mask made so far as a picture of indices and returns a new one."""
        return self.replaced(f(PILMask.from_indices(self.pixels())))

    def pixels(self) -> Indices:
        """Indices after geometry, `(h, w)`."""
        geometry = self.geometry
        if geometry is None:
            return self.indices
        # OpenCV fills with 0: with `outside` and 0 exchanged that is the right index.
        exchanged = self.outside != 0 and geometry.border == "zeros"
        indices = self._with_room() ^ self.outside if exchanged else self.indices
        moved = resample(indices[:, :, None], geometry, nearest=True)[:, :, 0]
        return moved ^ self.outside if exchanged else moved

    def _with_room(self) -> Indices:
        """The same indices in a type that can also hold `outside`."""
        fits = self.outside <= np.iinfo(self.indices.dtype).max
        return self.indices if fits else self.indices.astype(np.int32)


def _opened(source: Any, name: str) -> EncodedImage:
    indices, name = open_indices(source, name)
    height, width = indices.shape
    return EncodedImage(name, height, width, 1, array=indices[:, :, None])


class MaskBlock(Block):
    """One class per pixel of the picture, `(h, w)`; a model for it returns `(n, classes, h, w)`.

    A mask whose size is not the picture's is stretched to it, if it has its proportions.

    Args:
        codes: Names of the classes, by index; None finds their number in the training masks, which reads all
            of them once.
        void: The class that stands for "no label here", by its name in `codes` or its index (which need not
            be among them: 255 in VOC's masks). It counts neither in the loss nor in the metric, is what lies
            outside the picture under `pad_mode="zeros"`, and is not coloured.

    Raises:
        ArgumentError: `void` is a name that is not in `codes`.

    Example:
        >>> block = MaskBlock(["sky", "road", "nothing"], void="nothing")
        >>> block.encode(block.load(np.array([[0, 1], [2, 1]])))
        tensor([[0, 1],
                [2, 1]])
        >>> block.n_out, block.loss_settings["ignore_index"]
        (3, 2)
    """

    loss = "cross_entropy"
    activation = "softmax"
    metric = "pixel_accuracy"
    drawn_over = True
    item_tfms: Sequence[Any] = (SameFrame(),)

    def __init__(self, codes: Any = None, void: str | int | None = None) -> None:
        self._given = codes is not None
        self._vocab = None if codes is None else Vocab(plain_label(code) for code in codes)
        self.void = self._void_index(plain_label(void))

    def _void_index(self, void: Any) -> int | None:
        known: dict[Any, int] = {} if self._vocab is None else self._vocab.o2i
        if isinstance(void, str):
            if void not in known:
                raise ArgumentError(
                    "`void` must be the name of a class, or an index",
                    f"{void!r} is not among {list(known)}",
                    "Pass e.g. void=255.",
                )
            return known[void]
        if void is not None and (not isinstance(void, int) or isinstance(void, bool) or void < 0):
            raise ArgumentError("`void` must be an index, at least 0", f"it is {void!r}", "Pass e.g. 255.")
        return void

    @property
    def vocab(self) -> Vocab:
        """The codes; the numbers from 0 where none were given."""
        if self._vocab is None:
            raise ArgumentError(
                "a MaskBlock without `codes` must be fitted before it is used",
                "the number of classes is not known yet",
                "Build the loaders first, or pass `codes`.",
            )
        return self._vocab

    @property
    def n_out(self) -> int:
        return len(self.vocab)

    @property
    def loss_settings(self) -> Mapping[str, Any]:
        return {"axis": 1, "ignore_index": NO_INDEX if self.void is None else self.void}

    @property
    def metric_settings(self) -> Mapping[str, Any]:
        return {} if self.void is None else {"ignore": self.void}

    @property
    def needs_fit(self) -> bool:
        return not self._given

    def fit(self, raws: Sequence[Any]) -> None:
        if self._given:
            return
        with ThreadPoolExecutor(default_workers()) as pool:
            highest = max(pool.map(self._highest, raws), default=-1)
        if highest < 1:
            raise LabelError(
                "there must be at least 2 classes",
                f"the highest index in the training masks is {max(highest, 0)}",
                "Check that the masks hold class indices, or pass `codes`.",
            )
        self._vocab = Vocab(range(highest + 1))

    def _highest(self, raw: Any) -> int:
        try:
            indices, _ = open_indices(raw)
        except ItemError:
            return -1  # the loader will name it when it gets there
        counted = indices if self.void is None else indices[indices != self.void]
        return int(counted.max()) if counted.size else -1

    def accepts(self, raw: Any) -> bool:
        return isinstance(raw, (str, os.PathLike, bytes, bytearray, Image.Image, np.ndarray, Tensor))

    @property
    def needs_check(self) -> bool:
        """No: masks are files, and are read when their turn comes."""
        return False

    def load(self, raw: Any) -> LazyMask:
        return self._mask(*open_indices(raw))

    def load_kept(self, raw: Any, keeping: Keeping) -> LazyMask:
        kept = open_kept(raw, _opened, "indices", keeping)
        return self._mask(kept.pixels()[:, :, 0], kept.name)

    def _mask(self, indices: Indices, name: str) -> LazyMask:
        self._check_indices(indices, name)
        return LazyMask(indices, name, outside=self.void or 0)

    def _check_indices(self, indices: Indices, name: str) -> None:
        n = None if self._vocab is None else len(self._vocab)
        low, high = int(indices.min()), int(indices.max())
        if self.void is not None and n is not None and not (low >= 0 and high < n):
            counted = indices[indices != self.void]
            low, high = int(counted.min(initial=0)), int(counted.max(initial=0))
        if low >= 0 and (n is None or high < n):
            return
        wrong = low if low < 0 else high
        fix = "Pass all `codes`, or `void` for an index that means no label."
        if np.isin(indices[:: max(1, len(indices) // 64)], (0, 255)).all():
            fix = (
                "A mask of 0 and 255 becomes one of 0 and 1 by get_y=lambda p: np.asarray(Image.open(p)) > 0."
            )
        raise LabelError(
            f"the indices of a mask must be from 0 to {'...' if n is None else n - 1}, one per class",
            f"'{name}' has {wrong}",
            fix,
        )

    def relate(self, value: LazyMask, values: tuple[Any, ...]) -> LazyMask:
        picture = picture_of(values, "MaskBlock")
        (h, w), (height, width) = value.size, picture.size
        if (h, w) == (height, width):
            return value
        if abs(height * w - width * h) > max(height, width, h, w):  # more than rounding to whole pixels
            raise ItemError(
                value.name,
                f"this mask is {h}×{w} (height × width), its picture {height}×{width}",
                "Give both the same proportions; where one of them is turned by EXIF, save it upright.",
            )
        return value.moved(Geometry(scaling(width / w, height / h), (height, width)))

    def encode(self, value: LazyMask) -> Tensor:
        return torch.from_numpy(value.pixels().astype(np.int64))

    def revive(self, encoded: Tensor) -> LazyMask:
        array = encoded.numpy().astype(np.int32)
        return LazyMask(array, "a row of a batch", outside=self.void or 0)

    def decode(self, encoded: Tensor) -> PILMask:
        return PILMask.from_indices(encoded.detach().cpu().numpy())

    def decode_on(
        self,
        encoded: Tensor,
        size: tuple[int, int],
        back: Matrix | None = None,
        wanted: tuple[int, int] | None = None,
    ) -> PILMask:
        """The mask for the whole photo: what a crop left out of the model's sight is `void`, or goes on as
        the mask ends where there is none."""
        if back is None or wanted is None:
            return self.decode(encoded)
        border = "border" if self.void is None else "zeros"
        indices = encoded.detach().cpu().numpy().astype(np.int32)
        if (placement := placement_of(np.linalg.inv(back).astype(np.float64), size)) is not None:
            return PILMask.from_indices(mask_in_picture(indices, placement, wanted, self.void))
        mask = LazyMask(indices, "a prediction", Geometry(back, wanted, border), self.void or 0)
        return PILMask.from_indices(mask.pixels())

    def predicted(self, activated: Tensor) -> Tensor:
        return activated.argmax(1)

    def present(self, value: LazyMask) -> PILMask:
        return PILMask.from_indices(value.pixels())

    def draw(self, value: Any, axes: Any, title: str | None = None, colour: str = "black") -> None:
        """Lays the classes over the picture in colours; void is left out."""
        draw_indices(np.asarray(value), axes, self.n_out, self.void)
        if title is not None:
            super().draw(value, axes, title, colour)

    def legend(self, values: Sequence[Any]) -> list[tuple[str, Any]]:
        seen = sorted({int(k) for value in values for k in np.unique(np.asarray(value))})
        colours = class_colours(self.n_out)
        return [(str(self.vocab[k]), colours[k]) for k in seen if k != self.void and k < self.n_out]

    def arguments(self) -> dict[str, Any]:
        return {"codes": list(self._vocab) if self._given and self._vocab else None, "void": self.void}

    def describe(self) -> str:
        return f"MaskBlock, {self.n_out} classes: {some_of(self.vocab)}"
