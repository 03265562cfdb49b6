"""Progress: plain lines, a terminal's bar, one HTML block in a notebook, and silence on request."""

from __future__ import annotations

import io
import re
import sys

import pytest
from tests.train.support import digit_learner

from wiggly.train.metrics.core import error_rate
from wiggly.train.progress import (
    NotebookDisplay,
    PlainDisplay,
    RichDisplay,
    cells_of,
    choose_display,
    in_notebook,
)


def loud(**settings):
    learn = digit_learner(**settings)
    learn.show_bar = learn.show_table = True
    return learn


def test_a_log_gets_one_line_per_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    learn = loud(metrics=error_rate)
    learn.fit(2)
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["epoch", "train_loss", "valid_loss", "error_rate", "time"]
    assert [row.split()[0] for row in rows] == ["0", "1"]
    shown = [float(cell) for cell in rows[1].split()[1:-1]]
    assert shown == pytest.approx(learn.recorder.values[1], abs=1e-6)
    assert len({len(line) for line in (header, *rows)}) == 1  # aligned


def test_silence_on_request_and_only_within_the_block(capsys: pytest.CaptureFixture[str]) -> None:
    learn = loud()
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
        learn.lr_find(show_plot=False)
    assert capsys.readouterr().out == ""
    learn.fit(1)
    assert capsys.readouterr().out.startswith("   epoch")


def test_predictions_and_the_search_print_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    learn = loud()
    learn.validate()
    learn.get_preds()
    learn.lr_find(show_plot=False)
    assert capsys.readouterr().out == ""


def test_cells() -> None:
    row = {"epoch": 3, "train_loss": 1 / 3, "error_rate": float("nan"), "time": 3725.4}
    columns = ["epoch", "train_loss", "valid_loss", "error_rate", "time"]
    assert cells_of(columns, row) == ["3", "0.333333", "-", "nan", "1:02:05"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wiggly.train.progress.SECONDS_BETWEEN_DRAWS", 0.0)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert isinstance(choose_display(), RichDisplay)
    assert type(choose_display(bar=False)) is PlainDisplay
    loud(metrics=error_rate).fit(2)
    out = sys.stdout.getvalue()  # pyright: ignore
    assert "%" in out
    assert "epoch 1, validation" in out
    assert "\x1b[?25h" in out  # the cursor is shown again
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out)
    assert re.search(r"[\r\n] *1 +\d\.\d{6} +\d\.\d{6} +\d\.\d{6} +\d\d:\d\d *\n", plain)


def test_a_terminals_bar_goes_away_after_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from wiggly.train.callback import Callback

    class Stop(Callback):
        order = 200

        def after_batch(self, state):
            if state.step == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr("wiggly.train.progress.SECONDS_BETWEEN_DRAWS", 0.0)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", Terminal())
    with pytest.raises(KeyboardInterrupt):
        loud().fit(1, cbs=Stop())
    assert sys.stdout.getvalue().rstrip().endswith("\x1b[2K")  # pyright: ignore  (the bar's line is erased)


def test_a_notebook_gets_one_block_that_is_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = []

    class Handle:
        def update(self, page):
            pages.append(page.data)

    def display(page, display_id):
        assert display_id is True
        pages.append(page.data)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr("wiggly.train.progress.in_notebook", lambda: True)
    monkeypatch.setattr("wiggly.train.progress.SECONDS_BETWEEN_DRAWS", 0.0)
    assert isinstance(choose_display(), NotebookDisplay)
    loud().fit(2)
    assert any("<progress" in page for page in pages)
    assert "<progress" not in pages[-1]
    assert pages[-1].count("<tr>") == 3
    assert '<th scope="col">valid_loss</th>' in pages[-1]


def test_names_are_escaped_in_a_notebook() -> None:
    display = NotebookDisplay()
    display._columns = ["<lambda>"]  # pyright: ignore
    assert "&lt;lambda&gt;" in display.table()


def test_this_is_no_notebook() -> None:
    assert not in_notebook()


def test_skipped_items_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    learn = loud()
    learn.dls.train.bad_items["broken.jpg"] = "truncated"  # known before: nothing new to tell
    learn.fit(1)
    assert "unreadable" not in capsys.readouterr().out
    learn.dls.train.bad_items.clear()

    from wiggly.train.callback import Callback

    class Find(Callback):
        def after_fit(self, state):
            learn.dls.train.bad_items["broken.jpg"] = "truncated"

    learn.fit(1, cbs=Find())
    assert "Items skipped as unreadable: 1; `dls.bad_items` names them." in capsys.readouterr().out
