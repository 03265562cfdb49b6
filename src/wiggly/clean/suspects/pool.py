"""The items that are looked at, training and validation together: names, labels, and one pass over them.

In: a learner or loaders. Out: `Pool`: for every readable item its features, its encoded label, its loss if
there is a model. Read next: `suggest.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock, RegressionBlock
from wiggly.data.dataset import Dataset
from wiggly.data.edits.identity import ItemIds, SideIds, refs_of
from wiggly.data.items import TableItems
from wiggly.data.loader import DataLoader
from wiggly.data.shards.stream import ShardDataset
from wiggly.errors import ArgumentError, DataError
from wiggly.tabular.loader import TableLoader
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.train.learner import Learner
from wiggly.train.losses.core import loss_per_item
from wiggly.train.predict import in_order
from wiggly.train.probe.probing import can_probe, split_model
from wiggly.vision.asking import channels
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.boxes import BBoxLblBlock
from wiggly.vision.models import VisionModel, create_body

if TYPE_CHECKING:
    from wiggly.data.edits.edit import ItemRef

__all__ = ["Pool", "Progress", "make_pool"]

#: Called now and then with how many items are done and how many there are.
Progress = Callable[[int, int], object]

ITEMS_PER_PASS = 64
DEFAULT_ARCH = "resnet18"


@dataclass
class Pool:
    """Training and validation items in one row, and what a pass over them gave.

    Attributes:
        dls: Where they come from.
        splits: "train" or "valid", of each.
        positions: Of each its position in the data set of its side.
        seen: Which of them could be read, in order; the rows of all that follows.
        features: `(seen, d)`; None where no body was run.
        losses: `(seen,)`; None without a trained model.
        encoded: The encoded target that is judged, `(seen, ...)`; None where it is none that can be.
        unreadable: Reasons, by item.
    """

    dls: Any
    splits: list[str]
    positions: list[int]
    seen: list[int] = field(default_factory=lambda: list[int]())
    features: Tensor | None = None
    losses: Tensor | None = None
    encoded: Tensor | None = None
    unreadable: dict[int, str] = field(default_factory=lambda: dict[int, str]())

    def __len__(self) -> int:
        return len(self.splits)

    @property
    def is_table(self) -> bool:
        """Whether items are rows of a table."""
        return isinstance(self.dls, TabularDataLoaders)

    @property
    def has_pictures(self) -> bool:
        """Whether the first input is a picture."""
        blocks = getattr(self.dls, "input_blocks", [])
        return bool(blocks) and isinstance(blocks[0], ImageBlock)

    @cached_property
    def judged(self) -> int | None:
        """Which of the targets is judged: the first of labels or numbers; None if there is none."""
        for k, block in enumerate(self.dls.target_blocks):
            labels = isinstance(block, CategoryBlock) and not isinstance(block, BBoxLblBlock)
            if labels or isinstance(block, RegressionBlock):
                return k
        return None

    @property
    def block(self) -> Any:
        """The block of the target that is judged."""
        return None if self.judged is None else self.dls.target_blocks[self.judged]

    @property
    def vocab(self) -> list[Any]:
        """Labels by index; empty for numbers."""
        return list(self.block.vocab) if isinstance(self.block, CategoryBlock) else []

    @property
    def several(self) -> bool:
        """Whether an item may have several labels."""
        return isinstance(self.block, MultiCategoryBlock)

    def dataset(self, item: int) -> Any:
        """The data set of an item's side."""
        return (self.dls.train if self.splits[item] == "train" else self.dls.valid).dataset

    @cached_property
    def ids(self) -> SideIds:
        """The ids of both sides; of a table both are the whole table's."""
        if not self.is_table:
            return refs_of(self.dls)
        frame = self.dls.table.frame
        names = self.dls.table.y_names
        labels = frame[names[0]].to_list() if names else None
        whole = ItemIds(TableItems(frame.to_native()), labels=None if labels is None else labels.__getitem__)
        return SideIds(whole, whole)

    def _place(self, item: int) -> tuple[ItemIds, int]:
        ids = self.ids.train if self.splits[item] == "train" else self.ids.valid
        position = self.positions[item]
        return ids, int(self.dataset(item).rows[position]) if self.is_table else position

    def ref(self, item: int) -> ItemRef:
        """What a journal of edits calls an item."""
        ids, position = self._place(item)
        return ids.ref(position)

    def name(self, item: int) -> str:
        """The path of an item below its folder; its row, if it is one."""
        ids, position = self._place(item)
        return ids.name(position)

    def given(self, item: int) -> Any:
        """The label of an item as the data give it; None for masks, boxes and the like."""
        if self.judged is None:
            return None
        if self.is_table:
            row = self.encoded[self.row_of[item]] if self.encoded is not None else None
            return None if row is None else self.block.decode(row)
        dataset = self.dataset(item)
        return dataset.raw(self.positions[item], dataset.n_inp + self.judged)

    @cached_property
    def row_of(self) -> dict[int, int]:
        """Item to its row in `features`, `losses` and `encoded`."""
        return {item: row for row, item in enumerate(self.seen)}


