"""The command line: help, exit codes, what it writes, what it refuses to overwrite, Ctrl-C."""

from __future__ import annotations

import html
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

import wiggly
from wiggly.cli import main

VERBS = ["train", "predict", "app", "report", "lr-find"]
SMALL = ["--arch", "test_resnet", "--no-pretrained", "--size", "32", "--no-flip"]
SOURCE = str(Path(wiggly.__file__).parent.parent)


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command, in this process."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def start(*words: object, folder: Path) -> subprocess.Popen[str]:
    """One command as a process of its own, as a shell starts it."""
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from wiggly.cli import main; sys.exit(main())"
    command = [sys.executable, "-u", "-c", code, *map(str, words)]
    path = os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.fixture(scope="module")
def trained(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `digits.wiggly`, `report.html` and `summary.json`, as `wiggly train` left them."""
    folder = tmp_path_factory.mktemp("trained")
    process = start(
        "train", digits_folder, *SMALL, "--epochs", "4", "--out", "digits.wiggly", "--json", folder=folder
    )
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "error_rate" in err  # the table is for people, so with --json it is on stderr
    (folder / "summary.json").write_text(out)
    return folder


# Help and usage


def test_help_is_quick_and_loads_no_torch() -> None:
    code = (
        "import sys, time; start = time.process_time()\n"
        "from wiggly.cli import main; main(['train', '--help'])\n"
        "print(time.process_time() - start, 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        for _ in range(3)
    ]
    lines = [r.stdout.splitlines()[-1].split() for r in runs]
    assert lines[0][1:] == ["False", "False"]
    assert min(float(line[0]) for line in lines) < 0.5


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, verb, "--help")
    assert code == 0
    assert "Example" in out
    assert f"wiggly {verb} " in out.split("Example")[1]


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys)
    assert code == 0
    assert [verb for verb in VERBS if verb not in out] == []


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["trian", "photos"], "train"),
        (["train"], "SOURCE"),
        (["train", "photos", "--epochs", "many"], "--epochs"),
        (["train", "photos", "--epoch", "3"], "--epoch"),
        (["predict", "photos.wiggly"], "FILES"),
    ],
)
def test_a_command_that_is_not_understood_exits_2(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *words)
    assert code == 2
    assert named in err
    assert "--help" in err
    assert not out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["train", "nowhere", *SMALL], "nowhere"),
        (["train", ".", "--epochs", "-1"], "--epochs"),
        (["train", ".", "--out", "missing/model.wiggly"], "missing"),
        (["train", ".", "--label-regex", "(x)", "--label-csv", "y.csv"], "--label-csv"),
        (["predict", "nowhere.wiggly", "x.png"], "nowhere.wiggly"),
        (["predict", "nowhere.wiggly", "x.png", "--top", "0"], "--top"),
        (["app", "nowhere.wiggly"], "nowhere.wiggly"),
        (["report", "nowhere.wiggly", "."], "nowhere.wiggly"),
        (["lr-find", "nowhere"], "nowhere"),
    ],
)
def test_an_error_is_explained_without_a_traceback_and_exits_1(
    words: list[str],
    named: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *words)
    assert code == 1
    assert err.startswith("error: ")
    assert named in err
    assert len(err.strip().splitlines()) >= 2, "the rule and what was received, then what to do"
    assert "Traceback" not in err
    assert not out
    assert not list(tmp_path.iterdir())


# train


def test_train_writes_a_bundle_a_report_and_a_summary(trained: Path) -> None:
    summary: dict[str, Any] = json.loads((trained / "summary.json").read_text())
    assert summary["classes"] == [str(digit) for digit in range(10)]
    assert (summary["n_train"], summary["n_valid"]) == (240, 60)
    assert summary["accuracy"] > 0.5 > summary["baseline"]
    assert summary["interval"][0] < summary["accuracy"] < summary["interval"][1]
    assert summary["bad_items"] == {}
    report = (trained / "report.html").read_text()
    assert f"{100 * summary['accuracy']:.1f}" in report
    assert "wiggly train" in report
    predictor = wiggly.load_bundle(trained / "digits.wiggly")
    assert predictor.verify() < 1e-4
    assert predictor.manifest.score is not None
    assert predictor.manifest.score.value == summary["accuracy"]
    assert sorted(file.name for file in trained.iterdir()) == ["digits.wiggly", "report.html", "summary.json"]


def test_train_replaces_its_own_results_and_nothing_else(
    trained: Path,
    digits_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    once = ["train", digits_folder, *SMALL, "--epochs", "0"]
    (tmp_path / "digits.wiggly").write_text("my diary")
    code, _, err = run(capsys, *once)
    assert code == 1
    assert "digits.wiggly" in err
    assert "--force" in err
    shutil.copy(trained / "digits.wiggly", tmp_path)
    (tmp_path / "report.html").write_text("<html>my thesis</html>")
    code, _, err = run(capsys, *once)
    assert code == 1
    assert "report.html" in err
    assert (tmp_path / "report.html").read_text() == "<html>my thesis</html>"
    shutil.copy(trained / "report.html", tmp_path)
    before = (tmp_path / "digits.wiggly").read_bytes()
    assert run(capsys, *once)[0] == 0
    assert (tmp_path / "digits.wiggly").read_bytes() != before
    (tmp_path / "digits.wiggly").write_text("my diary")
    assert run(capsys, *once, "--force")[0] == 0
    assert wiggly.load_bundle("digits.wiggly").vocab[0] == "0"


@pytest.mark.slow
def test_train_finds_labels_and_parts_as_told(
    digits_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = ["file,label"]
    for digit in "01":
        for k, file in enumerate(sorted((digits_folder / digit).iterdir())):
            part = "val" if k % 3 == 0 else "train"
            for copy in (f"flat/digit{digit}_{k}.png", f"parts/{part}/{digit}/{k}.png"):
                (tmp_path / copy).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, tmp_path / copy)
            rows.append(f"digit{digit}_{k}.png,{'zero' if digit == '0' else 'one'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    quick = [*SMALL, "--epochs", "0", "--force", "--json"]

    def summary(*words: str) -> dict[str, Any]:
        code, out, err = run(capsys, "train", *words, *quick)
        assert code == 0, err
        return json.loads(out)

    found = summary("flat", "--label-regex", r"^digit(\d)_\d+\.png$", "--valid-pct", "0.5")
    assert (found["classes"], found["n_train"], found["n_valid"]) == (["0", "1"], 30, 30)
    found = summary("flat", "--label-csv", "labels.csv")
    assert (found["classes"], found["n_train"], found["n_valid"]) == (["one", "zero"], 48, 12)
    found = summary("parts")
    assert (found["classes"], found["n_train"], found["n_valid"]) == (["0", "1"], 40, 20)
    found = summary("parts", "--valid-pct", "0.2")
    assert (found["n_train"], found["n_valid"]) == (48, 12)


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_that_can_be_used(digits_folder: Path, tmp_path: Path) -> None:
    command = ["train", digits_folder, *SMALL, "--out", "digits.wiggly", "--epochs", "500"]
    process = start(*command, folder=tmp_path)
    assert process.stdout
    for line in process.stdout:  # one line per epoch
        if line.split()[:1] == ["1"]:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.rstrip().endswith("interrupted")
    checkpoint = tmp_path / "models" / "digits" / "resume" / "fit-1.safetensors"
    assert checkpoint.is_file()
    assert "--resume" in err
    assert str(checkpoint.relative_to(tmp_path)) in err
    assert not (tmp_path / "digits.wiggly").exists()
    from safetensors.torch import load_file

    kept = load_file(checkpoint)
    use = next(line for line in err.splitlines() if "to use the model" in line)  # the very command it says
    process = start(*shlex.split(use.partition("wiggly ")[2]), folder=tmp_path)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    exported = wiggly.load_bundle(tmp_path / "digits.wiggly").model.state_dict()
    name = next(name for name in exported if name.endswith("conv1.weight"))
    assert any(tensor.equal(exported[name]) for key, tensor in kept.items() if key.endswith(name))


def numbers(out: str) -> list[list[str]]:
    """Rows of the printed table, without the time."""
    cells = [line.split() for line in out.splitlines() if line.strip()]
    return [row[:-1] for row in cells if row[0].isdecimal() and row[-1].count(":") == 1]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_goes_on_with_the_same_command(
    number: signal.Signals, digits_folder: Path, tmp_path: Path
) -> None:
    command = ["train", digits_folder, *SMALL, "--out", "digits.wiggly", "--seed", "3", "--epochs"]
    process = start(*command, "6", folder=tmp_path)
    assert process.stdout
    for line in process.stdout:
        if line.split()[:1] == ["1"]:
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (-9 if number == signal.SIGKILL else 143), err
    process = start(*command, "7", "--resume", folder=tmp_path)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, "`epochs` was 6 then and is 7 now" in err) == (1, True), err
    process = start(*command, "6", "--resume", folder=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "resumed at epoch" in out
    assert not (tmp_path / "models").exists()  # the bundle is the result; nothing else is left
    if number == signal.SIGKILL:
        whole = tmp_path / "whole"
        whole.mkdir()
        process = start(*command, "6", folder=whole)
        uninterrupted, _ = process.communicate(timeout=120)
        assert numbers(out) == numbers(uninterrupted)
        assert len(numbers(out)) == 6


def test_a_run_that_is_begun_anew_puts_the_other_aside(
    digits_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "models" / "digits" / "resume" / "fit-1.safetensors"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"of a week's work")
    previous = kept.with_name("fit-1.previous.safetensors")
    previous.write_bytes(b"a minute older")  # as a kill leaves it
    quick = [*SMALL, "--epochs", "1", "--out", tmp_path / "digits.wiggly"]
    code, out, err = run(capsys, "train", digits_folder, *quick)
    assert code == 0, err
    assert "--resume would go on with it" in out
    assert kept.with_name("earlier-fit-1.safetensors").read_bytes() == b"of a week's work"
    assert not previous.exists()  # or this run would have gone on with it
    code, out, err = run(capsys, "train", digits_folder, *quick, "--resume")
    assert code == 0, err
    assert "no run to go on with" in out
    kept.write_bytes(b"damaged")
    code, out, err = run(capsys, "train", digits_folder, *quick, "--resume")
    assert code == 1
    assert "fit-1.safetensors" in err and "Traceback" not in err


# predict, report, lr-find, app


def test_predict_labels_files_and_folders_as_the_bundle_does(
    trained: Path, digits_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, folder = trained / "digits.wiggly", digits_folder / "3"
    code, out, _ = run(capsys, "predict", bundle, folder, "--json")
    assert code == 0
    rows = json.loads(out)
    files = sorted(folder.iterdir())
    assert [row["file"] for row in rows] == [str(file) for file in files]
    predictor = wiggly.load_bundle(bundle)
    expected = predictor.predict(files[4])
    assert rows[4]["label"] == expected.decoded
    assert rows[4]["probability"] == pytest.approx(float(expected.probs.max()), abs=1e-5)
    code, out, _ = run(capsys, "predict", bundle, files[4], "--top", "10")
    assert code == 0
    assert out.startswith(f"{files[4]}: {expected.decoded} ")
    assert out.count("%") == 10


def test_predict_names_the_file_it_cannot_read_and_goes_on(
    trained: Path, digits_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = next((digits_folder / "5").iterdir()), tmp_path / "notes.png"
    bad.write_text("not a picture")
    code, out, err = run(capsys, "predict", trained / "digits.wiggly", bad, good)
    assert code == 1
    assert out.startswith(f"{good}: ")
    assert "notes.png" in err
    code, out, _ = run(capsys, "predict", trained / "digits.wiggly", bad, good, "--json")
    assert code == 1
    first, second = json.loads(out)
    assert "error" in first
    assert "label" in second


def test_report_scores_the_validation_pictures_of_training(
    trained: Path, digits_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", trained / "digits.wiggly", digits_folder, "--out", tmp_path / "report.html", "--json"]
    code, out, err = run(capsys, *words)
    assert code == 0, err
    summary, found = json.loads((trained / "summary.json").read_text()), json.loads(out)
    assert (found["n"], found["accuracy"]) == (summary["n_valid"], summary["accuracy"])
    assert found["warning"] is None
    code, out, err = run(capsys, *words, "--valid-pct", "0.5")
    assert json.loads(out)["n"] == 150
    assert "careful" in err
    page = html.unescape((tmp_path / "report.html").read_text())
    assert json.loads(out)["warning"] in page  # the page is what people pass on
    code, out, _ = run(capsys, *words, "--all")
    assert json.loads(out)["n"] == 300
    assert "every picture" in (tmp_path / "report.html").read_text()


def test_lr_find_suggests_rates_and_draws_them(
    digits_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "rates.png"
    code, out, err = run(capsys, "lr-find", digits_folder, *SMALL, "--plot", plot, "--json")
    assert code == 0, err
    rates = json.loads(out)
    assert list(rates) == ["valley", "slide", "steep", "minimum"]
    assert all(1e-7 < rate < 10 for rate in rates.values())
    assert plot.read_bytes().startswith(b"\x89PNG")
    code, _, err = run(capsys, "lr-find", digits_folder, *SMALL, "--plot", plot)
    assert code == 1
    assert "rates.png" in err


def test_lr_find_repeats_the_options_in_its_advice(
    digits_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "lr-find", digits_folder, *SMALL)
    assert code == 0, err
    assert f"wiggly train {digits_folder} {' '.join(map(str, SMALL))} --lr " in out


@pytest.mark.slow
def test_the_same_seed_trains_the_same_model_and_replacing_is_said(
    digits_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from wiggly.bundle.predictor import load_bundle

    words = ["train", digits_folder, *SMALL, "--epochs", "1", "--out", tmp_path / "a.wiggly"]
    hashes, said = [], []
    for _ in range(2):
        code, out, err = run(capsys, *words)
        assert code == 0, err
        hashes.append(load_bundle(tmp_path / "a.wiggly").manifest.files["weights.safetensors"].sha256)
        said.append("will replace it" in out)
    assert hashes[0] == hashes[1]
    assert said == [False, True]


def test_app_serves_until_ctrl_c(trained: Path) -> None:
    process = start("app", "digits.wiggly", "--port", "17860", folder=trained)
    try:
        assert process.stdout
        line = process.stdout.readline()
        address = next(word for word in line.split() if word.startswith("http://127.0.0.1:"))
        with urlopen(address, timeout=30) as page:
            assert page.status == 200
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode in (0, 130)
        assert "Traceback" not in err
    finally:
        process.kill()
