"""Memory: a model that raises above a number of rows stands for a full device; one test fills a real one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.support import body_and_head, digit_learner, digit_loaders, equal, small_model, weights_of
from torch import Tensor, nn

import wiggly
from wiggly.errors import ArgumentError, TrainingError
from wiggly.train.callback import Callback
from wiggly.train.memory import SplitBatches
from wiggly.train.mix import MixUp


class Room(nn.Module):
    """Passes on what it gets, if there is room: for so many rows without gradients, and so many with."""

    def __init__(self, training: int, evaluation: int = 1000) -> None:
        super().__init__()
        self.training_rows, self.evaluation_rows = training, evaluation
        self.largest = 0

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > (self.training_rows if torch.is_grad_enabled() else self.evaluation_rows):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.largest = max(self.largest, len(x))
        return x


class FullBackward(torch.autograd.Function):
    """Has room for the forward pass only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: int) -> Tensor:
        ctx.rows = rows
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        if len(grads[0]) > ctx.rows:
            raise RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)")
        return grads[0], None


class BackwardRoom(Room):
    def forward(self, x: Tensor) -> Tensor:
        return FullBackward.apply(x, self.training_rows)


def network(room: nn.Module, dropout: float = 0.0) -> nn.Sequential:
    """No norm layers: their statistics are those of the parts."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), room)
    return nn.Sequential(body, nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(512, 10)))


def learner(room: nn.Module | None = None, **settings: Any):
    return digit_learner(model=network(room or Room(1000)), **settings)


def test_the_size_that_fits_is_found_by_trial() -> None:
    learn = learner(Room(22))
    before = weights_of(learn)
    with pytest.raises(TrainingError, match=r"one of 64 items did not \(by trial: 2[12] fit\)") as caught:
        learn.fit(1)
    assert "Pass bs=2" in caught.value.fix and "SplitBatches()" in caught.value.fix
    assert equal(before, weights_of(learn))
    learn.dls = digit_loaders(bs=20)
    learn.fit(1)  # no gradient of the trials is left over
    other = learner(dls=digit_loaders(bs=20))
    other.fit(1)
    assert [t.tolist() for t in learn.model.parameters()] == [t.tolist() for t in other.model.parameters()]


def test_in_validation_the_forward_pass_counts_alone() -> None:
    with pytest.raises(TrainingError, match=r"in validation \(by trial: 12 fit\)[\s\S]*val_bs=12"):
        learner(Room(1000, 12), dls=digit_loaders(bs=60)).fit(1)
    with pytest.raises(TrainingError, match=r"by trial: 12 fit"):
        learner(Room(1000, 12)).validate()
    with pytest.raises(TrainingError, match=r"by trial: 12 fit"):
        learner(Room(1000, 12)).get_preds()


def test_a_probe_takes_no_more_than_a_few_times_the_batch() -> None:
    room = Room(10, 16)
    learn = learner(room, dls=digit_loaders(bs=4), splitter=body_and_head)
    learn.probe()
    assert room.largest == 16


def test_not_even_one_item_fits() -> None:
    with pytest.raises(TrainingError, match=r"by trial: 0 fit\).\nUse a smaller model"):
        learner(Room(0)).fit(1)


def test_a_batch_that_fits_by_itself_is_not_blamed() -> None:
    class Full(Callback):
        def before_step(self, state):
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(TrainingError, match=r"one of 64 items fits, but not with all that came after it"):
        learner().fit(1, cbs=Full())


@pytest.mark.parametrize("room", [Room(22), BackwardRoom(22)])
@pytest.mark.parametrize("extra", [(), (MixUp(0.4),)])
def test_split_batches_give_the_same_gradient(room: Room, extra: tuple[Callback, ...]) -> None:
    """Every step of a fit, so every gradient: with plain SGD weights differ by rounding only."""
    whole, split = learner(opt_func=torch.optim.SGD), learner(room, opt_func=torch.optim.SGD)
    whole.fit(2, 0.1, cbs=[*extra])
    callback = SplitBatches()
    split.fit(2, 0.1, cbs=[callback, *extra])
    assert callback.rows in (20, 21, 22)
    for ours, theirs in zip(split.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert split.recorder.losses == pytest.approx(whole.recorder.losses, rel=1e-4)
    assert len(split.recorder.losses) == 8
    assert split.split_batches is None


def test_split_batches_of_a_given_size_draw_dropout_once() -> None:
    """The output and its gradient are of the same draws: a loss that is linear in the output tells."""

    class Draws(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.seen = nn.Parameter(torch.ones(1)), []

        def forward(self, x: Tensor) -> Tensor:
            draw = torch.rand(len(x), 1)
            self.seen.append((torch.is_grad_enabled(), draw))
            return self.weight * draw

    model = Draws()
    learn = digit_learner(
        model=model, loss_func=lambda pred, y: pred.mean(), splitter=lambda m: list(m.parameters())
    )
    gradients = []

    class Watch(Callback):
        def before_step(self, state):
            gradients.append(self.learner.model.weight.grad.item())

    learn.fit(1, cbs=[SplitBatches(10), Watch()])
    draws = {
        kind: torch.cat([d for enabled, d in model.seen if enabled is kind][:7]) for kind in (True, False)
    }
    assert torch.equal(draws[True], draws[False])
    assert gradients[0] == pytest.approx(draws[True].mean().item())


def test_running_statistics_are_updated_once_per_part() -> None:
    learn = digit_learner(model=small_model())
    learn.fit(1, cbs=SplitBatches(16))
    counted = [value for name, value in weights_of(learn).items() if "num_batches" in name]
    assert counted == [torch.tensor(4 * 4)] * 2  # 4 batches of 64, 4 parts each


def test_outputs_may_be_tuples() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = small_model()[1]
            self.body = nn.Conv2d(1, 16, 5)

        def forward(self, x: Tensor) -> Any:
            scores = self.part(self.body(x))
            return scores, (scores.argmax(1), 2 * scores)

    settings: dict[str, Any] = {
        "loss_func": lambda pred, y: nn.functional.cross_entropy(pred[0] + pred[1][1], y),
        "splitter": lambda model: list(model.parameters()),
        "opt_func": torch.optim.SGD,
    }
    torch.manual_seed(0)
    whole = digit_learner(model=Two(), **settings)
    torch.manual_seed(0)
    split = digit_learner(model=Two(), **settings)
    whole.fit(1, 0.1)
    split.fit(1, 0.1, cbs=SplitBatches(9))
    for ours, theirs in zip(split.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_rows_must_be_a_number() -> None:
    with pytest.raises(ArgumentError, match="at least 1"):
        SplitBatches(0)


FILLED = """
import resource, sys
import torch
from torch import nn
sys.path.insert(0, {root!r})
from tests.train.support import digit_learner, digit_loaders
from wiggly.train.memory import SplitBatches

class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)
    def forward(self, x):
        wide = x.flatten(1).repeat(1, 20000)  # 5 MB a row
        return self.layer(wide.sigmoid().reshape(len(x), 20000, 64).mean(1))

def make():
    return digit_learner(model=Wide(), dls=digit_loaders(bs=64, n_train=128, n_valid=2),
                         splitter=lambda m: list(m.parameters()))

make().dls.train.one_batch()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 400 * 2**20,) * 2)
try:
    make().fit(1)
except Exception as error:
    print(type(error).__name__, error)
learn = make()
learn.fit(1, cbs=SplitBatches())
print("steps", len(learn.recorder.losses))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs a limit on the address space: Linux")
def test_the_memory_of_this_machine_runs_full() -> None:
    root = Path(wiggly.__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FILLED.format(root=str(root))],
        text=True,
        capture_output=True,
        env={"PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1", "WIGGLY_MALLOC": "system"},
    )
    assert done.returncode == 0, done.stderr
    assert "TrainingError a batch must fit into the device's memory; one of 64 items did not" in done.stdout
    assert "steps 2" in done.stdout
