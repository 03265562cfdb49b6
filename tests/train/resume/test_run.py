"""What a fit keeps, where, when; what it goes on with, what it refuses; how it stops."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from safetensors.torch import load_file
from tests.train.support import body_and_head, digit_learner, digit_loaders, equal, small_model, weights_of
from torch import nn

import wiggly
from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.errors import ArgumentError, DivergedError, StorageError, TrainingError
from wiggly.tabular.loader import TableDataset, TableLoader
from wiggly.tabular.surprises import Surprises
from wiggly.train.callback import Callback
from wiggly.train.learner import Learner
from wiggly.train.metrics.whole_set import RocAuc
from wiggly.train.mix import MixUp
from wiggly.train.resume import run as resume
from wiggly.train.resume.kept import is_kept, kept_file, put_aside
from wiggly.vision.loaders import ImageDataLoaders
from wiggly.vision.resize import Resize

SETTINGS = {**os.environ, "PYTHONPATH": str(Path(wiggly.__file__).parents[1])}  # of other processes


class Stop(Callback):
    """Ends a run as an error would, after so many training batches."""

    def __init__(self, after: int, error: type[BaseException] = ZeroDivisionError) -> None:
        self.left, self.error = after, error

    def after_batch(self, state):
        self.left -= state.training
        if not self.left:
            raise self.error


def dropout_model() -> nn.Sequential:
    model = small_model()
    model[1].insert(1, nn.Dropout(0.3))
    return model


def learner(path: Path, **settings: Any) -> Learner:
    learn = digit_learner(**{"model": dropout_model(), "path": path, "checkpoint_every": 0, **settings})
    torch.manual_seed(3)
    return learn


def stopped(learn: Learner, after: int, fit: str = "fit", *args: Any, **settings: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        getattr(learn, fit)(*(args or (2,)), cbs=Stop(after), resume=True, **settings)


@pytest.mark.parametrize(
    ("fit", "args"),
    [
        ("fit", (2,)),
        ("fit_one_cycle", (2, 1e-2)),
        ("fit_flat_cos", (2, 1e-2)),
        ("fit_sgdr", (1, 2)),
        ("fine_tune", (1,)),
    ],
)
def test_every_fit_goes_on(tmp_path: Path, fit: str, args: tuple[Any, ...]) -> None:
    plain = learner(tmp_path / "plain")
    getattr(plain, fit)(*args)
    stopped(learner(tmp_path / "kept"), 6, fit, *args)
    again = learner(tmp_path / "kept")
    getattr(again, fit)(*args, resume=True)
    assert equal(weights_of(plain), weights_of(again))
    assert plain.recorder.losses == again.recorder.losses
    assert plain.recorder.values == again.recorder.values
    assert [len(phase["rows"]) for phase in again.recorder.phases] == [
        len(phase["rows"]) for phase in plain.recorder.phases
    ]


def test_a_schedule_of_ones_own_goes_on(tmp_path: Path) -> None:
    def rate(step: int) -> float:
        return 1e-3 * (1 + step % 3)

    plain = learner(tmp_path / "plain")
    plain.fit(2, schedule=rate)
    stopped(learner(tmp_path), 5, schedule=rate)
    again = learner(tmp_path)
    again.fit(2, schedule=rate, resume=True)
    assert again.recorder.lrs == plain.recorder.lrs
    assert equal(weights_of(plain), weights_of(again))


def weighted(seed: int = 1) -> DataLoaders:
    from tests.train.support import digits

    x, y = digits()
    pairs = list(zip(x[:128], y[:128], strict=True))
    weights = [1.0 + (k % 5) for k in range(128)]
    train = DataLoader(pairs, 32, seed=seed, wgts=weights)
    return DataLoaders(train, DataLoader(pairs, 64), device="cpu")


def test_weighted_loaders_go_on(tmp_path: Path) -> None:
    plain = learner(tmp_path / "plain", dls=weighted())
    plain.fit(2)
    stopped(learner(tmp_path, dls=weighted()), 6)
    again = learner(tmp_path, dls=weighted(seed=99))  # the seed comes from the run as well
    again.fit(2, resume=True)
    assert again.recorder.raw_losses == plain.recorder.raw_losses


def test_a_fit_that_is_over_is_not_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = learner(tmp_path)
    first.fine_tune(1, resume=True)
    first.fit(1, resume=True)
    files = sorted(file.name for file in (tmp_path / "models" / "resume").iterdir())
    assert files == ["fit-1.safetensors", "fit-2.safetensors"]
    batches: list[int] = []

    class Count(Callback):
        def after_batch(self, state):
            batches.append(state.batch_index)

    again = learner(tmp_path, cbs=Count())
    again.show_table = True
    again.fine_tune(1, resume=True)
    again.fit(1, resume=True)
    out = capsys.readouterr().out
    assert out.count("This fit was over already") == 2
    assert out.startswith(f"Done already, and read from {tmp_path}"), "said before the table, not after it"
    assert "frozen: 1 of 2 parameter groups learn" in out
    assert batches == []
    assert equal(weights_of(first), weights_of(again))
    assert again.recorder.values == first.recorder.values
    for learn in (first, again):
        torch.manual_seed(4)
        learn.fit(1)
    assert equal(weights_of(first), weights_of(again))


def test_what_draws_when_it_is_loaded_is_loaded_before_a_run() -> None:
    """rich numbers its styles from a draw of Python's generator; scikit-learn's metrics load it as well."""
    code = (
        "import random, wiggly.train.learner; before = random.getstate()\n"
        "import rich.progress, sklearn.metrics; print(before == random.getstate())"
    )
    done = subprocess.run([sys.executable, "-c", code], env=SETTINGS, capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr


def test_the_table_shows_earlier_rows_and_where_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped(learner(tmp_path), 4 + 4 + 2, "fine_tune", 2)
    capsys.readouterr()
    again = learner(tmp_path)
    again.show_table = True
    again.fine_tune(2, resume=True)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    firsts = [line[0] for line in lines]
    assert firsts == ["Done", "frozen:", "epoch", "0", "unfrozen:", "epoch", "0", "resumed", "1"]
    assert lines[7][2:] == ["epoch", "1,", "step", "5"]  # the last step whose batch was over


# What must be the same


def changed_call(learn: Learner) -> None:
    learn.fit(3, resume=True)


def changed_rate(learn: Learner) -> None:
    learn.fit(2, 1e-4, resume=True)


def changed_fit(learn: Learner) -> None:
    learn.fit_one_cycle(2, resume=True)


def changed_freezing(learn: Learner) -> None:
    learn.freeze()
    learn.fit(2, resume=True)


@pytest.mark.parametrize(
    ("settings", "call", "named"),
    [
        ({}, changed_call, "`epochs` was 2 then and is 3 now"),
        ({}, changed_rate, r"`lr` was \[0.001, 0.001\] then and is \[0.0001, 0.0001\] now"),
        ({}, changed_fit, "`schedule` was 'flat' then and is 'one_cycle' now"),
        ({}, changed_freezing, "`first_unfrozen` was 0 then and is 1 now"),
        ({"dls": digit_loaders(bs=32)}, None, "the batch size of training was 64 then and is 32 now"),
        ({"dls": digit_loaders(n_train=128)}, None, "number of training items was 256 then and is 128 now"),
        ({"model": small_model()}, None, r"of the layers `1.1` was"),
        ({"opt_func": torch.optim.SGD}, None, "`optimizer` was 'AdamW' then and is 'SGD' now"),
        ({"loss_func": nn.MultiMarginLoss()}, None, "`loss_func` was 'CrossEntropyLoss' then"),
    ],
)
def test_another_run_is_refused_and_the_kept_one_stays(
    tmp_path: Path, settings: dict[str, Any], call: Any, named: str
) -> None:
    stopped(learner(tmp_path), 6)
    file = kept_file(learner(tmp_path))
    before = file.read_bytes()
    other = learner(tmp_path, **settings)
    with pytest.raises(ArgumentError, match=named) as caught:
        call(other) if call else other.fit(2, resume=True)
    assert f"delete {file}" in caught.value.fix
    assert file.read_bytes() == before
    learn = learner(tmp_path)
    learn.fit(2, resume=True)  # it can still be gone on with
    assert len(learn.recorder.losses) == 8


def smoothed(path: Path) -> Learner:
    return learner(path, loss_func=nn.CrossEntropyLoss(label_smoothing=0.1))


def less_dropout(path: Path) -> Learner:
    model = dropout_model()
    model[1][1] = nn.Dropout(0.1)
    return learner(path, model=model)


def without_mixing(path: Path) -> Learner:
    return learner(path)


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (smoothed, "of the loss `label_smoothing` was 0.0 then and is 0.1 now"),
        (
            less_dropout,
            r"of the layers `1.1` was 'Dropout\(p=0.3, .*\)' then and is 'Dropout\(p=0.1",
        ),
        (without_mixing, r"`callbacks` was \['MixUp\(alpha=0.4\)'\] then and is \[\] now"),
    ],
)
def test_what_weights_do_not_tell_is_compared_too(tmp_path: Path, made: Any, named: str) -> None:
    mixing = [MixUp(0.4)]
    stopped(learner(tmp_path, cbs=mixing), 3)
    with pytest.raises(ArgumentError, match=named):
        made(tmp_path).fit(2, cbs=mixing if made is not without_mixing else None, resume=True)
    learner(tmp_path, cbs=[MixUp(0.4)]).fit(2, resume=True)


def files_in(folder: Path, moved: bool = False, size: int = 8, n: int = 12) -> DataLoaders:
    for number in range(n):
        file = folder / ("a" if number % 2 != (moved and number == 3) else "b") / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        PILImage.new("L", (8, 8), 20 * number).save(file)
    return ImageDataLoaders.from_folder(
        folder, valid_pct=0.3, seed=1, item_tfms=Resize(size), bs=4, device="cpu", num_workers=0
    )


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"moved": True}, "the training items have other (names|labels) than then"),
        ({"size": 16}, r"`transforms of train items` was \[.*size=8.* then and is \[.*size=16"),
    ],
)
def test_other_labels_and_transforms_are_seen(tmp_path: Path, changed: dict[str, Any], named: str) -> None:
    def made(dls: DataLoaders) -> Learner:
        torch.manual_seed(0)
        model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
        return learner(tmp_path, dls=dls, model=model, splitter=lambda m: list(m.parameters()))

    stopped(made(files_in(tmp_path / "photos")), 2)
    with pytest.raises(ArgumentError, match=named):
        made(files_in(tmp_path / "other", **changed)).fit(2, resume=True)
    again = made(files_in(tmp_path / "elsewhere"))  # a folder may move
    again.fit(2, resume=True)
    assert len(again.recorder.losses) == 4


def test_numbers_of_a_table_are_compared(tmp_path: Path) -> None:
    def made(last: float) -> Learner:
        x = torch.arange(64.0)[:, None] / 64
        rows = TableDataset(torch.zeros(64, 0, dtype=torch.int64), x, (2 * x,), torch.arange(64), Surprises())
        rows.targets[0][-1] = last
        model = Numbers()
        train, valid = TableLoader(rows, 16, shuffle=True, seed=1), TableLoader(rows, 16)
        return Learner(DataLoaders(train, valid, device="cpu"), model, nn.MSELoss(), path=tmp_path)

    with pytest.raises(ZeroDivisionError):
        made(2.0).fit(2, cbs=Stop(3), resume=True)
    with pytest.raises(ArgumentError, match="the training items have other values than then"):
        made(5.0).fit(2, resume=True)
    made(2.0).fit(2, resume=True)


class Numbers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, cats: torch.Tensor, conts: torch.Tensor) -> torch.Tensor:
        return self.layer(conts)


def test_numbers_of_numpy_are_arguments_too(tmp_path: Path) -> None:
    learn = learner(tmp_path)
    learn.fit_one_cycle(np.int64(1), np.float32(1e-3), div=np.float32(10), wd=np.float32(0.1), resume=True)


def test_a_callback_with_memories_must_be_there(tmp_path: Path) -> None:
    class Remembers(Callback):
        def state_dict(self):
            return {"x": 1}

    with pytest.raises(ZeroDivisionError):
        learner(tmp_path, cbs=Remembers()).fit(2, cbs=Stop(5), resume=True)
    with pytest.raises(ArgumentError, match="the callback Remembers is gone"):
        learner(tmp_path).fit(2, resume=True)


def test_a_state_that_cannot_be_written_is_named_at_once(tmp_path: Path) -> None:
    class Odd(Callback):
        def state_dict(self):
            return {"when": {1, 2}}

    with pytest.raises(ArgumentError, match=r"`callbacks.Odd.when` is a set"):
        learner(tmp_path, cbs=Odd()).fit(2, resume=True)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        learner(tmp_path, cbs=Odd()).fit(1)  # nobody asked for it to be kept
    assert [("callbacks.Odd.when" in str(w.message)) for w in seen] == [True]


def test_learners_of_one_program_get_files_of_their_own(tmp_path: Path) -> None:
    """As in a search over rates: each in the same folder, each goes on with its own run."""

    def search() -> list[dict[str, torch.Tensor]]:
        found = []
        for rate in (1e-3, 1e-2):
            learn = learner(tmp_path)
            learn.fit(1, rate, resume=True)
            found.append(weights_of(learn))
        return found

    first = search()
    assert not equal(*first)
    resume._finished.clear()  # as in a new process
    second = search()
    assert all(equal(a, b) for a, b in zip(first, second, strict=True))


# One process at a time


def holder(path: Path, seconds: float) -> subprocess.Popen[str]:
    """Another process that holds the lock of a kept run."""
    code = (
        "import sys, time; from pathlib import Path; from wiggly.train.resume.lock import Lock\n"
        f"lock = Lock(Path({str(path)!r})); lock.take(); print('held', flush=True); time.sleep({seconds})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=SETTINGS, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_two_processes_do_not_keep_one_run(tmp_path: Path) -> None:
    stopped(learner(tmp_path), 3)
    file = kept_file(learner(tmp_path))
    before = file.read_bytes()
    with holder(file, 60) as other:
        with pytest.raises(StorageError, match=f"process {other.pid} on .* does so now") as caught:
            learner(tmp_path).fit(2, resume=True)
        assert "path=FOLDER" in caught.value.fix
        with pytest.raises(StorageError, match="does so now"):
            put_aside(file)
        assert file.read_bytes() == before
        other.kill()  # and the system takes the lock back
    learner(tmp_path).fit(2, resume=True)
    assert [found.name for found in file.parent.iterdir()] == [file.name]


def test_a_fit_within_a_fit_does_not_take_its_file(tmp_path: Path) -> None:
    class Another(Callback):
        def after_epoch(self, state):
            learner(tmp_path).fit(1, resume=True)

    with pytest.raises(StorageError, match="another fit of this process does so now"):
        learner(tmp_path, cbs=Another()).fit(1, resume=True)


def test_what_another_process_keeps_unasked_is_left_to_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        learner(tmp_path).fit(2, cbs=Stop(3))
    (file,) = (tmp_path / "models" / "resume").glob("unasked-1-????????.safetensors")
    before = file.read_bytes()
    with holder(file, 60) as other:
        with pytest.raises(StorageError, match=f"process {other.pid} "):
            learner(tmp_path).fit(2, resume=True)
        with pytest.warns(UserWarning, match=f"process {other.pid} on .* does so now"):
            learner(tmp_path).fit(2)
        assert file.read_bytes() == before
        other.kill()
    learner(tmp_path).fit(2, resume=True)


def test_a_folder_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where a folder should be")
    plain = learner(tmp_path / "plain")
    plain.fit(1)
    learn = learner(tmp_path)
    with pytest.warns(UserWarning, match="This run cannot be kept") as seen:
        learn.fit(1, resume=True)
    assert len(seen) == 1
    assert equal(weights_of(plain), weights_of(learn))


# Files


def test_a_checkpoint_is_an_ordinary_one_too(tmp_path: Path) -> None:
    learn = learner(tmp_path)
    learn.fit(1, resume=True)
    file = kept_file(learn)
    assert {"0.0.weight", "@optimizer.0.exp_avg"} < set(load_file(file))
    assert equal(weights_of(learner(tmp_path).load(file)), weights_of(learn))


@pytest.mark.parametrize("where", [0.0, 0.02, 0.5, 0.999])
def test_a_changed_byte_is_found(tmp_path: Path, where: float) -> None:
    stopped(learner(tmp_path), 6)
    file = kept_file(learner(tmp_path))
    previous = file.with_name("fit-1.previous.safetensors")
    data = bytearray(file.read_bytes())
    data[int(where * len(data))] ^= 0x15
    file.write_bytes(data)
    plain = learner(tmp_path / "plain")
    plain.fit(2)
    again = learner(tmp_path)
    with pytest.warns(UserWarning, match="is damaged; the fit goes on from the one before"):
        again.fit(2, resume=True)
    assert equal(weights_of(plain), weights_of(again))
    assert not previous.exists()


@pytest.mark.parametrize("damage", [b"", b"\x10\0\0\0\0\0\0\0{}", None])
def test_a_damaged_file_says_what_to_do(tmp_path: Path, damage: bytes | None) -> None:
    stopped(learner(tmp_path), 2)
    file = kept_file(learner(tmp_path))
    file.with_name("fit-1.previous.safetensors").unlink(missing_ok=True)
    file.write_bytes(file.read_bytes()[:-7] if damage is None else damage)
    with pytest.raises(StorageError, match="Delete it to train anew") as caught:
        learner(tmp_path).fit(2, resume=True)
    assert str(file) in str(caught.value)


def test_two_damaged_files_are_both_named(tmp_path: Path) -> None:
    stopped(learner(tmp_path), 6)
    file = kept_file(learner(tmp_path))
    previous = file.with_name("fit-1.previous.safetensors")
    for each in (file, previous):
        each.write_bytes(each.read_bytes()[:-7])
    with (
        pytest.warns(UserWarning, match="is damaged; the fit goes on from the one before"),
        pytest.raises(StorageError, match="Delete it to train anew") as caught,
    ):
        learner(tmp_path).fit(2, resume=True)
    assert str(file) in caught.value.fix and str(previous) in caught.value.fix


def test_a_run_put_aside_leaves_nothing_to_go_on_with(tmp_path: Path) -> None:
    stopped(learner(tmp_path), 6)
    file = kept_file(learner(tmp_path))
    assert file.with_name("fit-1.previous.safetensors").exists()
    aside = put_aside(file)
    assert aside.exists() and not is_kept(file)
    seen: list[int] = []

    class Watch(Callback):
        def before_epoch(self, state):
            seen.append(state.step)

    learner(tmp_path).fit(2, cbs=Watch(), resume=True)
    assert seen == [0, 4]


def test_weights_alone_under_that_name_are_refused(tmp_path: Path) -> None:
    learn = learner(tmp_path)
    learn.save(kept_file(learn))
    with pytest.raises(StorageError, match="it has weights only"):
        learn.fit(1, resume=True)


def test_a_full_disk_is_one_warning_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    class Fill(Callback):
        order = 500

        def after_batch(self, state):
            if state.training and state.step == 3:
                resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    plain = learner(tmp_path / "plain")
    plain.fit(2)
    learn = learner(tmp_path / "kept")
    try:
        with pytest.warns(UserWarning, match="goes on all the same: `.*fit-1.safetensors` must be") as seen:
            learn.fit(2, cbs=Fill(), resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(seen) == 1
    assert equal(weights_of(plain), weights_of(learn))
    again = learner(tmp_path / "kept")
    again.fit(2, resume=True)  # from step 2, the last that was kept
    assert equal(weights_of(plain), weights_of(again))
    assert [file.name for file in (tmp_path / "kept" / "models" / "resume").iterdir()] == [
        "fit-1.safetensors"
    ]


def test_spoilt_weights_do_not_take_the_place_of_good_ones(tmp_path: Path) -> None:
    class Spoil(Callback):
        def before_step(self, state):
            if state.step == 3:
                next(self.learner.model.parameters()).grad.fill_(float("nan"))

    learn = learner(tmp_path)
    with pytest.raises(DivergedError, match=r"nan at step 5[\s\S]*checkpoint \(step 3 of[\s\S]*delete it"):
        learn.fit(2, cbs=Spoil(), resume=True)
    assert all(p.isfinite().all() for p in learn.model.parameters())
    kept = load_file(kept_file(learn))
    assert all(torch.equal(kept[name], value) for name, value in weights_of(learn).items())


@pytest.mark.parametrize("resume", [True, False])
def test_a_learner_can_go_on_after_it_diverged(tmp_path: Path, resume: bool) -> None:
    """Averages of the optimizer would spoil the next fit at its first step."""

    class Spoil(Callback):
        def before_step(self, state):
            if state.step == 3:
                next(self.learner.model.parameters()).grad.fill_(float("nan"))

    learn = learner(tmp_path, checkpoint_every=0 if resume else 1e9)
    start = weights_of(learn)
    with pytest.raises(DivergedError):
        learn.fit(2, cbs=Spoil(), resume=resume)
    if not resume:
        learn.model.load_state_dict(start)
    learn.fit(1, 1e-4)
    assert all(p.isfinite().all() for p in learn.model.parameters())


def test_weights_spoilt_by_the_last_step_of_an_epoch_are_not_blamed_on_a_metric(tmp_path: Path) -> None:
    class Spoil(Callback):
        def before_step(self, state):
            if state.step == 3:
                next(self.learner.model.parameters()).grad.fill_(float("nan"))

    learn = learner(tmp_path, metrics=RocAuc())
    with pytest.raises(
        DivergedError, match=r"validation items is nan at step 4 \(epoch 0\)[\s\S]*step 3 of epoch 0"
    ):
        learn.fit(2, cbs=Spoil(), resume=True)
    assert all(p.isfinite().all() for p in learn.model.parameters())


def test_without_a_checkpoint_the_weights_are_said_to_be_spoilt(tmp_path: Path) -> None:
    learn = digit_learner(
        path=tmp_path,
        opt_func=torch.optim.SGD,
        loss_func=lambda p, y: (p * 1e10).square().mean(),
    )
    with pytest.raises(DivergedError, match="The weights may be spoilt"):
        learn.fit(2, 1e9)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_stays_far_too_high_stops_the_fit(tmp_path: Path) -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    settings: dict[str, Any] = {"model": linear, "splitter": lambda m: list(m.parameters())}
    learn = digit_learner(**settings, dls=digit_loaders(n_train=1024, bs=32))
    with pytest.raises(
        TrainingError, match=r"at step \d+ \(epoch 0\), at a learning rate of 1e\+02"
    ) as caught:
        learn.fit(4, 100.0)
    assert "try 1e+01" in caught.value.fix
    learn.recorder.stop_diverging = False
    learn.fit(1, 100.0)


# What is kept without being asked for


def test_a_short_fit_leaves_nothing(tmp_path: Path) -> None:
    learn = learner(tmp_path, checkpoint_every=60.0)
    learn.fine_tune(1)
    with pytest.raises(ZeroDivisionError):
        learn.fit(1, cbs=Stop(2))
    assert list(tmp_path.iterdir()) == []


def test_a_long_fit_that_was_killed_can_be_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = learner(tmp_path / "plain")
    plain.fine_tune(1)
    path = tmp_path / "killed"
    with pytest.raises(ZeroDivisionError):
        learner(path).fine_tune(1, cbs=Stop(6))
    (kept,) = (path / "models" / "resume").glob("unasked-1-????????.safetensors")
    again = learner(path)
    again.fine_tune(1, resume=True)
    assert equal(weights_of(plain), weights_of(again))
    assert not kept.exists()
    kept_file(again).unlink()
    with pytest.raises(ZeroDivisionError):
        learner(path).fine_tune(1, cbs=Stop(6))
    anew = learner(path)
    anew.show_table = True
    anew.fine_tune(1)
    assert "the same call with resume=True goes on from there" in capsys.readouterr().out
    assert equal(weights_of(plain), weights_of(anew))
    assert list(path.iterdir()) == []  # folders that were made for it are gone as well


def test_writing_takes_a_small_part_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    written: list[float] = []

    class Clock:
        @staticmethod
        def perf_counter() -> float:
            return clock[0]

    def save(*args: Any, **settings: Any) -> None:
        written.append(clock[0])
        clock[0] += 0.5  # half a second to write

    class Step(Callback):
        def before_batch(self, state):
            clock[0] += 1.0 * state.training

    monkeypatch.setattr(resume, "time", Clock)
    monkeypatch.setattr(resume, "save_checkpoint", save)
    learn = learner(tmp_path, dls=digit_loaders(n_train=800, bs=4), checkpoint_every=10.0)
    learn.fit(1, cbs=Step(), resume=True)
    assert written[0] == 1.0  # the first step tells what writing costs
    gaps = [b - a for a, b in pairwise(written)]
    assert all(25 <= gap <= 27 for gap in gaps[:-1])  # fifty times as long
    assert written[-1] == clock[0] - 0.5  # and at the end


# Signals


class Signal(Callback):
    """Sends this process a signal in the middle of a batch."""

    def __init__(self, number: int, at: int, training: bool = True) -> None:
        self.number, self.left, self.training = number, at, training

    def after_pred(self, state):
        if state.training is self.training:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_keeps_the_last_step(
    tmp_path: Path, number: int, error: type[BaseException], training: bool
) -> None:
    plain = learner(tmp_path / "plain")
    plain.fine_tune(2)
    learn = learner(tmp_path / "kept", checkpoint_every=1e9)  # so that nothing but the signal writes
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    at = 7 if training else 4
    with pytest.raises(error):
        learn.fine_tune(2, cbs=Signal(number, at, training), resume=True)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    batches = len(learn.recorder.losses)
    assert batches == (3 if training else 4)
    again = learner(tmp_path / "kept")
    seen: list[int] = []

    class Watch(Callback):
        def before_batch(self, state):
            if state.training:
                seen.append(state.step)

    again.fine_tune(2, cbs=Watch(), resume=True)
    assert seen == list(range(batches, 8))  # not one step is lost, and none is done twice
    assert equal(weights_of(plain), weights_of(again))
    assert plain.recorder.values == again.recorder.values


def test_ctrl_c_in_a_probe_is_heard_at_once(tmp_path: Path) -> None:
    learn = learner(tmp_path, train_bn=False)

    def interrupted(*args: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        return nn.functional.cross_entropy(*args)

    learn.loss_func = interrupted
    with pytest.raises(KeyboardInterrupt):
        learn.fine_tune(1, start="probe", resume=True)
    assert not learn.recorder.losses


def test_ctrl_c_after_the_last_step_is_not_lost(tmp_path: Path) -> None:
    class AtTheEnd(Callback):
        def after_fit(self, state):
            os.kill(os.getpid(), signal.SIGINT)

    learn = learner(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        learn.fine_tune(1, cbs=AtTheEnd(), resume=True)
    assert len(learn.recorder.phases) == 1
    plain = learner(tmp_path / "plain")
    plain.fine_tune(1)
    again = learner(tmp_path)
    again.fine_tune(1, resume=True)
    assert equal(weights_of(plain), weights_of(again))


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    class Twice(Callback):
        reached = False

        def after_pred(self, state):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            self.reached = True

    callback = Twice()
    with pytest.raises(KeyboardInterrupt):
        learner(tmp_path).fit(1, cbs=callback)
    assert not callback.reached


def test_what_was_frozen_on_the_way_stays_frozen(tmp_path: Path) -> None:
    class Thaw(Callback):
        def before_epoch(self, state):
            if state.epoch == 1:
                self.learner.unfreeze()

    def run(path: Path, after: int = 0) -> Learner:
        learn = learner(path, splitter=body_and_head, train_bn=False)
        learn.freeze()
        cbs = [Thaw(), *([Stop(after)] if after else [])]
        learn.fit(3, 1e-2, cbs=cbs, resume=True)
        return learn

    plain = run(tmp_path / "plain")
    for after in (3, 6, 9):
        path = tmp_path / str(after)
        with pytest.raises(ZeroDivisionError):
            run(path, after)
        again = run(path)
        assert equal(weights_of(plain), weights_of(again))
        assert all(p.requires_grad for p in again.model.parameters())
