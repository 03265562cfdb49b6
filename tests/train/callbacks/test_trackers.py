"""Trackers write with the real packages, offline; what they wrote is read back with their own readers."""

from __future__ import annotations

import json
import math
import sqlite3
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.train.support import digit_learner, digit_loaders

from wiggly.errors import ArgumentError, DependencyError
from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.callbacks import trackers
from wiggly.train.callbacks.trackers import (
    MLflowLogger,
    TensorBoardLogger,
    Tracker,
    TrackioLogger,
    WandbLogger,
)
from wiggly.train.metrics.core import accuracy


class Memory(Tracker):
    """A tracker of a few lines, as a user may write one."""

    def __init__(self, every: int = 10) -> None:
        super().__init__(every)
        self.calls: list[tuple[Any, ...]] = []

    def start(self, config: Mapping[str, Any], run_id: str | None, step: int) -> str:
        self.calls.append(("start", dict(config), run_id, step))
        return run_id or "run 1"

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.calls.append(("log", step, dict(values)))

    def finish(self) -> None:
        self.calls.append(("finish",))


def learner(path: Path, **settings: Any) -> Any:
    return digit_learner(dls=digit_loaders(256, 20), path=path, metrics=accuracy, **settings)


def fine_tuned(path: Path, tracker: Tracker) -> tuple[Any, dict[str, list[tuple[int, float]]]]:
    """A learner after both phases, and by name what the tracker must hold: every second of 12 steps."""
    learn, memory = learner(path), Memory(every=2)
    learn.fine_tune(2, 1e-2, cbs=[tracker, memory])
    want: dict[str, list[tuple[int, float]]] = {}
    for call in memory.calls:
        for name, value in call[2].items() if call[0] == "log" else ():
            want.setdefault(name, []).append((call[1], value))
    assert [step for step, _ in want["loss"]] == [2, 4, 6, 8, 10, 12]
    assert [step for step, _ in want["accuracy"]] == [4, 8, 12]
    return learn, want


def same(found: list[tuple[int, float]], want: list[tuple[int, float]], name: str) -> None:
    assert [step for step, _ in found] == [step for step, _ in want]
    if name != "epoch_time":
        assert [value for _, value in found] == pytest.approx([value for _, value in want], rel=1e-6)


# The base


def test_values_are_those_of_the_history(tmp_path: Path) -> None:
    learn, tracker = learner(tmp_path), Memory(every=1)
    learn.fit_one_cycle(2, 1e-2, cbs=tracker)
    steps = [call[2] for call in tracker.calls if call[0] == "log" and "loss" in call[2]]
    assert [s["loss"] for s in steps] == pytest.approx(learn.recorder.raw_losses)
    assert [s["lr"] for s in steps] == pytest.approx(learn.recorder.lrs)
    rows = [call[2] for call in tracker.calls if call[0] == "log" and "accuracy" in call[2]]
    assert [[r["train_loss"], r["valid_loss"], r["accuracy"]] for r in rows] == learn.recorder.values
    config = tracker.calls[0][1]
    assert config["schedule"] == "one_cycle" and config["batch_size"] == 64 and config["parameters"] == 3866
    json.dumps(config)


def test_both_phases_are_one_run_with_rising_steps(tmp_path: Path) -> None:
    tracker = Memory(every=2)
    learner(tmp_path).fine_tune(1, cbs=tracker)
    starts = [call[2:] for call in tracker.calls if call[0] == "start"]
    assert starts == [(None, 0), ("run 1", 4)]
    assert [call[0] for call in tracker.calls].count("finish") == 2


def test_not_a_number_is_left_out_and_errors_close_the_run(tmp_path: Path) -> None:
    class Fails(Callback):
        order = 90

        def after_epoch(self, state: State) -> None:
            raise KeyboardInterrupt

    learn, tracker = learner(tmp_path), Memory()
    learn.metrics = [lambda pred, y: math.nan]
    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=[Fails(), tracker])
    assert "<lambda>" not in tracker.calls[-2][2] and tracker.calls[-1] == ("finish",)


def test_state_survives_json_and_a_resumed_run_goes_on(tmp_path: Path) -> None:
    one, other = Memory(), Memory()
    learn = learner(tmp_path)
    learn.fit(1, cbs=one)
    other.learner = learn
    other.before_fit(State())
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    other.before_epoch(State(step=3))
    assert other.calls[0][2:] == ("run 1", 4 + 3)


def test_lr_find_and_validation_open_no_run(tmp_path: Path) -> None:
    tracker = Memory()
    learn = learner(tmp_path, cbs=tracker)
    learn.lr_find(num_it=10, show_plot=False)
    learn.validate()
    assert tracker.calls == []


def test_bad_every() -> None:
    with pytest.raises(ArgumentError, match="every"):
        TensorBoardLogger(every=0)


