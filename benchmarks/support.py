"""What both benchmarks share: where data lies, what the machine is, a process per peer, JSON lines, a table.

In: names of peers and their settings. Out: dictionaries of results. Only the standard library is imported
at the top, so that the process that starts the peers costs them no memory. Read next: `loader.py`,
`fine_tune.py`.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Waiting OpenMP threads that spin take the cores from whoever loads data, in every peer.
WAIT_POLICY = "passive"
PACKAGES = (
    "wiggly",
    "fastai",
    "torch",
    "torchvision",
    "timm",
    "spdl",
    "lightning",
    "transformers",
    "accelerate",
    "cleanlab",
    "scikit-learn",
    "lightgbm",
    "catboost",
    "tabm",
    "gradio",
    "fastapi",
    "uvicorn",
    "onnxruntime",
    "opencv-python-headless",
    "simplejpeg",
    "pillow",
    "numpy",
)


def shared_dir() -> Path:
    """The folder with data sets and weights: `WIGGLY_SHARED`, else `shared` beside the checkout."""
    folder = Path(os.environ.get("WIGGLY_SHARED") or ROOT.parent / "shared")
    if not (folder / "data" / "pets" / "images").is_dir():
        sys.exit(
            f"the benchmarks need real photos in data/pets/images; there are none under '{folder}'.\n"
            "Set WIGGLY_SHARED to the folder that holds data/ and weights/."
        )
    return folder


def pet_files() -> list[Path]:
    """All pet photos, sorted by name."""
    return sorted((shared_dir() / "data" / "pets" / "images").glob("*.jpg"))


def breed(path: str | Path) -> str:
    """The label in the file name: `Abyssinian_1.jpg` is an Abyssinian."""
    return re.sub(r"_\d+$", "", Path(path).stem)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def machine() -> dict[str, Any]:
    """What the numbers were measured on, and how busy it was at the start."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text())
        name = found.group(1).strip() if found else name
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 0
    return {
        "cpu": name,
        "cores": cores(),
        "memory_gib": round(memory, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def versions() -> dict[str, str]:
    """Installed versions of the peers and of what they stand on."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # wiggly may be found through PYTHONPATH only
            continue
    return found


def environment(threads: int | None, wait_policy: str = WAIT_POLICY) -> dict[str, str]:
    """The environment of a peer: every core (or `threads`), whatever the caller's shell had exported."""
    kept = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    more = {"OMP_WAIT_POLICY": wait_policy, "PYTHONUNBUFFERED": "1", "MPLBACKEND": "Agg"}
    if threads:
        more["OMP_NUM_THREADS"] = str(threads)
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, **more, "PYTHONPATH": os.pathsep.join(paths)}


def run_peer(script: str, job: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """Run `script --job FILE` in a process of its own and return what it leaves in the file `job["result"]`.

    What the peer prints goes to this terminal's error stream, so that standard output holds results alone.
    """
    with tempfile.TemporaryDirectory() as folder:
        result, order = Path(folder) / "result.json", Path(folder) / "job.json"
        order.write_text(json.dumps({**job, "result": str(result)}))
        command = [sys.executable, script, "--job", str(order)]
        status = subprocess.run(command, env=dict(env), stdout=sys.stderr, check=False).returncode
        if status or not result.exists():
            sys.exit(
                f"the process of {job['peer']} must finish; it ended with status {status} (output above)."
            )
        return json.loads(result.read_text())


def emit(record: Mapping[str, Any], out: str | None) -> None:
    """Print one result as one line of JSON, and append it to the file `out` if there is one."""
    line = json.dumps(record)
    print(line, flush=True)
    if out:
        with Path(out).open("a") as file:
            file.write(line + "\n")


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table with aligned columns: reads well in a terminal and can be pasted into the README."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    lines.insert(1, "| " + " | ".join("-" * w for w in widths) + " |")
    return "\n".join(lines)


def footer() -> str:
    """Machine and versions, as they stand under every table."""
    m = machine()
    told = ", ".join(f"{k} {v}" for k, v in versions().items())
    where = f"{m['cpu']}, {m['cores']} cores, {m['memory_gib']} GiB, {m['system']}, Python {m['python']}"
    return f"Machine: {where}; load average {m['load_at_start']}\nVersions: {told}"
