"""The training loop: events in a fixed order, nothing else.

In: loaders, a model and how it learns. Out: a trained model; everything visible is done by callbacks
(`callback.py`), the arithmetic by the engine (`engine.py`). Start reading at `Loop.run`. Read next:
`learner.py`, the methods users type on top of this.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import nn

from wiggly.data.loader import DataLoader, batches_of
from wiggly.errors import ArgumentError, TrainingError
from wiggly.records import Batch, State
from wiggly.train import optim
from wiggly.train.callback import Callback, CancelBatch, CancelEpoch, CancelFit, as_callbacks
from wiggly.train.engine import Engine, LocalEngine
from wiggly.train.history import History
from wiggly.train.losses import checked_loss, loss_for
from wiggly.train.metrics import Metric, as_metrics
from wiggly.train.schedule import Rate, rates_for

__all__ = ["Callbacks", "Loop", "Momenta"]

Callbacks = Callback | Sequence[Callback] | None
Momenta = tuple[float, float, float]


class Loop:
    """A model, its data, its optimizer and the loop over them; `Learner` documents the arguments."""

    def __init__(
        self,
        dls: Any,
        model: nn.Module,
        loss_func: Callable[..., Any] | None = None,
        opt_func: Callable[..., Any] = optim.Adam,
        lr: Rate = 1e-3,
        splitter: optim.Splitter = optim.trainable_params,
        cbs: Callbacks = None,
        metrics: Any = None,
        path: str | Path | None = None,
        model_dir: str | Path = "models",
        wd: float | None = None,
        wd_bn_bias: bool = False,
        train_bn: bool = True,
        moms: Momenta = (0.95, 0.85, 0.95),
        engine: Engine | None = None,
        model_config: dict[str, Any] | None = None,
    ) -> None:
        self.dls, self.model, self.opt_func, self.lr, self.splitter = dls, model, opt_func, lr, splitter
        self.loss_func = self._infer_loss() if loss_func is None else loss_func
        self.cbs, self.metrics = as_callbacks(cbs), metrics
        self.path = Path(getattr(dls, "path", ".") if path is None else path)
        self.model_dir, self.model_config = model_dir, model_config
        self.command: str | None = (
            None  # the command line behind this learner, for the report; set by the CLI
        )
        self.wd, self.wd_bn_bias, self.train_bn, self.moms = wd, wd_bn_bias, train_bn, moms
        self.engine = LocalEngine(getattr(dls, "device", None)) if engine is None else engine
        self.recorder, self.state = History(self), State()
        self.show_bar = self.show_table = True
        self.first_unfrozen = self.times_shown = 0
        self._opt: optim.Optimizer | None = None
        self._groups: list[list[nn.Parameter]] | None = None
        self._active: list[Callback] = []

    def _infer_loss(self) -> Callable[..., Any]:
        blocks = getattr(self.dls, "target_blocks", ())
        if len(blocks) != 1:
            raise ArgumentError(
                "`loss_func` is needed unless the loaders have exactly one target block",
                f"they have {len(blocks)}",
                "Pass it, e.g. loss_func=torch.nn.functional.cross_entropy.",
            )
        return loss_for(blocks[0])

    @property
    def target_block(self) -> Any:
        """The fitted block of the only target; None for several, and for loaders without blocks."""
        blocks = getattr(self.dls, "target_blocks", ())
        return blocks[0] if len(blocks) == 1 else None

    @property
    def metrics(self) -> list[Metric]:
        """Metrics computed on the validation set; set them to a function, a metric, or a list."""
        return self._metrics

    @metrics.setter
    def metrics(self, metrics: Any) -> None:
        self._metrics = as_metrics(metrics)

    # Parameter groups and the optimizer

    @property
    def groups(self) -> list[list[nn.Parameter]]:
        """Parameter groups, as the splitter made them at first use."""
        if self._groups is None:
            self._groups = optim.layer_groups(self.model, self.splitter)
        return self._groups

    def rates(self, lr: Rate | None = None) -> list[float]:
        """One rate per parameter group; None takes the learner's `lr`."""
        return rates_for(self.lr if lr is None else lr, len(self.groups))

    @property
    def opt(self) -> optim.Optimizer:
        """The optimizer, made at first use; its state lives on until something is frozen or unfrozen."""
        if self._opt is None:
            norms, biases = optim.norm_and_bias(self.model)
            no_decay = set[nn.Parameter]() if self.wd_bn_bias else norms | biases
            self._opt = optim.make_optimizer(self.opt_func, self.groups, self.rates()[-1], no_decay)
        return self._opt

    def reset_optimizer(self) -> None:
        """Forgets the optimizer; the next fit makes a new one."""
        self._opt = None

    def freeze_to(self, n: int) -> None:
        """Freezes the parameter groups before `n` and clears the optimizer's state.

        Args:
            n: Number of the first group that learns; -1 is the last.

        Raises:
            ArgumentError: There is no such group.
        """
        count = len(self.groups)
        if not -count <= n < count:
            received = f"got {n}; the model has {count} parameter groups"
            raise ArgumentError("`freeze_to` needs a group that exists", received, "Pass -1 for the last.")
        self.first_unfrozen = n % count
        optim.set_frozen(self.model, self.groups, self.first_unfrozen, self.train_bn)
        if self._opt is not None:
            self._opt.zero_grad()
            self._opt.clear_state()

    def freeze(self) -> None:
        """Freezes all parameter groups but the last."""
        self.freeze_to(-1)

    def unfreeze(self) -> None:
        """Lets all parameter groups learn."""
        self.freeze_to(0)

    def to_fp16(self) -> Self:
        """Forward passes in float16 on a GPU; a CPU stays in float32, which is faster there."""
        self.engine.set_precision("float16")
        return self

    def to_bf16(self) -> Self:
        """Forward passes in bfloat16."""
        self.engine.set_precision("bfloat16")
        return self

    def to_fp32(self) -> Self:
        """Forward passes in float32."""
        self.engine.set_precision("float32")
        return self

    @contextlib.contextmanager
    def no_bar(self) -> Generator[None]:
        """No progress bar within the block."""
        before, self.show_bar = self.show_bar, False
        try:
            yield
        finally:
            self.show_bar = before

    @contextlib.contextmanager
    def no_logging(self) -> Generator[None]:
        """No table within the block."""
        before, self.show_table = self.show_table, False
        try:
            yield
        finally:
            self.show_table = before

    # The loop

    def run(self, n_epochs: int, callbacks: Sequence[Callback], start_epoch: int = 0) -> None:
        """The loop, with exactly these callbacks; `fit` and its kin choose them.

        Args:
            n_epochs: Epochs.
            callbacks: Run in ascending `order`.
            start_epoch: First epoch that is run.
        """
        with self._using(State(n_epochs=n_epochs), callbacks):
            self.engine.start_fit()
            self.opt.zero_grad()
            self.opt.align()
            try:
                self._stage("fit", CancelFit, lambda: self._epochs(start_epoch))
            except BaseException as error:  # Ctrl-C as well: callbacks get to put things back
                self._call("on_error", error)
                if isinstance(error, torch.OutOfMemoryError):
                    raise _out_of_memory(self.state) from error
                raise
            finally:
                self._call("cleanup")

    @contextlib.contextmanager
    def _using(self, state: State, callbacks: Sequence[Callback]) -> Generator[None]:
        """One pass's own state and callbacks, so that a callback may predict or validate during a fit."""
        before = self.state, self._active, self.model.training
        self.state, self._active = state, sorted(callbacks, key=lambda cb: cb.order)
        for callback in self._active:
            callback.learner = cast("Any", self)
        self.engine.prepare(self.model)
        if isinstance(self.loss_func, nn.Module):
            self.loss_func.to(self.engine.device)
        try:
            yield
            state.batch = state.pred = state.loss = (
                None  # else they would hold a batch's memory; kept on errors
            )
        finally:
            nested = bool(before[1])
            self._active = before[1]
            if nested:
                self.state = before[0]
                self._set_mode(before[2])

    def _set_mode(self, training: bool) -> None:
        self.model.train(training)
        if training and not self.train_bn:
            optim.hold_norms(self.model, {p for group in self.groups[:-1] for p in group})

    def _call(self, event: str, *args: Any) -> None:
        for callback in self._active:
            getattr(callback, event)(self.state, *args)

    def _stage(self, name: str, cancel: type[Exception] | tuple[()], body: Callable[[], None]) -> None:
        """`before_<name>`, the body, `after_<name>`; a callback's cancellation ends the first two only."""
        try:
            self._call(f"before_{name}")
            body()
        except cancel:
            pass
        self._call(f"after_{name}")

    def _epochs(self, start: int) -> None:
        for epoch in range(start, self.state.n_epochs):
            self.state.epoch = epoch
            self._stage("epoch", CancelEpoch, self._epoch)

    def _epoch(self) -> None:
        self._train(self.dls.train)
        if self.dls.valid is not None and len(self.dls.valid):
            self._validate(self.dls.valid)

    def _train(self, dl: Any) -> None:
        state = self.state
        state.training, state.n_batches, state.batch_index = True, len(dl), 0
        if not state.n_batches:
            raise TrainingError(
                "training needs at least 1 batch", "the loader has none", "Pass a smaller `bs`."
            )
        self._set_mode(training=True)
        self._stage("train", (), lambda: self._pass(dl))

    def _validate(self, dl: Any) -> None:
        state = self.state
        state.training, state.n_batches, state.batch_index = False, len(dl), 0
        self._set_mode(training=False)
        with torch.no_grad():
            self._stage("validate", (), lambda: self._pass(dl))

    def _pass(self, dl: Any) -> None:
        state = self.state
        with self._reading(dl) as batches:
            for index, batch in enumerate(batches):
                state.batch_index, state.batch, state.pred, state.loss = index, batch, None, None
                self._stage("batch", CancelBatch, self._batch)

    def _batch(self) -> None:
        state = self.state
        batch = cast("Batch", state.batch)
        state.pred = self.engine.forward(self.model, batch)
        self._call("after_pred")
        state.loss = checked_loss(self.loss_func, state.pred, batch.targets, first=state.batch_index == 0)
        self._call("after_loss")
        if not state.training:
            return
        self.engine.backward(state.loss)
        self._call("before_step")
        self.engine.step(self.opt)
        state.step += 1

    def evaluate(self, dl: Any) -> dict[str, float]:
        """Loss and metrics of a loader, by name; empty without items."""
        state = State(training=False)
        with self._using(state, [self.recorder, *self.cbs]):
            self._validate(dl)
        return state.row

    def outputs(self, dl: Any, lend: bool = True) -> Generator[tuple[Batch, Any]]:
        """Batches and the model's outputs for them, no activation applied; callbacks may change both.

        Args:
            dl: Any loader.
            lend: Whether images may come normalised.
        """
        state = State(training=False)
        with self._using(state, self.cbs), self._reading(dl, lend) as batches:
            self._set_mode(training=False)
            for state.batch in batches:
                with torch.no_grad():
                    self._call("before_batch")
                    state.pred = self.engine.forward(self.model, state.batch)
                    self._call("after_pred")
                yield state.batch, state.pred

    @contextlib.contextmanager
    def _reading(self, dl: Any, lend: bool = True) -> Generator[Iterator[Batch]]:
        """Batches of one pass, on the device.

        A model that normalises its input itself lends its statistics to a loader of ours for the pass: the
            loader then
        normalises in the look-up that scales the pixels anyway, which saves two passes over them.
        """
        body = self._lender(dl) if lend else None
        stats = None if body is None else (body.mean.flatten().tolist(), body.std.flatten().tolist())
        batches = cast("Generator[Batch]", batches_of(dl, stats))
        if body is not None:
            body.normalise = False
        try:
            with contextlib.closing(batches):
                yield self.engine.deliver(batches)
        finally:
            if body is not None:
                body.normalise = True

    def _lender(self, dl: Any) -> Any:
        """The model's first module, if it normalises and this loader can do so instead."""
        # One image input, and no transforms of the whole batch: those expect images in [0, 1].
        blocks = getattr(self.dls, "input_blocks", ())
        body: Any = next(self.model.children(), None)
        able = (
            len(blocks) == 1
            and hasattr(blocks[0], "channels")
            and isinstance(dl, DataLoader)
            and not dl.batch_tfms
        )
        willing = hasattr(body, "mean") and hasattr(body, "std") and getattr(body, "normalise", False)
        return body if able and willing else None


def _out_of_memory(state: State) -> TrainingError:
    rows = 0 if state.batch is None else len(state.batch)
    return TrainingError(
        "a batch must fit into the device's memory",
        f"one of {rows} items did not",
        "Pass a smaller `bs`, use smaller images, or call learn.to_fp16().",
    )
