"""Masks as the answer of a bundle: a class for every pixel of the picture, in its own size.

In: a `MaskOutput`, or a learner of `unet_learner`. Out: a `PILMask` of class indices. Read next: `boxes.py`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from PIL import Image

from wiggly.bundle.answers import BlockAnswer
from wiggly.bundle.parts import MaskExample, MaskOutput
from wiggly.errors import BundleError
from wiggly.records import Prediction
from wiggly.vision.back import mask_in_picture
from wiggly.vision.mask import MaskBlock, PILMask

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["MaskAnswer"]


class MaskAnswer(BlockAnswer):
    """A class for every pixel: `(mask, indices, probs)`, the mask as large as the picture that was given,
    indices `(h, w)` and probabilities `(c, h, w)` as large as the model sees it."""

    task = "segmentation"
    tolerance = 1e-3  # a pixel between two classes may fall to either side
    on_picture = True

    def __init__(self, output: MaskOutput) -> None:
        super().__init__(output, MaskBlock(output.vocabulary, void=output.void), "softmax")

    def decode(self, row: torch.Tensor, seen: tuple[Any, ...]) -> Prediction:
        indices, picture = self.encoded(row), seen[0]
        placement, size = picture.placement, (picture.source.height, picture.source.width)
        assert placement is not None  # `model.json` names no transform that turns pictures
        mask = mask_in_picture(indices.numpy(), placement, size, self.output.void)
        return Prediction(PILMask.from_indices(mask), indices, row)

    def apart(self, wanted: Prediction, found: Prediction, tolerance: float) -> float:
        """Share of the pixels that have another class."""
        first, second = np.asarray(wanted.decoded), np.asarray(found.decoded)
        return float((first != second).mean()) if first.shape == second.shape else float("inf")

    def unlike(self, difference: float) -> str:
        return f"has another class at {difference:.2%} of the pixels"

    def recorded(self, example: MaskExample, files: Mapping[str, bytes]) -> Prediction:
        try:
            mask = PILMask.from_indices(np.asarray(Image.open(io.BytesIO(files[example.mask]))))
        except (OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError) as error:
            raise BundleError(
                "the mask of a worked example must be a PNG of class indices",
                f"'{example.mask}' cannot be read: {error}",
                "Export the model again.",
            ) from error
        return Prediction(mask, torch.from_numpy(np.array(mask).astype(np.int64)), torch.empty(0))

    def work_out(self, file: str, found: Prediction, actual: Any) -> tuple[MaskExample, Mapping[str, bytes]]:
        name, buffer = f"{file.rpartition('.')[0]}.mask.png", io.BytesIO()
        indices = np.asarray(found.decoded)
        wide = indices.max(initial=0) > 255
        Image.fromarray(indices.astype(np.uint16 if wide else np.uint8)).save(buffer, "PNG", optimize=True)
        return MaskExample("mask", file, name), {name: buffer.getvalue()}

    @classmethod
    def describe(cls, learn: Learner, place: int) -> MaskOutput:
        block = cast("MaskBlock", learn.dls.target_blocks[place])
        return MaskOutput("mask", tuple(block.vocab), block.void)
