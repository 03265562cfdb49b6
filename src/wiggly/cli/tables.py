"""What `train` and `lr-find` make of a table instead of a folder of pictures.

In: the path of a table and options. Out: a learner over its rows. Read next: `training.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from wiggly.cli.options import DEFAULT_VALID_PCT, LabelOptions, ModelOptions, PictureOptions
from wiggly.errors import ArgumentError

if TYPE_CHECKING:
    from wiggly.tabular.columns import Kinds
    from wiggly.train.learner import Learner

__all__ = [
    "TableOptions",
    "is_table",
    "make_table_learner",
    "refuse_label_options",
    "refuse_table",
    "refuse_table_options",
    "table_lr",
]

SUFFIXES = (".csv", ".parquet", ".pq")

#: Peak rates of a one-cycle fit when none is given, measured on six tables (`dev/LOG.md`).
LRS = {"mlp": 1e-2, "tabm": 5e-3}

#: Of ratings: what `collab_learner` and its batches are measured with, and by which part of their span a
#: prediction may lie beyond them, as a sigmoid reaches neither end.
RATINGS_LR, RATINGS, BEYOND = 5e-3, 64, 0.125
NOT_OF_RATINGS = ("task", "categories", "numbers", "leave_out")

#: Of remarks on columns, what is said in Python, and on the command line.
SPOKEN = {
    r"y_block=RegressionBlock for numbers": "--task numbers to predict numbers",
    r"y_block=CategoryBlock for labels": "--task labels to predict labels",
    r"df\.drop\(columns='(.*?)'\)": r"--leave-out '\1'",
}

#: Rows per step: few enough for fifty steps in an epoch.
SMALLEST_BATCH, LARGEST_BATCH, STEPS = 16, 512, 50


@Parameter(name="*", group="Tables")
@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What of a table is predicted, and what its columns are."""

    target: Annotated[
        str | None, Parameter(help="The column to predict; several numbers with commas between them.")
    ] = None
    task: Annotated[
        Literal["labels", "numbers"] | None,
        Parameter(help="What a target of whole numbers is. Default: labels if there are two, else numbers."),
    ] = None
    categories: Annotated[
        str | None,
        Parameter(help="Columns to take as categories whatever they look like, with commas between them."),
    ] = None
    numbers: Annotated[
        str | None,
        Parameter(help="Columns to take as numbers whatever they look like, with commas between them."),
    ] = None
    user: Annotated[
        str | None,
        Parameter(help="Of a table of ratings the column of users; with --item, and --target the ratings."),
    ] = None
    item: Annotated[str | None, Parameter(help="Of a table of ratings the column of what is rated.")] = None
    leave_out: Annotated[str | None, Parameter(help="Columns not to look at, with commas between them.")] = (
        None
    )


def is_table(path: Path) -> bool:
    """Whether a path is that of a table, by its suffix.

    Example:
        >>> is_table(Path("people.csv")), is_table(Path("photos"))
        (True, False)
    """
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def refuse_table(source: Path, verb: str, instead: str) -> None:
    """Says that a verb is for pictures alone, and what there is for tables.

    Args:
        source: What was given to it.
        verb: Its name.
        instead: What works for tables.

    Raises:
        ArgumentError: It is a table.
    """
    if is_table(source):
        raise ArgumentError(f"`wiggly {verb}` is for a folder of pictures", f"'{source}' is a table", instead)


def refuse_table_options(options: TableOptions, source: Path) -> None:
    """Says that an option is for tables alone.

    Raises:
        ArgumentError: One was given.
    """
    given = [field.name for field in fields(options) if getattr(options, field.name) is not None]
    if given:
        raise ArgumentError(
            f"--{given[0].replace('_', '-')} is for a table, a .csv or .parquet file",
            f"'{source}' is none",
            "Leave it out, or pass the file.",
        )


def make_table_learner(
    source: Path,
    tables: TableOptions,
    labels: LabelOptions,
    pictures: PictureOptions,
    model: ModelOptions,
    path: Path,
) -> Learner:
    """A learner over the rows of a table.

    Args:
        source: The file.
        tables: What is predicted from what.
        labels: Share of the validation rows, and the seed.
        pictures: Rows per step.
        model: The network: "mlp" or "tabm".
        path: Folder for what is kept of a run.

    Raises:
        ArgumentError: No target is named, a column is not there, or an option is for pictures.
    """
    _refuse_picture_options(labels, pictures, model)
    from wiggly.tabular.encoder import Columns
    from wiggly.tabular.learner import tabular_learner
    from wiggly.tabular.loaders import TabularDataLoaders
    from wiggly.tabular.reading import as_frame, check_columns

    frame = as_frame(source)
    if tables.target is None:
        raise ArgumentError(
            "--target must name the column to predict",
            "it was not given",
            f"The columns are {', '.join(frame.columns)}.",
        )
    targets = _listed(tables.target)
    check_columns(frame, targets, "--target")
    if tables.user is not None or tables.item is not None:
        return _make_rating_learner(source, frame, tables, labels, pictures, model, path)
    kinds = _kinds(Columns(frame), tables, targets)
    print(_spoken(str(kinds)), flush=True)
    dls = TabularDataLoaders.from_df(
        frame,
        path,
        cat_names=kinds.categories,
        cont_names=kinds.numbers,
        y_names=targets if len(targets) > 1 else targets[0],
        y_block=_block(tables.task, targets),
        valid_pct=DEFAULT_VALID_PCT if labels.valid_pct is None else labels.valid_pct,
        bs=pictures.bs or fitting_rows(len(frame)),
        val_bs=LARGEST_BATCH,
        seed=labels.seed,
        verbose=False,
    )
    for note in filter(None, [dls.table.targets.note, *dls.table.notes]):
        print(_spoken(note), flush=True)
    dls.remember_source(f"'{source}'", source.parent)
    return tabular_learner(dls, arch=model.arch or "mlp", path=path)


