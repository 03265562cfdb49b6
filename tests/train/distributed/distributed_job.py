"""What the tests of several processes run: the same cases in one process and under a launcher.

Run as a script, with the root and `src` on the path:
`torchrun --nproc_per_node 3 distributed_job.py OUT FOLDER CASE...`; the first process writes
what each case gave to OUT.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tests.train.support import digits
from torch import Tensor, nn

from wiggly import (
    SGD,
    Adam,
    F1Score,
    GradientAccumulation,
    GradientClip,
    ImageDataLoaders,
    MixUp,
    Resize,
    SaveModel,
    aug_transforms,
    error_rate,
)
from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.learner import Learner

Found = dict[str, Any]


def loaders(n: int = 150, bs: int = 50, n_valid: int = 47, **settings: Any) -> DataLoaders:
    x, y = digits()
    pairs = list(zip(x, y, strict=True))
    train = DataLoader(pairs[:n], bs, shuffle=True, seed=1, **settings)
    return DataLoaders(train, DataLoader(pairs[-n_valid:], 32), device="cpu")


class DropPath(nn.Module):
    """Stochastic depth as timm writes it."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x * x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(0.8).div_(0.8)


def network() -> nn.Sequential:
    """Everything whose rows depend on each other, or draw: batch norms, dropout, stochastic depth."""
    torch.manual_seed(3)
    first = (nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2))
    second = (nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), DropPath())
    head = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(256, 10))
    return nn.Sequential(nn.Sequential(*first, *second), head)


def learner(folder: Path, dls: Any = None, **settings: Any) -> Learner:
    def by_child(model: nn.Module) -> list[list[nn.Parameter]]:
        return [list(child.parameters()) for child in model.children()]

    chosen: Found = {"loss_func": nn.CrossEntropyLoss(), "metrics": [error_rate, F1Score(average="macro")]}
    # SGD: Adam divides gradients near 0 by their size, and so makes the rounding of sums as large as steps.
    chosen |= {"opt_func": SGD, "splitter": by_child, "path": folder, "model": network(), **settings}
    return Learner(dls if dls is not None else loaders(), **chosen)


def found(learn: Learner, **more: Any) -> Found:
    preds, targets = learn.get_preds()
    weights = {name: value.clone() for name, value in learn.model.state_dict().items()}
    losses, values = list(learn.recorder.losses), [list(row) for row in learn.recorder.values]
    return {
        "weights": weights,
        "losses": losses,
        "values": values,
        "preds": preds,
        "targets": targets,
        **more,
    }


def fine_tuning(folder: Path) -> Found:
    learn = learner(folder, opt_func=Adam)
    learn.fine_tune(2, 1e-2)
    return found(learn, validated=learn.validate(0))


def rate_search(folder: Path) -> Found:
    learn = learner(folder)
    suggestion = learn.lr_find(num_it=20, show_plot=False)[0]
    return found(learn, suggestion=suggestion)


def callbacks(folder: Path) -> Found:
    """Mixed rows, summed gradients, their norm, weighted classes, a best model."""
    weights = nn.CrossEntropyLoss(weight=torch.linspace(0.5, 2, 10), reduction="mean")
    learn = learner(folder, loaders(bs=16), loss_func=weights)
    cbs = [MixUp(), GradientAccumulation(40), GradientClip(0.5), SaveModel(fname="best")]
    learn.fit_one_cycle(2, 1e-2, cbs=cbs)
    return found(learn)


def weighted_draws(folder: Path) -> Found:
    learn = learner(folder, loaders(wgts=[1 + i % 3 for i in range(150)]))
    learn.fit(1, 1e-2)
    return found(learn)


def torch_loaders(folder: Path) -> Found:
    x, y = digits()
    data = torch.utils.data.TensorDataset(x[:100], y[:100])
    torch.manual_seed(5)
    train = torch.utils.data.DataLoader(data, 33, shuffle=True)
    learn = learner(folder, DataLoaders(train, torch.utils.data.DataLoader(data, 40), device="cpu"))
    learn.fit(2, 1e-2)
    return found(learn)


def fewer_rows_than_processes(folder: Path) -> Found:
    learn = learner(folder, loaders(n=11, bs=2, n_valid=33), model=plain_network())
    learn.fit(1, 1e-3)
    return found(learn)


