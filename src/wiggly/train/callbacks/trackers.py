"""Experiment trackers: one base, and an adapter each for TensorBoard, Weights & Biases, MLflow and trackio.

In: the settings of a fit, its losses and rates, its table. Out: a run in the tracker; both phases of
`fine_tune`, and a resumed fit, go on in the same run. Nothing needs an account or a network unless the
tracker is set up so. Read next: `logs.py` for plain files.
"""

from __future__ import annotations

import json
import math
import time
from abc import abstractmethod
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from wiggly.errors import ArgumentError, DependencyError
from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.callbacks.logs import describe_fit

__all__ = ["MLflowLogger", "TensorBoardLogger", "Tracker", "TrackioLogger", "WandbLogger"]


class Tracker(Callback):
    """Base of trackers; derive and write `start`, `log` and `finish` for another one.

    Names of values: `loss` and `lr` (of the last parameter group) every few steps; after each epoch the
    columns of the table, with `epoch_time` for `time` and without `epoch`. The step is that of the whole run,
    over all its fits.

    Args:
        every: Steps from one logged loss to the next.

    Attributes:
        run_id: What the tracker calls the run; None before the first fit.
        closes_after_fit: Whether the run is closed after each fit, and opened again by the next.

    Raises:
        ArgumentError: `every` is below 1.
    """

    order: ClassVar[int] = 80
    in_lr_find: ClassVar[bool] = False
    closes_after_fit: ClassVar[bool] = True

    def __init__(self, every: int = 10) -> None:
        if every < 1:
            raise ArgumentError("`every` must be at least 1", f"it is {every}", "Pass e.g. 10.")
        self.every = every
        self.run_id: str | None = None
        self._running = False
        self._earlier_steps = self._step = 0  # steps of earlier fits; the last step seen of this one

    @abstractmethod
    def start(self, config: Mapping[str, Any], run_id: str | None, step: int) -> str:
        """Opens a run.

        Args:
            config: What it is about, JSON types only.
            run_id: The run to go on with; None begins one.
            step: Its first step; of a run that goes on, later ones are void.

        Returns:
            Its id.
        """

    @abstractmethod
    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Writes finite numbers of a step."""

    @abstractmethod
    def finish(self) -> None:
        """Closes the run; everything is written when it returns."""

    def before_fit(self, state: State) -> None:
        self._step = 0

    def before_epoch(self, state: State) -> None:
        # Not in `before_fit`: only now a resumed fit knows its run.
        if self._running or not self.learner.engine.is_main:
            return
        self.run_id = self.start(describe_fit(self.learner), self.run_id, self._earlier_steps + state.step)
        self._running = True

    def after_batch(self, state: State) -> None:
        if not (self._running and state.training and state.step > self._step and state.loss is not None):
            return
        self._step = state.step
        if state.step % self.every == 0:
            rate = state.lrs[-1] if state.lrs else math.nan
            self._log(state, {"loss": float(state.loss.detach()), "lr": rate})

    def after_epoch(self, state: State) -> None:
        if self._running:
            # trackio keeps the name "time" for itself.
            names = {name: "epoch_time" if name == "time" else name for name in state.row if name != "epoch"}
            self._log(state, {told: state.row[name] for name, told in names.items()})

    def _log(self, state: State, values: Mapping[str, float]) -> None:
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self.log(self._earlier_steps + state.step, finite)

    def cleanup(self, state: State) -> None:
        self._earlier_steps += state.step
        if self._running and self.closes_after_fit:
            self._running = False
            self.finish()

    def state_dict(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "earlier_steps": self._earlier_steps, "step": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.run_id = state["run_id"]
        self._earlier_steps, self._step = state["earlier_steps"], state["step"]


def _needed(module: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise DependencyError(
            f"this tracker needs the package {package}",
            f"it cannot be imported ({error})",
            f'Install it: `pip install {package}`, or all of them: `pip install "wiggly[track]"`',
        ) from error


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level, names joined by dots.

    Example:
        >>> flat({"model": {"arch": "resnet18"}, "lr": [0.001]})
        {'model.arch': 'resnet18', 'lr': '[0.001]'}
    """
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = json.dumps(value) if isinstance(value, list | tuple) else value
    return found


class TensorBoardLogger(Tracker):
    """Writes TensorBoard's event files; look at them with `tensorboard --logdir runs`.

    Args:
        log_dir: Folder of this run; a relative path starts at the learner's `path`. None makes a new one
            below `runs`, named after the time.
        every: Steps from one logged loss to the next.

    Raises:
        DependencyError: When a fit begins, if the package tensorboard is missing.

    Example:
        >>> TensorBoardLogger("runs/first").every
        10
    """

    def __init__(self, log_dir: str | Path | None = None, every: int = 10) -> None:
        super().__init__(every)
        self.log_dir = log_dir
        self._writer: Any = None

    def start(self, config: Mapping[str, Any], run_id: str | None, step: int) -> str:
        module = _needed("torch.utils.tensorboard", "tensorboard")
        name = self.log_dir or Path("runs") / time.strftime("%Y-%m-%d-%H%M%S")
        folder = run_id or str(Path(self.learner.path) / name)
        self._writer = module.SummaryWriter(folder, purge_step=step + 1 if run_id else None)
        self._writer.add_text("config", f"```json\n{json.dumps(config, indent=2)}\n```", step)
        return folder

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def finish(self) -> None:
        self._writer.close()


