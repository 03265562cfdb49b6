"""The task file: what SkyPilot is to rent, to install and to run, and where the results come out.

In: the words of a `wiggly train` command and a place. Out: YAML for `sky launch`, which a reader can follow
and start by hand. Read next: `sky.py`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from wiggly.errors import ArgumentError
from wiggly.run.places import Place

__all__ = ["Job", "read_job", "task_text"]

IN, OUT, ENVIRONMENT = "~/wiggly-in", "~/wiggly-out", "~/wiggly-env"
SUFFIX = ".wiggly"
# Options of `wiggly train` that name a file to read.
FILE_OPTIONS = ("--weights", "--label-csv")
PYTHON = "3.12"


@dataclass(frozen=True)
class Job:
    """A command that trains, as it runs on another machine.

    Attributes:
        name: Of the machine and the task: small letters, digits and hyphens.
        words: The command with the paths of the other machine.
        mounts: Path there to path here, of everything it reads.
        bundle: Where the bundle comes to lie here; all that is written there comes into the same folder.
    """

    name: str
    words: tuple[str, ...]
    mounts: dict[str, Path] = field(default_factory=lambda: dict[str, Path]())
    bundle: Path = Path()


def read_job(words: Sequence[str]) -> Job:
    """What a command reads and writes.

    Args:
        words: As typed after `wiggly`: `train`, a folder, options.

    Raises:
        ArgumentError: It is no training, or a file is not there.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp()) / "my photos"
        >>> folder.mkdir()
        >>> job = read_job(["train", str(folder), "--epochs", "5"])
        >>> job.name, job.words
        ('wiggly-my-photos', ('train', '~/wiggly-in/my-photos', '--epochs', '5',
         '--out', '~/wiggly-out/my-photos.wiggly', '--resume'))
    """
    strange = [word for word in words if not word.isprintable()]
    if strange:
        raise ArgumentError(
            "a command for another machine must be printable text",
            f"got {strange[0]!r}",
            "Leave line breaks out.",
        )
    given = [part for word in words for part in _divided(word)]
    if len(given) < 2 or given[0] != "train" or given[1].startswith("-"):
        raise ArgumentError(
            "what is run on a rented machine must be `train` and a folder",
            f"got {shlex.join(given) or 'nothing'}",
            "E.g. wiggly run --on paperspace:A4000 -- train photos --epochs 5",
        )
    bundle = Path(_taken(given, "--out") or f"{Path(given[1]).resolve().name or 'model'}{SUFFIX}")
    bundle = bundle.with_name(f"{_plain(bundle.stem)}{bundle.suffix}")  # here as there
    report = _taken(given, "--report")
    mounts: dict[str, Path] = {}
    there = [_mounted(Path(given[1]), mounts)]
    for before, word in pairwise(given[1:]):
        there.append(_mounted(Path(word), mounts) if before in FILE_OPTIONS else word)
    out = ["--out", f"{OUT}/{bundle.name}"]
    if report is not None:
        out += ["--report", f"{OUT}/{_plain(Path(report).name)}"]
    rest = [word for word in there if word != "--resume"]
    name = re.sub(r"[^a-z0-9]+", "-", bundle.stem.lower()).strip("-") or "model"
    return Job(f"wiggly-{name}", ("train", *rest, *out, "--resume"), mounts, bundle)


def _divided(word: str) -> list[str]:
    """`--option=value` as two words."""
    option, equals, value = word.partition("=")
    return [option, value] if equals and option.startswith("--") else [word]


def _taken(words: list[str], option: str) -> str | None:
    """Takes an option and its value out of the words."""
    if option not in words[:-1]:
        return None
    at = words.index(option)
    value = words[at + 1]
    del words[at : at + 2]
    return value


def _mounted(path: Path, mounts: dict[str, Path]) -> str:
    if not path.exists():
        raise ArgumentError(
            "what is trained on must be on this machine", f"there is no '{path}'", "Check the path."
        )
    there, number = f"{IN}/{_plain(path.resolve().name)}", 1
    while there in mounts:
        number += 1
        there = f"{IN}/{number}-{_plain(path.resolve().name)}"
    mounts[there] = path.resolve()
    return there


def _plain(name: str) -> str:
    """A file name that no shell and no cloud reads otherwise."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "data"


def task_text(
    job: Job, place: Place, packages: Sequence[str], disk: int | None = None, workdir: Path | None = None
) -> str:
    """The task file; a YAML reader gives the same values back.

    Args:
        job: What runs.
        place: Where.
        packages: What pip installs there, versions pinned.
        disk: Gigabytes; None takes the cloud's default.
        workdir: A folder to copy as well; commands then start in it.
    """
    lines = [
        "# Written by wiggly; it can be changed, and started by hand:",
        f"#   sky launch -c {job.name} THIS_FILE",
        f"name: {job.name}",
    ]
    if workdir is not None:
        lines.append(f"workdir: {_quoted(str(workdir.resolve()))}")
    lines += ["resources:", *_resources(place, disk)]
    mounts = dict(job.mounts)
    kept = job.bundle.parent / "models" / job.bundle.stem
    if kept.is_dir():  # checkpoints of an earlier, interrupted run
        mounts[f"{OUT}/models/{job.bundle.stem}"] = kept.resolve()
    lines += ["file_mounts:", *(f"  {there}: {_quoted(str(here))}" for there, here in mounts.items())]
    lines += ["setup: |", *_indented(_setup(packages)), "run: |", *_indented(_run(job, place))]
    return "\n".join(lines) + "\n"


def _resources(place: Place, disk: int | None) -> list[str]:
    rows: list[str] = []
    if place.infra:
        rows.append(f"  infra: {_quoted(place.infra)}")
    rows.append(f"  accelerators: {_quoted(f'{place.gpu}:{place.count}')}" if place.gpu else '  cpus: "8+"')
    if place.is_spot:
        rows.append("  use_spot: true")
    if disk is not None:
        rows.append(f"  disk_size: {disk}")
    return rows


def _setup(packages: Sequence[str]) -> list[str]:
    return [
        "set -e",
        # uv's own installer; it brings the Python that clouds' images often lack.
        "command -v uv > /dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh",
        'export PATH="$HOME/.local/bin:$PATH"',
        f"test -d {ENVIRONMENT} || uv venv --python {PYTHON} {ENVIRONMENT}",
        f"uv pip install --python {ENVIRONMENT} {shlex.join(packages)}",
    ]


def _run(job: Job, place: Place) -> list[str]:
    words = " ".join(word if word.startswith("~/") else shlex.quote(word) for word in job.words)
    command = f"{ENVIRONMENT}/bin/wiggly {words}"
    if place.count > 1:
        launcher = f"{ENVIRONMENT}/bin/torchrun --standalone --nproc_per_node {place.count} --no-python"
        command = f"{launcher} {command}"
    return ["set -e", f"mkdir -p {OUT}", command]


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # every JSON text is one in YAML
