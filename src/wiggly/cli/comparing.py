"""The verb `compare`: several networks trained alike on a folder of labelled pictures, small ones first.

In: a folder and names. Out: a table, and a figure if asked for; no model is kept. Read next: `training.py`,
which trains the one that was chosen.
"""

from __future__ import annotations

import json as json_format
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from wiggly.cli.options import LabelOptions, PictureOptions, check_target, make_loaders
from wiggly.cli.tables import refuse_table
from wiggly.cli.training import Force, Json, save_figure, text_on_stderr
from wiggly.errors import ArgumentError

__all__ = ["compare"]

INSTEAD = (
    "Train both networks that there are for tables: `wiggly train FILE --target COLUMN --arch mlp`, then "
    "`--arch tabm` with another --out and --report. Each prints its score."
)


def compare(
    folder: Annotated[Path, Parameter(help="The labelled pictures, e.g. photos/cat/1.jpg.")],
    /,
    *,
    archs: Annotated[str, Parameter(help="Networks with commas between them: timm or torchvision names.")],
    budget: Annotated[str | None, Parameter(help='Time for all together, shared evenly: "10 min".')] = None,
    epochs: Annotated[
        int, Parameter(help="Passes with the whole network learning, after the one for its head.")
    ] = 0,
    pretrained: Annotated[
        bool, Parameter(help="Start from weights trained on ImageNet, fetched once.")
    ] = True,
    weights: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            show_default=False,
            help="Start this network from this file: NAME=FILE.safetensors; may be given again.",
        ),
    ] = (),
    plot: Annotated[Path | None, Parameter(help="Draw the comparison into this picture file.")] = None,
    force: Force = False,
    json: Json = False,
    labels: LabelOptions = LabelOptions(),  # noqa: B008 - frozen
    pictures: PictureOptions = PictureOptions(),  # noqa: B008
) -> int:
    """Trains several networks alike, small ones first, and prints accuracy beside time, size and images/s.

    Returns:
        0; 1 if none could be trained.
    """
    refuse_table(folder, "compare", INSTEAD)
    if plot is not None:
        check_target(plot, ours=False, force=force)
    files = dict(map(_pair, weights))
    from wiggly.interpret.compare import compare as compare_archs

    names = [name.strip() for name in archs.split(",") if name.strip()]
    with text_on_stderr(json):
        dls = make_loaders(folder, labels, pictures)
        found = compare_archs(dls, names, budget, epochs, pretrained, files, seed=labels.seed)
        if plot is not None:
            found.plot()
            save_figure(plot)
    if json:
        rows = [asdict(row) for row in found.rows]
        print(json_format.dumps({"metric": found.metric, "baseline": found.baseline, "rows": rows}, indent=2))
    return 0 if any(row.score is not None for row in found.rows) else 1


def _pair(text: str) -> tuple[str, str]:
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise ArgumentError(
            "`--weights` must be NAME=FILE",
            f"got '{text}'",
            "Pass e.g. --weights resnet18=resnet18.safetensors.",
        )
    return name, file
