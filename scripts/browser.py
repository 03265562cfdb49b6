"""Finds a Chromium for the browser tests, and brings one where there is none.

First the one on the PATH, else Debian's package when root on a Debian, else the one playwright downloads.
"""

import os
import shutil
import subprocess

from environment import call

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def ensure_chromium(python):
    """Install a Chromium unless one is there; the tests' `browser` fixture looks in the same places."""
    if any(shutil.which(name) for name in NAMES) or _playwright_has_one(python):
        return
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        print("==> installing Debian's chromium for the browser tests", flush=True)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        wait = ["-o", "DPkg::Lock::Timeout=300"]
        call("apt-get", *wait, "update", "-qq", env=quiet, check=False)
        if (
            call(
                "apt-get",
                *wait,
                "install",
                "-y",
                "-qq",
                "--no-install-recommends",
                "chromium",
                env=quiet,
                check=False,
            )
            == 0
        ):
            return
    print("==> downloading playwright's chromium for the browser tests", flush=True)
    call(python, "-m", "playwright", "install", "chromium")


def _playwright_has_one(python):
    """Tell whether playwright's own Chromium was downloaded before."""
    probe = (
        "import os; from playwright.sync_api import sync_playwright as start\n"
        "with start() as p: raise SystemExit(not os.path.exists(p.chromium.executable_path))"
    )
    return subprocess.run([str(python), "-c", probe], capture_output=True, check=False).returncode == 0
