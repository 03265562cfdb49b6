"""One training step, seen whole: inputs, every layer, the loss, every gradient, the update, and what it did.

In: a learner. Out: what one step computes for a real batch of it, each tensor cut to what can be looked at,
and the loss of the same batch after steps of several sizes. Without a learner the page trains the network of
`network.py`. Read next: `rates.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from wiggly.errors import ModelError
from wiggly.interpret.pictures import thumbnail
from wiggly.records import Batch
from wiggly.teach.explorable import Explorable
from wiggly.teach.network import backward, forward, sgd
from wiggly.teach.runs import class_names, held
from wiggly.teach.tensors import View, view
from wiggly.train.learner import Learner
from wiggly.train.losses.core import activation_of, decodes_of, loss_per_item

__all__ = ["Item", "Layer", "Parameter", "Step", "one_training_step", "step_of"]

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
PICTURE = 56  # pixels of an item's longer side
# Heat maps of a tensor and their rows, for models up to so many layers: the page has to stay small.
ROOM = ((16, 4, 8), (48, 3, 6), (10**9, 1, 4))


@dataclass(frozen=True)
class Parameter:
    """A layer's weights or biases: their values, and the gradient, None where they are frozen."""

    name: str
    value: View
    gradient: View | None


@dataclass(frozen=True)
class Layer:
    """A layer: its dotted name, what it is, what came out, and how the loss depends on that.

    `gradient` is None where nothing below learns, so that it was not computed.
    """

    name: str
    kind: str
    output: View
    gradient: View | None
    parameters: list[Parameter]


@dataclass(frozen=True)
class Item:
    """One item of the batch: its picture as a data URI, its label, the model's answer, its loss."""

    picture: str | None
    label: str
    answer: str
    loss: float


@dataclass(frozen=True)
class Score:
    """A tensor between the model's output and the loss."""

    name: str
    view: View


@dataclass(frozen=True)
class Step:
    """One step on a batch.

    Attributes:
        items: The batch.
        inputs: Its first tensor.
        layers: In the order in which they ran.
        loss: Before the step.
        scores: What the loss is made of, by name.
        rates: Learning rates.
        after: The loss of the same batch after a step with each of them.
        after_items: Each item's loss then, `(rates, n)`.
        n_moved: Numbers that the step changes.
    """

    items: list[Item]
    inputs: View
    layers: list[Layer]
    loss: float
    scores: list[Score]
    rates: list[float]
    after: list[float]
    after_items: list[list[float]]
    n_moved: int


@dataclass
class _Seen:
    """What hooks saw of one layer."""

    name: str
    module: nn.Module
    output: View
    gradient: list[View] = field(default_factory=lambda: list[View]())


def step_of(learn: Learner, n_items: int = 6, rates: Sequence[float] = RATES) -> Step:
    """Takes one step of plain gradient descent on a training batch, looks at everything, and takes it back.

    The model is in evaluation mode, so dropout and batch statistics do not blur the comparison of the loss
    before and after.

    Args:
        learn: The learner; layers that are frozen stay so.
        n_items: Items of the batch, at most.
        rates: Learning rates to try.

    Raises:
        ModelError: No parameter learns, or the loss depends on none that does.
    """
    learning = [(name, p) for name, p in learn.model.named_parameters() if p.requires_grad]
    if not learning:
        raise ModelError(
            "a training step needs a parameter that learns",
            "all of them are frozen",
            "Call `learn.unfreeze()`, or `learn.freeze()`, which leaves the head to learn.",
        )
    with held(learn, n_items) as batch:
        room = next(each[1:] for each in ROOM if len(_leaves(learn.model)) <= each[0])
        with torch.enable_grad():
            seen, pred, loss = _forward(learn, batch, room)
            found = torch.autograd.grad(loss, [p for _, p in learning], allow_unused=True)
        slopes = cast("tuple[Tensor | None, ...]", found)
        moving = [(p, slope) for (_, p), slope in zip(learning, slopes, strict=True) if slope is not None]
        after, after_items = _after(learn, batch, moving, rates)
        return Step(
            _items(learn, batch, pred),
            view(batch.inputs[0], room[1], room[0], maps=batch.inputs[0].dim() == 4),
            [_layer(each, {id(p): slope for p, slope in moving}, room) for each in seen],
            float(loss.detach()),
            _scores(learn, batch, pred, room),
            list(rates),
            after,
            after_items,
            sum(p.numel() for p, _ in moving),
        )


def _leaves(model: nn.Module) -> list[tuple[str, nn.Module]]:
    parts = [(name, part) for name, part in model.named_modules() if not list(part.children())]
    return [(name, part) for name, part in parts if not isinstance(part, nn.Identity)]