def make_pool(
    learn_or_dls: Any,
    arch: Any,
    weights: Any,
    pretrained: bool,
    progress: Progress | None,
    with_features: bool = True,
) -> Pool:
    """Passes over all items once.

    Args:
        learn_or_dls: A learner, or loaders.
        arch: Network whose body gives the features; None takes the learner's own, else "resnet18".
        weights: Its weights, as for `vision_learner`.
        pretrained: Whether it starts from published weights.
        progress: Called with the number of items done and in all.
        with_features: False where only losses are wanted.

    Raises:
        ArgumentError: It is neither a learner nor loaders whose items are known one by one.
    """
    learner = learn_or_dls if isinstance(learn_or_dls, Learner) else None
    dls = learn_or_dls.dls if learner is not None else learn_or_dls
    pool = _items_of(dls)
    steps: list[_Pass] = []
    if learner is not None:
        own = with_features and arch is None
        steps.append(_Pass(learner, *_parts(learner, own), with_loss=True))
    lacking = with_features and pool.has_pictures and not any(step.front for step in steps)
    if lacking and (learner is None or arch is not None):
        steps.append(_Pass(_body_learner(dls, arch or DEFAULT_ARCH, weights, pretrained), None, None, False))
    _run(pool, steps, progress)
    if pool.is_table:
        _read_table(pool)
    return pool


def _items_of(dls: Any) -> Pool:
    loaders = [getattr(dls, "train", None), getattr(dls, "valid", None)]
    ours = all(
        isinstance(loader, TableLoader)
        or (
            isinstance(loader, DataLoader)
            and isinstance(loader.dataset, Dataset)
            and not isinstance(loader.dataset, ShardDataset)
        )
        for loader in loaders
    )
    if not ours:
        kinds = ", ".join(type(getattr(loader, "dataset", loader)).__name__ for loader in loaders)
        raise ArgumentError(
            "`suggest` needs a learner, or loaders, whose items are known one by one",
            f"it got a {type(dls).__name__} that reads {kinds}",
            "Build the loaders with a DataBlock or a from_... of files or of a table.",
        )
    splits, positions = list[str](), list[int]()
    for side, loader in zip(("train", "valid"), loaders, strict=True):
        n = len(loader.dataset)  # pyright: ignore[reportOptionalMemberAccess]
        splits += [side] * n
        positions += range(n)
    return Pool(dls, splits, positions)


class _Pooled(nn.Module):
    """One vector per item: the mean of a feature map over its places."""

    def forward(self, features: Tensor) -> Tensor:
        return _pooled(features)


def _pooled(features: Tensor) -> Tensor:
    if features.ndim == 4:
        return features.float().mean((2, 3))
    return features.float().flatten(1) if features.ndim != 3 else features.float().mean(1)


