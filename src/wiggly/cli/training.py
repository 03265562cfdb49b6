"""The verbs that need labelled pictures or a table: `train`, `lr-find` and `report`.

In: a folder or a table, and options. Out: a bundle, a report and a summary, or rates, or a report of an
existing bundle. Read next: `tables.py`, what is made of a table; `using.py`, what is done with a bundle
afterwards.
"""

from __future__ import annotations

import contextlib
import json as json_format
import os
import shlex
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from wiggly.bundle.archive import is_bundle
from wiggly.cli.bundling import BundleOptions, check_bundle_options, write_bundle
from wiggly.cli.options import (
    LabelOptions,
    ModelOptions,
    PictureOptions,
    check_target,
    command_line,
    default_bundle,
    make_learner,
    make_loaders,
)
from wiggly.cli.outcome import say_result, say_what, summary_of, write_page
from wiggly.cli.tables import (
    TableOptions,
    is_table,
    make_table_learner,
    refuse_table_options,
    table_lr,
)
from wiggly.errors import ArgumentError, StorageError, WigglyError
from wiggly.interpret.markup import is_report

if TYPE_CHECKING:
    from wiggly.bundle.predictor import Predictor
    from wiggly.train.learner import Learner

__all__ = ["Force", "Json", "lr_find", "report", "save_figure", "text_on_stderr", "train"]

#: Peak rates when none is given: `fine_tune`'s own for a pretrained body, a one-cycle one for random weights.
FINE_TUNE_LR = 2e-3
FROM_SCRATCH_LR = 5e-3

Json = Annotated[
    bool,
    Parameter(
        negative="",
        show_default=False,
        help="Print one JSON object on stdout, and everything else on stderr.",
    ),
]
Force = Annotated[
    bool, Parameter(negative="", show_default=False, help="Replace files at the targets whatever they are.")
]


def train(
    source: Annotated[
        Path,
        Parameter(
            help="The labelled pictures, a folder with e.g. photos/cat/1.jpg; or a table, a .csv or .parquet "
            "file."
        ),
    ],
    /,
    *,
    epochs: Annotated[
        int, Parameter(help="Passes over the pictures or rows; 0 only writes the bundle and the report.")
    ] = 3,
    lr: Annotated[float | None, Parameter(help="Peak learning rate; `wiggly lr-find` suggests one.")] = None,
    out: Annotated[Path | None, Parameter(help="The bundle to write. Default: SOURCE.wiggly here.")] = None,
    report: Annotated[
        Path | None, Parameter(help="The report to write. Default: report.html beside it.")
    ] = None,
    resume: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Go on with the same command where it was stopped or killed. With --epochs 0: use the model "
            "as it was then.",
        ),
    ] = False,
    force: Force = False,
    json: Json = False,
    labels: LabelOptions = LabelOptions(),  # noqa: B008 - frozen
    pictures: PictureOptions = PictureOptions(),  # noqa: B008
    model: ModelOptions = ModelOptions(),  # noqa: B008
    tables: TableOptions = TableOptions(),  # noqa: B008
    written: BundleOptions = BundleOptions(),  # noqa: B008
) -> int:
    """Trains on a folder of labelled pictures, or on a table; writes a bundle and a report.

    Returns:
        0; 130 after Ctrl-C, which leaves a checkpoint, as anything does that ends a run early.
    """
    if epochs < 0:
        raise ArgumentError("`--epochs` must be at least 0", f"it is {epochs}", "Pass --epochs 3, say.")
    if lr is not None and lr <= 0:
        raise ArgumentError("`--lr` must be above 0", f"it is {lr}", "Leave it out, or see `wiggly lr-find`.")
    bundle = out or default_bundle(source)
    page = report or bundle.parent / "report.html"
    check_target(bundle, ours=is_bundle(bundle), force=force)
    check_target(page, ours=is_report(page), force=force)
    check_bundle_options(written)
    from wiggly.data.basics import set_seed
    from wiggly.train.resume.kept import forget, kept_file

    start = time.monotonic()
    set_seed(labels.seed)  # the head's first weights and dropout come from the global generators
    with text_on_stderr(json):
        learn = _learner(source, labels, pictures, model, tables, bundle.parent)
        learn.model_dir = f"models/{bundle.stem}"  # so that runs of several bundles are kept side by side
        learn.command = shlex.join(["wiggly", *command_line.get()])
        say_what(learn)
        if bundle.exists():
            print(f"'{bundle}' is there already; this run will replace it when it is done.", flush=True)
        kept = kept_file(learn)
        _find_kept(learn, kept, resume, epochs)
        try:
            _fit(learn, epochs, lr or _table_rate(source, tables, model), model, table=is_table(source))
            learn.engine.once(lambda: write_bundle(learn, bundle, written, force))
            told = learn.engine.once(lambda: write_page(learn, page, force))
        except (KeyboardInterrupt, SystemExit, WigglyError):
            _say_kept(kept)
            raise
        learn.engine.once(lambda: forget(kept, bundle.parent))
        summary = learn.engine.once(lambda: summary_of(learn, bundle, told, time.monotonic() - start))
        say_result(summary)
    if json and learn.engine.is_main:
        print(json_format.dumps(summary, indent=2))
    return 0


