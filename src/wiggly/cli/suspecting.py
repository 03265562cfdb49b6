"""The verb `clean suspects`: what to look at first in a folder or a table.

In: labelled pictures or a table; a bundle, or a network for features. Out: a ranked table on the screen, and
in a CSV file. Read next: `../clean/suspects/suggest.py`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from wiggly.cli.checking import progress_bar
from wiggly.cli.options import LabelOptions, ModelOptions, PictureOptions, check_target, make_loaders
from wiggly.cli.tables import TableOptions, is_table, make_table_learner, refuse_table_options
from wiggly.errors import ArgumentError

if TYPE_CHECKING:
    from wiggly.clean.suspects.suspect import Suspects

__all__ = ["suspects"]

EXAMPLES = """Example:

    wiggly clean suspects photos --arch resnet18
    wiggly clean suspects photos --bundle photos.wiggly --top 100 --csv suspects.csv
    wiggly clean suspects photos --arch resnet18 --kinds conflict,leak
    wiggly clean suspects people.csv --target income
"""


@Parameter(name="*", group="What is listed")
@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """How many suspects are listed, of which kinds, and where."""

    top: Annotated[int, Parameter(help="How many are printed.")] = 50
    kinds: Annotated[
        str | None,
        Parameter(
            help="Which kinds, with commas between them: label, loss, conflict, leak, outlier, unreadable, "
            "blank, blurred, dark, tiny, odd-shaped. Default: all that the data allow."
        ),
    ] = None
    csv: Annotated[Path | None, Parameter(help="Write all suspects, with their evidence, to this file.")] = (
        None
    )
    force: Annotated[
        bool, Parameter(negative="", show_default=False, help="Replace the file whatever it is.")
    ] = False


def suspects(
    data: Annotated[Path, Parameter(help="The labelled pictures, or a table.")],
    /,
    *,
    bundle: Annotated[
        Path | None,
        Parameter(
            help="A model trained on these pictures: its body gives the features, and its losses count."
        ),
    ] = None,
    listed: ListOptions = ListOptions(),
    labels: LabelOptions = LabelOptions(),  # noqa: B008
    pictures: PictureOptions = PictureOptions(size=160),  # noqa: B008
    model: ModelOptions = ModelOptions(arch="resnet18"),  # noqa: B008
    tables: TableOptions = TableOptions(),  # noqa: B008
) -> int:
    """Ranks the items that may be wrong, each with its reason. Changes nothing.

    Labels and split are found as `wiggly train` finds them.

    Returns:
        0.
    """
    if listed.top < 1:
        raise ArgumentError("`--top` must be at least 1", f"it is {listed.top}", "Pass --top 50, say.")
    if listed.csv is not None:
        check_target(listed.csv, ours=_is_ours(listed.csv), force=listed.force)
    from wiggly.clean.suspects.suggest import suggest

    kinds = None if listed.kinds is None else [kind.strip() for kind in listed.kinds.split(",")]
    source, body = _source(data, bundle, labels, pictures, model, tables)
    with progress_bar("looking at the items") as progress:
        found = suggest(source, **body, kinds=kinds, seed=labels.seed, progress=progress)
    print(found.table(listed.top))
    if listed.csv is not None:
        _write(found, listed.csv)
    return 0


def _source(
    data: Path,
    bundle: Path | None,
    labels: LabelOptions,
    pictures: PictureOptions,
    model: ModelOptions,
    tables: TableOptions,
) -> tuple[Any, dict[str, Any]]:
    """A learner or loaders, and the network for features."""
    if is_table(data):
        if bundle is not None:
            raise ArgumentError(
                "`--bundle` is for pictures", "the data is a table", "Leave it out: rows are judged by trees."
            )
        learner = make_table_learner(data, tables, labels, PictureOptions(), ModelOptions(), Path())
        return learner.dls, {}
    refuse_table_options(tables, data)
    if bundle is None:
        return make_loaders(data, labels, pictures), {
            "arch": model.arch,
            "weights": model.weights,
            "pretrained": model.pretrained,
        }
    from wiggly.bundle.predictor import load_bundle
    from wiggly.cli.scoring import scored_learner

    return scored_learner(load_bundle(bundle), data, labels, everything=False), {}


COLUMNS = "item,kind,score,reason,given,predicted,split,part"


def _is_ours(path: Path) -> bool:
    """Whether a file is an earlier result."""
    try:
        with path.open("r", encoding="utf-8", errors="replace") as file:
            return file.read(len(COLUMNS)) == COLUMNS
    except OSError:
        return False


def _write(found: Suspects, path: Path) -> None:
    from wiggly.train.checkpoint import atomic_write

    text = found.to_pandas(ids=True).to_csv(index=False)
    atomic_write(path, text.encode("utf-8"))
    print(f"{len(found):,} suspects in '{path}'", file=sys.stderr)
