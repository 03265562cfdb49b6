"""What `train` and `lr-find` make of a table instead of a folder of pictures.

In: the path of a table and options. Out: a learner over its rows. Read next: `training.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from wiggly.cli.options import DEFAULT_VALID_PCT, LabelOptions, ModelOptions, PictureOptions
from wiggly.errors import ArgumentError

if TYPE_CHECKING:
    from wiggly.tabular.columns import Kinds
    from wiggly.train.learner import Learner

__all__ = ["TableOptions", "is_table", "make_table_learner", "refuse_table_options", "table_lr"]

SUFFIXES = (".csv", ".parquet", ".pq")

#: Peak rates of a one-cycle fit when none is given: of the plain network, and of TabM, whose authors use this
#: one throughout (Gorishniy et al., arXiv:2410.24210, appendix D).
LRS = {"mlp": 1e-2, "tabm": 2e-3}

#: Rows per step: few enough for fifty steps in an epoch.
SMALLEST_BATCH, LARGEST_BATCH, STEPS = 16, 512, 50


@Parameter(name="*", group="Tables")
@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What of a table is predicted, and what its columns are."""

    target: Annotated[
        str | None, Parameter(help="The column to predict; several numbers with commas between them.")
    ] = None
    categories: Annotated[
        str | None,
        Parameter(help="Columns to take as categories whatever they look like, with commas between them."),
    ] = None
    numbers: Annotated[
        str | None,
        Parameter(help="Columns to take as numbers whatever they look like, with commas between them."),
    ] = None
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
    kinds = _kinds(Columns(frame), tables, targets)
    print(kinds, flush=True)
    dls = TabularDataLoaders.from_df(
        frame,
        path,
        cat_names=kinds.categories,
        cont_names=kinds.numbers,
        y_names=targets if len(targets) > 1 else targets[0],
        valid_pct=DEFAULT_VALID_PCT if labels.valid_pct is None else labels.valid_pct,
        bs=pictures.bs or fitting_rows(len(frame)),
        val_bs=LARGEST_BATCH,
        seed=labels.seed,
    )
    dls.remember_source(f"'{source}'")
    return tabular_learner(dls, arch=model.arch or "mlp", path=path)


def table_lr(arch: str | None) -> float:
    """The peak rate for a network when none is given."""
    return LRS[arch or "mlp"]


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
    for options, shared in ((labels, ("valid_pct", "seed")), (pictures, ("bs",)), (model, ("arch",))):
        for field in fields(options):
            if field.name not in shared and getattr(options, field.name) != field.default:
                raise ArgumentError(
                    f"--{field.name.replace('_', '-')} is for pictures",
                    "the data is a table",
                    "Leave it out.",
                )
