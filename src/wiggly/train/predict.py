"""Predictions: one pass over a loader without learning, rows collected on the CPU.

In: a learner and a loader. Out: `Rows`, from which `get_preds`, `predict_loader` and `predict` take what they
return. Read next: `../records.py` for the records users get.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from wiggly.data.base import Block, joined_rows
from wiggly.data.dataset import Dataset
from wiggly.data.loader import DataLoader
from wiggly.data.order import Ordered
from wiggly.data.show import show_results
from wiggly.errors import ArgumentError, DataError, ItemError, TrainingError
from wiggly.records import Batch, Prediction
from wiggly.train.losses.checks import name_of
from wiggly.train.losses.core import ACTIVATIONS, activation_of, decodes_of, loss_per_item
from wiggly.train.memory import is_out_of_memory
from wiggly.train.nested import each_tensor, joined

if TYPE_CHECKING:
    from wiggly.train.loop import Loop

__all__ = [
    "Rows",
    "collect",
    "draw_results",
    "encoded_of",
    "in_order",
    "loader_at",
    "predict_item",
    "redealt",
]


@dataclass
class Rows:
    """Every row of a pass, concatenated; a model with several outputs gives a tuple in `probs`.

    Attributes:
        inputs: One tensor per input, only if asked for.
        probs: Activated outputs.
        targets: One tensor per target; empty without.
        losses: Loss of each row, only if asked for.
        positions: For each row its position in the data set.
    """

    inputs: tuple[Tensor, ...]
    probs: Any
    targets: tuple[Tensor, ...]
    losses: Tensor | None
    positions: list[int]


def loader_at(dls: Any, ds_idx: int) -> Any:
    """The training or the validation loader.

    Raises:
        ArgumentError: It is neither.
        DataError: There is none.
    """
    if ds_idx not in (0, 1):
        raise ArgumentError(
            "`ds_idx` must be 0 for the training items or 1 for the validation items",
            f"it is {ds_idx!r}",
            "For other items pass dl=learn.dls.test_dl(items).",
        )
    found = dls.valid if ds_idx else dls.train
    if found is None:
        raise DataError(
            f"there must be {'validation' if ds_idx else 'training'} items",
            "the loaders have none",
            "Split the data, or pass dl= with other items.",
        )
    return found


def in_order(dl: Any) -> Any:
    """A loader of ours, but unshuffled, complete, with the validation transforms; others as they are."""
    if not isinstance(dl, DataLoader):
        return dl.in_order() if isinstance(dl, Ordered) else dl
    if not dl.shuffle and not dl.drop_last and not getattr(dl.dataset, "train", False):
        return dl
    return redealt(dl, train=False)


def redealt(dl: DataLoader, train: bool) -> DataLoader:
    """The same items, unshuffled and complete.

    Args:
        dl: Their loader.
        train: Whether transforms draw at random, as in training, or act as in validation.
    """
    dataset = dl.dataset
    if isinstance(dataset, Dataset):
        dataset = copy.copy(dataset)
        dataset.train = train
    again = DataLoader(
        dataset,
        dl.bs,
        num_workers=dl.num_workers,
        batch_tfms=dl.batch_tfms,
        seed=dl.seed,
        device=dl.device,
        max_bad=dl.max_bad,
        warp_on=dl.warp_on,
    )
    again.bad_items = (
        dl.bad_items
    )  # shared: what is found unreadable in this pass belongs into the same report
    return again


def _joined_targets(learner: Loop, parts: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    blocks: list[Any] = list(getattr(learner.dls, "target_blocks", ()))
    if len(blocks) != len(parts[0]):
        return joined(parts)
    columns = zip(*parts, strict=True)
    return tuple(joined_rows(block, column) for block, column in zip(blocks, columns, strict=True))


def _on_cpu(value: Any) -> Any:
    return each_tensor(value, lambda tensor: tensor.detach().cpu())


def _picked(value: Any, order: Tensor) -> Any:
    return each_tensor(value, lambda tensor: tensor[order])


def _activated(activate: Callable[[Any], Any], pred: Any, what: str) -> Any:
    """Activated outputs, on the CPU.

    Raises:
        TrainingError: The activation cannot take them.
    """
    try:
        return _on_cpu(activate(pred))
    except (AttributeError, IndexError, TypeError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        output = f"of shape {tuple(pred.shape)}" if isinstance(pred, Tensor) else f"a {type(pred).__name__}"
        raise TrainingError(
            f"{what} must accept the model's output",
            f"{type(error).__name__}: {str(error).splitlines()[0]:.200} (the output is {output})",
            "Pass `act`, a function of the output, or a loss with a method `activation`.",
        ) from error


def collect(
    learner: Loop,
    dl: Any,
    *,
    with_input: bool = False,
    with_loss: bool | None = False,
    act: Callable[[Any], Any] | None = None,
    reorder: bool = True,
) -> Rows:
    """One pass over a loader.

    Args:
        learner: Gives model, loss, engine and callbacks.
        dl: Any loader.
        with_input: Keep the inputs; they then come as users know them, images in [0, 1].
        with_loss: Compute every row's loss, which needs targets; None: if there are targets.
        act: Activation; None takes the loss's.
        reorder: Put rows in the order of the data set.

    Raises:
        DataError: The loader gives no rows, or no targets where losses are asked for.
        TrainingError: The activation cannot take the outputs.
    """
    activate = act or activation_of(learner.loss_func, learner.target_block)
    called = "`act`" if act else f"the activation that `{name_of(learner.loss_func)}` implies"
    batches: list[Batch] = []
    preds: list[Any] = []
    losses: list[Tensor] = []
    for batch, pred in learner.outputs(dl, lend=not with_input):
        if with_loss and not batch.targets:
            raise DataError(
                "losses need targets", "these items carry none", "Use test_dl(items, with_labels=True)."
            )
        if with_loss or (with_loss is None and batch.targets):
            losses.append(loss_per_item(learner.loss_func, pred, batch.targets).cpu())
        preds.append(_activated(activate, pred, called))
        kept = _on_cpu(batch.inputs) if with_input else ()
        batches.append(Batch(kept, _on_cpu(batch.targets), batch.positions))
    if not batches:
        raise DataError(
            "there must be at least 1 item to predict", "the loader gave none", "Check the items."
        )
    rows = Rows(
        joined([b.inputs for b in batches]) if with_input else (),
        joined(preds),
        _joined_targets(learner, [b.targets for b in batches]) if batches[0].targets else (),
        torch.cat(losses) if losses else None,
        [position for b in batches for position in b.positions],
    )
    return _sorted(rows) if reorder else rows


def _sorted(rows: Rows) -> Rows:
    positions = torch.tensor(rows.positions)
    order = positions.argsort(stable=True)
    if torch.equal(order, torch.arange(len(order))):
        return rows
    losses = None if rows.losses is None else rows.losses[order]
    targets, inputs = _picked(rows.targets, order), _picked(rows.inputs, order)
    return Rows(inputs, _picked(rows.probs, order), targets, losses, positions[order].tolist())


def encoded_of(learner: Loop, probs: Any) -> Any:
    """Activated outputs as predicted targets: the loss knows best (its threshold), else the target block."""
    block = learner.target_block
    if hasattr(learner.loss_func, "decodes") or block is None:
        decoded = decodes_of(learner.loss_func, block)(probs)
        # Numbers are predicted as they are; only the block knows which shape they have (points are pairs).
        if block is not None and block.activation == "none" and isinstance(decoded, Tensor):
            return block.predicted(decoded)
        if block is not None and block.activation == "softmax" and _is_yes_or_no(decoded):
            return decoded.squeeze(1).long()
        return decoded
    return block.predicted(probs)


def _is_yes_or_no(decoded: Any) -> bool:
    """Whether it is one answer per item, or per pixel: the first class of two, or the second."""
    single = isinstance(decoded, Tensor) and decoded.ndim > 1 and decoded.shape[1] == 1
    return single and decoded.dtype == torch.bool


def predict_item(learner: Loop, item: Any) -> Prediction:
    """One item through loader, model and decoding; see `Learner.predict`."""
    dl = learner.dls.test_dl([item], bs=1, num_workers=0)
    try:
        rows = collect(learner, dl)
    except DataError:
        for name, reason in dl.bad_items.items():
            raise ItemError(name, reason, "Pass a file, an array or a picture that opens.") from None
        raise
    encoded = encoded_of(learner, rows.probs)
    if not isinstance(encoded, Tensor):
        index, probs = (tuple(part[0] for part in value) for value in (encoded, rows.probs))
        return Prediction(index, cast("Any", index), cast("Any", probs))
    block = learner.target_block
    decoded = _decoded(block, encoded[0], dl) if block is not None else encoded[0].tolist()
    return Prediction(decoded, encoded[0], rows.probs[0])


def _decoded(block: Any, encoded: Tensor, dl: DataLoader) -> Any:
    """The prediction for the only item of a loader."""
    if type(block).decode_on is Block.decode_on:
        return block.decode(encoded)
    return block.decode_in(encoded, dl.dataset.sample(0, Random(0)))


def draw_results(
    learner: Loop,
    dl: Any,
    max_n: int,
    shuffle: bool,
    nrows: int | None,
    ncols: int | None,
    figsize: tuple[float, float] | None,
) -> None:
    """The pictures behind `Learner.show_results`; see there."""
    if not getattr(learner.dls, "target_blocks", ()):
        raise DataError(
            "`show_results` needs loaders built from blocks",
            "these were given as they are",
            "Draw what `learn.get_preds(with_input=True)` returns, or build the loaders with a DataBlock.",
        )
    if isinstance(dl, DataLoader):
        learner.times_shown += 1  # so that every call shows other items, yet a rerun the same ones
        seed = dl.seed + learner.times_shown
        few = DataLoader(dl.dataset, max_n, shuffle, batch_tfms=dl.batch_tfms, seed=seed, num_workers=0)
        dl = [few.look(max_n)]
    elif isinstance(dl, Ordered):
        learner.times_shown += 1
        dl = [learner.dls.looked_at(dl, max_n, learner.times_shown if shuffle else None)]
    rows = collect(learner, dl, with_input=True, reorder=False)
    predicted = _encoded_targets(learner, rows.probs)
    if hasattr(learner.dls, "show_results"):  # loaders of another kind than pictures
        learner.dls.show_results(rows.inputs, rows.targets, predicted, max_n)
        return
    show_results(learner.dls, rows.inputs, rows.targets, predicted, max_n, nrows, ncols, figsize)


def _encoded_targets(learner: Loop, probs: Any) -> tuple[Tensor, ...]:
    """The encoded prediction of every target.

    Raises:
        DataError: There are several targets and the model has not one output for each.
    """
    blocks: list[Any] = learner.dls.target_blocks
    if len(blocks) == 1:
        return (encoded_of(learner, probs),)
    if not isinstance(probs, tuple) or len(cast("tuple[Any, ...]", probs)) != len(blocks):
        raise DataError(
            "with several targets `show_results` needs a model that returns a tuple, one output per target",
            f"it returns {f'{len(probs)} outputs' if isinstance(probs, tuple) else 'one'} for {len(blocks)}",
            "Change the model, or draw what `learn.get_preds(with_input=True)` returns.",
        )
    activated = hasattr(learner.loss_func, "activation")
    parts = zip(blocks, cast("tuple[Tensor, ...]", probs), strict=True)
    return tuple(b.predicted(p if activated else ACTIVATIONS[b.activation](p)) for b, p in parts)
