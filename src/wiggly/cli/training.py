"""The verbs that need labelled pictures: `train`, `lr-find` and `report`.

In: a folder and options. Out: a bundle, a report and a summary, or rates, or a report of an existing bundle.
Read next: `using.py`, what is done with a bundle afterwards.
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
from wiggly.errors import ArgumentError, StorageError, WigglyError
from wiggly.interpret.markup import is_report

if TYPE_CHECKING:
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
    folder: Annotated[Path, Parameter(help="The labelled pictures, e.g. photos/cat/1.jpg.")],
    /,
    *,
    epochs: Annotated[
        int, Parameter(help="Passes over the pictures; 0 only writes the bundle and the report.")
    ] = 3,
    lr: Annotated[float | None, Parameter(help="Peak learning rate; `wiggly lr-find` suggests one.")] = None,
    out: Annotated[Path | None, Parameter(help="The bundle to write. Default: FOLDER.wiggly here.")] = None,
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
) -> int:
    """Trains on a folder of labelled pictures; writes a bundle and a report.

    Returns:
        0; 130 after Ctrl-C, which leaves a checkpoint, as anything does that ends a run early.
    """
    if epochs < 0:
        raise ArgumentError("`--epochs` must be at least 0", f"it is {epochs}", "Pass --epochs 3, say.")
    if lr is not None and lr <= 0:
        raise ArgumentError("`--lr` must be above 0", f"it is {lr}", "Leave it out, or see `wiggly lr-find`.")
    bundle = out or default_bundle(folder)
    page = report or bundle.parent / "report.html"
    check_target(bundle, ours=is_bundle(bundle), force=force)
    check_target(page, ours=is_report(page), force=force)
    from wiggly.bundle.export import export_bundle
    from wiggly.data.basics import set_seed
    from wiggly.interpret.report import write_report
    from wiggly.train.resume.kept import forget, kept_file

    start = time.monotonic()
    set_seed(labels.seed)  # the head's first weights and dropout come from the global generators
    with text_on_stderr(json):
        if bundle.exists():
            print(f"'{bundle}' is there already; this run will replace it when it is done.")
        learn = make_learner(make_loaders(folder, labels, pictures), model, bundle.parent)
        learn.model_dir = f"models/{bundle.stem}"  # so that runs of several bundles are kept side by side
        learn.command = shlex.join(["wiggly", *command_line.get()])
        _say_what(learn)
        kept = kept_file(learn)
        _find_kept(learn, kept, resume, epochs)
        try:
            _fit(learn, epochs, lr, pretrained=bool(model.pretrained or model.weights))
            learn.engine.once(lambda: export_bundle(learn, bundle, overwrite=force))
            learn.engine.once(lambda: write_report(learn, page, overwrite=force))
        except (KeyboardInterrupt, SystemExit, WigglyError):
            _say_kept(kept)
            raise
        learn.engine.once(lambda: forget(kept, bundle.parent))
        summary = learn.engine.once(lambda: _summary(learn, bundle, page, time.monotonic() - start))
        _say_result(summary)
    if json and learn.engine.is_main:
        print(json_format.dumps(summary, indent=2))
    return 0


def lr_find(
    folder: Annotated[Path, Parameter(help="The labelled pictures.")],
    /,
    *,
    plot: Annotated[Path | None, Parameter(help="Draw loss over rate into this picture file.")] = None,
    force: Force = False,
    json: Json = False,
    labels: LabelOptions = LabelOptions(),  # noqa: B008
    pictures: PictureOptions = PictureOptions(),  # noqa: B008
    model: ModelOptions = ModelOptions(),  # noqa: B008
) -> int:
    """Tries rising learning rates for a moment and suggests which to train with; nothing is kept."""
    from wiggly.train.lr_find import minimum, slide, steep, valley

    if plot is not None:
        check_target(plot, ours=False, force=force)
    from wiggly.data.basics import set_seed

    set_seed(labels.seed)
    with text_on_stderr(json):
        learn = make_learner(make_loaders(folder, labels, pictures), model, Path())
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
    folder: Annotated[Path, Parameter(help="Labelled pictures, as for `wiggly train`.")],
    /,
    *,
    all: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Score every picture of FOLDER, for a folder the model has never seen. Default: only the "
            "validation pictures, found with the options of training.",
        ),
    ] = False,
    out: Annotated[
        Path | None, Parameter(help="The report to write. Default: BUNDLE-on-FOLDER.html here.")
    ] = None,
    force: Force = False,
    json: Json = False,
    labels: LabelOptions = LabelOptions(),  # noqa: B008
) -> int:
    """Scores a trained model on labelled pictures and writes a report."""
    from wiggly.bundle.predictor import load_bundle
    from wiggly.cli.scoring import same_pictures_warning, scored_learner
    from wiggly.interpret.facts import headline
    from wiggly.interpret.gather import gather
    from wiggly.interpret.sections import page
    from wiggly.train.checkpoint import atomic_write

    # Not report.html: that is the page about the training, with its learning curve.
    out = out or Path(f"{bundle.stem}-on-{folder.resolve().name}.html")
    check_target(out, ours=is_report(out), force=force)
    with text_on_stderr(json):
        predictor = load_bundle(bundle)
        learn = scored_learner(predictor, folder, labels, everything=all)
        learn.command = shlex.join(["wiggly", *command_line.get()])
        facts = gather(learn)
        warning = None if all else same_pictures_warning(predictor, facts.score)
        facts = replace(facts, notes=(warning,) if warning else ())
        atomic_write(out, page(facts).encode("utf-8"))
        print(f"{headline(facts)}\n  report  {out}")
        if warning:
            print(f"careful: {warning}", file=sys.stderr)
    if json:
        score = facts.score
        found = {
            "report": str(out),
            "n": score.n,
            "accuracy": score.accuracy,
            "interval": list(score.interval),
        }
        print(json_format.dumps({**found, "baseline": score.baseline, "warning": warning}, indent=2))
    return 0


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
    there = learn.engine.once(kept.exists)
    if resume and not there:
        print(f"There is no run to go on with in '{kept.parent}', so this one begins anew.", flush=True)
    elif resume and epochs == 0:
        learn.load(kept, with_opt=False)
        print(f"The model is the one that was kept in '{kept}'.", flush=True)
    elif there and not resume and epochs:
        aside = kept.with_name(f"earlier-{kept.name}")
        learn.engine.once(lambda: kept.replace(aside))
        print(
            "A run of this model was stopped before its end; --resume would go on with it. This one begins "
            f"anew; the other was moved to '{aside}'.",
            flush=True,
        )


def _fit(learn: Learner, epochs: int, lr: float | None, pretrained: bool) -> None:
    """Trains: random weights by one cycle, pretrained ones by fine-tuning; a run is always kept."""
    if epochs == 0:
        return
    if pretrained:
        learn.fine_tune(epochs, lr or FINE_TUNE_LR, resume=True)
    else:
        learn.fit_one_cycle(epochs, lr or FROM_SCRATCH_LR, resume=True)


def _say_kept(kept: Path) -> None:
    """Says how to go on with a run that ends early."""
    if not kept.exists():  # nothing was trained yet
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


def _say_what(learn: Learner) -> None:
    """One line on the data, before the progress of training begins."""
    dls = learn.dls
    print(
        f"{len(dls.train_ds):,} training and {len(dls.valid_ds):,} validation pictures of {dls.c} classes: "
        f"{', '.join(map(str, dls.vocab[:8]))}{', ...' if dls.c > 8 else ''}",
        flush=True,
    )


def _summary(learn: Learner, bundle: Path, page: Path, seconds: float) -> dict[str, Any]:
    """What a program wants to know about a finished run; the score is the one the bundle carries."""
    from wiggly.bundle.archive import read_archive

    score = read_archive(bundle).manifest.score
    return {
        "bundle": str(bundle),
        "report": str(page),
        "classes": list(learn.dls.vocab),
        "n_train": len(learn.dls.train_ds),
        "n_valid": len(learn.dls.valid_ds),
        "accuracy": score.value if score else None,
        "interval": list(score.interval) if score else None,
        "baseline": score.baseline if score else None,
        "bad_items": dict(learn.dls.bad_items),
        "seconds": round(seconds, 1),
    }


def _say_result(summary: dict[str, Any]) -> None:
    """The score with its interval, where things are, and what to do next."""
    if summary["accuracy"] is not None:
        low, high = (100 * end for end in summary["interval"])
        print(
            f"\n{100 * summary['accuracy']:.1f} % of {summary['n_valid']:,} validation pictures right "
            f"(95 % interval {low:.1f} to {high:.1f} %) after {summary['seconds']:.0f} s"
        )
    bundle = shlex.quote(summary["bundle"])
    print(f"  report  {summary['report']}\n  model   {summary['bundle']}")
    print(f"\nNext: wiggly predict {bundle} PICTURE    or    wiggly app {bundle}", flush=True)


def save_figure(path: Path) -> None:
    """Writes the figure drawn last."""
    from matplotlib import pyplot

    try:
        pyplot.savefig(path)
    except (OSError, ValueError) as error:
        raise StorageError(
            f"'{path}' must be a picture that can be written", str(error), "Try --plot rates.png."
        ) from error
