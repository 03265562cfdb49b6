"""`wiggly run` driven through a stand-in `sky`: the task file, the price, the log, the way home, the bill."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wiggly.cli import main
from wiggly.errors import ArgumentError
from wiggly.run import rent
from wiggly.run.places import CLOUDS, Place, parse_place
from wiggly.run.prices import PAPERSPACE, listed_price, offline_price
from wiggly.run.task import Job, read_job, task_text

yaml = pytest.importorskip("yaml")

SKY = """#!{python}
import json, os, sys
words = sys.argv[1:]
home = os.environ["STAND_IN"]
with open(os.path.join(home, "calls.jsonl"), "a") as file:
    file.write(json.dumps(words) + "\\n")
with open(os.path.join(home, "plan.json")) as file:
    plan = json.load(file)
key = "status" if "--status" in words else words[0]
steps = plan.get(key, [0])
count = os.path.join(home, "count-" + key)
number = int(open(count).read()) if os.path.exists(count) else 0
open(count, "w").write(str(number + 1))
step = steps[min(number, len(steps) - 1)]
if key == "gpus":
    print("starting a server"); print(json.dumps(plan.get("prices", {{}})))
if key == "logs":
    print("epoch 0 train_loss 0.5")
if step == "ctrl-c":
    os.kill(os.getppid(), 2); step = 130
sys.exit(step)
"""
COPY = """#!{python}
import os, pathlib, sys
home = os.environ["STAND_IN"]
with open(os.path.join(home, "calls.jsonl"), "a") as file:
    file.write('["rsync"]\\n')
if os.path.exists(os.path.join(home, "no-copy")):
    print("ssh: connect refused", file=sys.stderr); sys.exit(12)
pathlib.Path(sys.argv[-1], "photos.wiggly").write_text("a bundle")
"""


class StandIn:
    """The programs `sky` and `rsync` as a test wants them to behave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan({})
        for name, text in (("sky", SKY), ("rsync", COPY)):
            (folder / name).write_text(text.format(python=sys.executable))
            (folder / name).chmod(0o755)

    def plan(self, steps: dict[str, Any]) -> None:
        (self.folder / "plan.json").write_text(json.dumps(steps))

    @property
    def calls(self) -> list[list[str]]:
        file = self.folder / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def verbs(self) -> list[str]:
        return ["status" if "--status" in words else words[0] for words in self.calls]


@pytest.fixture
def sky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A folder `photos` here, and a stand-in `sky` on the PATH."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAND_IN", str(programs))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(rent, "SECONDS_BEFORE_RETRY", 0.0)
    return StandIn(programs)


RUN = ["run", "--on", "paperspace:A4000", "--yes", "--", "train", "photos", "--epochs", "5"]


def test_a_run_from_the_price_to_the_machine_given_back(
    sky: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"accelerator_count": 1.0, "price": 0.80, "spot_price": None}
    sky.plan({"prices": {"A4000": [row, {**row, "price": 0.9}]}})
    assert main(RUN) == 0
    out, err = capsys.readouterr()
    assert sky.verbs == ["gpus", "launch", "logs", "status", "rsync", "down"]
    file = Path("photos.sky.yaml")
    launch = ["launch", "-y", "-d", "-c", "wiggly-photos", "-i", "30", str(file)]
    assert sky.calls[1] == launch and sky.calls[-1] == ["down", "-y", "wiggly-photos"]
    assert "$0.76 per hour, $18.24 per day (list price" in out and "$0.80 per hour" in out
    assert "goes on billing when no machine runs: the storage" in err and "snapshots" in err
    assert Path("photos.wiggly").read_text() == "a bundle"


