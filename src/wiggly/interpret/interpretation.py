"""The losses table: which items the model finds hardest, and what they look like.

In: a Learner and one of its loaders. Out: `Interpretation`, one row per readable item. It keeps predictions
and positions, never inputs, so memory stays flat however large the set; what has to be drawn is read again.
Read next: `classification.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, sqrt
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from wiggly.data.dataset import Dataset
from wiggly.data.loader import DataLoader
from wiggly.errors import ArgumentError, DataError
from wiggly.interpret.tables.view import TableViews
from wiggly.records import Predictions
from wiggly.train.predict import collect, in_order, loader_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wiggly.data.blocks import Block
    from wiggly.train.learner import Learner

__all__ = ["Interpretation", "TopLosses"]

LONGEST_TITLE = 32  # characters: what fits above a picture of 3 inches; longer ones take two lines


class TopLosses(NamedTuple):
    """Rows sorted by loss.

    Attributes:
        losses: Their losses, shape `(k,)`.
        positions: For each its position in the data set (`dl.dataset[position]` reads it again).
    """

    losses: Tensor
    positions: list[int]


class Interpretation(TableViews):
    """Predictions of a whole set beside the truth, to be sorted by loss and looked at.

    Make it with `from_learner`.

    Attributes:
        dl: The loader that was read; `dl.dataset` finds an item again.
        preds: Activated outputs, `(n, c)`.
        targs: Encoded targets, `(n,)`.
        losses: Loss of each row, `(n,)`.
        positions: For each row its position in the data set; unreadable items are missing.
        learn: The learner that predicted, for heat maps; None if it is not known.
    """

    learn: Learner | None = None

    def __init__(self, dl: Any, predictions: Predictions, blocks: tuple[Block | None, Block | None]) -> None:
        if predictions.targets is None or predictions.losses is None:
            received = "the items of this loader carry no label"
            raise DataError(
                "interpretation compares predictions with labels",
                received,
                "Use `learn.dls.valid`, or `test_dl(items, with_labels=True)`.",
            )
        if not predictions.positions:
            raise DataError(
                "interpretation needs at least 1 readable item",
                "the loader gave none",
                "See `learn.dls.bad_items`.",
            )
        self.dl = dl
        self.preds, self.targs, self.losses = predictions.probs, predictions.targets, predictions.losses
        self.positions = predictions.positions
        self.input_block, self.target_block = blocks

    @classmethod
    def from_learner(
        cls, learn: Learner, ds_idx: int = 1, dl: Any = None, act: Callable[[Tensor], Tensor] | None = None
    ) -> Self:
        """Predict a whole set once.

        Args:
            learn: A trained learner.
            ds_idx: Which loader of `learn.dls`: 0 training, 1 validation (the set the model has not learned
                from).
            dl: Another loader with labels, in place of `ds_idx`.
            act: Turns raw outputs into probabilities; by default what belongs to the learner's loss.

        Returns:
            The interpretation.

        Raises:
            DataError: The items carry no label, or none could be read.
        """
        dl = loader_at(learn.dls, ds_idx) if dl is None else dl
        inputs, targets = list(learn.dls.input_blocks), list(learn.dls.target_blocks)
        blocks = inputs[0] if inputs else None, targets[0] if targets else None
        if act is None:
            made = cls(dl, learn.predict_loader(dl), blocks)
        else:
            rows = collect(learn, in_order(dl), with_loss=True, act=act)
            made = cls(dl, Predictions(rows.probs, rows.targets[0], rows.losses, rows.positions), blocks)
        made.learn = learn
        return made

    def __len__(self) -> int:
        return len(self.positions)

    def top_losses(self, k: int | None = None, largest: bool = True) -> TopLosses:
        """The rows with the largest losses.

        Args:
            k: How many, at least 1; all by default.
            largest: False gives the smallest losses instead.

        Returns:
            Losses and positions in the data set, sorted; equal losses keep the order of the data set.

        Raises:
            ArgumentError: `k` is less than 1.
        """
        rows = self.top_rows(k, largest)
        return TopLosses(self.losses[rows], [self.positions[row] for row in rows])

    def top_rows(self, k: int | None = None, largest: bool = True) -> list[int]:
        """As `top_losses`, as row numbers of this table."""
        if k is not None and k < 1:
            raise ArgumentError("`k` must be at least 1", f"got {k}", "Ask for 1 item or more, e.g. k=9.")
        # A loss that is not a number counts as the largest: it needs looking at first. -0.0 and ties: stable.
        key = torch.nan_to_num(self.losses.double(), nan=torch.inf)
        return torch.argsort(key, descending=largest, stable=True)[:k].tolist()

    def item_name(self, row: int) -> str:
        """What the item of a row is called: a file's path, `row 12`."""
        return item_name(self.dl, self.positions[row])

    def read(self, row: int) -> Any:
        """Read the input of a row again from the data set.

        Raises:
            ItemError: It can no longer be read.
            DataError: The loader is not one of wiggly's.
        """
        return self._dataset[self.positions[row]][0]

    @property
    def _dataset(self) -> Any:
        if not isinstance(self.dl, DataLoader):  # the order of a foreign loader need not be its data set's
            rule, fix = "an item is read again from wiggly's own loader", "Build it with DataBlock."
            raise DataError(rule, f"this is a {type(self.dl).__name__}", fix)
        return self.dl.dataset

    def plot_top_losses(
        self,
        k: int,
        largest: bool = True,
        nrows: int | None = None,
        figsize: tuple[float, float] | None = None,
        heatmap: bool = False,
    ) -> None:
        """Draw the items with the largest losses, each titled with prediction, truth and loss; masks and
        points are painted onto them. Rows of a table are printed.

        Args:
            k: How many, at least 1.
            largest: False draws those the model finds easiest.
            nrows: Rows of the grid; by default the grid is about square.
            figsize: Width and height in inches; by default 3 per item.
            heatmap: Lay over each photo what speaks for its predicted class; see `plot_grad_cam`.

        Raises:
            ArgumentError: `k` or `nrows` is less than 1.
            DataError: The loader's items cannot be drawn.
        """
        if self.learn is not None and hasattr(self.learn.dls, "table"):
            from wiggly.tabular.show import show_table

            show_table(self.top_table(k, largest))
            return
        rows = self.top_rows(k, largest)
        if heatmap:
            return self.plot_grad_cam([self.positions[row] for row in rows], nrows=nrows, figsize=figsize)
        if self.input_block is None:
            raise DataError(
                "drawing needs an input block",
                "these loaders have none",
                "Build them with DataBlock or ImageDataLoaders.",
            )
        axes = _grid(len(rows), nrows, figsize, self.heading)
        for row, axis in zip(rows, axes, strict=True):
            title = self.title(row)
            if len(title) > LONGEST_TITLE:
                title = title.replace(" / ", "\n", 1)
            if self._painted:
                self._paint(row, axis, title)
            else:
                self.input_block.draw(self.read(row), axis, title=title)

    def plot_grad_cam(
        self,
        positions: int | Sequence[int],
        layer: nn.Module | str | None = None,
        target: int | str | None = None,
        nrows: int | None = None,
        figsize: tuple[float, float] | None = None,
    ) -> None:
        """Draw items with a heat map of what speaks for a class (Grad-CAM, arXiv:1610.02391); a dashed line
        frames what the model saw, if that is not all of the photo.

        Args:
            positions: Of the items in the data set, e.g. `interp.top_losses(9).positions`.
            layer: The part of the model that is looked at, or its name; see `grad_cam`.
            target: The class, by index or label; None takes each item's predicted one.
            nrows: Rows of the grid; by default the grid is about square.
            figsize: Width and height in inches; by default 3 per item.

        Raises:
            ArgumentError: There is no such item, layer or class.
            DataError: The items are no photos.
        """
        from wiggly.interpret.attribution import draw_heat, heat_maps

        wanted = [positions] if isinstance(positions, int) else list(positions)
        rows = {position: row for row, position in enumerate(self.positions)}
        missing = [position for position in wanted if position not in rows]
        if missing or not wanted or self.learn is None:
            raise ArgumentError(
                "`positions` must be items of this interpretation, made by `from_learner`",
                f"{missing[:5]} are not among its {len(self)}" if missing else f"got {positions!r}",
                "Pass e.g. interp.top_losses(9).positions.",
            )
        found = heat_maps(self.learn, self.dl, wanted, layer, target)
        axes = _grid(len(found), nrows, figsize, self.heading)
        for heat_map, axis in zip(found, axes, strict=True):
            draw_heat(heat_map, axis)
            axis.set_title(self.title(rows[heat_map.position]).replace(" / ", "\n", 1), fontsize=10)

    @property
    def _painted(self) -> bool:
        """Whether predictions are painted onto the picture (masks, points) and not written above it."""
        return self.target_block is not None and self.target_block.drawn_over

    def _paint(self, row: int, axis: Axes, title: str) -> None:
        """Draws the picture as the model saw it, and its prediction on it."""
        assert self.input_block is not None
        assert self.target_block is not None
        picture = self.input_block.present(self._dataset.sample(self.positions[row], Random(0))[0])
        self.input_block.draw(picture, axis, title=title)
        height, width = np.asarray(picture).shape[:2]
        encoded = self.target_block.predicted(self.preds[row][None])[0]
        self.target_block.draw(self.target_block.decode_on(encoded, (height, width)), axis)

    @property
    def heading(self) -> str:
        """Says what the parts of `title` are."""
        return "Loss, and the prediction" if self._painted else "Prediction/Actual/Loss"

    def title(self, row: int) -> str:
        """Prediction, truth and loss of a row in one line; its loss alone if the prediction is painted."""
        if self._painted:
            return f"{self.losses[row]:.3g}"
        return f"{self.decoded_pred(row)}/{self.decoded_target(row)} / {self.losses[row]:.2f}"

    def decoded_pred(self, row: int) -> Any:
        """The prediction of a row as the user calls it."""
        if isinstance(self.preds, tuple):
            parts = zip(self._target_blocks(), cast("tuple[Tensor, ...]", self.preds), strict=True)
            return [block.decode(block.predicted(part[row][None])[0]) for block, part in parts]
        block, pred = self.target_block, self.preds[row]
        return pred if block is None else block.decode(block.predicted(pred[None])[0])

    def decoded_target(self, row: int) -> Any:
        """The truth of a row as the user calls it."""
        if isinstance(self.targs, tuple):
            parts = zip(self._target_blocks(), cast("tuple[Tensor, ...]", self.targs), strict=True)
            return [block.decode(part[row]) for block, part in parts]
        block, target = self.target_block, self.targs[row]
        return target if block is None else block.decode(target)

    def _target_blocks(self) -> list[Block]:
        """Of several targets."""
        assert self.learn is not None
        return list(self.learn.dls.target_blocks)


def item_name(dl: Any, position: int) -> str:
    """The data set's name of an item, `item 12` where it has none."""
    if isinstance(dl, DataLoader) and isinstance(dl.dataset, Dataset):
        return dl.dataset.item_name(position)
    return f"item {position}"


def _grid(n: int, nrows: int | None, figsize: tuple[float, float] | None, heading: str) -> list[Axes]:
    import matplotlib.pyplot as plt

    if nrows is not None and nrows < 1:
        raise ArgumentError("`nrows` must be at least 1", f"got {nrows}", "Leave it out for a square grid.")
    nrows = min(nrows or int(sqrt(n)), n)
    ncols = ceil(n / nrows)
    size = figsize or (3 * ncols, 3 * nrows + 0.6)  # inches; 0.6 for the heading
    figure, axes = plt.subplots(nrows, ncols, figsize=size, squeeze=False, layout="constrained")
    figure.suptitle(heading, weight="bold")
    for axis in axes.flat:
        axis.set_axis_off()
    return list(axes.flat)[:n]
