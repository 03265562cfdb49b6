"""Writes the tree of the package into the README: one line per file, from the first sentence of each module.

`python3 scripts/tree.py` rewrites README.md; a test fails when it is stale.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "wiggly"
BLOCK = re.compile(r"(```text\n)src/wiggly/\n.*?(```)", re.DOTALL)
WIDEST = 92

# The order of the journey, not of the alphabet; what is not named here comes last.
ROOMS = ["data", "train", "vision", "interpret", "bundle", "clean", "apps", "teach", "notebook", "run", "cli"]
NOT_PYTHON = {
    "report.css": "the look of the report, light and dark, screen and paper",
    "model.schema.json": "the JSON Schema of a bundle's `model.json`, generated from `manifest.py`",
}


def render():
    """Return the tree as text."""
    lines = ["src/wiggly/"]
    lines += [_line(file, 1) for file in sorted(PACKAGE.glob("*.py"))]
    folders = sorted(
        (folder for folder in PACKAGE.iterdir() if (folder / "__init__.py").exists()),
        key=lambda folder: (ROOMS.index(folder.name) if folder.name in ROOMS else len(ROOMS), folder.name),
    )
    for folder in folders:
        lines += _folder(folder, 1)
    return "\n".join(lines) + "\n"


def _folder(folder, depth):
    """The lines of a folder, its files and the folders in it."""
    name = f"{'  ' * depth}{folder.name + '/':<{26 - 2 * depth}}"
    lines = [f"{name}{_first_sentence(folder / '__init__.py')}"]
    files = [f for f in folder.iterdir() if f.is_file() and f.name != "__init__.py"]
    lines += [_line(file, depth + 1) for file in sorted(files)]
    for inner in sorted(f for f in folder.iterdir() if (f / "__init__.py").exists()):
        lines += _folder(inner, depth + 1)
    return lines


def _line(file, depth):
    text = _first_sentence(file) if file.suffix == ".py" else NOT_PYTHON[file.name]
    return f"{'  ' * depth}{file.name:<{26 - 2 * depth}}{text}"


def _first_sentence(file):
    """Return what a module says of itself: its first sentence, cut at a pause if it is long."""
    words = " ".join((ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").split())
    sentence = re.split(r"(?<=[a-z0-9)`'])\.(?:\s|$)", words)[0].replace("``", "`").rstrip(".")
    if len(sentence) > WIDEST:
        sentence = sentence[: max(sentence.rfind(mark, 0, WIDEST) for mark in (": ", "; ", ", ", " and "))]
    return sentence.rstrip(",")


def main():
    """Rewrite the README's tree."""
    readme = ROOT / "README.md"
    text = readme.read_text("utf-8")
    readme.write_text(BLOCK.sub(lambda found: found[1] + render() + found[2], text), "utf-8")


if __name__ == "__main__":
    main()
