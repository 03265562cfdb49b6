"""The training loop: events in a fixed order, nothing else.

In: loaders, a model and how it learns. Out: a trained model; everything visible is done by callbacks
(`callback.py`), the arithmetic by the engine (`engine.py`). Start reading at `Loop.run`. Read next:
`learner.py`, the methods users type on top of this.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from itertools import islice
from numbers import Integral
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from wiggly.data.order import Ordered
from wiggly.errors import ArgumentError
from wiggly.records import Batch, State
from wiggly.train.again import FitCall, Making
from wiggly.train.callback import (
    Callback,
    CancelBatch,
    CancelEpoch,
    CancelFit,
    CancelPass,
    as_callbacks,
    listens,
)
from wiggly.train.checks import check_learner, checked_forward, length_of
from wiggly.train.engine import Engine, default_engine
from wiggly.train.history import History
from wiggly.train.losses.checks import check_gradient, checked_loss
from wiggly.train.losses.core import loss_for
from wiggly.train.memory import SplitBatches, is_out_of_memory, out_of_memory
from wiggly.train.metrics.core import Metric, as_metrics
from wiggly.train.optim.base import Adam, Optimizer
from wiggly.train.optim.by_name import OptFunc, as_opt_func, make_optimizer
from wiggly.train.optim.groups import (
    Splitter,
    hold_norms,
    layer_groups,
    set_frozen,
    trainable_params,
    without_decay,
)
from wiggly.train.optim.schedule import Rate, rates_for
from wiggly.train.passes import reading
from wiggly.train.resume.kept import GoingOn
from wiggly.train.resume.run import Run
from wiggly.train.resume.snapshot import generators, set_generators

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
        opt_func: str | OptFunc = Adam,
        lr: Rate = 1e-3,
        splitter: Splitter = trainable_params,
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
        checkpoint_every: float = 60.0,
    ) -> None:
        check_learner(dls, model)
        self.dls, self.model, self.opt_func, self.lr, self.splitter = (
            dls,
            model,
            as_opt_func(opt_func),
            lr,
            splitter,
        )
        self.loss_func = self._infer_loss() if loss_func is None else loss_func
        self.cbs, self.metrics = as_callbacks(cbs), metrics
        self.path = Path(getattr(dls, "path", ".") if path is None else path)
        self.model_dir, self.model_config = model_dir, model_config
        self.command: str | None = (
            None  # the command line behind this learner, for the report; set by the CLI
        )
        self.wd, self.wd_bn_bias, self.train_bn, self.moms = wd, wd_bn_bias, train_bn, moms
        self.engine = default_engine(getattr(dls, "device", None)) if engine is None else engine
        self.engine.adopt(model)
        self.recorder, self.state = History(self), State()
        self.show_bar = self.show_table = True
        self.first_unfrozen = self.times_shown = 0
        self._opt: Optimizer | None = None
        self._groups: list[list[nn.Parameter]] | None = None
        self._active: list[Callback] = []
        self._methods: dict[str, list[Callable[..., None]]] = {}  # of those that are active, by event
        self.checkpoint_every = checkpoint_every
        self.fits_done = 0
        self.making: Making | None = None  # the call that made this learner, if it was one of ours
        self.fit_calls: list[FitCall] = []  # fits that ran to their end
        self.split_batches: SplitBatches | None = None
        self.fit_under_way: Run | None = None
        self.probed: tuple[dict[str, Tensor], dict[str, Tensor]] | None = None  # the head before and after
        self.pass_start: dict[str, Any] | None = None  # random generators, for loaders that have no place

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
            self._groups = layer_groups(self.model, self.splitter)
        return self._groups

    def rates(self, lr: Rate | None = None) -> list[float]:
        """One rate per parameter group; None takes the learner's `lr`."""
        return rates_for(self.lr if lr is None else lr, len(self.groups))

    @property
    def opt(self) -> Optimizer:
        """The optimizer, made at first use; its state lives on until something is frozen or unfrozen."""
        if self._opt is None:
            no_decay = set[nn.Parameter]() if self.wd_bn_bias else without_decay(self.model)
            self._opt = make_optimizer(self.opt_func, self.groups, self.rates()[-1], no_decay)
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
        if not isinstance(n, Integral) or not -count <= n < count:  # pyright: ignore[reportUnnecessaryIsInstance]
            received = f"got {n!r}; the model has {count} parameter groups"
            raise ArgumentError("`freeze_to` needs a group that exists", received, "Pass -1 for the last.")
        self.first_unfrozen = n % count
        set_frozen(self.model, self.groups, self.first_unfrozen, self.train_bn)
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

    def run(
        self,
        n_epochs: int,
        callbacks: Sequence[Callback],
        start_epoch: int = 0,
        going_on: GoingOn | None = None,
    ) -> None:
        """The loop, with exactly these callbacks; `fit` and its kin choose them.

        Args:
            n_epochs: Epochs.
            callbacks: Run in ascending `order`.
            start_epoch: First epoch that is run.
            going_on: Where a run goes on that was killed; None begins at `start_epoch`.
        """
        first, step = (start_epoch, 0) if going_on is None else (going_on.place.epoch, going_on.place.step)
        with self._using(State(n_epochs=n_epochs, epoch=min(first, n_epochs - 1), step=step), callbacks):
            self.engine.start_fit()
            self.engine.same_data([self.dls.train, self.dls.valid])
            self.opt.zero_grad()
            self.opt.align()
            if going_on is not None:
                going_on.put_back([])
            try:
                self._stage("fit", CancelFit, lambda: self._epochs(first, going_on))
            except BaseException as error:  # Ctrl-C as well: callbacks get to put things back
                self.engine.failed(error)
                self._call("on_error", error)
                raise
            finally:
                self._call("cleanup")

    @contextlib.contextmanager
    def _using(self, state: State, callbacks: Sequence[Callback]) -> Generator[None]:
        """One pass's own state and callbacks, so that a callback may predict or validate during a fit."""
        before = self.state, self._active, self.model.training
        self.state, self._active, self._methods = state, sorted(callbacks, key=lambda cb: cb.order), {}
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
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise out_of_memory(self, error) from error
        finally:
            nested = bool(before[1])
            self._active, self._methods = before[1], {}
            if nested:
                self.state = before[0]
                self._set_mode(before[2])

    def _set_mode(self, training: bool) -> None:
        self.model.train(training)
        if training and not self.train_bn:
            hold_norms(self.model, {p for group in self.groups[:-1] for p in group})

    def _call(self, event: str, *args: Any) -> None:
        methods = self._methods.get(event)
        if methods is None:
            methods = self._methods[event] = [getattr(cb, event) for cb in self._active if listens(cb, event)]
        for method in methods:
            method(self.state, *args)

    def _stage(self, name: str, cancel: type[Exception], body: Callable[[], None]) -> None:
        """`before_<name>`, the body, `after_<name>`; a callback's cancellation ends the first two only."""
        try:
            self._call(f"before_{name}")
            body()
        except cancel:
            pass
        self._call(f"after_{name}")

    def _epochs(self, start: int, going_on: GoingOn | None) -> None:
        if going_on is not None:
            going_on.put_back(self._active)
        for epoch in range(start, self.state.n_epochs):
            self.state.epoch = epoch
            within = going_on if going_on is not None and going_on.place.within else None
            self._stage("epoch", CancelEpoch, partial(self._epoch, within))
            going_on = None

    def _epoch(self, going_on: GoingOn | None) -> None:
        self._train(self.dls.train, going_on)
        if self.dls.valid is not None and len(self.dls.valid):
            self._validate(self.dls.valid)

    def _train(self, dl: Any, going_on: GoingOn | None) -> None:
        state = self.state
        state.training, state.n_batches, state.batch_index = True, length_of(dl), 0
        self._set_mode(training=True)
        self._stage("train", CancelPass, lambda: self._training_pass(dl, going_on))

    def _validate(self, dl: Any) -> None:
        state = self.state
        state.training, state.n_batches, state.batch_index = False, len(dl), 0
        self._set_mode(training=False)
        with torch.no_grad():
            self._stage("validate", CancelPass, lambda: self._pass(dl))

    def _training_pass(self, dl: Any, going_on: GoingOn | None) -> None:
        """A pass over the training data, or the rest of one."""
        if going_on is None:
            # A loader of ours knows its place; another one's draws are made again to find it.
            self.pass_start = None if isinstance(dl, Ordered) else generators(list(self.dls))
            self._pass(dl)
            return
        going_on.put_back(self._active)  # a second time: `before_epoch` and `before_train` were over then
        if not going_on.place.trained or self.pass_start is not None:  # torch's draw once more at the end
            self._pass(dl, going_on)

    def _pass(self, dl: Any, going_on: GoingOn | None = None) -> None:
        state, done = self.state, 0
        with reading(self, dl) as batches:
            if going_on is not None:
                done = going_on.place.batches
                self._pass_over(batches, done, going_on)
            for index, batch in enumerate(batches, done):
                state.batch_index, state.batch, state.pred, state.loss = index, batch, None, None
                self._stage("batch", CancelBatch, self._batch)
        bad: dict[str, str] = getattr(dl, "bad_items", {})
        for found in self.engine.from_all(bad):
            bad.update(found)

    def _pass_over(self, batches: Iterator[Batch], n: int, going_on: GoingOn) -> None:
        """Has a loader that has no place of its own give its first batches once more."""
        if self.pass_start is None:
            return
        set_generators(self.pass_start, list(self.dls))
        for _ in islice(batches, n):
            pass
        going_on.put_back(self._active)

    def _batch(self) -> None:
        state = self.state
        batch = cast("Batch", state.batch)
        parts = self.split_batches
        state.pred = self._forward(self.model, batch) if parts is None else parts.forward(batch)
        self._call("after_pred")
        state.loss = self.compute_loss(batch, state.pred, batch.targets)
        self._call("after_loss")
        if not state.training:
            return
        if state.batch_index == 0:
            check_gradient(state.loss, state.pred, self.model)
        self.engine.backward(state.loss)
        if parts is not None:
            parts.backward()
        self._call("before_step")
        self.engine.step(self.opt)
        state.step += 1

    def _forward(self, model: nn.Module, batch: Batch) -> Any:
        return checked_forward(lambda: self.engine.forward(model, batch), model, batch)

    def compute_loss(self, batch: Batch, pred: Any, targets: tuple[Tensor, ...]) -> Tensor:
        """The loss of a batch, over all processes if there are several.

        Args:
            batch: The batch in work.
            pred: The model's output for it.
            targets: Its targets, or others in their place.
        """
        loss = checked_loss(self.loss_func, pred, targets, first=self.state.batch_index == 0)
        return self.engine.whole_loss(loss, self.loss_func, targets, len(batch))

    def evaluate(self, dl: Any) -> dict[str, float]:
        """Loss and metrics of a loader, by name; empty without items."""
        state = State(training=False)
        with self._using(state, [self.recorder, *self.cbs]):
            self._validate(dl)
        return state.row

    def outputs(
        self, dl: Any, lend: bool = True, part: nn.Module | None = None
    ) -> Generator[tuple[Batch, Any]]:
        """Batches and the model's outputs for them, no activation applied; callbacks may change both.

        Args:
            dl: Any loader.
            lend: Whether images may come normalised.
            part: The model's first layers, to stop after them; callbacks then do not see what comes out.
        """
        state = State(training=False)
        with self._using(state, self.cbs), reading(self, dl, lend) as batches:
            self._set_mode(training=False)
            for state.batch in batches:
                with torch.no_grad():
                    self._call("before_batch")
                    state.pred = self._forward(part or self.model, state.batch)
                    if part is None:
                        self._call("after_pred")
                yield from self.engine.collected(state.batch, state.pred, inputs=not lend)
