"""The verb `notebook`: notebooks become modules and apps, and are made fit for git.

In: notebooks. Out: files, and lines that say what was done; 1 when something is wrong. Read next:
`wiggly/notebook/export.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from wiggly.errors import ArgumentError, StorageError, WigglyError

if TYPE_CHECKING:
    from wiggly.notebook.export import Export

__all__ = ["notebook"]

EXPORT_EXAMPLES = """Example:

    wiggly notebook export app.ipynb                 # the cells marked #| export -> app.py
    wiggly notebook export nbs/*.ipynb --to src/pets
    wiggly notebook export app.ipynb --app space     # a web app with the model, ready for Hugging Face
"""

CLEAN_EXAMPLES = """Example:

    wiggly notebook clean app.ipynb nbs/
    wiggly notebook clean --dry-run .
    wiggly notebook clean - < app.ipynb              # to stdout, for a git filter
"""

CHECK_EXAMPLES = """Example:

    wiggly notebook check                            # all notebooks of this folder and those in it
    wiggly notebook check app.ipynb --to src/pets
"""

Notebooks = Annotated[
    list[Path], Parameter(help="Notebooks, or folders of notebooks: .ipynb, or .py of marimo.")
]
To = Annotated[
    Path | None, Parameter(help="Folder from which module names count. Default: that of each notebook.")
]
SKIPPED = (".ipynb_checkpoints", ".venv", "node_modules", ".git")

EXAMPLES = """Example:

    wiggly notebook export app.ipynb
    wiggly notebook check
    wiggly notebook clean app.ipynb
"""

notebook = App(
    name="notebook",
    help="Makes modules and apps of notebooks, and keeps notebooks fit for git.",
    help_epilogue=EXAMPLES,
)


@notebook.command(help_epilogue=EXPORT_EXAMPLES)
def export(
    files: Annotated[list[Path], Parameter(help="Notebooks: .ipynb, or .py of marimo.")],
    /,
    *,
    to: To = None,
    app: Annotated[
        Path | None,
        Parameter(help="Write a web app into this folder: module, model, requirements, start file."),
    ] = None,
    bundle: Annotated[
        Path | None,
        Parameter(help="The app's model, if the notebook does not say which: what learn.export wrote."),
    ] = None,
    requirements: Annotated[
        Path | None, Parameter(help="Also write the packages the modules need to this file.")
    ] = None,
    check: Annotated[
        bool, Parameter(help="Import each module alone, in a fresh process, and name what is missing.")
    ] = True,
    force: Annotated[
        bool, Parameter(negative="", show_default=False, help="Replace files that were changed by hand.")
    ] = False,
) -> int:
    """Makes modules of the cells marked `#| export`.

    The marks are nbdev's: `#| default_exp app`, `#| export`, `#| exporti`, `#| export other.module`, and the
    older `#export`.

    Returns:
        0, or 1 when a module does not work alone; it is written all the same.
    """
    from wiggly.notebook.export import export_notebook

    if app is not None:
        _check_app_options(files, to, requirements)
        from wiggly.notebook.app import export_app

        done = [export_app(files[0], app, bundle=bundle, check=check, force=force)]
    elif bundle is not None:
        raise ArgumentError("`--bundle` belongs to an app", "--app was not given", "Add --app FOLDER.")
    else:
        done = [export_notebook(file, to, check=check, force=force) for file in files]
    for result in done:
        print(result, flush=True)
    if requirements is not None:
        _write_requirements(requirements, done, force)
    return 1 if any(result.problems for result in done) else 0


@notebook.command(help_epilogue=CLEAN_EXAMPLES)
def clean(
    paths: Annotated[
        list[Path],
        Parameter(
            help="Notebooks, or folders of notebooks; - cleans stdin to stdout.", allow_leading_hyphen=True
        ),
    ],
    /,
    *,
    dry_run: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Only name what is not clean, and return 1 if any."),
    ] = False,
) -> int:
    """Takes outputs, counters and editors' notes out of notebooks, so that git shows what people changed.

    Kept are text, cell ids, tags, attached pictures, and the outputs of cells tagged `keep_output`.

    Returns:
        0; with --dry-run 1 when something is to be cleaned; 1 when a file could not be cleaned.
    """
    from wiggly.notebook.clean import clean_bytes, clean_notebook

    if [str(path) for path in paths] == ["-"]:
        sys.stdout.buffer.write(clean_bytes(sys.stdin.buffer.read(), Path("stdin")))
        return 0
    changed = failed = 0
    for path in _notebooks(paths, (".ipynb",)):
        try:
            dirty = clean_notebook(path, write=not dry_run)
        except WigglyError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            failed += 1
            continue
        changed += dirty
        if dirty:
            print(f"{'not clean' if dry_run else 'cleaned'}: {path}", flush=True)
    return 1 if failed or (dry_run and changed) else 0


@notebook.command(help_epilogue=CHECK_EXAMPLES)
def check(paths: Notebooks | None = None, /, *, to: To = None) -> int:
    """Says whether notebooks and their modules are in step. Nothing is run or written.

    Returns:
        0, or 1 when a module is not in step or a notebook cannot be exported.
    """
    from wiggly.notebook.step import check_notebook

    wrong = 0
    for path in _notebooks(paths or [Path()], (".ipynb", ".py")):
        try:
            steps = check_notebook(path, to)
        except WigglyError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            wrong += 1
            continue
        for step in steps:
            print(step, flush=True)
            wrong += not step.in_step
    return 1 if wrong else 0


def _check_app_options(files: list[Path], to: Path | None, requirements: Path | None) -> None:
    if len(files) != 1:
        raise ArgumentError(
            "an app is made of one notebook", f"{len(files)} were given", "Export them one by one."
        )
    for option, value in (("--to", to), ("--requirements", requirements)):
        if value is not None:
            raise ArgumentError(
                "an app's folder holds all it needs",
                f"{option} was given beside --app",
                f"Leave out {option}.",
            )


def _write_requirements(path: Path, done: list[Export], force: bool) -> None:
    from wiggly.notebook.writing import is_made, sealed, write_text

    if path.exists() and not force and not is_made(path.read_text("utf-8", "replace")):
        raise ArgumentError(
            f"'{path}' must be free, or as an export wrote it",
            "another file is there",
            "Choose another name, or pass --force to replace it.",
        )
    lines = sorted({line for result in done for line in result.requirements.lines}, key=str.lower)
    names = ", ".join(str(result.notebook.name) for result in done)
    write_text(
        path,
        sealed(f"# What the modules made from {names} import.\n", "".join(f"{line}\n" for line in lines)),
    )


def _notebooks(paths: list[Path], suffixes: tuple[str, ...]) -> list[Path]:
    """The notebooks named, and those below the folders named; of Python files in folders only marimo's."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inner = [
            p for suffix in suffixes for p in path.rglob(f"*{suffix}") if not set(SKIPPED) & set(p.parts)
        ]
        found += sorted(p for p in inner if p.suffix != ".py" or _is_marimo(p))
    return found


def _is_marimo(path: Path) -> bool:
    try:
        return "marimo.App(" in path.read_text("utf-8", "ignore")
    except OSError as error:
        raise StorageError(
            "notebooks must be readable", f"'{path}' is not: {error}", "Change its permissions."
        ) from error
