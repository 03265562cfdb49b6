"""Several processes give the result of one: real ones over gloo, compared with the same cases run in one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.distributed import distributed_job
from tests.train.distributed.distributed_job import CASES
from torch import nn

from wiggly.records import Batch
from wiggly.train.engine import LocalEngine, default_engine

pytest.importorskip("accelerate", reason="needs wiggly[distributed]")

JOB = Path(distributed_job.__file__)
ROOT = JOB.parents[3]
SETTINGS = {
    **os.environ,
    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
}
# Sums in another order: float32 has 7 digits, and a few steps lose one or two.
CLOSE = {"rtol": 1e-4, "atol": 2e-5}
TOGETHER = [name for name in CASES if name not in ("killed", "resumed")]


def launch(
    *words: object, n: int = 2, limit: float = 240.0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """torchrun of a script with `n` processes; they use one thread each."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(n)]
    settings = {**SETTINGS, **environment}
    files = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = subprocess.Popen([*command, *map(str, words)], env=settings, start_new_session=True, **files)
    try:
        out, err = started.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)  # the launcher and what it has launched
        raise
    return subprocess.CompletedProcess(command, started.returncode, out, err)


def photos(folder: Path, digits_folder: Path) -> Path:
    """Some of the digits, and two files that are no pictures."""
    for digit in range(3):
        for file in sorted((digits_folder / str(digit)).iterdir())[:12]:
            target = folder / "photos" / str(digit) / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    for name in ("0/broken.png", "2/empty.png"):
        (folder / "photos" / name).write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, digits_folder: Path) -> dict[str, Any]:
    """What every case gives in three processes."""
    folder = photos(tmp_path_factory.mktemp("together"), digits_folder)
    done = launch(JOB, folder / "out.pt", folder, *TOGETHER, n=3)
    assert done.returncode == 0, done.stderr[-6000:]
    found: dict[str, Any] = torch.load(folder / "out.pt")
    return {**found, "printed": done.stdout}


def _named(name: str) -> Any:
    return lambda text: f"{name}: {text}"


def assert_same(found: dict[str, Any], alone: dict[str, Any]) -> None:
    assert found.keys() == alone.keys()
    for name, wanted in alone.items():
        if name in ("bad", "written"):
            assert found[name] == wanted
        elif name not in ("before", "share"):
            torch.testing.assert_close(
                found[name], wanted, **CLOSE, msg=lambda text, name=name: f"{name}: {text}"
            )


@pytest.mark.parametrize("name", [name for name in TOGETHER if name not in ("sharded",)])
def test_three_processes_give_the_result_of_one(
    name: str, together: dict[str, Any], tmp_path: Path, digits_folder: Path
) -> None:
    folder = photos(tmp_path, digits_folder)
    assert_same(together[name], CASES[name](folder))


def test_sharded_parameters_train_alike_and_each_process_holds_its_part(
    together: dict[str, Any], tmp_path: Path
) -> None:
    alone, found = CASES["sharded"](tmp_path), together["sharded"]
    assert_same(found, alone)
    assert alone["share"] == 1 and found["share"] < 0.5
    assert torch.equal(found["preds"], found["again"])  # saved whole, loaded in parts


def test_one_process_prints(together: dict[str, Any]) -> None:
    tables = [line for line in together["printed"].splitlines() if "train_loss" in line]
    expected = {"fine_tuning": 2, "files": 2, "sharded": 4, "rate_search": 0}
    assert len(tables) == sum(expected.get(name, 1) for name in TOGETHER)


