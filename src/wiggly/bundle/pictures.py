"""Pictures as the input of a bundle: read, and resampled by the written specification (docs/format.md).

In: an `ImageInput`, or a learner. Out: batches `(n, c, h, w)` in [0, 1], the description of a learner's
input, the network on them. Read next: `examples.py`, which makes small files of pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from random import Random
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from wiggly.bundle.parts import ImageInput, Step
from wiggly.bundle.placing import MOVING, place
from wiggly.bundle.readers import ChosenExample, Reader
from wiggly.data.base import brought_transforms
from wiggly.data.dataset import Dataset, identity
from wiggly.data.loader import DataLoader
from wiggly.data.transform import Transform, is_active, transform_names
from wiggly.errors import BundleError
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.exact import Placement, resample_exactly
from wiggly.vision.image import LazyImage, PILImage, PILImageBW
from wiggly.vision.models import build_model

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = [
    "PictureReader",
    "PreparedBlock",
    "check_body",
    "file_pixels",
    "preprocess",
    "read_preprocessing",
]

#: How far two ways to compute a place may be apart, in pixels.
ROUNDING = 1e-6


class PreparedBlock(ImageBlock):
    """An image block that rounds pictures of more than 8 bits before they are prepared, as the specification
    says; of all others it makes what a learner's own block makes."""

    renders = False

    def encode(self, value: LazyImage) -> Tensor:
        return torch.from_numpy(_prepared(value).transpose(2, 0, 1).astype(np.float32) / 255)

    def encode_into(self, value: LazyImage, out: Tensor) -> None:
        self.check_size(value, out)
        out.copy_(self.encode(value))


class PictureReader(Reader):
    """Files, pictures, arrays and tensors; see `Reader`."""

    def __init__(self, described: ImageInput, name: str) -> None:
        self.block, self.transforms = read_preprocessing(described)
        self.fixed_size = described.size is not None

    @classmethod
    def describe(cls, learn: Learner) -> ImageInput:
        block = cast("ImageBlock", learn.dls.input_blocks[0])
        if block.stored_channels is not None:
            raise BundleError(
                "a bundle needs pictures in colour or grey",
                f"the ImageBlock reads {block.stored_channels} channels as they are stored",
                "Such inputs cannot be exported yet: keep the weights with `learn.save`.",
            )
        steps, channels = _steps(learn), block.channels
        described = ImageInput(kind="image", channels=channels, size=None, preprocessing=steps)
        _check_places(learn, described)
        return ImageInput(kind="image", channels=channels, size=_size(described), preprocessing=steps)

    @classmethod
    def choose(cls, learn: Learner, n: int, by_class: bool) -> Iterator[ChosenExample]:
        from wiggly.bundle.examples import as_jpeg, choose_examples, choose_pictures

        dataset = learn.dls.valid.dataset
        chosen = choose_examples(dataset, n) if by_class else choose_pictures(dataset, n)
        for number, (content, actual) in enumerate(chosen):
            if number % 4 in (1, 2):  # of two classes in turn both; the first of them is stored on its side
                yield ChosenExample(".jpg", as_jpeg(content, turned=number == 1), actual)
            else:
                yield ChosenExample(".png", content, actual)

    def network(self, config: Mapping[str, Any], room: int) -> nn.Module:
        check_body(config)
        return build_model(config).to(memory_format=torch.channels_last)

    def items(self, items: Any) -> Dataset:
        return _dataset(list(items), self.block, self.transforms)

    def batches(self, items: Dataset, bs: int) -> Iterator[tuple[Tensor, ...]]:
        loader = DataLoader(items, bs if self.fixed_size else 1, seed=0, max_bad=0.0)
        return ((_channels_last(batch.inputs[0]),) for batch in loader.batches())

    def one(self, item: Any) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
        values = self.seen(self.items([item]), 0)
        return (_channels_last(self.block.encode(values[0])[None]),), values

    def feeds(self, content: bytes) -> list[tuple[npt.NDArray[Any], ...]]:
        """Prepared, and as the file has it unless that has the model's size by chance."""
        value = self.seen(self.items([content]), 0)[0]
        whole, prepared = file_pixels(value), _prepared(value)
        several = [prepared] if whole.shape == prepared.shape else [prepared, whole]
        return [(pixels[None],) for pixels in several]

    def prepared(self, item: Any) -> npt.NDArray[np.uint8]:
        """The pixels of a picture as the model takes them, `(H, W, c)`."""
        return _prepared(self.seen(self.items([item]), 0)[0])

    def seen(self, items: Dataset, position: int) -> tuple[Any, ...]:
        return items.sample(position, Random(0))


def read_preprocessing(described: ImageInput) -> tuple[ImageBlock, list[Transform]]:
    """The block and the transforms that `model.json` describes.

    Raises:
        BundleError: A name is unknown to this wiggly, or arguments do not fit.
    """
    import_module("wiggly.vision.augment")  # fills the table in which names are looked up
    steps = [{"name": step.name, "args": step.args} for step in described.preprocessing]
    return PreparedBlock(PILImage if described.channels == 3 else PILImageBW), [
        Transform.from_config(step) for step in steps
    ]