def test_the_price_needs_a_yes(
    sky: StandIn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [word for word in RUN if word != "--yes"]
    assert main(words) == 1
    assert "Pass --yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert main(words) == 1
    assert "Nothing was started" in capsys.readouterr().err
    assert "launch" not in sky.verbs
    monkeypatch.setattr("builtins.input", lambda question: "y")
    assert main(words) == 0


def test_ctrl_d_is_no_yes(
    sky: StandIn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(question: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", closed)
    assert main([word for word in RUN if word != "--yes"]) == 1
    assert "Nothing was started" in capsys.readouterr().err and "launch" not in sky.verbs


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["photos", "--epoch", "5"], 2, "--epoch"),
        (["photos", "more"], 2, "more"),
        (["photos", "--out"], 2, "--out"),
        (["photos", "--epochs", "five"], 2, "five"),
        (["photos", "--out", "taken.txt"], 1, "another file is there"),
        (["photos", "--out", "nowhere/x.wiggly"], 1, "mkdir -p nowhere"),
    ],
)
def test_a_command_that_would_fail_there_fails_here(
    words: list[str], code: int, said: str, sky: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("taken.txt").write_text("a week's work")
    assert main(["run", "--on", "paperspace:A4000", "--yes", "--", "train", *words]) == code
    out, err = capsys.readouterr()
    assert said in out + err and sky.calls == []


@pytest.mark.parametrize(
    ("option", "said"),
    [(["--workdir", "nowhere"], "no folder 'nowhere'"), (["--disk", "0"], "at least 1 GB")],
)
def test_options_that_cannot_be(
    option: list[str], said: str, sky: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN[:4], *option, *RUN[4:]]) == 1
    assert said in capsys.readouterr().err and sky.calls == []


