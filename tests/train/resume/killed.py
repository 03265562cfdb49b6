"""Runs a small program many times, kills it on the way, runs it again, and tells how it ended.

A program of its own, so that torch is loaded once and every run is a fork of this process, which has computed
nothing itself. Usage: `killed.py FOLDER` with `FOLDER/jobs.json`; writes `FOLDER/results.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wiggly.data.basics import set_seed
from wiggly.train import checkpoint
from wiggly.train.callback import EVENTS, Callback
from wiggly.train.callbacks.ema import EMA
from wiggly.train.callbacks.gradients import GradientAccumulation
from wiggly.train.callbacks.monitor import ReduceLROnPlateau
from wiggly.train.learner import Learner
from wiggly.train.metrics.core import error_rate
from wiggly.train.mix import MixUp
from wiggly.vision.augment import aug_transforms
from wiggly.vision.loaders import ImageDataLoaders
from wiggly.vision.resize import Resize


class Bomb:
    """Counts what happens, and kills the process at one of these moments."""

    def __init__(self, at: int) -> None:
        self.at, self.moments = at, 0

    def tick(self) -> None:
        self.moments += 1
        if self.moments == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(self, owner: Any, name: str) -> None:
        """A moment before and one after every call of a function."""
        function = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.tick()
            result = function(*args, **kwargs)
            self.tick()
            return result

        setattr(owner, name, wrapped)


class Ticks(Callback):
    """A moment at every event, after all other callbacks."""

    order = 2000

    def __init__(self, bomb: Bomb) -> None:
        self.bomb = bomb


for event in EVENTS:
    if event != "on_error":
        setattr(Ticks, event, lambda self, state: self.bomb.tick())


class Steps(Callback):
    """Something of a user's own that remembers and draws at random."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def before_batch(self, state: Any) -> None:
        if state.training:
            self.seen.append(random.random())

    def before_epoch(self, state: Any) -> None:
        self.seen.append(float(np.random.rand()))

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = list(state["seen"])


def small_network() -> nn.Module:
    body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 10))
    return nn.Sequential(body, head)


def digits(path: Path, job: dict[str, Any], callbacks: list[Callback], resume: bool) -> Learner:
    """All kinds of fits, with everything that draws or remembers."""
    set_seed(0)
    dls = ImageDataLoaders.from_folder(
        job["data"],
        valid_pct=0.35,
        seed=1,
        item_tfms=Resize(32),
        batch_tfms=aug_transforms(),
        bs=16,
        device="cpu",
        num_workers=2,
    )
    groups = lambda model: [list(part.parameters()) for part in model]  # noqa: E731
    steps = Steps()
    learn = Learner(
        dls,
        small_network(),
        metrics=error_rate,
        path=path,
        cbs=[steps, *callbacks],
        splitter=groups,
        train_bn=False,
        checkpoint_every=job["every"],
    )
    learn.show_bar = False
    learn.fine_tune(2, 1e-2, cbs=[MixUp(0.4), EMA(0.9)], resume=resume)
    steps.seen.append(torch.rand(1).item())  # a program draws between two fits as well
    learn.fit(2, 3e-3, cbs=[GradientAccumulation(32), ReduceLROnPlateau(patience=1)], resume=resume)
    learn.fit_one_cycle(1, reset_opt=True, resume=resume)
    return learn


def network(path: Path, job: dict[str, Any], callbacks: list[Callback], resume: bool) -> Learner:
    """A real convolutional network: channels last, fused optimizer."""
    from wiggly.vision.learner import vision_learner

    set_seed(0)
    dls = ImageDataLoaders.from_folder(
        job["data"], valid_pct=0.6, seed=1, item_tfms=Resize(32), bs=10, device="cpu", num_workers=1
    )
    learn = vision_learner(dls, "tf_efficientnet_lite0", pretrained=False, path=path, cbs=callbacks)
    learn.checkpoint_every = job["every"]
    learn.show_bar = False
    learn.freeze()
    learn.fit_one_cycle(2, resume=resume)
    return learn


