"""Activation statistics: how large the numbers are that each layer puts out, step by step of a training.

In: a fit. Out: mean, standard deviation, share near zero and, if wanted, a histogram, per layer and step; and
pictures of them. Layers that die out or blow up show here before the loss tells (Glorot & Bengio, AISTATS
2010, look at training the same way). Read next: `../hooks.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from wiggly.errors import ArgumentError
from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.checks import check_number
from wiggly.train.hooks import Hooks, first_tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ActivationStats"]

NEAR_ZERO = 0.05
# The histogram's bins are equally wide over this range; the outermost also count what lies beyond.
BINS, REACH = 40, 5.0
STATISTICS = ("mean", "std", "near_zero")


class ActivationStats(Callback):
    """Keeps statistics of what each layer puts out during training.

    Args:
        modules: Layers to watch; None takes all that have parameters of their own, in the model's order.
        every: Steps from one look to the next, at least 1; a look costs a few small reductions per layer.
        with_hist: Also count values in 40 bins from -5 to 5, for `color_dim`.

    Attributes:
        names: Dotted names of the layers.
        steps: Step of each look, counted over all fits with this callback.

    Raises:
        ArgumentError: `every` is below 1.

    Example:
        >>> ActivationStats(every=10, with_hist=True).stats.shape
        torch.Size([0, 0, 3])
    """

    order: ClassVar[int] = 50  # after whatever changes the batch
    in_lr_find: ClassVar[bool] = False

    def __init__(
        self, modules: Iterable[nn.Module] | None = None, every: int = 1, with_hist: bool = False
    ) -> None:
        check_number("every", every, "at least 1 step", lambda steps: steps >= 1, "1, for every step")
        self.modules = None if modules is None else list(modules)
        self.every, self.with_hist = every, with_hist
        self.names: list[str] = []
        self.steps: list[int] = []
        self._looks: list[Tensor] = []  # one per look, (layers, 3 + bins)
        self._hooks: Hooks | None = None
        self._seen = 0
        self._looking = False

    def before_fit(self, state: State) -> None:
        """Puts the hooks on; another model's statistics are forgotten."""
        named = {part: name for name, part in self.learner.model.named_modules()}
        layers = self.modules or [part for part in named if list(part.parameters(recurse=False))]
        names = [named.get(layer, type(layer).__name__) for layer in layers]
        if names != self.names:
            self.names, self.steps, self._looks, self._seen = names, [], [], 0
        self._hooks = Hooks(layers, self._measure)

    def before_batch(self, state: State) -> None:
        """Decides whether this batch is looked at."""
        self._looking = state.training and self._seen % self.every == 0
        self._seen += state.training

    def after_loss(self, state: State) -> None:
        """Fetches what the layers' hooks have measured, in one copy from the device."""
        if not self._looking or self._hooks is None:
            return
        self._looking = False
        found = [hook.stored for hook in self._hooks]
        width = len(STATISTICS) + (BINS if self.with_hist else 0)
        like = next((row for row in found if row is not None), torch.zeros(()))
        absent = torch.full((width,), torch.nan, device=like.device)  # a layer that this batch did not run
        self._looks.append(torch.stack([absent if row is None else row for row in found]).cpu())
        self.steps.append(self._seen - 1)
        for hook in self._hooks:
            hook.stored = None

    def cleanup(self, state: State) -> None:
        """Takes the hooks off."""
        if self._hooks is not None:
            self._hooks.remove()
            self._hooks = None

    @torch.no_grad()
    def _measure(self, module: nn.Module, inputs: Any, output: Any) -> Tensor | None:
        values = first_tensor(output)
        if not self._looking or values is None:
            return None
        values = values.float()
        near = (values.abs() <= NEAR_ZERO).float().mean()
        statistics = torch.stack([values.mean(), values.std(), near])
        if not self.with_hist:
            return statistics
        counts = torch.histc(values.clamp(-REACH, REACH), BINS, -REACH, REACH)
        return torch.cat([statistics, counts])

    def state_dict(self) -> dict[str, Any]:
        """What was kept so far."""
        return {"names": self.names, "steps": self.steps, "seen": self._seen, "looks": list(self._looks)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on after what was kept before."""
        self.names, self.steps, self._seen = list(state["names"]), list(state["steps"]), int(state["seen"])
        self._looks = list(state["looks"])

    # What was seen

    @property
    def stats(self) -> Tensor:
        """Mean, standard deviation and share of values within 0.05 of zero: `(looks, layers, 3)`."""
        return self._all()[:, :, : len(STATISTICS)]

    @property
    def hists(self) -> Tensor:
        """Values counted in equally wide bins from -5 to 5: `(looks, layers, bins)`.

        Raises:
            ArgumentError: They were not asked for.
        """
        if not self.with_hist:
            raise ArgumentError(
                "histograms must be asked for before the fit",
                "with_hist is False",
                "Pass ActivationStats(with_hist=True).",
            )
        return self._all()[:, :, len(STATISTICS) :]

    def _all(self) -> Tensor:
        width = len(STATISTICS) + (BINS if self.with_hist else 0)
        return torch.stack(self._looks) if self._looks else torch.zeros(0, len(self.names), width)

    def layer_stats(self, layer: int) -> dict[str, list[float]]:
        """Mean, std and near_zero of one layer, look by look.

        Args:
            layer: Position in `names`; negative ones count from the end.

        Raises:
            ArgumentError: There is no such layer.
        """
        columns = self.stats[:, self._position(layer)].T.tolist()
        return dict(zip(STATISTICS, columns, strict=True))

    def _position(self, layer: int) -> int:
        if not -len(self.names) <= layer < len(self.names) or not self.steps:
            raise ArgumentError(
                "`layer` must be the position of a layer seen in a fit",
                f"got {layer}; there are {len(self.names)} layers and {len(self.steps)} looks",
                "Fit first, then pass 0 for the first layer, -1 for the last.",
            )
        return layer % len(self.names)

    def plot_layer_stats(self, layer: int) -> None:
        """Draws mean, standard deviation and share near zero of one layer over the steps.

        Args:
            layer: Position in `names`; negative ones count from the end.
        """
        import matplotlib.pyplot as plt

        found = self.layer_stats(layer)
        figure, axes = plt.subplots(1, 3, figsize=(11, 3), layout="constrained")
        figure.suptitle(self.names[layer] or "the model")
        for axis, title, name in zip(
            axes, ("mean", "standard deviation", "share near 0"), STATISTICS, strict=True
        ):
            axis.plot(self.steps, found[name])
            axis.set(title=title, xlabel="step")
        axes[2].set_ylim(-0.02, 1.02)

    def color_dim(self, layer: int, axes: Axes | None = None) -> Axes:
        """Draws one layer's histograms side by side, step after step: dark is rare, bright is frequent.

        Args:
            layer: Position in `names`; negative ones count from the end.
            axes: Where to draw; None makes a figure.

        Returns:
            The axes drawn on.

        Raises:
            ArgumentError: Histograms were not asked for, or there is no such layer.
        """
        counts = self.hists[:, self._position(layer)].T
        if axes is None:
            import matplotlib.pyplot as plt

            _, axes = plt.subplots(figsize=(8, 4), layout="constrained")
        axes.imshow(  # on a log scale: most values are near zero, and the few others matter
            counts.log1p().numpy(),
            origin="lower",
            aspect="auto",
            extent=(self.steps[0] - 0.5, self.steps[-1] + 0.5, -REACH, REACH),
        )
        axes.set(title=self.names[layer] or "the model", xlabel="step", ylabel="activation")
        return axes