def plain_network() -> nn.Sequential:
    torch.manual_seed(4)
    return nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(64, 16), nn.LayerNorm(16), nn.Linear(16, 10)))


def photos(folder: Path) -> Found:
    """Files with random transforms; some of them are no pictures."""
    dls = ImageDataLoaders.from_folder(
        folder / "photos",
        valid_pct=0.3,
        seed=1,
        bs=8,
        item_tfms=Resize(32),
        batch_tfms=aug_transforms(),
        device="cpu",
        num_workers=2,
    )
    dls.train.max_bad = dls.valid.max_bad = 0.5
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, dls.c))
    learn = learner(folder, dls, model=nn.Sequential(body, pooled), metrics=error_rate)
    learn.fit(2, 1e-2)
    return found(learn, bad=sorted(Path(name).name for name in dls.bad_items), predicted=_one(learn))


def _one(learn: Learner) -> Any:
    """One process may ask alone: the others do not wait for it."""
    item = learn.dls.valid_ds.items[0]
    return learn.predict(item).probs if learn.engine.is_main else None


def unused_parameters(folder: Path) -> Found:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(2)
            self.used, self.unused = nn.Linear(64, 10), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x.flatten(1))

    learn = learner(folder, model=Half())
    learn.fit(1, 1e-2)
    return found(learn)


def files(folder: Path) -> Found:
    """Saving, loading, and one writer."""
    learn = learner(folder)
    learn.fit(1, 1e-2)
    learn.save("kept")
    before = found(learn)
    learn.fit(1, 1e-2)
    learn.load("kept")
    written = learn.engine.once(lambda: sorted(p.name for p in (folder / "models").glob("kept*")))
    return {**found(learn), "before": before["preds"], "written": written}


def sharded(folder: Path) -> Found:
    import timm

    engine = None
    if "RANK" in os.environ:
        from wiggly.train.distributed.engine import AccelerateEngine

        engine = AccelerateEngine("cpu", fsdp=True)
    torch.manual_seed(3)
    sizes: Found = {
        "img_size": 8,
        "patch_size": 2,
        "in_chans": 1,
        "embed_dim": 32,
        "depth": 3,
        "num_heads": 4,
    }
    model = timm.models.vision_transformer.VisionTransformer(num_classes=10, **sizes)

    def splitter(model: Any) -> list[list[nn.Parameter]]:
        blocks = set(model.blocks.parameters())
        return [list(model.blocks.parameters()), [p for p in model.parameters() if p not in blocks]]

    learn = learner(folder, model=model, engine=engine, splitter=splitter)
    learn.fine_tune(1, 1e-2)
    learn.save("sharded")
    preds, targets = learn.get_preds()
    learn.fit(1, 1e-2)
    learn.load("sharded")
    again, _ = learn.get_preds()
    learn.fit_one_cycle(1, 1e-3, resume=True)
    held = sum(getattr(p, "_local_tensor", p).numel() for p in model.parameters())
    share = held / sum(p.numel() for p in model.parameters())
    values = [list(row) for row in learn.recorder.values]
    more = {"again": again, "share": share, "losses": list(learn.recorder.losses)}
    return {"preds": preds, "targets": targets, "values": values, **more}


def killed(folder: Path) -> Found:
    """The first process is killed in the second epoch."""

    class Die(Callback):
        order = 2000

        def after_batch(self, state: State) -> None:
            if state.training and state.step == 5 and self.learner.engine.is_main:
                os.kill(os.getpid(), signal.SIGKILL)

    return resumed(folder, Die())


def resumed(folder: Path, *cbs: Callback) -> Found:
    learn = learner(folder, checkpoint_every=0, cbs=[MixUp()])
    learn.fit_one_cycle(3, 1e-2, resume=True, cbs=list(cbs))
    return found(learn)


CASES: dict[str, Callable[[Path], Found]] = {
    case.__name__: case
    for case in (
        fine_tuning,
        rate_search,
        callbacks,
        weighted_draws,
        torch_loaders,
        fewer_rows_than_processes,
        photos,
        unused_parameters,
        files,
        sharded,
        killed,
        resumed,
    )
}


def main(out: str, folder: str, *names: str) -> None:
    warnings.simplefilter("error")
    results = {name: CASES[name](Path(folder)) for name in names}
    if os.environ.get("RANK", "0") == "0":
        torch.save(results, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
