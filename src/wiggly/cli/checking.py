"""The verb `data check`: what would spoil a training, found before it begins.

In: a folder. Out: a table, a JSON file, a page; 1 when there are errors. Read next:
`../vision/check/run.py`.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from wiggly.cli.options import LabelOptions, check_labels, check_target, command_line
from wiggly.cli.tables import refuse_table
from wiggly.errors import ArgumentError

if TYPE_CHECKING:
    from rich.console import Console

    from wiggly.vision.check import DataCheck

__all__ = ["data", "progress_bar"]

EXAMPLES = """Example:

    wiggly data check photos
    wiggly data check scans --group-regex '(patient\\d+)_' --html check.html
    wiggly data check photos --list unreadable       # only the file names
    wiggly data check photos --json - | jq .ok
"""

INSTEAD = (
    "`wiggly train FILE --target COLUMN --epochs 0` trains nothing: it prints what each column is taken for, "
    "and which are constant, doubled, or give the target away."
)

#: Options that say how the result is written, not what is checked.
OUTPUT = ("--json", "--html", "--list", "--force")
STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}

data = App(name="data", help="Looks at data before a model is trained on it.", help_epilogue=EXAMPLES)


@data.command(help_epilogue=EXAMPLES)
def check(
    folder: Annotated[Path, Parameter(help="The pictures, e.g. photos/cat/1.jpg or photos/train/cat/1.jpg.")],
    /,
    *,
    group_regex: Annotated[
        str | None,
        Parameter(
            help="What must stay on one side of the split (a patient, a video): the first group of this "
            "pattern in the path."
        ),
    ] = None,
    near: Annotated[
        bool, Parameter(help="Also look for copies that were resized, recompressed, cropped or mirrored.")
    ] = True,
    json: Annotated[
        Path | None,
        Parameter(help="Write all findings to this file; - for stdout.", allow_leading_hyphen=True),
    ] = None,
    html: Annotated[Path | None, Parameter(help="Write a page with the pictures to this file.")] = None,
    list: Annotated[
        str | None,
        Parameter(
            help="Print only the files of one finding, one a line; of copies those that can go. `copies` "
            "stands for all kinds of them."
        ),
    ] = None,
    force: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Replace files at the targets whatever they are."),
    ] = False,
    labels: LabelOptions = LabelOptions(),  # noqa: B008
) -> int:
    """Finds unreadable files, odd sizes, empty and rare classes, copies and leaks between train and valid.

    Labels and split are found as `wiggly train` finds them. Nothing is changed or deleted.

    Returns:
        0, or 1 when there are findings that are errors.
    """
    refuse_table(folder, "data check", INSTEAD)
    check_labels(labels)
    _check_targets(json, html, list, force)
    from wiggly.vision.check import check_folder

    with progress_bar() as progress:
        found = check_folder(
            folder,
            labels.label_regex,
            labels.label_csv,
            labels.valid_pct,
            labels.seed,
            group_regex,
            near,
            progress,
            _command(),
        )
    _write(found, json, html)
    if list is not None:
        for path in found.spare(list):
            print(path)
    elif json is None or str(json) != "-":
        _show(found)
    return 1 if found.errors and list is None else 0


def _check_targets(json: Path | None, html: Path | None, list: str | None, force: bool) -> None:
    from wiggly.interpret.markup import is_report
    from wiggly.vision.check.fixes import FIXES

    known = ("copies", *FIXES)
    if list is not None and list not in known:
        raise ArgumentError(
            "`--list` must name a kind of finding",
            f"it is '{list}'",
            f"Pass one of: {', '.join(sorted(known))}.",
        )
    if json is not None and str(json) != "-":
        check_target(json, ours=_is_ours(json), force=force)
    if html is not None:
        check_target(html, ours=is_report(html), force=force)


def _is_ours(path: Path) -> bool:
    """Whether a file is an earlier result of `--json`."""
    try:
        with path.open("rb") as file:
            return file.read(20).startswith(b'{\n  "schema": ')
    except OSError:
        return False


def _command() -> str:
    """The command as it was typed, without what says how the result is written."""
    words, kept = iter(command_line.get()), ["wiggly"]
    for word in words:
        name = word.partition("=")[0]
        if name not in OUTPUT:
            kept.append(word)
        elif word != "--force" and "=" not in word:
            next(words, None)  # its value
    return shlex.join(kept)


def _write(found: DataCheck, json: Path | None, html: Path | None) -> None:
    from wiggly.train.checkpoint import atomic_write

    if json is not None and str(json) == "-":
        print(found.to_json())
    elif json is not None:
        atomic_write(json, (found.to_json() + "\n").encode("utf-8"))
    if html is not None:
        from wiggly.interpret.data_check import check_page

        atomic_write(html, check_page(found).encode("utf-8"))


@contextmanager
def progress_bar(text: str = "looking at the pictures") -> Generator[Callable[[int, int], object] | None]:
    """A bar on a terminal; nothing for a file or a pipe."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=None)
        yield (
            lambda done, n: bar.update(task, completed=done, total=n) if done % 64 == 0 or done == n else None
        )


def _show(found: DataCheck) -> None:
    """A table and the details on a terminal, plain lines elsewhere."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        print(found)
        return
    console.print(found.headline, style="bold", markup=False)
    if found.findings:
        _show_table(found, console)
        _show_details(found, console)


def _show_table(found: DataCheck, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("", "finding", "what it means"):
        table.add_column(name, no_wrap=name != "what it means")
    for finding in found.findings:
        style = STYLES[finding.severity]
        table.add_row(Text(finding.severity, style), Text(finding.kind, "bold"), Text(finding.message))
    console.print(table)


def _show_details(found: DataCheck, console: Console) -> None:
    from rich.text import Text

    for finding in found.findings:
        console.print(Text(f"\n{finding.kind}", f"{STYLES[finding.severity]}"))
        for line in finding.lines():
            console.print(Text(f"    {line}"), soft_wrap=True)
        # Not wrapped by us: what is wrapped here cannot be copied as one command.
        console.print(Text("  fix: ", "bold").append(finding.fix, "not bold"), soft_wrap=True)