@pytest.mark.parametrize("make", [TensorBoardLogger, WandbLogger, MLflowLogger, TrackioLogger])
def test_a_missing_package_says_what_to_install(make: Any, tmp_path: Path, monkeypatch: Any) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(trackers, "import_module", missing)
    learn = learner(tmp_path)
    with pytest.raises(DependencyError, match=r"pip install \w+"):
        learn.fit(1, cbs=make())
    assert learn.recorder.losses == []


# The real packages. Warnings in their own code are theirs.


@pytest.mark.filterwarnings("ignore")
def test_tensorboard(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tracker = TensorBoardLogger("logs", every=2)
    _, want = fine_tuned(tmp_path, tracker)
    assert tracker.run_id == str(tmp_path / "logs")
    events = accumulators.EventAccumulator(tracker.run_id)
    events.Reload()
    for name, pairs in want.items():
        same([(event.step, event.value) for event in events.Scalars(name)], pairs, name)
    assert "config/text_summary" in events.Tags()["tensors"]
    unnamed = TensorBoardLogger()
    learner(tmp_path).fit(1, cbs=unnamed)
    assert Path(str(unnamed.run_id)).parent == tmp_path / "runs"


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_hides_steps_that_a_resumed_run_does_again(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tracker = TensorBoardLogger("logs", every=1)
    tracker.learner = learner(tmp_path)
    tracker.start({}, None, 0)
    for step in (1, 2, 3, 4):
        tracker.log(step, {"loss": 1.0})
    tracker.finish()
    tracker.start({}, str(tmp_path / "logs"), 2)  # killed after step 4, its checkpoint was of step 2
    for step in (3, 4, 5):
        tracker.log(step, {"loss": 2.0})
    tracker.finish()
    events = accumulators.EventAccumulator(str(tmp_path / "logs"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2)]


def check_mlflow(tmp_path: Path, uri: str) -> None:
    mlflow = pytest.importorskip("mlflow")
    tracker = MLflowLogger("digits", "first", uri, every=2)
    _, want = fine_tuned(tmp_path, tracker)
    client = mlflow.MlflowClient(uri)
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED" and run.info.run_name == "first"
    assert run.data.params["optimizer"] == "AdamW" and run.data.params["batch_size"] == "64"
    for name, pairs in want.items():
        rows = client.get_metric_history(tracker.run_id, name)
        same([(row.step, row.value) for row in rows], pairs, name)


@pytest.mark.filterwarnings("ignore")
def test_mlflow_in_files(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    check_mlflow(tmp_path, (tmp_path / "mlruns").as_uri())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_in_a_database(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    check_mlflow(tmp_path, f"sqlite:///{tmp_path / 'mlflow.db'}")


def leveldb_records(data: bytes) -> Iterator[bytes]:
    """Records of a log in LevelDB's format, which W&B writes: blocks of 32 KiB, chunks with 7 bytes ahead."""
    block, place, record = 32 * 1024, 7, b""  # the file's own header takes 7 bytes as well
    while place + 7 <= len(data):
        if block - place % block < 7:  # too little for another chunk: padding
            place += block - place % block
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


@pytest.mark.filterwarnings("ignore")
def test_wandb_offline(tmp_path: Path, monkeypatch: Any) -> None:
    wandb = pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.setenv("WANDB_SILENT", "true")
    tracker = WandbLogger("digits", "first", mode="offline", every=2)
    _, want = fine_tuned(tmp_path, tracker)
    tracker.finish()
    assert wandb.run is None
    (file,) = (tmp_path / "wandb").glob(f"offline-run-*/*{tracker.run_id}.wandb")
    found: dict[str, list[tuple[int, float]]] = {}
    for data in leveldb_records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        values = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
        for name in want.keys() & values.keys():
            found.setdefault(name, []).append((values["_step"], values[name]))
    for name, pairs in want.items():
        same(found[name], pairs, name)


@pytest.mark.filterwarnings("ignore")
def test_wandb_uses_the_run_that_is_open(tmp_path: Path, monkeypatch: Any) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with wandb.init(mode="disabled", project="mine") as run:
        tracker = WandbLogger()
        learner(tmp_path).fit(1, cbs=tracker)
        assert tracker.run_id == run.id and wandb.run is run
    learner(tmp_path).fit(1, cbs=WandbLogger(mode="disabled"))
    wandb.finish()


@pytest.mark.filterwarnings("ignore")
def test_trackio(tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("trackio")
    from trackio import utils
    from trackio.sqlite_storage import SQLiteStorage

    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    for module in (utils, __import__("trackio.sqlite_storage", fromlist=["x"])):
        monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "trackio", raising=False)
    tracker = TrackioLogger("digits", "first", every=2)
    _, want = fine_tuned(tmp_path, tracker)
    assert tracker.run_id == "first"
    (database,) = (tmp_path / "trackio").glob("digits*.db")
    with sqlite3.connect(database) as connection:
        tables = [
            name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")
        ]
        assert "metrics" in tables
    rows = SQLiteStorage.get_logs("digits", "first")
    for name, pairs in want.items():
        same([(row["step"], row[name]) for row in rows if name in row], pairs, name)
