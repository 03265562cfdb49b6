"""The verbs `verify` and `info`: does a model answer the same everywhere, and what is it.

In: a bundle. Out: a table, or the model card. Neither needs PyTorch. Read next: `wiggly/bundle/proof.py`,
`wiggly/bundle/card.py`.
"""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from wiggly.bundle.proof import RuntimeProof

__all__ = ["info", "verify"]

HEADINGS = ("runtime", "version", "examples", "largest difference", "same labels", "ms each", "")


def verify(
    bundle: Annotated[Path, Parameter(help="A model that `wiggly train` or `learn.export` wrote.")],
    /,
    *,
    runtime: Annotated[
        list[str] | None, Parameter(negative="", help="pytorch or onnxruntime; may be repeated. All of them.")
    ] = None,
    tolerance: Annotated[
        float | None,
        Parameter(help="Largest difference allowed; by default 1e-4, and 1e-3 of the pixels of a mask."),
    ] = None,
    json: Annotated[
        bool, Parameter(negative="", show_default=False, help="Print one JSON object on stdout.")
    ] = False,
) -> int:
    """Runs a model's worked examples, from their files, in every runtime at hand.

    Returns:
        0 when all of them answer as recorded, 1 when one does not.
    """
    from wiggly.bundle.proof import as_json, prove

    proofs = prove(bundle, runtime, tolerance)
    told = as_json(proofs)
    if json:
        print(json_format.dumps(told, indent=2, ensure_ascii=False))
    else:
        print(_table([_row(proof) for proof in proofs]))
        for proof in proofs:
            for line in _complaints(proof):
                print(line)
    return 0 if told["ok"] else 1


def info(
    bundle: Annotated[Path, Parameter(help="A model that `wiggly train` or `learn.export` wrote.")],
    /,
) -> int:
    """Prints the model card: what a model does, how good it is, and how to use it."""
    from rich.console import Console
    from rich.markdown import Markdown

    from wiggly.bundle.archive import read_archive
    from wiggly.bundle.card import CARD, body_of, card_of

    archive = read_archive(bundle)
    kept = archive.files.get(CARD)
    text = card_of(archive.manifest) if kept is None else kept.decode("utf-8", errors="replace")
    console = Console()
    if console.is_terminal:
        console.print(Markdown(body_of(text)))
    else:
        print(body_of(text))
    return 0


def _row(proof: RuntimeProof) -> tuple[str, ...]:
    if not proof.compared:
        said = "failed" if proof.failed else ""
        return proof.runtime, proof.version or "-", "-", "-", "-", "-", said or proof.reason
    n = len(proof.compared)
    verdict = ("ok" if proof.binding else "smaller on purpose") if proof.fits else "DIFFERS"
    same = f"{proof.same} of {n}"
    return (
        proof.runtime,
        proof.version,
        str(n),
        f"{proof.largest:.1e}",
        same,
        f"{proof.milliseconds:.1f}",
        verdict,
    )


def _complaints(proof: RuntimeProof) -> list[str]:
    """A line for each example that does not fit, and for a runtime that failed."""
    from wiggly.bundle.worked import described

    if proof.failed:
        return [f"{proof.runtime}: {proof.reason}"]
    wrong = [] if proof.fits else [one for one in proof.compared if not one.fits]
    return [f"{proof.runtime}: '{one.name}' {described(one)}" for one in wrong]


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    whole = [HEADINGS, *rows]
    widths = [max(len(row[k]) for row in whole) for k in range(len(HEADINGS))]
    lines = [
        "  ".join(
            cell.ljust(width) if k in (0, 1, 6) else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in whole
    ]
    return "\n".join(line.rstrip() for line in lines)
