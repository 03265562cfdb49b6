"""`Block`, what every side of a sample answers to, and `TransformBlock` for values of your own.

In: raw values, as a getter returned them. Out: tensors for the model, and values a person reads. Everything
else in this project asks blocks these questions and knows no kinds. Read next: `blocks.py`, the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from textwrap import fill
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from wiggly.data.cache.keeping import Keeping
from wiggly.data.profiling.stopwatch import Stopwatch
from wiggly.data.transform import Configurable, Transform, apply_item_transform, is_fused
from wiggly.data.vocab import Vocab
from wiggly.errors import ArgumentError, DataError, ItemError

__all__ = ["Block", "TransformBlock", "brought_transforms", "joined_rows"]

TITLE_WIDTH = 34  # letters of a title that fit over a picture of 3 inches


class Block(Configurable):
    """One side of a sample.

    A block of your own overrides `load` and `encode`, and `decode` and `draw` if it is to be shown.

    Attributes:
        loss: For a target: "cross_entropy", "bce_logits" or "mse"; "" when this block is no target.
        activation: What turns the model's output into what users see: "softmax", "sigmoid" or "none".
        metric: Name of the metric shown when the user names none.
        is_picture: Whether `draw` fills axes of its own; several such inputs stand side by side.
        drawn_over: Whether `draw` paints onto the picture; results then stand in two columns.
        ragged: Whether values of one batch may differ in shape; then `collate` makes the batch's tensor.
        renders: Whether `render` can make the batch's tensor on a device.
        item_tfms: What runs on every sample with this block, after the transforms the user gave: wiggly's own
            act on the whole sample, other callables on this block's value.
        batch_tfms: Callables on this block's tensor of a batch.
    """

    loss: ClassVar[str] = ""
    activation: ClassVar[str] = "none"
    metric: ClassVar[str] = ""
    is_picture: ClassVar[bool] = False
    drawn_over: ClassVar[bool] = False
    ragged: ClassVar[bool] = False
    renders: bool = False
    item_tfms: Sequence[Any] = ()
    batch_tfms: Sequence[Callable[[Tensor], Tensor]] = ()

    def fit(self, raws: Sequence[Any]) -> None:
        """Learns what it must know from the raw values of the training items (a vocabulary, say)."""

    @property
    def needs_fit(self) -> bool:
        """Whether `fit` has something to learn; if not, labels that are dear to reach are not read for it."""
        return type(self).fit is not Block.fit

    @property
    def needs_check(self) -> bool:
        """Whether every target is to be read and given to `check` before anything is trained."""
        return bool(self.loss) or type(self).check is not Block.check

    def accepts(self, raw: Any) -> bool:
        """Whether `raw` can be loaded as it is, without the getter; asked for new items at prediction."""
        return False

    def load(self, raw: Any) -> Any:
        """The value that transforms act on.

        Raises:
            ItemError: The item cannot be read; the loader then skips and reports it.
        """
        return raw

    def load_kept(self, raw: Any, keeping: Keeping) -> Any:
        """`load` where the data set has a cache; blocks that decode files look there first.

        Raises:
            ItemError: The item cannot be read; the loader then skips and reports it.
        """
        return self.load(raw)

    def load_watched(self, raw: Any, keeping: Keeping | None, watch: Stopwatch) -> Any:
        """`load` or `load_kept` for `dls.profile`, with the time of its parts: "read", "decode", "cache"."""
        if keeping is None:
            with watch("decode"):
                return self.load(raw)
        with watch("cache"):
            return self.load_kept(raw, keeping)

    def exact(self, value: Any) -> Any:
        """A loaded value that is not for training but to be asked about: read with all care, at some cost."""
        return value

    def relate(self, value: Any, values: tuple[Any, ...]) -> Any:
        """The loaded value once it has met the others of its sample, inputs first: points learn the size of
        their picture, say.

        Raises:
            ItemError: They do not belong together; the loader then skips and reports the item.
        """
        return value

    def check(self, raw: Any) -> None:
        """Raises a `LabelError` if this target cannot be encoded; asked for every item before anything is
        trained. A block whose targets are files leaves them for later.
        """
        self.encode(self.load(raw))

    def encode(self, value: Any) -> Tensor:
        """One value as a tensor, without the batch axis."""
        return torch.as_tensor(value)

    def encode_into(self, value: Any, out: Tensor) -> None:
        """Writes the encoded value into its row of the batch."""
        encoded = self.encode(value)
        if encoded.shape != out.shape:
            raise DataError(
                "the values of one batch must have the same shape",
                f"{type(self).__name__} got {tuple(encoded.shape)} after {tuple(out.shape)}",
                "Add a transform to `item_tfms` that makes them equal.",
            )
        out.copy_(encoded)

    def allocate(self, first: Tensor, n: int) -> Tensor:
        """Room for `n` rows like `first`."""
        return torch.empty((n, *first.shape), dtype=first.dtype)

    def collate(self, rows: Sequence[Tensor]) -> Tensor:
        """The batch's tensor from the encoded rows; only asked of ragged blocks."""
        return torch.stack(list(rows))

    def render(self, values: Sequence[Any], device: torch.device) -> tuple[Tensor, Mapping[int, ItemError]]:
        """The batch's tensor, made on the device from the values themselves instead of row by row, and for
        each row that could not be read why; only asked of blocks that say `renders`."""
        return self.collate([self.encode(value) for value in values]).to(device), {}

    def revive(self, encoded: Tensor) -> Any:
        """A value on which transforms can act again, from a row of a batch."""
        return encoded

    def decode(self, encoded: Tensor) -> Any:
        """What a person reads."""
        return encoded

    def decode_on(
        self,
        encoded: Tensor,
        size: tuple[int, int],
        back: npt.NDArray[np.float64] | None = None,
        wanted: tuple[int, int] | None = None,
    ) -> Any:
        """What a person reads, where that depends on the picture: points in its pixels, a mask of its size.

        Args:
            encoded: One encoded value.
            size: Height and width of the picture that the model sees.
            back: 3×3 matrix from its pixels to those wanted; None for its own.
            wanted: Height and width of the picture that `back` leads to, if known.
        """
        return self.decode(encoded)

    def decode_in(self, encoded: Tensor, values: Sequence[Any]) -> Any:
        """What a person reads of a prediction: points in the pixels of the picture as it was given, a mask of
        its size.

        Args:
            encoded: One encoded prediction.
            values: The sample's values as the model saw them; needed only where `decode_on` is overridden.
        """
        if type(self).decode_on is Block.decode_on:
            return self.decode(encoded)
        for value in values:
            if hasattr(value, "source") and hasattr(value, "geometry"):
                back = None if value.geometry is None else np.linalg.inv(value.geometry.matrix)
                return self.decode_on(encoded, value.size, back, (value.source.height, value.source.width))
        return self.decode(encoded)

    def predicted(self, activated: Tensor) -> Tensor:
        """The encoded prediction from activated outputs `(..., c)`."""
        return activated

    def present(self, value: Any) -> Any:
        """What `dls.train_ds[i]` shows for a loaded value."""
        return self.encode(value)

    def draw(self, value: Any, axes: Any, title: str | None = None, colour: str = "black") -> None:
        """Draws a decoded value on matplotlib axes; by default as a line of their title."""
        lines = (str(value) if title is None else title).splitlines()
        text = "\n".join(fill(line, TITLE_WIDTH, max_lines=4) for line in lines)
        old = axes.get_title()
        axes.set_title(f"{old}\n{text}" if old else text, color=colour, fontsize=10)

    def legend(self, values: Sequence[Any]) -> list[tuple[str, Any]]:
        """Names and colours to explain below a figure that shows these decoded values."""
        return []

    @property
    def n_out(self) -> int:
        """Number of model outputs for this target."""
        return 0

    @property
    def vocab(self) -> Vocab | None:
        """Labels by index, for blocks that have them."""
        return None

    @property
    def loss_settings(self) -> Mapping[str, Any]:
        """Arguments of the loss named by `loss`."""
        return {}

    @property
    def metric_settings(self) -> Mapping[str, Any]:
        """Arguments of the metric named by `metric`."""
        return {}

    def describe(self) -> str:
        """A few words for `summary` and reports."""
        return type(self).__name__