class WandbLogger(Tracker):
    """Logs to Weights & Biases; into the run that is open already, if there is one.

    The run stays open for further fits, until `finish()`, `wandb.finish()` or the end of the process: opened
    again, an offline run would be two.

    Args:
        project: As for `wandb.init`, and so are the next three.
        name: Name of the run.
        mode: "online", "offline" (no account; `wandb sync` sends it later) or "disabled"; None goes by the
            environment.
        dir: Folder for its files; None takes the learner's `path`.
        every: Steps from one logged loss to the next.

    Raises:
        DependencyError: When a fit begins, if the package wandb is missing.

    Example:
        >>> WandbLogger("pets", mode="offline").project
        'pets'
    """

    closes_after_fit: ClassVar[bool] = False

    def __init__(
        self,
        project: str | None = None,
        name: str | None = None,
        mode: str | None = None,
        dir: str | Path | None = None,
        every: int = 10,
    ) -> None:
        super().__init__(every)
        self.project, self.name, self.mode, self.dir = project, name, mode, dir
        self._run: Any = None

    def before_fit(self, state: State) -> None:
        super().before_fit(state)
        if self._running and _needed("wandb", "wandb").run is not self._run:  # it was closed in between
            self._running, self.run_id = False, None

    def start(self, config: Mapping[str, Any], run_id: str | None, step: int) -> str:
        wandb = _needed("wandb", "wandb")
        if wandb.run is None:
            self._run = wandb.init(
                project=self.project,
                name=self.name,
                mode=self.mode,
                dir=str(self.dir or self.learner.path),
                id=run_id,
                resume="allow",
                config=dict(config),
            )
        else:
            self._run = wandb.run
            self._run.config.update(dict(config), allow_val_change=True)
        return str(self._run.id)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def finish(self) -> None:
        """Closes the run; everything is written when it returns."""
        self._running = False
        self._run.finish()


class MLflowLogger(Tracker):
    """Logs to MLflow.

    Args:
        experiment: Name of the experiment; it is made if there is none.
        run_name: Name of the run.
        tracking_uri: Where runs are kept, e.g. "sqlite:///mlflow.db" or a server's address; None goes by
            MLflow's own settings.
        every: Steps from one logged loss to the next.

    Raises:
        DependencyError: When a fit begins, if the package mlflow is missing.

    Example:
        >>> MLflowLogger("pets", tracking_uri="sqlite:///mlflow.db").experiment
        'pets'
    """

    def __init__(
        self,
        experiment: str = "wiggly",
        run_name: str | None = None,
        tracking_uri: str | None = None,
        every: int = 10,
    ) -> None:
        super().__init__(every)
        self.experiment, self.run_name, self.tracking_uri = experiment, run_name, tracking_uri
        self._client: Any = None

    def start(self, config: Mapping[str, Any], run_id: str | None, step: int) -> str:
        mlflow = _needed("mlflow", "mlflow")
        self._client = mlflow.MlflowClient(self.tracking_uri)
        if run_id is not None:
            self._client.update_run(run_id, status="RUNNING")
            return run_id
        found = self._client.get_experiment_by_name(self.experiment)
        where = self._client.create_experiment(self.experiment) if found is None else found.experiment_id
        made = str(self._client.create_run(where, run_name=self.run_name).info.run_id)
        # Its parameters cannot change: they are those of the first fit.
        params = [mlflow.entities.Param(name, str(value)) for name, value in flat(config).items()]
        self._client.log_batch(made, params=params)
        return made

    def log(self, step: int, values: Mapping[str, float]) -> None:
        metric = _needed("mlflow.entities", "mlflow").Metric
        now = time.time_ns() // 1_000_000
        rows = [metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self.run_id, metrics=rows)

    def finish(self) -> None:
        self._client.set_terminated(self.run_id)


class TrackioLogger(Tracker):
    """Logs to trackio, a local dashboard; look at it with `trackio show`.

    Args:
        project: As for `trackio.init`, and so is `name`.
        name: Name of the run; None has trackio make one.
        space_id: A Hugging Face Space to send it to as well.
        every: Steps from one logged loss to the next.

    Raises:
        DependencyError: When a fit begins, if the package trackio is missing.

    Example:
        >>> TrackioLogger("pets").project
        'pets'
    """

    def __init__(
        self,
        project: str = "wiggly",
        name: str | None = None,
        space_id: str | None = None,
        every: int = 10,
    ) -> None:
        super().__init__(every)
        self.project, self.name, self.space_id = project, name, space_id
        self._run: Any = None

    def start(self, config: Mapping[str, Any], run_id: str | None, step: int) -> str:
        trackio = _needed("trackio", "trackio")
        name = run_id or self.name
        settings = {"space_id": self.space_id, "config": flat(config), "embed": False}
        self._run = trackio.init(self.project, name=name, resume="allow", **settings)
        return str(self._run.name)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def finish(self) -> None:
        _needed("trackio", "trackio").finish()
