"""Killed with signal 9 at 50 random points, two writers at a time: no acknowledged edit is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import wiggly
from wiggly import Journal

ROUNDS = 50

# Forks two writers per round; each tells through a pipe the id of every edit after `add` returned it. Both
# are killed after a random time, the one some milliseconds after the other.
HARNESS = """
import json, os, random, signal, sys, time
from wiggly.data.edits.edit import ItemRef
from wiggly.data.edits.journal import Journal

path, rounds = sys.argv[1], int(sys.argv[2])
chance, acknowledged = random.Random(7), []

def write(k, out):
    journal, n = Journal(path, author=f"writer {k}"), 0
    while True:
        n += 1
        if n % 7 == 0 and journal.undo() is not None:
            continue
        kind, new = ("relabel", "x" * chance.randrange(1, 4000)) if n % 2 else ("delete", None)
        edit = journal.add(kind, ItemRef(f"file:{n:064x}", f"{k}/{n}.jpg", "old"), new)
        os.write(out, f"{edit.id}\\n".encode())

for number in range(rounds):
    pipes = [os.pipe() for _ in range(2)]
    children = []
    for k, (_, out) in enumerate(pipes):
        child = os.fork()
        if child == 0:
            chance.seed(os.getpid())
            write(k, out)
        children.append(child)
    # Every second pair has written something before it is killed, however slow the machine is.
    early = [os.read(back, 17) if number % 2 else b"" for back, _ in pipes]
    for k in chance.sample(range(2), 2):
        time.sleep(chance.uniform(0.002, 0.03))
        os.kill(children[k], signal.SIGKILL)
        os.waitpid(children[k], 0)
    for (back, out), begun in zip(pipes, early):
        os.close(out)
        with os.fdopen(back, "rb") as told:
            acknowledged += (begun + told.read()).decode().split("\\n")[:-1]
print(json.dumps(acknowledged))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_no_acknowledged_edit_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "edits.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(Path(wiggly.__file__).parent.parent)}
    command = [sys.executable, "-c", HARNESS, str(path), str(ROUNDS)]
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    acknowledged = json.loads(result.stdout)
    assert len(acknowledged) >= ROUNDS
    journal = Journal(path)
    kept = [edit.id for edit in journal.edits]
    assert set(acknowledged) <= set(kept) and len(set(kept)) == len(kept)
    # At most one row per killed writer was cut, and the ones after it are whole.
    assert len(journal.damaged) <= 2 * ROUNDS
    lines = path.read_bytes().split(b"\n")
    assert len([line for line in lines if line]) == len(kept) + len(journal.damaged)
    assert journal.add("delete", journal_ref()).id in {edit.id for edit in Journal(path).edits}


def journal_ref() -> wiggly.ItemRef:
    return wiggly.ItemRef(f"file:{0:064x}")