def test_what_was_saved_comes_back(together: dict[str, Any]) -> None:
    files = together["files"]
    assert torch.equal(files["before"], files["preds"])
    assert files["written"] == ["kept.safetensors"]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two processes, the first of which was killed."""
    folder = tmp_path_factory.mktemp("killed")
    done = launch(JOB, folder / "out.pt", folder, "killed", n=2)
    assert done.returncode and not (folder / "out.pt").exists()
    return folder


@pytest.fixture
def uninterrupted(tmp_path: Path) -> dict[str, Any]:
    return CASES["resumed"](tmp_path / "whole")


def test_a_killed_run_goes_on_in_one_process(
    interrupted: Path, uninterrupted: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(interrupted, tmp_path / "copy")
    found = CASES["resumed"](tmp_path / "copy")
    assert "resumed at epoch 1, step 5" in capsys.readouterr().out
    assert_same(found, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 4])
def test_a_killed_run_goes_on_in_more_processes(
    n: int, interrupted: Path, uninterrupted: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copytree(interrupted, tmp_path / "copy")
    done = launch(JOB, tmp_path / "out.pt", tmp_path / "copy", "resumed", n=n)
    assert "resumed at epoch 1, step 5" in done.stdout, done.stderr[-3000:]
    assert_same(torch.load(tmp_path / "out.pt")["resumed"], uninterrupted)


FAILING = """
import os, sys, time
import torch
from tests.train.support import digit_learner, digit_loaders, small_model
from wiggly.train.callback import Callback
from wiggly.train.distributed.engine import AccelerateEngine

class Break(Callback):
    def before_batch(self, state):
        if state.step == 2 and self.learner.engine.rank == 1:
            if sys.argv[1] == "raises":
                raise ValueError("the disk is full")
            time.sleep(20 * (sys.argv[1] == "sleeps"))

class Room(torch.nn.Module):
    def forward(self, x):
        if sys.argv[1] == "full" and os.environ["RANK"] == "1" and self.training and len(x) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x

bs = 32 + 8 * int(os.environ["RANK"]) if sys.argv[1] == "differs" else 64
items = 200 + int(os.environ["RANK"]) if sys.argv[1] == "differs" else 256
learn = digit_learner(
    dls=digit_loaders(items, bs=bs), engine=AccelerateEngine("cpu", timeout=5), cbs=Break(),
    model=small_model().insert(1, Room())
)
try:
    learn.fit(2)
except Exception as error:
    print(f"<{learn.engine.rank}: {error}>", flush=True)
    time.sleep(10 * (sys.argv[1] in ("raises", "full") and learn.engine.rank))
    raise SystemExit(1)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raises", "<0: all processes must go on together; rank 1 stopped: the disk is full."),
        ("sleeps", "<0: all processes must go on together; rank 1 ended, or did not come within 5 s."),
        ("differs", "rank 0 has 200 items"),
        ("full", "<1: a batch must fit into the device's memory; one of 32 items did not (by trial: 10 "),
        ("full", "fit) in one of 2 processes.\nPass bs=20; or use smaller images"),
        ("full", "<0: all processes must go on together; rank 1 stopped: CUDA out of memory"),
    ],
)
def test_a_process_that_fails_is_named_by_the_others(how: str, said: str, tmp_path: Path) -> None:
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    done = launch(script, how, n=2, limit=120)
    assert done.returncode
    assert said in done.stdout, done.stdout + done.stderr[-2000:]


DIVERGING = """
import sys
import torch
from tests.train.support import digit_learner
from wiggly.errors import DivergedError
from wiggly.train.callback import Callback

class Spoil(Callback):
    def before_step(self, state):
        if state.step == 3:
            next(self.learner.model.parameters()).grad.fill_(float("nan"))

learn = digit_learner(path=sys.argv[1], checkpoint_every=0, cbs=Spoil())
try:
    learn.fit(2, resume=True)
except DivergedError as error:
    print(f"<{learn.engine.rank}: {error.fix[-60:]}>", flush=True)
learn.cbs = []
learn.fit(1, 1e-4)
sums = learn.engine.from_all([float(p.double().sum()) for p in learn.model.parameters()])
print(f"<{learn.engine.rank}: {sums[0] == sums[1]}, {all(x == x for x in sums[0])}>", flush=True)
"""


