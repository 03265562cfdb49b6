"""Where a model of masks goes wrong: overlap class by class, pixels taken for others, the worst pictures.

In: a Learner whose target is one mask. Out: `SegmentationInterpretation`. Probabilities are dropped batch by
batch; what stays is one predicted and one true class per pixel (a byte each, up to 256 classes) and a table
of counts. Rows of every matrix are the actual class, columns the predicted one. Read next: `report.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wiggly.data.base import Block
from wiggly.data.show import add_legend, grid
from wiggly.errors import ArgumentError, DataError
from wiggly.interpret.confusion import confused_pairs, draw_confusions
from wiggly.interpret.interpretation import Interpretation
from wiggly.records import Batch, Predictions
from wiggly.train.losses.core import loss_per_item
from wiggly.train.metrics.pixels import count_pixels, overlaps
from wiggly.train.predict import encoded_of, in_order, loader_at
from wiggly.vision.mask import MaskBlock

if TYPE_CHECKING:
    import pandas as pd

    from wiggly.train.learner import Learner

__all__ = ["SegmentationInterpretation"]


class SegmentationInterpretation(Interpretation):
    """Predicted masks of a whole set beside the true ones.

    Make it with `from_learner`.

    Attributes:
        preds: Predicted class of every pixel, `(n, h, w)`, uint8 for up to 256 classes.
        targs: True class of every pixel, likewise.
        losses: Loss of each row, `(n,)`.
        positions: For each row its position in the data set.
        vocab: The class labels, in the order of the model's outputs.
        void: The class that stands for "no label", or None; such pixels count nowhere.
    """

    def __init__(self, dl: Any, predictions: Predictions, blocks: tuple[Block | None, Block | None]) -> None:
        super().__init__(dl, predictions, blocks)
        block = _mask_block(self.target_block)
        self.vocab: list[Any] = list(block.vocab)
        self.void = block.void
        self._counts: Tensor | None = None

    @classmethod
    def from_learner(
        cls, learn: Learner, ds_idx: int = 1, dl: Any = None, act: Callable[[Tensor], Tensor] | None = None
    ) -> Self:
        """Predict a whole set once.

        Args:
            learn: A trained learner of masks.
            ds_idx: Which loader of `learn.dls`: 0 training, 1 validation.
            dl: Another loader with masks, in place of `ds_idx`.
            act: Not needed here: the likeliest class is the same for scores and probabilities.

        Raises:
            ArgumentError: The target is no mask.
            DataError: The items carry no mask, none could be read, or they differ in size.
        """
        block = _mask_block(learn.target_block)
        dl = loader_at(learn.dls, ds_idx) if dl is None else dl
        parts = [_small(learn, batch, pred, block.n_out) for batch, pred in learn.outputs(in_order(dl))]
        if not parts:
            raise DataError(
                "interpretation needs at least 1 readable item",
                "the loader gave none",
                "See `learn.dls.bad_items`.",
            )
        positions = [position for part in parts for position in part.positions]
        order = torch.tensor(positions).argsort(stable=True)
        found = Predictions(
            _joined([part.preds for part in parts])[order],
            _joined([part.targets for part in parts])[order],
            torch.cat([part.losses for part in parts])[order],
            [positions[i] for i in order.tolist()],
        )
        return cls(dl, found, (next(iter(learn.dls.input_blocks), None), block))

    @property
    def labels(self) -> list[str]:
        """The vocabulary as text."""
        return [str(label) for label in self.vocab]

    def confusion_matrix(self) -> npt.NDArray[np.int64]:
        """Pixels of each class taken for each, `(c, c)`: rows the actual class, columns the predicted one."""
        if self._counts is None:
            c = len(self.vocab)
            pairs = zip(self.preds, self.targs, strict=True)
            self._counts = torch.zeros(c, c, dtype=torch.long)
            for pred, target in pairs:
                self._counts += count_pixels(pred, target, c, self.void)
        return self._counts.numpy().copy()

    def class_table(self) -> pd.DataFrame:
        """One row per class, void left out: `iou`, `dice`, `precision`, `recall`, and `share`, the part of
        all counted pixels that are it; all in [0, 1], NaN where there is nothing to divide by."""
        import pandas as pd

        both, true, said = overlaps(torch.from_numpy(self.confusion_matrix()))
        columns = {
            "iou": both / (true + said - both),
            "dice": 2 * both / (true + said),
            "precision": both / said,
            "recall": both / true,
            "share": true / true.sum(),
        }
        table = pd.DataFrame({name: values.numpy() for name, values in columns.items()}, index=self.labels)
        return table if self.void is None or self.void >= len(table) else table.drop(self.labels[self.void])

    @property
    def mean_iou(self) -> float:
        """Mean of the classes' intersection over union; classes that are neither there nor predicted do not
        count."""
        return float(np.nanmean(self.class_table()["iou"].to_numpy()))

    @property
    def pixel_accuracy(self) -> float:
        """Share of the counted pixels that are right."""
        counts = self.confusion_matrix()
        return float(counts.trace() / max(counts.sum(), 1))

    def most_confused(self, min_val: int = 1) -> list[tuple[Any, Any, int]]:
        """The pairs of classes whose pixels are mixed up most often.

        Args:
            min_val: Leave out pairs of fewer pixels.

        Returns:
            `(actual, predicted, pixels)`, most frequent first.
        """
        return confused_pairs(self.confusion_matrix(), self.vocab, min_val)

    def plot_confusion_matrix(
        self,
        normalize: bool = True,
        title: str = "Confusion of pixels",
        cmap: Any = "Blues",
        figsize: tuple[float, float] | None = None,
        dpi: float | None = None,
    ) -> None:
        """Draw the confusion matrix, void left out.

        Args:
            normalize: Show shares of each actual class instead of pixels.
            title: Text above.
            cmap: A matplotlib colour map or its name.
            figsize: Width and height in inches; by default it grows with the number of classes.
            dpi: Dots per inch; matplotlib's own by default.
        """
        counted = [k for k in range(len(self.vocab)) if k != self.void]
        counts, labels = self.confusion_matrix()[np.ix_(counted, counted)], [self.labels[k] for k in counted]
        draw_confusions(counts, labels, normalize, title, cmap, figsize, dpi)

    def plot_top_losses(
        self,
        k: int,
        largest: bool = True,
        nrows: int | None = None,
        figsize: tuple[float, float] | None = None,
        heatmap: bool = False,
    ) -> None:
        """Draw the items with the largest losses twice, with the true mask and with the predicted one.

        Args:
            k: How many, at least 1.
            largest: False draws those the model finds easiest.
            nrows: Rows of the grid.
            figsize: Width and height in inches.
            heatmap: Only for one category per item.

        Raises:
            ArgumentError: `k` is less than 1, or a heat map was asked for.
            DataError: The loader's items cannot be drawn.
        """
        if heatmap:
            raise ArgumentError(
                "a heat map shows what speaks for one class of a photo",
                "a mask has a class for every pixel",
                "Leave `heatmap` out: the mask itself is drawn.",
            )
        self.show_results(self.top_rows(k, largest), nrows, figsize)

    def show_results(
        self, rows: list[int], nrows: int | None = None, figsize: tuple[float, float] | None = None
    ) -> None:
        """Draw rows of this table, the true mask beside the predicted one.

        Args:
            rows: Their numbers, e.g. `interp.top_rows(4)`.
            nrows: Rows of the grid.
            figsize: Width and height in inches.
        """
        if self.input_block is None:
            raise DataError(
                "drawing needs an input block", "these loaders have none", "Build them with DataBlock."
            )
        block = _mask_block(self.target_block)
        height, width = self.targs.shape[1:]
        axes = grid(len(rows), nrows, None, figsize, per_item=2, aspect=height / width)
        drawn: list[Any] = []
        for row, left, right in zip(rows, axes[::2], axes[1::2], strict=True):
            picture = self.input_block.present(self._dataset.sample(self.positions[row], Random(0))[0])
            name = self.item_name(row).replace("\\", "/").rsplit("/", 1)[-1]
            for axis, mask, title in (
                (left, self.targs[row], f"Target, loss {self.losses[row]:.3g}"),
                (right, self.preds[row], f"Prediction\n{name}"),
            ):
                self.input_block.draw(picture, axis, title=title)
                drawn.append(block.decode(mask))
                block.draw(drawn[-1], axis)
        add_legend([block], [drawn], axes)

    def decoded_pred(self, row: int) -> Any:
        """The predicted mask of a row."""
        return _mask_block(self.target_block).decode(self.preds[row])


def _mask_block(block: Any) -> MaskBlock:
    if not isinstance(block, MaskBlock):
        raise ArgumentError(
            "segmentation needs one mask per item",
            f"the target is a {type(block).__name__}",
            "Use `ClassificationInterpretation` for categories, else `Interpretation`.",
        )
    return block


class _Part(NamedTuple):
    """A batch's masks in one byte per pixel if that is enough, and its losses."""

    preds: Tensor
    targets: Tensor
    losses: Tensor
    positions: list[int]


def _small(learn: Learner, batch: Batch, pred: Tensor, n_classes: int) -> _Part:
    if not batch.targets:
        raise DataError(
            "interpretation compares predictions with masks",
            "the items of this loader carry none",
            "Use `learn.dls.valid`, or `test_dl(items, with_labels=True)`.",
        )
    target = batch.targets[0]
    kind = torch.uint8 if n_classes <= 256 and int(target.max()) < 256 else torch.int32
    losses = loss_per_item(learn.loss_func, pred, batch.targets).cpu()
    return _Part(encoded_of(learn, pred).to(kind).cpu(), target.to(kind).cpu(), losses, batch.positions)


def _joined(parts: list[Tensor]) -> Tensor:
    if len({part.shape[1:] for part in parts}) > 1:
        sizes = sorted({"×".join(map(str, part.shape[1:])) for part in parts})
        raise DataError(
            "all masks of a set must have one size",
            f"there are {', '.join(sizes[:4])}",
            "Add Resize(...) to `item_tfms`.",
        )
    return torch.cat(parts)
