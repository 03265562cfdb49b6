"""`wiggly data check`: what it prints and writes, its exit code, and that its fixes can be pasted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import wiggly
from wiggly.cli import main

SOURCE = str(Path(wiggly.__file__).parent.parent)


@pytest.fixture
def folder(digits_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scans of two digits, one of them empty; the working folder is beside it."""
    monkeypatch.chdir(tmp_path)
    for digit in ("3", "7"):
        (tmp_path / "scans" / digit).mkdir(parents=True)
        for file in sorted((digits_folder / digit).glob("*.png")):
            (tmp_path / "scans" / digit / file.name).write_bytes(file.read_bytes())
    (tmp_path / "scans" / "3" / "an empty one.png").touch()
    return tmp_path / "scans"


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["data", "check", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_exit_code_says_whether_there_are_errors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "scans")
    assert code == 1
    assert "ERROR unreadable" in out
    assert "3/an empty one.png (the file is empty (0 bytes))" in out
    assert not err  # no bar where there is no terminal
    (folder / "3" / "an empty one.png").unlink()
    code, out, _ = run(capsys, "scans")
    assert code == 0
    assert "nothing found" in out


def test_json_goes_to_stdout_or_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "scans", "--json", "-")
    assert code == 1
    assert json.loads(out)["findings"][0]["items"] == ["3/an empty one.png"]
    for _ in range(2):  # an earlier result may be replaced
        run(capsys, "scans", "--json", "check.json", "--html", "check.html")
    assert json.loads(Path("check.json").read_text())["ok"] is False
    assert "an empty one.png" in Path("check.html").read_text()


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_other_files_are_not_overwritten(
    folder: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine").write_text("precious")
    code, _, err = run(capsys, "scans", option, "mine")
    assert code == 1
    assert "--force" in err
    assert Path("mine").read_text() == "precious"
    run(capsys, "scans", option, "mine", "--force")
    assert Path("mine").read_text() != "precious"


def test_the_fix_can_be_pasted_into_a_shell(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "scans", "--label-regex", r"^(\d)\d*", "--html", "check.html")
    fix = next(line for line in out.splitlines() if line.strip().startswith("fix: wiggly data check"))
    assert r"--label-regex '^(\d)\d*' --list unreadable" in fix
    assert "--html" not in fix
    wiggly_ = f"{sys.executable} -c 'from wiggly.cli import main; main()'"
    command = fix.strip().removeprefix("fix: ").replace("wiggly", wiggly_, 1)
    subprocess.run(command, shell=True, check=True, env={**os.environ, "PYTHONPATH": SOURCE})
    assert not (folder / "3" / "an empty one.png").exists()
    assert len(list(folder.rglob("*.png"))) == 60


def test_no_file_name_is_taken_for_an_option(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder itself `--list` prints bare names, and `rm -rf x` would be something else."""
    for file in list(folder.rglob("*.png"))[:8]:
        file.rename(folder / file.name)
    for name in ("-v.png", "-rf x.png"):
        (folder / name).touch()
    monkeypatch.chdir(folder)
    _, out, _ = run(capsys, ".")
    fix = next(line for line in out.splitlines() if "--list unreadable" in line)
    assert fix.endswith("| xargs -0 rm --")
    wiggly_ = f"{sys.executable} -c 'from wiggly.cli import main; main()'"
    command = fix.strip().removeprefix("fix: ").replace("wiggly", wiggly_, 1)
    subprocess.run(command, shell=True, check=True, env={**os.environ, "PYTHONPATH": SOURCE})
    assert not list(folder.glob("-*.png"))


def test_training_is_counted_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(4):  # whichever side the first file is on
        _, out, _ = run(capsys, "scans", "--seed", seed)
        assert "train, " in out.splitlines()[0]
        assert "valid)" in out.splitlines()[0]


def test_only_names_are_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "scans", "--list", "unreadable")[:2] == (0, "scans/3/an empty one.png\n")
    assert run(capsys, "scans", "--list", "copies")[:2] == (0, "")
    code, _, err = run(capsys, "scans", "--list", "everything")
    assert code == 1
    assert "unreadable" in err


def test_groups_and_ready_made_sides(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "3" / "an empty one.png").unlink()
    for k, file in enumerate(sorted(folder.rglob("*.png"))):
        target = Path("sides", "train" if k % 3 else "val", file.parent.name, f"writer{k // 5}_{k}.png")
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    code, out, _ = run(capsys, "sides", "--group-regex", r"(writer\d+)_")
    assert code == 1
    assert "ERROR group-across" in out
    assert "(40 train, 20 valid)" in out
    assert run(capsys, "sides")[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "nowhere"),
        (["scans", "--group-regex", "writer"], "--group-regex"),
        (["scans", "--label-csv", "none.csv"], "none.csv"),
        (["scans", "--label-csv", "x.csv", "--label-regex", "(.)"], "one way"),
    ],
)
def test_errors_name_the_option(
    folder: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *words)
    assert code == 1
    assert told in err
    assert not out


def test_help_and_usage(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert "wiggly data check photos" in out
    code, _, err = run(capsys)
    assert code == 2
    assert "wiggly data check --help" in err


def test_a_table_of_labels(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        f"{file.relative_to(folder).as_posix()},{file.parent.name}" for file in sorted(folder.rglob("*.png"))
    ]
    Path("labels.csv").write_text("\n".join(["file,label", *rows, "7/gone.png,7"]) + "\n")
    code, out, _ = run(capsys, "scans", "--label-csv", "labels.csv")
    assert code == 1
    assert "2 files cannot be read" in out
    assert "7/gone.png (there is no such file)" in out


def test_a_picture_of_another_digit_twice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = sorted((folder / "7").glob("*.png"))[0]
    Image.open(first).save(folder / "3" / "mistaken.png", optimize=True)
    (folder / "3" / "copy.png").write_bytes(first.read_bytes())
    _, out, _ = run(capsys, "scans")
    assert "ERROR conflicting-labels" in out
    assert "WARNING near-conflict" in out