def lr_find(
    source: Annotated[Path, Parameter(help="The labelled pictures, or a table.")],
    /,
    *,
    plot: Annotated[Path | None, Parameter(help="Draw loss over rate into this picture file.")] = None,
    force: Force = False,
    json: Json = False,
    labels: LabelOptions = LabelOptions(),  # noqa: B008
    pictures: PictureOptions = PictureOptions(),  # noqa: B008
    model: ModelOptions = ModelOptions(),  # noqa: B008
    tables: TableOptions = TableOptions(),  # noqa: B008
) -> int:
    """Tries rising learning rates for a moment and suggests which to train with; nothing is kept."""
    from wiggly.train.lr_find import minimum, slide, steep, valley

    if plot is not None:
        check_target(plot, ours=False, force=force)
    from wiggly.data.basics import set_seed

    set_seed(labels.seed)
    with text_on_stderr(json):
        learn = _learner(source, labels, pictures, model, tables, Path())
        found = learn.lr_find(show_plot=plot is not None, suggest_funcs=(valley, slide, steep, minimum))
        if plot is not None:
            save_figure(plot)
        for name, rate in found._asdict().items():
            print(f"{name:<8} {rate:.2e}")
        words = [word for word in command_line.get()[1:] if word not in ("--json", "--force")]
        print(f"\nTry the first: wiggly train {_without(words, '--plot')} --lr {found.valley:.1e}")
    if json:
        print(json_format.dumps(found._asdict(), indent=2))
    return 0


def report(
    bundle: Annotated[Path, Parameter(help="A model that `wiggly train` wrote.")],
    source: Annotated[
        Path,
        Parameter(
            help="Labelled pictures, or a table with the column that is predicted, as for `wiggly train`."
        ),
    ],
    /,
    *,
    all: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Score every picture or row, for data the model has never seen. Default: only those for "
            "validation, found with the options of training.",
        ),
    ] = False,
    out: Annotated[
        Path | None, Parameter(help="The report to write. Default: BUNDLE-on-SOURCE.html here.")
    ] = None,
    force: Force = False,
    json: Json = False,
    labels: LabelOptions = LabelOptions(),  # noqa: B008
) -> int:
    """Scores a trained model on labelled pictures or rows and writes a report."""
    from wiggly.bundle.predictor import load_bundle

    # Not report.html: that is the page about the training, with its learning curve.
    out = out or Path(f"{bundle.stem}-on-{source.stem if is_table(source) else source.resolve().name}.html")
    check_target(out, ours=is_report(out), force=force)
    with text_on_stderr(json):
        predictor = load_bundle(bundle)
        told = _report_pictures if predictor.manifest.inputs[0].kind == "image" else _report_rows
        summary = told(predictor, source, labels, all, out)
        if summary["warning"]:
            print(f"careful: {summary['warning']}", file=sys.stderr)
    if json:
        print(json_format.dumps(summary, indent=2))
    return 0


def _report_pictures(
    predictor: Predictor, folder: Path, labels: LabelOptions, everything: bool, out: Path
) -> dict[str, Any]:
    from wiggly.cli.scoring import same_pictures_warning, scored_learner
    from wiggly.interpret.facts import headline
    from wiggly.interpret.gather import gather
    from wiggly.interpret.sections import page
    from wiggly.train.checkpoint import atomic_write

    learn = scored_learner(predictor, folder, labels, everything=everything)
    learn.command = shlex.join(["wiggly", *command_line.get()])
    facts = gather(learn)
    warning = None if everything else same_pictures_warning(predictor, facts.score)
    subtitle = f"{predictor.manifest.title}, scored on '{folder}'"
    facts = replace(facts, subtitle=subtitle, notes=(warning,) if warning else ())
    atomic_write(out, page(facts).encode("utf-8"))
    print(f"{headline(facts)}\n  report  {out}")
    score = facts.score
    return {
        "report": str(out),
        "n": score.n,
        "accuracy": score.accuracy,
        "interval": list(score.interval),
        "baseline": score.baseline,
        "warning": warning,
    }


