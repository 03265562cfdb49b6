"""The methods that predict: one item, all items of a loader, their mean over augmented views; pictures of
them.

In: a trained model and items. Out: predictions, as tensors or as what users call them. `Learner` inherits the
methods; each calls the file that does the work. Read next: `predict.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wiggly.errors import DataError
from wiggly.records import Prediction, Predictions
from wiggly.train.fitting import Fitting
from wiggly.train.predict import collect, draw_results, encoded_of, in_order, loader_at, predict_item
from wiggly.train.tta import predict_augmented

__all__ = ["Predicting"]


class Predicting(Fitting):
    """The fits with the predictions that users type; `Learner` documents the arguments."""

    def predict(self, item: Any) -> Prediction:
        """Predicts one item.

        Args:
            item: What the input block accepts: a path, an array, a picture.

        Returns:
            `(decoded, index, probs)`: what the user calls it, its encoding, the activated output.

        Raises:
            ItemError: The item cannot be read.
        """
        with self.engine.alone():  # one item is not divided, and one process may ask for it
            return predict_item(self, item)

    def get_preds(
        self,
        ds_idx: int = 1,
        dl: Any = None,
        with_input: bool = False,
        with_decoded: bool = False,
        with_loss: bool = False,
        act: Callable[[Any], Any] | None = None,
        reorder: bool = True,
    ) -> tuple[Any, ...]:
        """Predicts all items of a loader, with the validation transforms.

        Args:
            ds_idx: 0 for the training items, 1 for the validation items.
            dl: A loader instead, e.g. `dls.test_dl(items)` or a list of batches `[(x, y)]`.
            with_input: Put the inputs in front.
            with_decoded: Add the predicted targets.
            with_loss: Add every item's loss.
            act: Activation; None takes the loss's, so classes come as probabilities.
            reorder: Rows in the order of the data set.

        Returns:
            `([inputs,] preds, targets[, decoded][, losses])`, on the CPU; targets are None where there are
            none.
        """
        dl = self._loader(ds_idx, dl)
        rows = collect(self, dl, with_input=with_input, with_loss=with_loss, act=act, reorder=reorder)
        found: list[Any] = [_single(rows.inputs)] if with_input else []
        found += [rows.probs, _single(rows.targets)]
        if with_decoded:
            found.append(encoded_of(self, rows.probs))
        return (*found, rows.losses) if with_loss else tuple(found)

    def tta(
        self,
        ds_idx: int = 1,
        dl: Any = None,
        n: int = 4,
        beta: float | None = 0.25,
        use_max: bool = False,
    ) -> tuple[Any, Any]:
        """Predicts all items `n` times with the random transforms of training and once without, and mixes.

        Args:
            ds_idx: 0 for the training items, 1 for the validation items.
            dl: A loader instead, e.g. `dls.test_dl(items)`.
            n: Passes with the transforms of training; each draws anew, and the same again in the next call.
            beta: Weight of the plain pass; the mean of the others has the rest. None returns both.
            use_max: Take each output's highest value over all passes instead of means.

        Returns:
            `(preds, targets)` as from `get_preds`; with `beta=None` `((augmented, plain), targets)`.

        Raises:
            DataError: The loader was not built from blocks, or the target says where things are in the
                picture.
            ArgumentError: `n` or `beta` is out of range.
        """
        preds, targets = predict_augmented(self, self._loader(ds_idx, dl), n, beta, use_max)
        return preds, _single(targets)

    def predict_loader(self, dl: Any) -> Predictions:
        """The table that interpretation builds on: probabilities, targets, losses and positions, row by row.

        Args:
            dl: Any loader; one of ours is read in order, whole, with the validation transforms.
        """
        rows = collect(self, in_order(dl), with_loss=None)
        return Predictions(rows.probs, _single(rows.targets), rows.losses, rows.positions)

    def validate(self, ds_idx: int = 1, dl: Any = None) -> list[float]:
        """`[loss, *metrics]` of a loader.

        Args:
            ds_idx: 0 for the training items, 1 for the validation items.
            dl: A loader instead.
        """
        row = self.evaluate(self._loader(ds_idx, dl))
        if not row:
            raise DataError(
                "there must be at least 1 item to validate", "the loader gave none", "Check the split."
            )
        return list(row.values())

    def _loader(self, ds_idx: int, dl: Any) -> Any:
        if dl is not None:
            return dl
        return in_order(loader_at(self.dls, ds_idx))

    def show_results(
        self,
        ds_idx: int = 1,
        dl: Any = None,
        max_n: int = 9,
        shuffle: bool = True,
        nrows: int | None = None,
        ncols: int | None = None,
        figsize: tuple[float, float] | None = None,
    ) -> None:
        """Draws items with the target above the prediction, green where they agree and red where not.

        Args:
            ds_idx: 0 for the training items, 1 for the validation items.
            dl: A loader instead.
            max_n: At most this many items.
            shuffle: Other items at every call.
            nrows: Rows of the grid.
            ncols: Columns of the grid.
            figsize: Inches.
        """
        with self.engine.alone():
            draw_results(self, self._loader(ds_idx, dl), max_n, shuffle, nrows, ncols, figsize)


def _single(tensors: tuple[Any, ...]) -> Any:
    """One tensor for one, a tuple for several, None for none."""
    return (tensors[0] if len(tensors) == 1 else tensors) if tensors else None
