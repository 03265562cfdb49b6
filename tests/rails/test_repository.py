"""What is committed: the tree in the README, no machine's paths, scripts that parse, thin CI."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import ROOT

SKIPPED = {
    ".git",
    ".venv",
    ".venv-bench",
    "__pycache__",
    "node_modules",
    "digits",
    "digits.wiggly",
    "report.html",
    "models",
}


def committed() -> list[Path]:
    """Files of the project: those git knows or would add; without git, those that no tool made."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
            "\n"
        )
        files = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        files = [f for f in ROOT.rglob("*") if not SKIPPED & set(f.relative_to(ROOT).parts)]
    return [f for f in files if f.is_file()]


def tree_in_readme() -> dict[str, str]:
    """Path to description, from the README's tree."""
    readme = (ROOT / "README.md").read_text()
    block = re.search(r"```text\n(src/wiggly/\n.*?)```", readme, re.DOTALL)
    assert block, "the README has a ```text block that begins with src/wiggly/"
    found: dict[str, str] = {}
    folders: list[str] = []
    for line in block[1].splitlines():
        match = re.fullmatch(r"( *)(\S+)(?: {2,}(\S.*))?", line)
        assert match, f"not a line of the tree: {line!r}"
        depth = len(match[1]) // 2
        folders[depth:] = [match[2].rstrip("/")]
        found["/".join(folders)] = match[3] or ""
    return found


def test_the_readme_tree_names_every_file_once_and_nothing_else() -> None:
    tree = tree_in_readme()
    package = ROOT / "src" / "wiggly"
    files = {
        f.relative_to(ROOT).as_posix()
        for f in package.rglob("*")
        if f.is_file()
        and not {"__pycache__", "static"} & set(f.parts)  # what is built
        and f.name != "py.typed"
        and not (f.name == "__init__.py" and f.parent != package)
    }
    listed = {name for name in tree if Path(name).suffix}
    assert listed == files, f"missing: {sorted(files - listed)}; gone: {sorted(listed - files)}"
    assert not [name for name, text in tree.items() if name != "src/wiggly" and not text]


def test_no_path_of_a_machine_is_committed() -> None:
    pattern = re.compile(r"(?<![\w.])/(?:work|root|home|Users|tmp/v|mnt)/\w+")
    guilty = [
        f"{file.relative_to(ROOT)}: {match[0]}"
        for file in committed()
        if file.suffix in {".py", ".md", ".toml", ".json", ".ipynb", ".css", ".txt", ".yml", ""}
        for match in pattern.finditer(file.read_text(errors="ignore"))
    ]
    assert not guilty


def test_no_large_file_is_committed() -> None:
    assert not [str(f.relative_to(ROOT)) for f in committed() if f.stat().st_size > 1_000_000]


def test_ci_calls_make_test_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["make test"]


@pytest.mark.parametrize("target", ["demo", "test", "test-all", "bench"])
def test_each_make_target_is_one_script(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(rf"^{target}:\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe
    assert len(recipe[1].strip().splitlines()) == 1
    script = re.search(r"scripts/\w+\.py", recipe[1])
    assert script
    assert (ROOT / script[0]).is_file()


def test_tests_mirror_the_source() -> None:
    rooms = {path.name for path in (ROOT / "src" / "wiggly").iterdir() if (path / "__init__.py").exists()} - {
        "cli"
    }
    assert not [room for room in rooms if not list((ROOT / "tests" / room).glob("test_*.py"))]


def test_scripts_need_only_the_standard_library() -> None:
    own = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    for script in (ROOT / "scripts").glob("*.py"):
        if script.stem in ("make_digits", "hatch_build", "swift_vectors"):  # run inside an environment
            continue
        for node in ast.parse(script.read_text("utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in (name.split(".")[0] for name in names):
                assert name in own or name in sys.stdlib_module_names, f"{script.name} imports {name}"
