"""Makes the project's virtual environments; a second run finds a current stamp and installs nothing.

In: a folder (`.venv`) and what to install. Out: that folder's Python. Only the standard library is used.
Run as a program it prepares `.venv` with the extras named: `python3 scripts/environment.py app notebook`.
Read next: `demo.py` and `test.py`, which call it.
"""

import contextlib
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def prepare(folder, extras=(), requirements=None):
    """Return the Python of the environment `folder` with wiggly (editable) and `extras` installed in it.

    A stamp inside the environment says what was installed from which pyproject by which Python. It is written
    last, so an interrupted install is finished by the next run, and an environment that was moved is
    made anew.
    """
    if sys.version_info < (3, 11):  # noqa: UP036 - older Pythons do run this file
        found = sys.version.split()[0]
        sys.exit(f"wiggly needs Python 3.11 or newer; this is {found}.\nFind one: sh scripts/python FILE")
    environment = ROOT / folder
    stamp = environment / ".stamps" / "-".join(sorted(extras) or ["plain"])
    wanted = _fingerprint(requirements)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if stamp.exists() and stamp.read_text() == wanted and python.exists():
        return python
    if not _has_pip(python):
        print(f"==> making {folder} with Python {sys.version.split()[0]}", flush=True)
        call(sys.executable, "-m", "venv", "--clear", environment)
    target = f".[{','.join(sorted(extras))}]" if extras else "."
    print(
        f"==> installing wiggly {target} into {folder} (the first time downloads some gigabytes)", flush=True
    )
    more = ("-r", requirements) if requirements else ()
    call(python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-e", target, *more)
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(wanted)
    return python


def call(*command, env=None, check=True):
    """Run a command in the project's root; when it fails, stop this script with the same exit status."""
    process = subprocess.Popen([str(part) for part in command], cwd=ROOT, env=env)
    try:
        status = process.wait()
    except KeyboardInterrupt:  # the command got it too: let it keep its checkpoint, close its port
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        process.kill()
        raise
    if check and status:
        sys.exit(status)
    return status


def program(python, name):
    """Return the path of a program that was installed beside `python`."""
    return python.with_name(name + (".exe" if os.name == "nt" else ""))


def quiet_threads():
    """Return variables that let waiting threads sleep: spinning costs up to 17x beside a busy neighbour."""
    return {"OMP_WAIT_POLICY": "passive", **os.environ}


def _fingerprint(requirements):
    files = [ROOT / "pyproject.toml", *([ROOT / requirements] if requirements else [])]
    text = b"\0".join([str(ROOT).encode(), sys.version.encode(), *(file.read_bytes() for file in files)])
    return hashlib.sha256(text).hexdigest()


def _has_pip(python):
    """Tell whether this environment's own pip runs, from where the environment lies now."""
    if not python.exists():
        return False
    probe = [str(python), "-c", "import sys, pip; print(sys.prefix, sys.version)"]
    result = subprocess.run(probe, capture_output=True, text=True, check=False)
    return result.stdout.strip() == f"{python.parent.parent} {sys.version}"


if __name__ == "__main__":
    print(prepare(".venv", sys.argv[1:]))