@pytest.mark.slow
def test_after_it_diverged_all_processes_have_the_last_checkpoint(tmp_path: Path) -> None:
    script = tmp_path / "diverging.py"
    script.write_text(DIVERGING)
    done = launch(script, tmp_path / "kept", n=2, limit=120)
    assert done.returncode == 0, done.stderr[-3000:]
    for rank in (0, 1):
        assert f"<{rank}: True, True>" in done.stdout, done.stdout
    assert done.stdout.count("fit-1.safetensors>") == 2


@pytest.fixture
def two_hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces, each with an end of a cable: 10.79.0.1 and 10.79.0.2."""
    if shutil.which("ip") is None:
        pytest.skip("needs the program `ip` (package iproute2)")
    mark = uuid.uuid4().hex[:6]
    a, b = f"wiggly-a-{mark}", f"wiggly-b-{mark}"
    ends = ((a, f"wga{mark}", "10.79.0.1/24"), (b, f"wgb{mark}", "10.79.0.2/24"))
    steps = [f"netns add {a}", f"netns add {b}", f"link add {ends[0][1]} type veth peer name {ends[1][1]}"]
    for host, end, address in ends:
        steps += [f"link set {end} netns {host}", f"-n {host} addr add {address} dev {end}"]
        steps += [f"-n {host} link set {end} up", f"-n {host} link set lo up"]
    try:
        for step in steps:
            done = subprocess.run(["ip", *step.split()], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"needs the right to make network namespaces: {done.stderr.strip()}")
        yield a, b
    finally:
        for host in (a, b):
            subprocess.run(["ip", "netns", "del", host], capture_output=True)


@pytest.mark.slow
def test_two_hosts_give_the_result_of_one_process(two_hosts: tuple[str, str], tmp_path: Path) -> None:
    started: list[subprocess.Popen[str]] = []
    for rank, host in enumerate(two_hosts):
        own = tmp_path / f"host{rank}"  # no shared disk
        own.mkdir()
        network = subprocess.run(["ip", "-n", host, "-o", "link"], capture_output=True, text=True).stdout
        card = next(word for word in network.replace("@", " ").split() if word.startswith("wg"))
        nodes = ["--nnodes", "2", "--node_rank", str(rank), "--nproc_per_node", "1"]
        address = ["--master_addr", "10.79.0.1", "--master_port", "29500"]
        torchrun = [sys.executable, "-m", "torch.distributed.run", *nodes, *address]
        words = ["ip", "netns", "exec", host, *torchrun, JOB, own / "out.pt", own, "fine_tuning", "files"]
        settings = {**SETTINGS, "GLOO_SOCKET_IFNAME": card}
        started.append(
            subprocess.Popen(list(map(str, words)), env=settings, stderr=subprocess.PIPE, text=True)
        )
    errors = [process.communicate(timeout=240)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], errors
    found = torch.load(tmp_path / "host0" / "out.pt")
    for name in ("fine_tuning", "files"):
        assert_same(found[name], CASES[name](tmp_path / name))
    assert not list((tmp_path / "host1").rglob("*.safetensors"))


def test_a_launcher_with_one_process_needs_no_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert type(default_engine("cpu")) is LocalEngine


def test_one_process_does_nothing_for_the_others() -> None:
    engine, batch, loss = LocalEngine("cpu"), Batch((), (torch.zeros(2),), [4, 5]), torch.ones(())
    assert engine.part == (0, 1) and engine.is_main and engine.writes_weights and engine.rows(batch) == 2
    assert engine.whole_loss(loss, nn.MSELoss(), batch.targets, 2) is loss
    assert engine.from_all(3) == [3] and engine.agreed(3) == 3 and engine.once(lambda: 3) == 3
    assert engine.collected(batch, loss) == [(batch, loss)] and engine.around(batch) == (None, 4)