def _body_learner(dls: Any, arch: Any, weights: Any, pretrained: bool) -> Learner:
    body = create_body(arch, channels(dls), pretrained, weights=weights)
    model = nn.Sequential(body, _Pooled()).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return Learner(dls, model, loss_func=nn.MSELoss())


def _parts(learner: Learner, wanted: bool) -> tuple[nn.Module | None, nn.Module | None]:
    """The layers of a model whose output are features, and those behind them."""
    if not wanted:
        return None, None
    if isinstance(learner.model, VisionModel):
        return learner.model.body, learner.model.head
    return split_model(learner) if can_probe(learner) else (None, None)


@dataclass
class _Pass:
    """What one pass over the items computes: losses, or features, or both with one run of the body."""

    learner: Learner
    front: nn.Module | None
    head: nn.Module | None
    with_loss: bool

    @torch.no_grad()
    def outcome(self, batch: Any, out: Any) -> tuple[Tensor | None, Tensor | None]:
        """Features and losses of a batch, on the CPU."""
        features = None if self.with_loss and self.front is None else _pooled(out).cpu()
        if not self.with_loss or not batch.targets:
            return features, None
        pred = out if self.head is None else self.head(out.to(next(self.learner.model.parameters()).dtype))
        return features, loss_per_item(self.learner.loss_func, pred, batch.targets).float().cpu()


def _run(pool: Pool, steps: Sequence[_Pass], progress: Progress | None) -> None:
    done, of = 0, len(pool) * len(steps)
    for step in steps:
        features, losses, encoded, seen = list[Tensor](), list[Tensor](), list[Tensor](), list[int]()
        start = 0
        for side in ("train", "valid"):
            loader = _calm(getattr(pool.dls, side))
            for batch, out in step.learner.outputs(loader, part=step.front):
                found, loss = step.outcome(batch, out)
                features += [] if found is None else [found]
                losses += [] if loss is None else [loss]
                if pool.judged is not None and batch.targets:
                    encoded.append(batch.targets[pool.judged].cpu())
                seen += [start + position for position in batch.positions]
                done += len(batch.positions)
                if progress is not None:
                    progress(done, of)
            start += len(loader.dataset)
            _remember_unreadable(pool, loader)
        _keep(pool, seen, features, losses, encoded)


def _keep(
    pool: Pool, seen: list[int], features: list[Tensor], losses: list[Tensor], encoded: list[Tensor]
) -> None:
    """Takes over what a pass gave, in the order of the items."""
    if not seen:
        raise DataError("there must be at least 1 readable item", "none could be read", "Check the data.")
    order = torch.tensor(seen).argsort()
    pool.seen = [seen[row] for row in order.tolist()]
    if features:
        pool.features = torch.cat(features)[order]
    if losses:
        pool.losses = torch.cat(losses)[order]
    if encoded:
        pool.encoded = torch.cat(encoded)[order]


def _calm(loader: Any) -> Any:
    """The loader in order, with large batches, that goes on whatever cannot be read."""
    made = in_order(loader)
    if isinstance(made, DataLoader):
        made = made.new(bs=max(made.bs, ITEMS_PER_PASS), shuffle=False, drop_last=False)
        made.max_bad, made.bad_items = 1.0, {}
    return made


def _remember_unreadable(pool: Pool, loader: Any) -> None:
    bad = getattr(loader, "bad_items", {})
    if not bad:
        return
    for item in range(len(pool)):
        dataset = pool.dataset(item)
        if dataset.items is loader.dataset.items:
            reason = bad.get(dataset.item_name(pool.positions[item]))
            if reason is not None:
                pool.unreadable[item] = reason


def _read_table(pool: Pool) -> None:
    """The encoded columns as features, and the encoded target; no pass is needed."""
    sides = [pool.dls.train.dataset, pool.dls.valid.dataset]
    pool.seen = list(range(len(pool)))
    pool.features = torch.cat(
        [torch.cat([side.cats.float().cpu(), side.conts.float().cpu()], 1) for side in sides]
    )
    if pool.judged is not None:
        pool.encoded = torch.cat([side.targets[pool.judged].cpu() for side in sides])
