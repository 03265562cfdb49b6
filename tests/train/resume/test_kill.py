"""Resuming: a run that is killed anywhere ends bit by bit as one that was not; what cannot go on says why."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import wiggly

PROGRAM = Path(__file__).with_name("killed.py")
SOURCE = Path(wiggly.__file__).parent.parent
ROOT = PROGRAM.parents[3]

Jobs = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def few_digits(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten real scans of each digit."""
    folder = tmp_path_factory.mktemp("few") / "digits"
    for file in digits_folder.glob("*/*.png"):
        target = folder / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if len(list(target.parent.iterdir())) < 10:
            shutil.copy(file, target)
    return folder


@pytest.fixture
def jobs(tmp_path: Path, few_digits: Path) -> Jobs:
    """Runs jobs of `killed.py`, each a program that is killed at some of its moments and run to its end."""

    def run(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        folder = tmp_path / f"jobs-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        defaults = {"every": 0.0, "kills": [], "resume": True, "data": str(few_digits)}
        (folder / "jobs.json").write_text(json.dumps([defaults | job for job in jobs]))
        environment = {**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-W", "ignore", str(PROGRAM), str(folder)]
        done = subprocess.run(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert done.returncode == 0, done.stdout
        results = json.loads((folder / "results.json").read_text())
        for result in results:
            assert result["ends"][-1] == 0, done.stdout
            result["said"] = done.stdout
        return results

    return run


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Names of what is not the same, bit by bit."""
    assert a.keys() == b.keys()
    return [name for name in a if a[name] != b[name] and not (a[name] != a[name] and b[name] != b[name])]


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_at_random_moments_change_nothing(jobs: Jobs, kills: int) -> None:
    """In all phases of `fine_tune` and in two more fits; in steps, validation and the writing of files."""
    plain, often, seldom = jobs(
        [
            {"program": "digits", "resume": False},
            {"program": "digits"},
            {"program": "digits", "every": 1e9},
        ]
    )
    assert differences(plain["state"], often["state"]) == []
    assert differences(plain["state"], seldom["state"]) == []
    assert often["moments"] > seldom["moments"] > 200
    draw = random.Random(4)
    killed = []
    for number in range(kills):
        # One kill in each part of the run, so that no phase is left out; some runs are killed twice.
        run, every = (often, 0.0) if number % 2 else (seldom, 1e9)
        share = run["moments"] / kills
        at = [int(number * share + draw.random() * share) + 1]
        again = [draw.randrange(1, 150)] if number % 5 == 0 else []
        killed.append({"program": "digits", "every": every, "kills": at + again})
    for job, result in zip(killed, jobs(killed), strict=True):
        assert result["ends"][:-1] == [-9] * len(job["kills"]), result["said"]
        assert differences(plain["state"], result["state"]) == [], (job, result["said"])
        fits = [f"models/resume/fit-{number}.safetensors" for number in (1, 2, 3)]
        assert result["files"] == [*fits, "state.json"]  # no halves are left


@pytest.mark.slow
def test_a_real_network_in_channels_last_with_a_fused_optimizer(jobs: Jobs) -> None:
    """On two threads: sums are cut in two, in the same way each time."""
    job = {"program": "network", "threads": 2}
    plain, *killed = jobs(
        [{**job, "resume": False}, {**job, "kills": [40]}, {**job, "kills": [110], "every": 1e9}]
    )
    for result in killed:
        assert result["ends"] == [-9, 0]
        assert differences(plain["state"], result["state"]) == []


def test_loaders_of_torch_give_the_same_batches_again(jobs: Jobs) -> None:
    """Also those with a generator of their own, from which torch draws once more after the last batch."""
    kills = [[], [68]]
    work = [{"program": "foreign", "own": own, "kills": at} for own in (False, True) for at in kills]
    results = jobs([{**job, "resume": bool(job["kills"])} for job in work])
    for plain, *killed in (results[:2], results[2:]):
        for result in killed:
            assert result["ends"] == [-9, 0]
            assert differences(plain["state"], result["state"]) == []