def _forward(learn: Learner, batch: Batch, room: tuple[int, int]) -> tuple[list[_Seen], Tensor, Tensor]:
    """Runs the batch, with a look at what comes out of each layer and, later, at its gradient."""
    seen: list[_Seen] = []

    def look(name: str, module: nn.Module, made: Any) -> None:
        if not isinstance(made, Tensor) or not made.is_floating_point() or not made.numel():
            return
        maps = made.dim() == 4
        one = _Seen(name, module, view(made, room[1], room[0], maps))
        seen.append(one)
        if made.requires_grad:
            made.register_hook(lambda slope: one.gradient.append(view(slope, room[1], room[0], maps)))

    hooks = [
        part.register_forward_hook(lambda module, _, made, name=name: look(name, module, made))
        for name, part in _leaves(learn.model)
    ]
    try:
        pred = learn.engine.forward(learn.model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    loss = learn.compute_loss(batch, pred, batch.targets)
    if not loss.requires_grad:
        raise ModelError(
            "the loss must depend on a parameter that learns",
            "it does not",
            "Look at `learn.model` and at what is frozen.",
        )
    return seen, pred, loss


def _layer(seen: _Seen, slopes: dict[int, Tensor], room: tuple[int, int]) -> Layer:
    parameters = [
        Parameter(
            name,
            view(p, room[1], room[0]),
            view(slopes[id(p)], room[1], room[0]) if id(p) in slopes else None,
        )
        for name, p in seen.module.named_parameters(recurse=False)
        if p.numel()
    ]
    kind = type(seen.module).__name__
    return Layer(seen.name, kind, seen.output, seen.gradient[0] if seen.gradient else None, parameters)


def _after(
    learn: Learner, batch: Batch, moving: list[tuple[nn.Parameter, Tensor]], rates: Sequence[float]
) -> tuple[list[float], list[list[float]]]:
    """The loss after a step at each rate, each from the same start."""
    start = [p.detach().clone() for p, _ in moving]
    losses: list[float] = []
    each: list[list[float]] = []
    with torch.no_grad():
        for rate in rates:
            for (p, slope), before in zip(moving, start, strict=True):
                p.copy_(before - rate * slope)
            pred = learn.engine.forward(learn.model, batch)
            losses.append(float(learn.compute_loss(batch, pred, batch.targets)))
            each.append(loss_per_item(learn.loss_func, pred, batch.targets).tolist())
        for (p, _), before in zip(moving, start, strict=True):
            p.copy_(before)
    return losses, each


def _items(learn: Learner, batch: Batch, pred: Any) -> list[Item]:
    losses = loss_per_item(learn.loss_func, pred, batch.targets).tolist()
    decoded = decodes_of(learn.loss_func, learn.target_block)(
        activation_of(learn.loss_func, learn.target_block)(pred)
    )
    names = class_names(learn, pred.shape[1]) if isinstance(pred, Tensor) and pred.dim() == 2 else []
    return [
        Item(
            thumbnail(batch.inputs[0][i].detach().float().cpu(), PICTURE),
            _called(batch.targets[0][i], names),
            _called(decoded[i], names),
            losses[i],
        )
        for i in range(len(batch))
    ]


def _scores(learn: Learner, batch: Batch, pred: Any, room: tuple[int, int]) -> list[Score]:
    answers = activation_of(learn.loss_func, learn.target_block)(pred)
    losses = loss_per_item(learn.loss_func, pred, batch.targets)
    made = [Score("loss of each item", view(losses, room[1], room[0]))]
    if isinstance(answers, Tensor) and answers is not pred:
        shown = view(answers, room[1], room[0], maps=answers.dim() == 4)
        made.insert(0, Score("the output made into answers, such as probabilities", shown))
    return made


def _called(value: Any, names: list[str]) -> str:
    """A class by its name, a number by its digits; anything else is too much to write."""
    if not isinstance(value, Tensor) or value.numel() != 1:
        return ""
    if not value.is_floating_point() and value.dtype != torch.bool and 0 <= int(value) < len(names):
        return names[int(value)]
    return f"{float(value.detach()):.3g}"


def one_training_step(learn: Learner | None = None, n_items: int = 6) -> Explorable:
    """The explorable: a batch walks through the layers to the loss, the gradients walk back, weights move.

    Args:
        learn: Takes the step on a real batch of this learner, which is afterwards as it was.
        n_items: Items of that batch, at most.

    Example:
        >>> one_training_step()
        One training step: an explorable. ...
    """
    if learn is None:
        return Explorable("one-training-step", code=(forward, backward, sgd))
    step = step_of(learn, n_items)
    optimizer = type(learn.opt.inner).__name__
    about = (
        f"A real batch of {len(step.items)} items of your training set. The step is plain gradient descent"
        + ("" if optimizer == "SGD" else f"; your {optimizer} scales each number's gradient by its history")
        + "."
    )
    return Explorable("one-training-step", {"own": {**_as_json(step), "about": about}}, (step_of,))


def _as_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_json(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    if hasattr(value, "__dataclass_fields__"):
        return {key: _as_json(each) for key, each in vars(value).items()}
    return value
