"""A really trained bundle, and its page served by a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.bundle.support import train_digits

import wiggly

SECONDS_TO_START = 120  # importing gradio and torch on a busy machine takes tens of them
SECONDS_TO_STOP = 30


@dataclass(frozen=True)
class Served:
    """A page that is being served: its address, and the bundle behind it."""

    address: str
    bundle: Path


@pytest.fixture(scope="session")
def bundle(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a small network that has learned the digits."""
    return train_digits(digits_folder).export(tmp_path_factory.mktemp("served") / "digits.wiggly")


@pytest.fixture(scope="session")
def served(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page of that bundle, on a free port of this machine."""
    code = f"from wiggly.apps.page import serve; serve({str(bundle)!r}, port=17860)"
    temporary, here = tmp_path_factory.mktemp("temporary"), tmp_path_factory.mktemp("here")
    source = Path(wiggly.__file__).parent.parent
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=here,
        env={
            **os.environ,
            "TMPDIR": str(temporary),
            "PYTHONPATH": str(source),
            "OMP_WAIT_POLICY": "passive",
        },
    )
    with process:
        try:
            yield Served(_address(process), bundle)
            process.send_signal(signal.SIGINT)
            assert process.wait(SECONDS_TO_STOP) == 0, "Ctrl-C must end it without complaint"
        finally:
            process.kill()
    assert list(here.iterdir()) == [], "serving must leave nothing in the current folder"
    assert not list(temporary.rglob("*.png")), "no photo may outlive the server"


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    printed, deadline = "", time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        line = process.stdout.readline()
        printed += line
        if "http://" in line:
            return "http://" + line.split("http://")[1].split()[0]
    raise AssertionError(f"the page was not served:\n{printed}")