def foreign(path: Path, job: dict[str, Any], callbacks: list[Callback], resume: bool) -> Learner:
    """torch's own loaders, which know no place."""
    from sklearn.datasets import load_digits
    from torch.utils.data import DataLoader, TensorDataset

    from wiggly.data.loaders import DataLoaders

    set_seed(0)
    found: Any = load_digits()
    x = torch.tensor(found.images / 16, dtype=torch.float32)[:128]
    data = TensorDataset(x, torch.tensor(found.target)[:128])
    own = torch.Generator().manual_seed(5) if job["own"] else None
    train = DataLoader(data, 32, shuffle=True, generator=own)
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(64, 10))
    learn = Learner(
        DataLoaders(train, DataLoader(data, 64), device="cpu"),
        model,
        loss_func=nn.CrossEntropyLoss(),
        path=path,
        cbs=callbacks,
        checkpoint_every=job["every"],
    )
    learn.show_bar = False
    learn.fit(3, 1e-2, resume=resume)
    return learn


PROGRAMS = {"digits": digits, "network": network, "foreign": foreign}


def final_state(learn: Learner) -> dict[str, Any]:
    """Everything that must be equal bit by bit, by name; tensors as digests."""
    optimizer = learn.opt.state_dict()
    recorder = learn.recorder
    phases = [{k: v for k, v in phase.items() if k not in ("seconds", "rows")} for phase in recorder.phases]
    rows = [[row[:-1] for row in phase["rows"]] for phase in recorder.phases]  # the last one is the time
    found: dict[str, Any] = {
        "weights": learn.model.state_dict(),
        "optimizer": optimizer["state"],
        "groups": optimizer["param_groups"],
        "frozen": [name for name, p in learn.model.named_parameters() if not p.requires_grad],
        "phases": phases,
        "rows": rows,
        "callbacks": [callback.state_dict() for callback in learn.cbs],
        "draws": [torch.rand(1).item(), random.random(), float(np.random.rand())],
        "loader": learn.dls.train.state_dict() if hasattr(learn.dls.train, "state_dict") else None,
    }
    for name in ("values", "losses", "raw_losses", "lrs", "epoch_ends", "metric_names"):
        found[name] = getattr(recorder, name)
    flat: dict[str, Any] = {}
    _flatten(found, "", flat)
    return flat


def _flatten(tree: Any, where: str, flat: dict[str, Any]) -> None:
    if isinstance(tree, dict):
        for key, part in tree.items():
            _flatten(part, f"{where}.{key}", flat)
    elif isinstance(tree, (list, tuple)):
        flat[f"{where}.n"] = len(tree)
        for key, part in enumerate(tree):
            _flatten(part, f"{where}.{key}", flat)
    elif isinstance(tree, Tensor):
        data = tree.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        flat[where] = hashlib.sha256(data).hexdigest()
    else:
        flat[where] = tree


def forked(work: Any) -> int:
    """Runs something in a fork of this process; returns how it ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(job: dict[str, Any], path: Path, kill_at: int, resume: bool) -> None:
    """One run of a program; it writes its final state and how many moments it had, if it gets so far."""
    torch.set_num_threads(job.get("threads", 1))
    bomb = Bomb(kill_at)
    for name in ("save_file", "_flush"):
        bomb.wrap(checkpoint, name)
    bomb.wrap(os, "replace")
    learn = PROGRAMS[job["program"]](path, job, [Ticks(bomb)], resume)
    state = final_state(learn) | {"ticks": 0}
    (path / "state.json").write_text(json.dumps([state, bomb.moments]))


def do(job: dict[str, Any], path: Path) -> dict[str, Any]:
    """One job: without kills, or killed at some of its moments and run to its end."""
    path.mkdir(parents=True)
    ends = [forked(lambda at=at: run(job, path, at, job["resume"])) for at in job["kills"]]
    ends.append(forked(lambda: run(job, path, 0, job["resume"])))
    state, moments = json.loads((path / "state.json").read_text()) if ends[-1] == 0 else (None, 0)
    files = sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())
    return {"ends": ends, "state": state, "moments": moments, "files": files}


def main(folder: Path) -> None:
    # What runs would import, each anew; torch's optimizers load the first of these at their first step.
    import sklearn.datasets
    import timm
    import torch._dynamo
    from PIL import Image

    Image.init()
    assert timm and sklearn.datasets and torch._dynamo
    jobs: list[dict[str, Any]] = json.loads((folder / "jobs.json").read_text())
    results: list[Any] = [None] * len(jobs)
    lanes = 2
    children: list[int] = []
    for lane in range(lanes):  # jobs side by side, one process each
        child = os.fork()
        if child == 0:
            for number in range(lane, len(jobs), lanes):
                file = folder / f"result-{number}.json"
                file.write_text(json.dumps(do(jobs[number], folder / f"run-{number}")))
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    results = [json.loads((folder / f"result-{number}.json").read_text()) for number in range(len(jobs))]
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