def test_a_sky_that_does_not_start_is_named(sky: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    (sky.folder / "sky").write_text("#!/nowhere/python\n")
    assert main(RUN) == 1
    err = capsys.readouterr().err
    assert "sky` must start" in err and "Traceback" not in err


def test_a_folder_with_a_blank_goes_on_with_what_came_home(sky: StandIn) -> None:
    """Names there and here are the same, so that checkpoints are found again."""
    Path("my photos").mkdir()
    job = read_job(["train", "my photos"])
    assert (job.bundle, job.words[3]) == (Path("my-photos.wiggly"), "~/wiggly-out/my-photos.wiggly")
    Path("models", "my-photos").mkdir(parents=True)  # as it comes home
    task = yaml.safe_load(task_text(job, parse_place("aws:T4"), ["wiggly"]))
    assert task["file_mounts"]["~/wiggly-out/models/my-photos"] == str(Path("models/my-photos").resolve())


@pytest.mark.parametrize("folder", ["___", "猫", "-", "2024.v1"])
def test_machines_get_names_that_skypilot_takes(folder: str, sky: StandIn) -> None:
    Path(folder).mkdir()
    name = read_job(["train", f"./{folder}"]).name
    assert re.fullmatch("[a-zA-Z]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?", name)  # CLUSTER_NAME_VALID_REGEX of 0.14.1


def test_without_sky_the_file_is_written_and_the_way_to_it_named(
    sky: StandIn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (sky.folder / "sky").unlink()
    monkeypatch.setenv("PATH", str(sky.folder))
    assert main(RUN) == 1
    out, err = capsys.readouterr()
    assert "uv tool install 'skypilot[paperspace]'" in err and "$0.76 per hour" in out
    assert yaml.safe_load(Path("photos.sky.yaml").read_text())["name"] == "wiggly-photos"


def test_a_dry_run_starts_nothing(sky: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--on", "paperspace:A4000", "--dry-run", "--", "train", "photos"]) == 0
    assert sky.calls == [] and Path("photos.sky.yaml").exists() and "$0.76" in capsys.readouterr().out


def test_a_launch_that_fails_says_what_may_bill(sky: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    sky.plan({"launch": [1]})
    assert main(RUN) == 1
    err = capsys.readouterr().err
    assert "may go on running, and billing" in err and "sky down wiggly-photos" in err
    assert "--on any:A4000" in err and "down" not in sky.verbs


def test_a_log_that_is_cut_is_followed_again(sky: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    sky.plan({"logs": [255, 255, 0], "status": [101, 101, 0]})
    assert main(RUN) == 0
    assert sky.verbs.count("logs") == 3
    assert capsys.readouterr().out.count("The log was cut") == 2


def test_a_job_that_fails_is_brought_home_and_its_machine_left(
    sky: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    sky.plan({"logs": [100], "status": [100]})
    assert main(RUN) == 1
    assert sky.verbs[-1] == "rsync" and "down" not in sky.verbs
    err = capsys.readouterr().err
    assert "it failed" in err and "stops after 30 idle minutes" in err


def test_results_that_cannot_be_copied_keep_their_machine(
    sky: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    (sky.folder / "no-copy").touch()
    assert main(RUN) == 1
    err = capsys.readouterr().err
    assert "ssh: connect refused" in err and "Try again: rsync -az wiggly-photos:wiggly-out/" in err
    assert "down" not in sky.verbs


def test_ctrl_c_leaves_the_machine_and_says_how_to_end_it(
    sky: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    sky.plan({"logs": ["ctrl-c"]})
    assert main(RUN) == 130
    err = capsys.readouterr().err
    assert "may go on running, and billing" in err and "sky down wiggly-photos" in err
    assert "down" not in sky.verbs


def test_a_spot_machine_that_is_taken_away_is_rented_again_with_what_came_home(sky: StandIn) -> None:
    sky.plan({"logs": [1, 1, 0], "status": [1, 1, 0]})
    kept = Path("models", "photos")
    kept.mkdir(parents=True)
    assert main(["run", "--on", "aws:T4", "--spot", "--yes", "--", "train", "photos"]) == 0
    launches = [words for words in sky.calls if words[0] == "launch"]
    assert len(launches) == 2 and "--down" in launches[0] and "120" in launches[0]
    task = yaml.safe_load(Path("photos.sky.yaml").read_text())
    assert task["resources"]["use_spot"] is True
    assert task["file_mounts"]["~/wiggly-out/models/photos"] == str(kept.resolve())
    assert task["run"].rstrip().endswith("--resume")


def test_a_machine_to_keep_is_kept_and_said_to_bill(sky: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN[:4], "--keep", *RUN[4:]]) == 0
    assert "down" not in sky.verbs and "goes on running, and billing" in capsys.readouterr().err


GOLDEN = """\
# Written by wiggly; it can be changed, and started by hand:
#   sky launch -c wiggly-photos THIS_FILE
name: wiggly-photos
resources:
  infra: "paperspace"
  accelerators: "A4000:2"
  disk_size: 100
file_mounts:
  ~/wiggly-in/my-photos: "/data/my photos"
setup: |
  set -e
  command -v uv > /dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh
  export PATH="$HOME/.local/bin:$PATH"
  test -d ~/wiggly-env || uv venv --python 3.12 ~/wiggly-env
  uv pip install --python ~/wiggly-env 'wiggly[distributed]==0.1.0' torch==2.15.0
run: |
  set -e
  mkdir -p ~/wiggly-out
  ~/wiggly-env/bin/torchrun --standalone --nproc_per_node 2 --no-python ~/wiggly-env/bin/wiggly train \
~/wiggly-in/my-photos --label-regex '^(.+)_\\d+$' --out ~/wiggly-out/photos.wiggly --resume
"""


def golden_text() -> str:
    words = ("train", "~/wiggly-in/my-photos", "--label-regex", "^(.+)_\\d+$")
    words = (*words, "--out", "~/wiggly-out/photos.wiggly", "--resume")
    mounts = {"~/wiggly-in/my-photos": Path("/data/my photos")}
    job = Job("wiggly-photos", words, mounts, Path("photos.wiggly"))
    packages = ["wiggly[distributed]==0.1.0", "torch==2.15.0"]
    return task_text(job, parse_place("paperspace:A4000:2"), packages, disk=100)


def test_the_task_file() -> None:
    assert golden_text() == GOLDEN
    assert subprocess.run(["sh", "-n"], input=yaml.safe_load(GOLDEN)["run"], text=True).returncode == 0


LOADER = """
import json, sys, sky
task = sky.Task.from_yaml(sys.argv[1])
(resources,) = task.resources
print(json.dumps({
    "name": task.name, "cloud": str(resources.cloud), "gpus": resources.accelerators,
    "spot": resources.use_spot, "disk": resources.disk_size, "mounts": task.file_mounts,
    "setup": task.setup, "run": task.run, "cpus": resources.cpus,
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("on", "spot", "wanted"),
    [
        ("paperspace:A4000:2", False, {"cloud": "Paperspace", "gpus": {"A4000": 2}, "spot": False}),
        ("aws/us-east-1:T4", True, {"cloud": "AWS", "gpus": {"T4": 1}, "spot": True}),
        ("any:L4", False, {"cloud": "None", "gpus": {"L4": 1}}),
        ("gcp", False, {"cloud": "GCP", "gpus": None, "cpus": "8+"}),
    ],
)
def test_skypilots_own_loader_reads_the_task_file(
    on: str, spot: bool, wanted: dict[str, Any], tmp_path: Path
) -> None:
    python = os.environ.get("WIGGLY_SKY_PYTHON")
    if python is None or not shutil.which(python):
        pytest.skip(
            "needs SkyPilot: WIGGLY_SKY_PYTHON=<its environment>/bin/python (uv pip install skypilot)"
        )
    (tmp_path / "my photos").mkdir()
    job = read_job(["train", str(tmp_path / "my photos")])
    text = task_text(job, parse_place(on, spot), ["wiggly==0.1.0"], disk=100)
    (tmp_path / "task.yaml").write_text(text)
    environment = {**os.environ, "HOME": str(tmp_path), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    words = [python, "-c", LOADER, str(tmp_path / "task.yaml")]
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    read = json.loads(done.stdout.splitlines()[-1])
    assert {name: read[name] for name in wanted} == wanted and read["disk"] == 100
    assert read["mounts"] == {"~/wiggly-in/my-photos": str(tmp_path / "my photos")}
    assert read["name"] == "wiggly-my-photos" and "--resume" in read["run"] and "uv pip" in read["setup"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "a.wiggly"], "`train` and a folder"),
        (["train"], "`train` and a folder"),
        ([], "got nothing"),
        (["train", ".", "--arch", "a\nb"], "printable text"),
        (["train", "nowhere"], "there is no 'nowhere'"),
        (["train", ".", "--weights=none.safetensors"], "there is no 'none.safetensors'"),
    ],
)
def test_commands_that_cannot_run_there(words: list[str], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        read_job(words)


def test_files_that_are_read_travel_and_files_that_are_written_come_home(tmp_path: Path) -> None:
    (tmp_path / "a" / "photos").mkdir(parents=True)
    for name in ("labels.csv", "photos"):
        (tmp_path / name).touch()
    words = ["train", str(tmp_path / "a" / "photos"), f"--label-csv={tmp_path / 'labels.csv'}"]
    job = read_job(
        [*words, "--weights", str(tmp_path / "photos"), "--out", "results/Pets_2.wiggly", "--resume"]
    )
    assert list(job.mounts) == ["~/wiggly-in/photos", "~/wiggly-in/labels.csv", "~/wiggly-in/2-photos"]
    assert job.bundle == Path("results/Pets_2.wiggly") and job.name == "wiggly-pets-2"
    assert job.words[-3:] == ("--out", "~/wiggly-out/Pets_2.wiggly", "--resume")
    assert job.words.count("--resume") == 1


PRINTABLE = st.text(min_size=1, max_size=20).filter(str.isprintable)


@given(name=PRINTABLE.filter(lambda text: "/" not in text), value=PRINTABLE)
def test_any_text_comes_through_yaml_and_the_shell(name: str, value: str) -> None:
    job = Job("wiggly-x", ("train", f"={value}"), {"~/wiggly-in/x": Path("/data") / name}, Path("x.wiggly"))
    task = yaml.safe_load(task_text(job, Place("aws", "T4", 1, False), ["wiggly"]))
    assert task["file_mounts"]["~/wiggly-in/x"] == str(Path("/data") / name)
    assert shlex.split(task["run"].splitlines()[-1])[-1] == f"={value}"


@pytest.mark.parametrize(
    ("text", "spot", "said"),
    [
        ("paperspace:A4000", True, "paperspace has none"),
        ("paperspcae:A4000", False, "Did you mean 'paperspace'"),
        ("", False, "a cloud, and a GPU after a colon"),
        ("aws:T4:0", False, "a cloud, and a GPU after a colon"),
        ("aws:4", False, "a cloud, and a GPU after a colon"),
    ],
)
def test_places_that_cannot_be_had(text: str, spot: bool, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        parse_place(text, spot)


def test_clouds_that_are_not_known_here_are_left_to_skypilot() -> None:
    assert parse_place("newcloud:B300:8") == Place("newcloud", "B300", 8, False)
    assert parse_place("any:T4").infra == "" and parse_place("aws").gpu == ""
    assert parse_place("Kubernetes/My-Context:T4").infra == "kubernetes/My-Context"
    assert str(offline_price(parse_place("Paperspace:a4000"))).startswith("$0.76")


def test_prices() -> None:
    assert offline_price(parse_place("aws:T4")) is None
    assert all(offline_price(Place("paperspace", gpu, 1, False)) for gpu in PAPERSPACE)
    place = parse_place("aws:T4", spot=True)
    rows = [{"accelerator_count": 1.0, "price": 0.5, "spot_price": p} for p in (0.3, None, 0.2)]
    price = listed_price(place, "starting\n" + json.dumps({"T4": rows}))
    assert price is not None and price.dollars == 0.2
    for broken in ("", "no", "{", json.dumps({"T4": [{}]}), json.dumps([1])):
        assert listed_price(place, broken) is None
    assert set(CLOUDS) >= {"aws", "gcp", "azure", "paperspace", "runpod", "lambda"}


def test_help_names_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    assert textwrap.dedent(capsys.readouterr().out).count("paperspace:A4000") >= 2
