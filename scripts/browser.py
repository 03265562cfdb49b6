"""Finds the browsers of the browser tests, Chromium and WebKitGTK, and brings them where there are none.

Chromium: first the one on the PATH, else Debian's package when root on a Debian, else the one playwright
downloads. WebKitGTK, Safari's engine: Debian's package when root on a Debian; elsewhere its tests skip.
"""

import os
import shutil
import subprocess

from environment import call

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WEBKIT = ("WebKitWebDriver", "Xvfb")


def ensure_chromium(python):
    """Install a Chromium unless one is there; the tests' `browser` fixture looks in the same places."""
    if any(shutil.which(name) for name in NAMES) or _playwright_has_one(python):
        return
    if _is_debian():
        print("==> installing Debian's chromium for the browser tests", flush=True)
        if _apt("chromium") == 0:
            return
    print("==> downloading playwright's chromium for the browser tests", flush=True)
    call(python, "-m", "playwright", "install", "chromium")


def ensure_webkit():
    """Install WebKitGTK with its driver and a virtual screen, where that is possible."""
    if all(shutil.which(name) for name in WEBKIT) or not _is_debian():
        return
    print("==> installing Debian's WebKitGTK for the browser tests", flush=True)
    _apt("webkit2gtk-driver", "xvfb")


def _is_debian():
    """Tell whether packages of Debian can be installed here."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and bool(shutil.which("apt-get"))


def _apt(*packages):
    """Install packages, and return the status."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300"]
    call(*apt, "update", "-qq", env=quiet, check=False)
    return call(*apt, "install", "-y", "-qq", "--no-install-recommends", *packages, env=quiet, check=False)


def _playwright_has_one(python):
    """Tell whether playwright's own Chromium was downloaded before."""
    probe = (
        "import os; from playwright.sync_api import sync_playwright as start\n"
        "with start() as p: raise SystemExit(not os.path.exists(p.chromium.executable_path))"
    )
    return subprocess.run([str(python), "-c", probe], capture_output=True, check=False).returncode == 0