def _block(task: str | None, targets: list[str]) -> Any:
    """The block of the target(s) as told; None where nothing was."""
    from wiggly.data.blocks import CategoryBlock, RegressionBlock

    if task is None:
        return None
    if task == "numbers":
        return RegressionBlock(len(targets))
    return CategoryBlock() if len(targets) == 1 else [CategoryBlock() for _ in targets]


def _spoken(note: str) -> str:
    """What is said of columns, with options in the place of Python."""
    for python, option in SPOKEN.items():
        note = re.sub(python, option, note)
    return note


def _make_rating_learner(
    source: Path,
    frame: Any,
    tables: TableOptions,
    labels: LabelOptions,
    pictures: PictureOptions,
    model: ModelOptions,
    path: Path,
) -> Learner:
    """A learner of ratings: who would rate what how."""
    from wiggly.tabular.collab.learner import collab_learner
    from wiggly.tabular.collab.loaders import CollabDataLoaders
    from wiggly.tabular.reading import check_columns

    given = {"user": tables.user, "item": tables.item, "target": tables.target}
    columns = _one_of_each(given)
    refused = {"arch": model.arch, **{name: getattr(tables, name) for name in NOT_OF_RATINGS}}
    wrong = [name for name, value in refused.items() if value is not None]
    if wrong:
        raise ArgumentError(
            f"--{wrong[0].replace('_', '-')} is for other tables than ratings",
            "--user and --item are given",
            "Leave it out.",
        )
    for option, column in columns.items():
        check_columns(frame, [column], f"--{option}")
    dls = CollabDataLoaders.from_df(
        frame,
        DEFAULT_VALID_PCT if labels.valid_pct is None else labels.valid_pct,
        user_name=columns["user"],
        item_name=columns["item"],
        rating_name=columns["target"],
        seed=labels.seed,
        bs=pictures.bs or RATINGS,
        val_bs=LARGEST_BATCH,
        path=path,
    )
    dls.remember_source(f"'{source}'", source.parent)
    ratings = dls.train_ds.targets[0]
    low, high = float(ratings.min()), float(ratings.max())
    beyond = (high - low) * BEYOND or 1.0
    return collab_learner(dls, y_range=(low - beyond, high + beyond), path=path)


def _one_of_each(given: Mapping[str, str | None]) -> dict[str, str]:
    columns = {option: name.strip() for option, name in given.items() if name is not None}
    lacking = [option for option in given if option not in columns]
    if lacking:
        raise ArgumentError(
            "ratings need --user, --item and --target, a column each",
            f"--{lacking[0]} was not given",
            "Name it.",
        )
    return columns


def table_lr(arch: str | None, ratings: bool = False) -> float:
    """The peak rate for a network when none is given.

    Args:
        arch: The network's name.
        ratings: Whether it is one of ratings.
    """
    return RATINGS_LR if ratings else LRS[arch or "mlp"]


def fitting_rows(n: int) -> int:
    """Rows per step when nobody says: a power of two from 16 to 512 that leaves at least fifty steps.

    Example:
        >>> fitting_rows(200), fitting_rows(4000), fitting_rows(10**6)
        (16, 64, 512)
    """
    return min(LARGEST_BATCH, max(SMALLEST_BATCH, 1 << max(0, (n // STEPS).bit_length() - 1)))


def _kinds(columns: Any, tables: TableOptions, targets: list[str]) -> Kinds:
    """The kinds of the columns: inferred, and changed as told."""
    from wiggly.tabular.columns import Kinds, infer_kinds
    from wiggly.tabular.reading import check_columns

    told = {name: _listed(getattr(tables, name) or "") for name in ("categories", "numbers", "leave_out")}
    for option, names in told.items():
        check_columns(columns.frame, names, f"--{option.replace('_', '-')}")
    found = infer_kinds(columns, None, None, [*targets, *told["leave_out"]])
    moved = [name for names in told.values() for name in names]
    twice = {name for name in moved if moved.count(name) > 1 or name in targets}
    if twice:
        raise ArgumentError(
            "a column must be one thing: a category, a number, left out, or the target",
            f"{min(twice)!r} is named twice",
            "Name it once.",
        )
    return Kinds(
        [name for name in found.categories if name not in moved] + told["categories"],
        [name for name in found.numbers if name not in moved] + told["numbers"],
        {name: why for name, why in found.left_out.items() if name not in moved},
        found.notes,
    )


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _refuse_picture_options(labels: LabelOptions, pictures: PictureOptions, model: ModelOptions) -> None:
    refuse_label_options(labels)
    _refuse(pictures, ("bs",))
    _refuse(model, ("arch",))


def refuse_label_options(options: LabelOptions) -> None:
    """Says that an option is for pictures alone.

    Raises:
        ArgumentError: One was given.
    """
    _refuse(options, ("valid_pct", "seed"))


def _refuse(options: LabelOptions | PictureOptions | ModelOptions, shared: Sequence[str]) -> None:
    for field in fields(options):
        if field.name not in shared and getattr(options, field.name) != field.default:
            raise ArgumentError(
                f"--{field.name.replace('_', '-')} is for pictures",
                "the data is a table",
                "Leave it out.",
            )
