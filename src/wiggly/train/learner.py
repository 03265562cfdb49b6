"""Learner: what users do with a model: train it, predict, look, keep, hand on.

In: loaders and a model. Out: a trained model, its history, its predictions. The fits are inherited; each
other method calls the file that does the work. Read next: `fitting.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from wiggly.data.profiling.diagnosis import Profile
from wiggly.errors import DataError, ModelError
from wiggly.records import Prediction, Predictions
from wiggly.train import checkpoint
from wiggly.train.fitting import Fitting
from wiggly.train.predict import collect, draw_results, encoded_of, in_order, predict_item
from wiggly.train.summary import describe

__all__ = ["Learner"]


class Learner(Fitting):
    """A model, its data, and how it learns.

    Args:
        dls: Training and validation loaders.
        model: Takes a batch's inputs, returns its outputs.
        loss_func: Takes outputs and targets; None asks the target block.
        opt_func: `Adam`, `SGD`, a torch optimizer class, or `wrap_optimizer(...)` of one.
        lr: Learning rate where a fit is given none.
        splitter: Splits the model's parameters into groups, first layers first.
        cbs: Callbacks of every fit.
        metrics: Function(s) or metric(s) computed on the validation set; settable later.
        path: Folder for checkpoints; None takes that of the loaders.
        model_dir: Folder of checkpoints below `path`.
        wd: Weight decay; None takes the optimizer's.
        wd_bn_bias: Whether normalisation layers and biases decay as well.
        train_bn: Whether normalisation layers learn everywhere and always. False: those of all groups but the
            last keep their running statistics, frozen or not, and what is frozen gets no gradient at all, so
            no backward pass runs through it. For a pretrained body False is better and faster (`dev/LOG.md`).
        moms: Momentum at start, peak and end of a one-cycle fit (Smith & Topin, arXiv:1708.07120: momentum
            falls as the rate rises).
        engine: Where it runs; None takes the best device of this machine.
        model_config: JSON-able description to rebuild the model from, which an export needs.

    Example:
        >>> pairs = [(torch.tensor([x / 8]), torch.tensor([x / 4])) for x in range(8)]  # y = 2x
        >>> from wiggly.data.loader import DataLoader
        >>> from wiggly.data.loaders import DataLoaders
        >>> dls = DataLoaders(DataLoader(pairs, bs=4), DataLoader(pairs, bs=4))
        >>> learn = Learner(dls, nn.Linear(1, 1), loss_func=nn.MSELoss(), opt_func=torch.optim.SGD)
        >>> with learn.no_bar(), learn.no_logging():
        ...     learn.fit(200, lr=0.3)
        >>> round(learn.model(torch.tensor([0.5])).item(), 3)
        1.0
    """

    # Predicting

    def predict(self, item: Any) -> Prediction:
        """Predicts one item.

        Args:
            item: What the input block accepts: a path, an array, a picture.

        Returns:
            `(decoded, index, probs)`: what the user calls it, its encoding, the activated output.

        Raises:
            ItemError: The item cannot be read.
        """
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
        return in_order(self.dls[ds_idx]) if dl is None else dl

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
        draw_results(self, self._loader(ds_idx, dl), max_n, shuffle, nrows, ncols, figsize)

    # Keeping and looking

    def save(self, file: str | Path, with_opt: bool = True) -> Path:
        """Writes weights and optimizer state to `path/model_dir/<file>.safetensors`, all of it or nothing.

        Args:
            file: Name without suffix, or an absolute path.
            with_opt: Whether to keep the optimizer's state.

        Returns:
            The file's path.

        Raises:
            StorageError: It cannot be written.
        """
        path = self._checkpoint(file)
        checkpoint.save_checkpoint(path, self.model, self._opt if with_opt else None)
        return path

    def load(
        self, file: str | Path, device: str | torch.device | None = None, with_opt: bool = True
    ) -> Learner:
        """Reads what `save` wrote, into this learner's model.

        Args:
            file: Name without suffix, or an absolute path.
            device: Read through this device; None takes the engine's.
            with_opt: Whether to take over the optimizer's state, if the file has it.

        Returns:
            The learner.

        Raises:
            StorageError: There is no such file, or it is damaged.
            ModelError: It is of another model; the message names the layers.
        """
        device = self.engine.device if device is None else device
        checkpoint.load_checkpoint(self._checkpoint(file), self.model, self.opt if with_opt else None, device)
        return self

    def _checkpoint(self, file: str | Path) -> Path:
        checkpoint.check_name(file)
        return checkpoint.checkpoint_path(self.path / self.model_dir, file)

    def get_submodule(self, target: str) -> nn.Module:
        """A part of the model by its dotted name, e.g. `"0.model.stages.1"`.

        Raises:
            ModelError: There is none of that name; the message has the nearest ones.
        """
        try:
            return self.model.get_submodule(target)
        except AttributeError:
            names = [name for name, _ in self.model.named_modules() if name]
            near = difflib.get_close_matches(target, names, 3, 0.3) or names[:3]
            raise ModelError(
                "`get_submodule` needs the name of a part of the model",
                f"there is no {target!r}",
                f"Nearest: {', '.join(near)}. All: [name for name, _ in learn.model.named_modules()]",
            ) from None

    def summary(self) -> None:
        """Prints the model's parts with their sizes and what is frozen, the loss and the optimizer."""
        print(describe(self))

    def profile(self, n: int = 64) -> Profile:
        """Says where the time of a training batch goes, how long the model waits for data, and what to do.

        Args:
            n: Items to time one by one.
        """
        return self.dls.profile(self, n)

    # Doors to rooms above, imported on call

    def export(self, fname: str | Path = "export.wiggly") -> Path:
        """Writes the bundle that anyone can predict with, at exactly the path given.

        Args:
            fname: The file; a relative path starts at the current folder, whatever the suffix.

        Returns:
            The path of the bundle.

        Raises:
            BundleError: The model cannot be described without code, or another kind of file is in the way.
            StorageError: The file cannot be written; an older bundle there is untouched.
        """
        from wiggly.bundle.export import export_bundle

        return export_bundle(self, Path(fname))

    def report(self, path: str | Path = "report.html") -> Path:
        """Writes one self-contained page about the data, the training and the errors.

        Args:
            path: The file; a relative path starts at the current folder.

        Returns:
            The path of the page.

        Raises:
            StorageError: The file cannot be written; an older page there is untouched.
        """
        from wiggly.interpret.report import write_report

        return write_report(self, Path(path))


def _single(tensors: tuple[Any, ...]) -> Any:
    """One tensor for one, a tuple for several, None for none."""
    return (tensors[0] if len(tensors) == 1 else tensors) if tensors else None