def _report_rows(
    predictor: Predictor, source: Path, labels: LabelOptions, everything: bool, out: Path
) -> dict[str, Any]:
    from wiggly.cli.table_scoring import other_rows_warning, said_of, scored_rows, summary_of_rows
    from wiggly.interpret.tables.gather import gather_table
    from wiggly.interpret.tables.sections import table_page
    from wiggly.train.checkpoint import atomic_write

    learn = scored_rows(predictor, source, labels, everything)
    learn.command = shlex.join(["wiggly", *command_line.get()])
    facts = gather_table(learn)
    warning = None if everything else other_rows_warning(predictor, facts)
    subtitle = f"{predictor.manifest.title}, scored on '{source}'"
    facts = replace(facts, subtitle=subtitle, notes=(*facts.notes, *filter(None, [warning])))
    atomic_write(out, table_page(facts).encode("utf-8"))
    print(f"{said_of(facts)}\n  report  {out}")
    return summary_of_rows(facts, out, warning)


@contextlib.contextmanager
def text_on_stderr(json: bool) -> Generator[None]:
    """With --json, sends what is printed for people to stderr, so that stdout is one JSON object; of several
    processes only the first one speaks."""
    if int(os.environ.get("RANK", "0")):
        with contextlib.redirect_stdout(None):
            yield
        return
    if not json:
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _find_kept(learn: Learner, kept: Path, resume: bool, epochs: int) -> None:
    """Goes on with what a run before has left, or puts it aside: it may have been forgotten."""
    from wiggly.train.resume.kept import is_kept, put_aside, read_kept

    there = learn.engine.once(lambda: is_kept(kept))
    if resume and not there:
        print(f"There is no run to go on with in '{kept.parent}', so this one begins anew.", flush=True)
    elif resume and epochs == 0:
        found = learn.engine.once(lambda: read_kept(kept))
        assert found is not None
        learn.load(found.path, with_opt=False)
        print(f"The model is the one that was kept in '{kept}'.", flush=True)
    elif there and not resume and epochs:
        aside = learn.engine.once(lambda: put_aside(kept))
        print(
            "A run of this model was stopped before its end; --resume would go on with it. This one begins "
            f"anew; the other was moved to '{aside}'.",
            flush=True,
        )


def _learner(
    source: Path,
    labels: LabelOptions,
    pictures: PictureOptions,
    model: ModelOptions,
    tables: TableOptions,
    path: Path,
) -> Learner:
    if is_table(source):
        return make_table_learner(source, tables, labels, pictures, model, path)
    refuse_table_options(tables, source)
    return make_learner(make_loaders(source, labels, pictures), model, path)


def _fit(learn: Learner, epochs: int, lr: float | None, model: ModelOptions, table: bool) -> None:
    """Trains: random weights by one cycle, pretrained ones by fine-tuning; a run is always kept."""
    if epochs == 0:
        return
    if table:
        learn.fit_one_cycle(epochs, lr, resume=True)
    elif model.pretrained or model.weights:
        learn.fine_tune(epochs, lr or FINE_TUNE_LR, resume=True)
    else:
        learn.fit_one_cycle(epochs, lr or FROM_SCRATCH_LR, resume=True)


def _table_rate(source: Path, tables: TableOptions, model: ModelOptions) -> float | None:
    """The peak rate for a table when none is given; None for pictures."""
    return table_lr(model.arch, tables.user is not None) if is_table(source) else None


def _say_kept(kept: Path) -> None:
    """Says how to go on with a run that ends early."""
    from wiggly.train.resume.kept import is_kept

    if not is_kept(kept):  # nothing was trained yet
        return
    words = [word for word in command_line.get() if word != "--resume"]
    use = _without(words, "--epochs")
    say = f"""
The run was kept in {kept}.
  to go on with it: wiggly {shlex.join(words)} --resume
  to use the model: wiggly {use} --epochs 0 --resume
"""
    print(say, file=sys.stderr, flush=True)


def _without(words: Sequence[str], *options: str) -> str:
    """The words typed, less these options and their values: none may be given twice."""
    rest = iter(words)
    kept: list[str] = []
    for word in rest:
        if word in options:
            next(rest, None)  # its value
        elif word.partition("=")[0] not in options:
            kept.append(word)
    return shlex.join(kept)


def save_figure(path: Path) -> None:
    """Writes the figure drawn last."""
    from matplotlib import pyplot

    try:
        pyplot.savefig(path)
    except (OSError, ValueError) as error:
        raise StorageError(
            f"'{path}' must be a picture that can be written", str(error), "Try --plot rates.png."
        ) from error