class TransformBlock(Block):
    """Values of your own: what your functions make of them, as a tensor.

    Args:
        type_tfms: A function or several in a row, from the raw value to the one that transforms act on; None
            takes the raw value.
        item_tfms: Run after the transforms of the `DataBlock`: wiggly's own on the whole sample, other
            callables on this value alone.
        batch_tfms: Callables on this block's tensor of a batch.

    Example:
        >>> TransformBlock().encode([1.0, 2.0])
        tensor([1., 2.])
        >>> block = TransformBlock(type_tfms=[str.split, len])
        >>> block.encode(block.load("three short words"))
        tensor(3)
    """

    def __init__(self, type_tfms: Any = None, item_tfms: Any = None, batch_tfms: Any = None) -> None:
        self.type_tfms: list[Callable[[Any], Any]] = _callables(type_tfms, "type_tfms")
        self.item_tfms: Sequence[Any] = _callables(item_tfms, "item_tfms")
        self.batch_tfms: Sequence[Callable[[Tensor], Tensor]] = _callables(batch_tfms, "batch_tfms")

    def load(self, raw: Any) -> Any:
        for function in self.type_tfms:
            raw = function(raw)
        return raw

    def encode(self, value: Any) -> Tensor:
        if isinstance(value, Image.Image):
            return torch.from_numpy(np.array(value))
        try:
            return torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(
                "a TransformBlock needs values that can be a tensor",
                f"{value!r:.60}, a {type(value).__name__}, cannot: {error}",
                "Make it numbers in `type_tfms`, or write a Block with an `encode` of your own.",
            ) from error


def _callables(given: Any, name: str) -> list[Any]:
    functions: list[Any] = (
        [] if given is None else list(given) if isinstance(given, (list, tuple)) else [given]
    )
    for function in functions:
        if not (callable(function) or isinstance(function, Transform)):
            raise ArgumentError(f"`{name}` takes functions", f"one is {function!r}", "Leave it out.")
    return functions


@dataclass(frozen=True, repr=False)
class _OfOneValue(Transform):
    """A callable that a block brought for its own value.

    Args:
        side: Position of the value in the sample.
        function: Takes the value (a picture for an image), returns a new one.
    """

    side: int
    function: Callable[[Any], Any]

    def apply(self, values: tuple[Any, ...], random: Random, train: bool) -> tuple[Any, ...]:
        if self.side >= len(values):
            return values
        changed = apply_item_transform(self.function, (values[self.side],), 1, random, train)
        return (*values[: self.side], *changed, *values[self.side + 1 :])


def brought_transforms(blocks: Sequence[Block]) -> list[Transform]:
    """What the blocks' own `item_tfms` add to a sample's transforms, each of wiggly's once."""
    found: list[Transform] = []
    for side, block in enumerate(blocks):
        for transform in block.item_tfms:
            ours = transform if is_fused(transform) else _OfOneValue(side, transform)
            if ours not in found:
                found.append(ours)
    return found


def joined_rows(block: Block | None, parts: Sequence[Tensor]) -> Tensor:
    """The rows of several batches as one tensor; of a ragged block, padded to the longest."""
    if block is None or not block.ragged:
        return torch.cat(list(parts))
    return block.collate([row for part in parts for row in part])
