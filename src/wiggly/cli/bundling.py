"""The options of `wiggly train` about the bundle it writes: who may use it, and which smaller graphs to try.

In: what the user typed. Out: a bundle. Read next: `training.py`; `wiggly/bundle/export.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from wiggly.errors import ArgumentError

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["BundleOptions", "check_bundle_options", "write_bundle"]


@Parameter(name="*", group="Bundle")
@dataclass(frozen=True, kw_only=True)
class BundleOptions:
    """What is written into the bundle besides the model."""

    title: Annotated[
        str | None, Parameter(help="Name of the model for people. Default: that of the file.")
    ] = None
    description: Annotated[str, Parameter(help="A few sentences for people.")] = ""
    licence: Annotated[
        str | None, Parameter(help="Terms for using the model, as an SPDX identifier: CC-BY-4.0, say.")
    ] = None
    variants: Annotated[
        list[Literal["fp16", "int8"]] | None,
        Parameter(
            name="--variant",
            negative="",
            help="Also try a smaller ONNX graph; kept if it is nearly as good. May be repeated.",
        ),
    ] = None
    bound: Annotated[
        float, Parameter(help="How much worse a variant may be on validation items; 0.01 is one point.")
    ] = 0.01
    wanted_accuracy: Annotated[
        float | None,
        Parameter(
            help='How often answers that are not "unsure" should be right. Default: half the mistakes.'
        ),
    ] = None
    examples: Annotated[
        int | None,
        Parameter(
            help="Validation items to put in as worked examples; 0 keeps all of them private. Default: 6, or "
            "one of each class where there are 7 to 12."
        ),
    ] = None


def check_bundle_options(options: BundleOptions) -> None:
    """Refuses before anything is trained what would be refused when the bundle is written.

    Raises:
        ArgumentError: A number is out of its range.
        DependencyError: Variants are wanted, and packages are missing.
    """
    from wiggly.bundle.graph.making import check_variants

    check_variants(options.variants or (), graph=True, bound=options.bound)
    wanted = options.wanted_accuracy
    if wanted is not None and not 0 < wanted <= 1:
        raise ArgumentError(
            "`--wanted-accuracy` must be in (0, 1]", f"it is {wanted}", "Pass --wanted-accuracy 0.95, say."
        )
    if options.examples is not None and options.examples < 0:
        raise ArgumentError(
            "`--examples` must be at least 0", f"it is {options.examples}", "Leave it out, or pass 0."
        )


def write_bundle(learn: Learner, path: Path, options: BundleOptions, force: bool) -> Path:
    """Writes a learner as a bundle.

    Args:
        learn: A trained learner.
        path: The file.
        options: What else goes in.
        force: Replace what is there even if it is no bundle.
    """
    from wiggly.bundle.export import export_bundle

    return export_bundle(
        learn,
        path,
        title=options.title,
        description=options.description,
        licence=options.licence,
        examples=options.examples,
        overwrite=force,
        wanted_accuracy=options.wanted_accuracy,
        variants=options.variants or (),
        bound=options.bound,
    )
