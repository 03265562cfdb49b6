"""CSV and JSON lines: read back with other readers, both phases, steps, what a killed run leaves."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.train.support import digit_learner, digit_loaders

from wiggly.errors import ArgumentError, StorageError
from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.callbacks.gradients import GradientAccumulation
from wiggly.train.callbacks.logs import CSVLogger, JSONLogger
from wiggly.train.metrics.core import accuracy
from wiggly.train.resume import run


def learner(path: Path, **settings: Any) -> Any:
    return digit_learner(dls=digit_loaders(256, 20), path=path, metrics=accuracy, **settings)


def test_csv_is_the_table(tmp_path: Path) -> None:
    learn = learner(tmp_path)
    learn.fit(3, 1e-2, cbs=CSVLogger())
    table = pd.read_csv(tmp_path / "history.csv")
    assert list(table.columns) == learn.recorder.metric_names
    assert table["epoch"].tolist() == [0, 1, 2]
    found = table[["train_loss", "valid_loss", "accuracy"]].to_numpy().tolist()
    assert found == learn.recorder.values  # all digits
    assert (table["time"] > 0).all()


def test_lines_after_the_only_checkpoint_are_dropped_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is kept after its first step only, and killed when there is a line more."""
    monkeypatch.setattr(run, "TIMES_AS_LONG", 1e9)
    (tmp_path / "history.csv").write_text("epoch\nof an earlier run\n")

    class Killed(Callback):
        def before_epoch(self, state: State) -> None:
            if state.epoch == 1:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        learner(tmp_path).fit(2, cbs=[CSVLogger(append=True), Killed()], resume=True)
    learner(tmp_path).fit(2, cbs=CSVLogger(append=True), resume=True)
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["epoch", "of an earlier run", "0", "1"]


def test_csv_holds_both_phases_and_replaces_or_keeps_earlier_runs(tmp_path: Path) -> None:
    learner(tmp_path).fine_tune(2, cbs=CSVLogger("log/table.csv"))
    file = tmp_path / "log" / "table.csv"
    assert pd.read_csv(file)["epoch"].tolist() == [0, 0, 1]
    learner(tmp_path).fit(1, cbs=CSVLogger(file, append=True))
    assert pd.read_csv(file)["epoch"].tolist() == [0, 0, 1, 0]
    learner(tmp_path).fit(1, cbs=CSVLogger(file))
    assert pd.read_csv(file)["epoch"].tolist() == [0]


def test_csv_quotes_names_and_leaves_out_what_was_not_measured(tmp_path: Path) -> None:
    def odd(pred: Any, y: Any) -> Any:
        return accuracy(pred, y)

    odd.__name__ = 'a, "b"'
    learn = digit_learner(dls=digit_loaders(64, 20), path=tmp_path, metrics=odd)
    learn.dls.valid = None
    learn.fit(1, cbs=CSVLogger())
    with open(tmp_path / "history.csv", newline="") as file:
        header, row = list(csv.reader(file))
    assert header[3] == 'a, "b"' and row[2:4] == ["", ""]


def test_a_killed_run_leaves_whole_lines(tmp_path: Path) -> None:
    class Killed(Callback):
        def before_validate(self, state: State) -> None:
            if state.epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learner(tmp_path).fit(5, cbs=[CSVLogger(), JSONLogger("log.jsonl", every=0), Killed()])
    assert pd.read_csv(tmp_path / "history.csv")["epoch"].tolist() == [0, 1]
    assert [line["event"] for line in lines(tmp_path)] == ["fit", "epoch", "epoch", "error"]
    assert lines(tmp_path)[-1]["kind"] == "KeyboardInterrupt"


@pytest.mark.parametrize("make", [CSVLogger, lambda: JSONLogger("history.csv", every=3)])
def test_a_resumed_run_drops_the_lines_it_does_again(make: Any, tmp_path: Path) -> None:
    first = make()
    learn = learner(tmp_path)
    learn.fit(2, cbs=first)
    state = json.loads(json.dumps(first.state_dict()))
    whole = (tmp_path / "history.csv").read_bytes()
    with open(tmp_path / "history.csv", "a") as file:
        file.write("2,0.5,0.5,0.5,0.1\n")
    again = make()
    again.learner = learn
    again.before_fit(State())
    again.load_state_dict(state)
    again.load_state_dict(state)
    assert (tmp_path / "history.csv").read_bytes() == whole
    again.after_epoch(State(epoch=2, row={"epoch": 2, "train_loss": 0.25}))
    assert (tmp_path / "history.csv").read_bytes().startswith(whole)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line, parse_constant=refuse) for line in (folder / "log.jsonl").read_text().splitlines()
    ]


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_json_lines_tell_steps_and_epochs(tmp_path: Path) -> None:
    learn = learner(tmp_path)
    learn.fine_tune(1, 1e-2, cbs=JSONLogger("log.jsonl", every=2))
    found = lines(tmp_path)
    assert [line["event"] for line in found] == ["fit", "step", "step", "epoch", "end"] * 2
    second = found[5:]
    assert second[0]["settings"]["schedule"] == "one_cycle" and second[0]["settings"]["first_unfrozen"] == 0
    assert second[0]["settings"]["batch_size"] == 64 and second[0]["settings"]["optimizer"] == "AdamW"
    assert [line["step"] for line in second[1:3]] == [2, 4]
    assert [line["loss"] for line in second[1:3]] == pytest.approx(learn.recorder.raw_losses[1::2])
    assert [line["lr"] for line in second[1:3]] == pytest.approx(learn.recorder.lrs[1::2])
    row = [second[3][name] for name in ("train_loss", "valid_loss", "accuracy")]
    assert row == learn.recorder.values[-1]


def test_json_lines_are_printed_and_parse(tmp_path: Path, capsys: Any) -> None:
    learn = learner(tmp_path)
    learn.metrics = [lambda pred, y: float("nan")]
    learn.fit(1, cbs=JSONLogger(every=0))
    found = [json.loads(line, parse_constant=refuse) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in found] == ["fit", "epoch", "end"]
    assert found[1]["<lambda>"] is None
    assert not list(tmp_path.iterdir())


def test_steps_are_counted_when_they_are_made(tmp_path: Path) -> None:
    learner(tmp_path).fit(2, cbs=[JSONLogger("log.jsonl", every=1), GradientAccumulation(128)])
    assert [line["step"] for line in lines(tmp_path) if line["event"] == "step"] == [1, 2, 3, 4]


def test_lr_find_writes_nothing(tmp_path: Path) -> None:
    learn = learner(tmp_path, cbs=[CSVLogger(), JSONLogger("log.jsonl")])
    learn.lr_find(num_it=10, show_plot=False)
    learn.validate()
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(StorageError, match="writable"):
        learner(tmp_path).fit(1, cbs=CSVLogger(tmp_path / "taken" / "history.csv"))
    with pytest.raises(ArgumentError, match="every"):
        JSONLogger(every=-1)