def preprocess(item: Any, block: ImageBlock, transforms: list[Transform]) -> Tensor:
    """One item as the model takes it, `(c, h, w)` in [0, 1].

    Raises:
        ItemError: It cannot be read as an image.
    """
    return block.encode(_dataset([item], block, transforms).sample(0, Random(0))[0])


def check_body(config: Mapping[str, Any]) -> None:
    """Refuses descriptions by which timm would read another file or go to the network.

    Raises:
        BundleError: It is such a one.
    """
    body = config.get("body")
    described = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    library, arch, arguments = (described.get(key) for key in ("library", "arch", "arch_args"))
    fault = ""
    named = isinstance(arch, str) and re.fullmatch(r"\w+(\.\w+)*", arch)
    if library not in ("timm", "torchvision") or not named:
        fault = f"it is {arch!r} of {library!r}"
    for key in map(str, cast("dict[str, Any]", arguments or {})):
        if re.search("pretrained|checkpoint|cache_dir|^weights|(^|_)(file|url|dir)(_|$)", key):
            fault = f"its argument `{key}` could load something from elsewhere"
    if fault:
        raise BundleError(
            "the network of a bundle must be named by a timm or torchvision architecture and plain arguments",
            fault,
            "Do not use this file, or export the model again.",
        )


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def _dataset(items: list[Any], block: ImageBlock, transforms: list[Transform]) -> Dataset:
    """Items as the validation loader would read them."""
    return Dataset(items, [identity], [block], 1, transforms, labelled=False)


# ---- preparing ----


def file_pixels(value: LazyImage) -> npt.NDArray[np.uint8]:
    """The pixels of a picture as its file has them, upright, `(h, w, c)`; more than 8 bits are rounded."""
    pixels = value.source.pixels()
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels * 255).astype(np.uint8)


def _prepared(value: LazyImage) -> npt.NDArray[np.uint8]:
    """The pixels of a picture as the model takes them, `(H, W, c)`."""
    placement = value.placement
    assert placement is not None  # `model.json` names no transform that turns pictures
    return resample_exactly(file_pixels(value), placement)


# ---- describing ----

#: Heights and widths that transforms are tried on.
TRIED = ((60, 90), (110, 70))


def _steps(learn: Learner) -> tuple[Step, ...]:
    """The validation side of the transforms."""
    steps = [_describe_transform(transform) for transform in _active(learn)]
    return tuple(step for step in steps if step.name in MOVING)  # the others only draw in training


def _active(learn: Learner) -> list[Any]:
    """The transforms of the validation side that a picture alone meets."""
    from wiggly.vision.augment import Normalize

    loader = learn.dls.valid
    of_targets = brought_transforms(learn.dls.target_blocks)
    return [
        transform
        for transform in (*loader.dataset.item_tfms, *loader.batch_tfms)
        if transform not in of_targets
        and not isinstance(transform, Normalize)  # the model has the statistics
        and is_active(transform, train=False)
    ]


def _check_places(learn: Learner, described: ImageInput) -> None:
    """A transform that the specification does not know, and that does something, must not be lost."""
    block = ImageBlock(PILImage if described.channels == 3 else PILImageBW)
    for shape in TRIED:
        picture = np.zeros(shape, np.uint8)
        value = _dataset([picture], block, _active(learn)).sample(0, Random(0))[0]
        wanted, found = value.placement, place(described.preprocessing, *shape)
        if wanted is None or not _same_places(wanted, found) or value.curves or value.holes:
            raise BundleError(
                f"in validation pictures must only be moved by {' and '.join(MOVING)}",
                f"the transforms are {', '.join(transform_names(_active(learn)))}",
                "Give the others the attribute `split_idx = 0`, so that they run in training alone.",
            )


def _same_places(first: Placement, second: Placement) -> bool:
    pairs = zip((first.y, first.x), (second.y, second.x), strict=True)
    return all(
        a.length == b.length
        and abs(a.start - b.start) < ROUNDING
        and abs(a.step - b.step) * a.length < ROUNDING
        for a, b in pairs
    )


def _describe_transform(transform: Any) -> Step:
    if isinstance(transform, Transform) and type(transform).__module__.startswith("wiggly."):
        return Step(transform.name, transform.arguments())
    raise BundleError(
        "every transform must be one of wiggly's, so that the bundle is data and runs no code",
        f"`{transform_names([transform])[0]}` is one of your own",
        "Replace it by one of `wiggly.vision.augment`, apply it to the files before training, or, if only "
        "training needs it, give it the attribute `split_idx = 0`.",
    )


def _size(described: ImageInput) -> tuple[int, int] | None:
    """Height and width after preprocessing, found by trying two shapes; None where the file decides."""
    block, transforms = read_preprocessing(described)
    wide, tall = (preprocess(np.zeros(shape, np.uint8), block, transforms).shape[1:] for shape in TRIED)
    return (int(wide[0]), int(wide[1])) if wide == tall else None
