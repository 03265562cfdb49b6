"""The verbs that need a bundle and no labels: `predict` and `app`.

In: a bundle, and files or an address. Out: predictions, or a web page that is served until Ctrl-C. What it
was made from is not needed any more. Read next: `telling.py`, how a prediction is written;
`wiggly/bundle/predictor.py`.
"""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from cyclopts import Parameter

from wiggly.errors import ArgumentError, StorageError, WigglyError

if TYPE_CHECKING:
    from wiggly.bundle.predictor import Predictor
    from wiggly.bundle.rows import RowReader
    from wiggly.cli.cells import Cells

__all__ = ["predict", "serve"]

STDIN = ("-", "/dev/stdin")


def predict(
    bundle: Annotated[Path, Parameter(help="A model that `wiggly train` wrote.")],
    files: Annotated[
        list[Path],
        Parameter(
            help="Pictures, or folders of pictures; for a model of a table .csv, .parquet or .json files, or "
            "- for what comes on stdin.",
            allow_leading_hyphen=True,
        ),
    ],
    /,
    *,
    top: Annotated[
        int, Parameter(help="How many of the likeliest labels to name, where one label is predicted.")
    ] = 1,
    json: Annotated[
        bool, Parameter(negative="", show_default=False, help="Print one JSON list on stdout.")
    ] = False,
    masks: Annotated[
        Path | None,
        Parameter(help="Folder to write predicted masks into, as PNGs of class indices; made if need be."),
    ] = None,
    runtime: Annotated[
        Literal["torch", "onnx"],
        Parameter(help="What computes; onnx needs no PyTorch, and for tables --json."),
    ] = "torch",
) -> int:
    """Says what a trained model predicts; for a table prints it as CSV with more columns.

    Returns:
        0, or 1 when some files could not be read; the others are predicted all the same.
    """
    if top < 1:
        raise ArgumentError("`--top` must be at least 1", f"it is {top}", "Leave it out, or pass --top 3.")
    predictor = _opened(bundle, runtime)
    if predictor.manifest.inputs[0].kind != "image":
        _check_rows(runtime, json)
        return _predict_tables(predictor, files, top, json)
    if masks is not None:
        _check_masks(predictor, masks)
    rows: list[dict[str, Any]] = []
    for file in _expanded(files):
        row = _predicted(predictor, file, top, masks)
        rows.append(row)
        if not json:
            _print_row(row)
    if json:
        print(json_format.dumps(rows, indent=2, ensure_ascii=False))
    return 1 if any("error" in row for row in rows) else 0


def serve(
    bundle: Annotated[Path, Parameter(help="A model that `wiggly train` wrote.")],
    /,
    *,
    host: Annotated[
        str, Parameter(help="Address to listen on; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on, or the next free one.")] = 7860,
    open: Annotated[
        bool, Parameter(negative="", show_default=False, help="Open the page in a browser.")
    ] = False,
) -> int:
    """Serves a web page: people drop a photo, or fill in a form, and read what the model says."""
    from wiggly.apps.page import serve as serve_page

    serve_page(bundle, host=host, port=port, open_browser=open)
    return 0


def _opened(bundle: Path, runtime: str) -> Predictor:
    """The model, by PyTorch or without; both have the methods that are used here."""
    if runtime == "onnx":
        from wiggly.bundle.session import open_session

        return cast("Predictor", open_session(bundle))
    from wiggly.bundle.predictor import load_bundle

    return load_bundle(bundle)


def _check_rows(runtime: str, json: bool) -> None:
    if runtime == "onnx" and not json:
        raise ArgumentError(
            "`--runtime onnx` for a table needs --json",
            "rows are written as CSV by pandas, with PyTorch",
            "Add --json, or leave --runtime out.",
        )


def _expanded(paths: Sequence[Path]) -> Iterator[Path]:
    """The files named, and in place of a folder the pictures below it, sorted."""
    for path in paths:
        if path.is_dir():
            from wiggly.data.items import get_image_files

            yield from sorted(get_image_files(path))
        else:
            yield path


def _check_masks(predictor: Predictor, folder: Path) -> None:
    if predictor.manifest.task != "segmentation":
        raise ArgumentError(
            "--masks is for a model that predicts masks",
            f"{predictor.manifest.title!r} is a model for {predictor.manifest.task}",
            "Leave it out.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = f"'{folder}' cannot be made: {error.strerror}"
        raise StorageError("--masks must name a folder", why, "Name another place.") from error


def _predicted(predictor: Predictor, file: Path, top: int, masks: Path | None) -> dict[str, Any]:
    """What is predicted for one file, or the reason why nothing is."""
    from wiggly.cli.telling import facts, write_mask

    try:
        found = predictor.predict(file)
    except WigglyError as error:
        return {"file": str(file), "error": str(error)}
    written = {} if masks is None else {"mask": str(write_mask(found, masks, file))}
    return {"file": str(file), **facts(predictor, found, top), **written}


def _print_row(row: dict[str, Any]) -> None:
    from wiggly.cli.telling import line

    if "error" in row:
        print(f"error: {row['error']}", file=sys.stderr, flush=True)
    else:
        print(f"{row['file']}: {line(row)}", flush=True)


def _predict_tables(predictor: Predictor, files: Sequence[Path], top: int, json: bool) -> int:
    """All rows of all files on stdout: as one CSV, or as one JSON list."""
    from wiggly.cli.cells import Cells, lines_of
    from wiggly.cli.telling import facts

    failed, tables, rows = 0, list[Cells](), list[dict[str, Any]]()
    for file in files:
        try:
            with _kept(file) as there:
                if json:
                    found = enumerate(predictor.predict_batch(cast("Any", there)))
                    rows += [{"file": str(file), "row": i, **facts(predictor, one, top)} for i, one in found]
                else:
                    tables.append(_with_predictions(predictor, there))
        except WigglyError as error:
            failed = 1
            print(f"error: '{file}': {error}", file=sys.stderr, flush=True)
            continue
        surprises = str(cast("RowReader", predictor.reader).surprises)
        if surprises:
            print(f"'{file}': {surprises}", file=sys.stderr, flush=True)
    if json:
        print(json_format.dumps(rows, indent=2, ensure_ascii=False, default=str))
    elif tables:
        sys.stdout.writelines(f"{line}\n" for line in lines_of(tables))
    return failed


@contextmanager
def _kept(file: Path) -> Generator[Path]:
    """A file that can be read more than once: a copy of what comes through a pipe, else itself."""
    if str(file) not in STDIN and (file.is_file() or file.is_dir() or not file.exists()):
        yield file
        return
    content = sys.stdin.buffer.read() if str(file) in STDIN else file.read_bytes()
    kind = ".json" if content.lstrip()[:1] in (b"[", b"{") else ".csv"
    with TemporaryDirectory() as folder:
        copy = Path(folder) / f"rows{'.parquet' if content.startswith(b'PAR1') else kind}"
        copy.write_bytes(content)
        yield copy


def _with_predictions(predictor: Predictor, file: Path) -> Cells:
    """The cells of a file as they are written, and the predictions as more columns."""
    from wiggly.cli.cells import written_cells
    from wiggly.cli.telling import predicted_columns

    frame = cast("RowReader", predictor.reader).frame(file)
    return written_cells(file, frame).with_columns(predicted_columns(predictor, frame))
