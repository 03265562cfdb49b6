"""A folder of pictures as something to check, labelled and split as `wiggly train` would.

In: a folder and how labels and split are found. Out: `Subject`. Read next: `run.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from wiggly.data.items import ColReader, RegexLabeller, as_items, get_files, get_image_files
from wiggly.data.split import RandomSplitter
from wiggly.errors import DataError, WigglyError
from wiggly.vision.check.subject import Groups, Item, Subject, group_reader, is_photo_left_out, named

__all__ = ["SIDES", "from_folder"]

#: Sub-folders that are sides of a split, and what they are called here.
SIDES = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
DEFAULT_VALID_PCT, DEFAULT_SEED = 0.2, 42
FEWEST_FOR_A_SPLIT = 5  # pictures: of fewer, 20 % are none


def from_folder(
    folder: str | Path,
    label_regex: str | None = None,
    label_csv: str | Path | None = None,
    valid_pct: float | None = None,
    seed: int = DEFAULT_SEED,
    groups: Groups = None,
    command: str = "",
) -> Subject:
    """The pictures of a folder.

    Args:
        folder: The folder.
        label_regex: The label is the first group of this pattern in the file's name.
        label_csv: A table of file names and labels.
        valid_pct: Share for validation, at random; None takes sub-folders `train`, `valid`, `val`,
            `validation` and `test` where there are at least two of them, else 0.2.
        seed: Of the random split.
        groups: How the group of a picture is found.
        command: The command that checks this folder, for fixes.

    Raises:
        DataError: The folder is missing or has no pictures; the table cannot be read.
        ArgumentError: A pattern is wrong.
    """
    root = Path(folder).expanduser()
    sides = {} if valid_pct is not None or label_csv is not None else _sides(root)
    if label_csv is not None:
        files, labels = _from_table(root, Path(label_csv))
        unlabelled: dict[str, str] = {}
    else:
        files = list(get_image_files(root, folders=list(sides) or None))
        labels, unlabelled = _labels(root, files, label_regex, sides)
    if not files:
        raise DataError(
            "there must be pictures", f"'{root}' has none", "Check the folder; sub-folders are searched too."
        )
    of_side = _side_by_folder(root, sides) if sides else _side_at_random(len(files), valid_pct, seed)
    group_of = group_reader(groups)
    items = [
        Item(str(file), file, label, of_side(k, file), group_of(_relative(root, file)))
        for k, (file, label) in enumerate(zip(files, labels, strict=True))
    ]
    return Subject(
        named(str(root), items),
        str(root),
        how="shell",
        command=command,
        vocab=_class_folders(root, sides) if label_regex is None and label_csv is None else (),
        random=not sides,
        unlabelled=unlabelled,
        left_out=[_relative(root, file) for file in get_files(root) if is_photo_left_out(file.name)],
    )


def _sides(root: Path) -> dict[str, str]:
    """Sub-folders that divide the pictures; none unless there are two."""
    found = {name: side for name, side in SIDES.items() if (root / name).is_dir()}
    return found if len(found) > 1 else {}


def _side_by_folder(root: Path, sides: dict[str, str]) -> Callable[[int, Path], str]:
    return lambda k, file: sides[file.relative_to(root).parts[0]]


def _side_at_random(n: int, valid_pct: float | None, seed: int) -> Callable[[int, Path], str]:
    if n < FEWEST_FOR_A_SPLIT and valid_pct is None:
        return lambda k, file: "all"
    valid = set(RandomSplitter(DEFAULT_VALID_PCT if valid_pct is None else valid_pct, seed)(range(n)).valid)
    return lambda k, file: "valid" if k in valid else "train"


def _labels(
    root: Path, files: Sequence[Path], pattern: str | None, sides: dict[str, str]
) -> tuple[list[tuple[str, ...] | None], dict[str, str]]:
    """The label of each file, and the files that have none."""
    if pattern is not None:
        return _by_pattern(root, files, pattern)
    tops = {root / name for name in sides} if sides else {root}
    if all(file.parent in tops for file in files):  # no folder below: pictures without labels
        return [None] * len(files), {}
    # A side without any class folder, as competitions have them for `test`, has no labels to miss.
    labelled = {_top(root, file) for file in files if file.parent not in tops} if sides else {root}
    loose = {
        _relative(root, file): "it lies in no class folder"
        for file in files
        if file.parent in tops and (not sides or _top(root, file) in labelled)
    }
    return [None if file.parent in tops else (file.parent.name,) for file in files], loose


def _top(root: Path, file: Path) -> Path:
    return root / file.relative_to(root).parts[0]


def _by_pattern(
    root: Path, files: Sequence[Path], pattern: str
) -> tuple[list[tuple[str, ...] | None], dict[str, str]]:
    labeller = RegexLabeller(pattern)
    labels, unlabelled = list[tuple[str, ...] | None](), dict[str, str]()
    for file in files:
        try:
            labels.append((labeller(file.name),))
        except WigglyError:
            labels.append(None)
            unlabelled[_relative(root, file)] = "the pattern does not fit its name"
    return labels, unlabelled


def _from_table(root: Path, table: Path) -> tuple[list[Path], list[tuple[str, ...] | None]]:
    import pandas

    try:
        rows = as_items(pandas.read_csv(table))
        if len(rows) and len(rows[0]) < 2:
            raise ValueError("it has a single column")
    except (OSError, ValueError) as error:
        rule = "the table must hold file names and labels"
        raise DataError(rule, f"'{table}': {error}", "Check the path and the file.") from error
    file, label = ColReader(0, pref=root), ColReader(1)

    def text(value: Any) -> tuple[str, ...] | None:
        return None if value is None or value != value else (str(value),)  # NaN is not equal to itself

    return [Path(file(row)) for row in rows], [text(label(row)) for row in rows]


def _class_folders(root: Path, sides: dict[str, str]) -> list[str]:
    """Names of the folders that stand for classes, also where they are empty."""
    starts = [root / name for name in sides] or [root]
    found = {entry.name for start in starts for entry in os.scandir(start) if _is_class_folder(entry)}
    return sorted(found)


def _is_class_folder(entry: os.DirEntry[str]) -> bool:
    # A folder of folders is no class itself: its sub-folders are.
    return (
        entry.is_dir()
        and not entry.name.startswith((".", "__"))
        and not any(inner.is_dir() for inner in os.scandir(entry.path))
    )


def _relative(root: Path, file: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()
