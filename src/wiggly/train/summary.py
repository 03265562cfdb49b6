"""A model as a table: its parts, what they put out, their parameters and the arithmetic they cost.

In: a learner. Out: `Summary`, from one run over a few items that changes nothing. FLOPs are torch's count of
additions and multiplications in convolutions, matrix products and attention; a multiply-add is 2 of them.
Read next: `hooks.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from wiggly.data.loader import batches_of
from wiggly.errors import ArgumentError, ModelError, WigglyError
from wiggly.records import Batch
from wiggly.train.hooks import evaluating, first_tensor
from wiggly.train.optim.base import Optimizer

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["Part", "Summary", "briefly", "summarise"]

# Items that are run: one would not do for a model that drops axes of length 1.
ITEMS = 2
# By default: as many levels as fit this many rows, and never more than two, which shows a ResNet's stages
# but not its hundred convolutions.
MOST_ROWS, LEVELS = 24, 2
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a model.

    Attributes:
        path: Its dotted name, as `learn.get_submodule` takes it.
        kind: Its class.
        level: 1 for the model's own parts, 2 for theirs; a part that is all of another is on the same level.
        shape: Of what it puts out (the first tensor), without the items' axis; None if it is not run.
        parameters: Numbers in it, those of its own parts included.
        learning: How many of them are not frozen.
        flops: Of one item's forward pass.
    """

    path: str
    kind: str
    level: int
    shape: Shape | None
    parameters: int
    learning: int
    flops: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a model is made of; `print` gives the table.

    Attributes:
        rows: All parts, at every depth, in the model's own order.
        kind: The model's class.
        input_shapes: Of one item.
        parameters: Numbers in the model.
        learning: How many of them are not frozen.
        flops: Of one item's forward pass; a multiply-add is 2.
        disk_bytes: Of the weights as they are kept.
        memory_bytes: Estimate for a training step: weights, gradients, the optimizer's averages, and what the
            forward pass keeps for the backward pass.
        batch_size: Items of that step.
        learns_by: Loss and optimizer, in words.
        runs_on: Device and precision, in words.
        depth: Levels that the table shows; None chooses.
    """

    rows: tuple[Part, ...]
    kind: str
    input_shapes: tuple[Shape, ...]
    parameters: int
    learning: int
    flops: int
    disk_bytes: int
    memory_bytes: int
    batch_size: int
    learns_by: str
    runs_on: str
    depth: int | None = None

    @property
    def frozen_share(self) -> float:
        """Share of the parameters that do not learn, in [0, 1]."""
        return 1 - self.learning / max(self.parameters, 1)

    def shown(self) -> list[Part]:
        """The rows of the table; where they are chosen, a part that holds but one other stands for it."""
        if self.depth is not None:
            return [row for row in self.rows if row.level <= self.depth]
        levels = {row.path: row.level for row in self.rows}
        first = [row for row in self.rows if levels.get(row.path.rpartition(".")[0]) != row.level]
        chosen = [row for row in first if row.level <= LEVELS]
        return chosen if len(chosen) <= MOST_ROWS else [row for row in first if row.level == 1]

    def __repr__(self) -> str:
        return f"Summary({self.kind}: {len(self.rows)} parts, {self.parameters:,} parameters)"

    def __str__(self) -> str:
        shown = self.shown()
        cells = [_cells(row) for row in shown]
        if self.depth is None and len(cells) > MOST_ROWS:
            left_out = len(cells) - MOST_ROWS + 1
            half = MOST_ROWS // 2
            cells[half : half + left_out] = [(f"... {left_out} more: summary(depth=1)", "", "", "", "", "")]
        flops = f"{_short(self.flops)}FLOPs per item of {_items(self.input_shapes)}"
        frozen = f" ({self.frozen_share:.0%} frozen)" if self.frozen_share else ""
        lines = [
            *_aligned([("part", "kind", "output", "parameters", "learning", "FLOPs"), *cells]),
            "",
            f"{self.kind}: {self.parameters:,} parameters, {self.learning:,} of them learning{frozen}, "
            f"{_bytes(self.disk_bytes)} on disk",
            f"{flops}: {_short(self.flops / 2).strip()} multiply-adds, which papers often call FLOPs",
            f"memory to train a batch of {self.batch_size}: about {_bytes(self.memory_bytes)}",
            self.learns_by,
            f"on {self.runs_on}",
        ]
        return "\n".join(lines)


def summarise(learner: Learner, depth: int | None = None) -> Summary:
    """Runs a learner's model once on a few of its items, in evaluation mode, and tells what it saw.

    Args:
        learner: The learner; its weights, modes and random draws stay as they are.
        depth: Levels that the table shows, 1 or more; None takes two, or fewer where they would not fit a
            screen.

    Raises:
        ArgumentError: `depth` is below 1.
        ModelError: The model fails; the message names the part that does.
    """
    if depth is not None and depth < 1:
        raise ArgumentError("`depth` must be at least 1", f"it is {depth}", "Leave it out, or pass e.g. 3.")
    model, engine = learner.model, learner.engine
    engine.prepare(model)
    batch = engine.to_device(_few_items(learner))
    seen = _Seen(model)
    with evaluating(model, grad=True), seen.watching():
        engine.forward(model, batch)
    n = max(len(batch), 1)
    parameters, learning = _count(model)
    weights = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    batch_size = learner.dls.bs if hasattr(learner.dls, "bs") else n
    gradients = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    averages = gradients * _averages_per_parameter(learner.opt) if learning else 0
    optimizer = repr(learner.opt) if learning else "none, as nothing learns"
    return Summary(
        rows=tuple(_parts(model, "", 1, seen, n)),
        kind=type(model).__name__,
        input_shapes=tuple(tuple(x.shape[1:]) for x in batch.inputs),
        parameters=parameters,
        learning=learning,
        flops=seen.total() // n,
        disk_bytes=weights,
        memory_bytes=weights + gradients + averages + seen.kept_bytes * batch_size // n,
        batch_size=batch_size,
        learns_by=f"loss {_loss_name(learner)}, optimizer {optimizer}",
        runs_on=f"{engine.device} in {engine.precision}",
        depth=depth,
    )


def briefly(learner: Learner) -> str:
    """A learner in three lines, which cost nothing: what `print(learn)` shows."""
    total, learning = _count(learner.model)
    make = learner.opt_func
    optimizer = getattr(make, "__name__", type(make).__name__)
    compiled = f", {learner.engine.compiled!r}" if learner.engine.compiled is not None else ""
    sizes = [
        f"{len(dl.dataset):,}" if hasattr(dl, "dataset") else "?"
        for dl in (learner.dls.train, learner.dls.valid)
    ]
    return "\n".join(
        [
            f"{type(learner).__name__}: {type(learner.model).__name__} of {total:,} parameters, "
            f"{learning:,} learning",
            f"  data: {sizes[0]} training and {sizes[1]} validation items",
            f"  loss {_loss_name(learner)}, optimizer {optimizer}, on {learner.engine.device} in "
            f"{learner.engine.precision}{compiled}",
        ]
    )


class _Seen:
    """What a run of a model shows of each part: shape, FLOPs; and in all, what is kept for the backward
    pass."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.shapes: dict[nn.Module, Shape] = {}
        self.flops: dict[nn.Module, int] = {}
        self.kept_bytes = 0
        self._names = {part: name for name, part in model.named_modules()}
        self._running: list[tuple[nn.Module, int, Any]] = []
        self._own_memory = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
        self._counter = FlopCounterMode(display=False)

    def total(self) -> int:
        """FLOPs of the whole run."""
        return self._counter.get_total_flops()

    @contextmanager
    def watching(self) -> Generator[None]:
        """Watches what is run in the block.

        Raises:
            ModelError: It fails; the message names the innermost part that was running.
        """
        handles = [part.register_forward_pre_hook(self._enter) for part in self._names]
        handles += [part.register_forward_hook(self._leave) for part in self._names]
        saving = torch.autograd.graph.saved_tensors_hooks(self._keep, _unchanged)
        with ExitStack() as after, _countable(self.model), self._counter, saving:
            for handle in handles:
                after.callback(handle.remove)
            try:
                yield
            except WigglyError:
                raise
            except Exception as error:
                raise self._failed(error) from error

    def _enter(self, part: nn.Module, inputs: Any) -> None:
        self._running.append((part, self._counter.get_total_flops(), inputs))

    def _leave(self, part: nn.Module, inputs: Any, output: Any) -> None:
        _, before, _ = self._running.pop()
        self.flops[part] = self.flops.get(part, 0) + self._counter.get_total_flops() - before
        found = first_tensor(output)
        if found is not None:
            self.shapes[part] = tuple(found.shape)

    def _keep(self, tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in self._own_memory:
            self._own_memory.add(
                memory.data_ptr()
            )  # the graph keeps it alive: no other tensor gets this address
            self.kept_bytes += memory.nbytes()
        return tensor

    def _failed(self, error: Exception) -> ModelError:
        part, _, inputs = self._running[-1] if self._running else (self.model, 0, ())
        given, said = first_tensor(inputs), str(error).strip().split("\n")[0] or type(error).__name__
        shape = "" if given is None else f" on an input of shape {tuple(given.shape)}"
        name = f"its part `{self._names[part]}` ({type(part).__name__})" if self._names[part] else "it"
        return ModelError(
            "a model must take the batches of its loaders",
            f"{name} fails{shape}: {said}",
            "Make the parts before it put out what it takes, or load items of another size.",
        )


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor


@contextmanager
def _countable(model: nn.Module) -> Generator[None]:
    """Has torch compute by operations that its counter knows, instead of fused ones that it would miss."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    with ExitStack() as settings:
        settings.callback(torch.backends.mha.set_fastpath_enabled, before)
        settings.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(isinstance(part, nn.RNNBase) for part in model.modules()):
            for backend in (torch.backends.mkldnn, torch.backends.cudnn):
                enabled: bool = backend.set_flags(_enabled=False)[0]
                settings.callback(backend.set_flags, _enabled=enabled)
        yield


def _few_items(learner: Learner) -> Batch:
    look: Callable[[int], Batch] | None = getattr(learner.dls, "look", None)
    batch = next(iter(batches_of(learner.dls.train))) if look is None else look(ITEMS)
    inputs = tuple(x[:ITEMS] for x in batch.inputs)
    return Batch(inputs, (), batch.positions[:ITEMS])


def _parts(module: nn.Module, path: str, level: int, seen: _Seen, n: int) -> Generator[Part]:
    for name, child in module.named_children():
        own = f"{path}.{name}" if path else name
        shape = seen.shapes.get(child)
        if shape is not None and shape[:1] == (n,):
            shape = shape[1:]
        flops = seen.flops.get(child, 0) // n
        yield Part(own, type(child).__name__, level, shape, *_count(child), flops)
        alone = len(list(child.children())) == 1
        yield from _parts(child, own, level if alone else level + 1, seen, n)


def _count(module: nn.Module) -> tuple[int, int]:
    """Numbers of parameters and of those that take a gradient."""
    parameters = list(module.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def _averages_per_parameter(optimizer: Optimizer) -> int:
    """Running averages kept per learning parameter: two of Adam and its kin, one of SGD with momentum."""
    group = optimizer.param_groups[0]
    return 2 if "betas" in group else int(bool(group.get("momentum")))


def _loss_name(learner: Learner) -> str:
    return getattr(learner.loss_func, "__name__", type(learner.loss_func).__name__)


def _cells(row: Part) -> tuple[str, ...]:
    shape = "" if row.shape is None else "×".join(map(str, row.shape)) or "1"
    flops = _short(row.flops).strip() if row.flops else ""
    return row.path, row.kind, shape, f"{row.parameters:,}", f"{row.learning:,}", flops


def _aligned(table: list[tuple[str, ...]]) -> list[str]:
    """Columns of equal width: the first three to the left, numbers to the right."""
    wide = [max(len(row[k]) for row in table if row[1]) for k in range(len(table[0]))]
    lines: list[str] = []
    for row in table:
        cells = [f"{cell:<{wide[k]}}" if k < 3 else f"{cell:>{wide[k]}}" for k, cell in enumerate(row)]
        lines.append("  ".join(cells).rstrip())
    return lines


def _items(shapes: tuple[Shape, ...]) -> str:
    return " and ".join("×".join(map(str, shape)) or "1" for shape in shapes)


def _short(number: float) -> str:
    """`1_230_000` as `1.23 M`, with room for a unit behind it."""
    for limit, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {prefix}"
    return f"{number:.0f} "


def _bytes(number: float) -> str:
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= limit:
            return f"{number / limit:.3g} {unit}"
    return f"{number:.0f} bytes"
