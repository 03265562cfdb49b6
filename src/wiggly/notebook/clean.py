"""Takes out of a notebook what git should not see: outputs, counters, and what editors note for themselves.

In: the bytes of an `.ipynb` file. Out: bytes as Jupyter writes them, so that a notebook that is opened and
saved again shows only what was changed. Doing it twice changes nothing more. Read next: `reading.py`.

Kept are texts, cell ids, attached pictures, tags, kernel and language, and every key that is not known to be
noise. Outputs stay where the cell asks for it: the tag or metadata key `keep_output` (the convention of
nbstripout).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from wiggly.errors import NotebookError
from wiggly.notebook.reading import parse_notebook, read_bytes
from wiggly.notebook.writing import write_bytes

__all__ = ["clean_bytes", "clean_notebook"]

KEEP = ("keep_output", "keep-output")
#: Keys of cells that say how a cell looked or ran last. Sources: the notebooks that JupyterLab, Notebook 6
#: and its extensions, VS Code, Colab, Kaggle, PyCharm and papermill write.
CELL_NOISE = (
    "ExecuteTime",
    "_cell_guid",
    "_uuid",
    "collapsed",
    "colab",
    "executionInfo",
    "execution",
    "gradient",
    "heading_collapsed",
    "hidden",
    "id",
    "jp-MarkdownHeadingCollapsed",
    "notebookRunGroups",
    "outputId",
    "papermill",
    "pycharm",
    "scrolled",
    "trusted",
)
NOTEBOOK_NOISE = (
    "celltoolbar",
    "interpreter",
    "orig_nbformat",
    "orig_nbformat_minor",
    "papermill",
    "signature",
    "varInspector",
)
WIDGETS = "widgets"
#: Keys that say something only when they differ from what is usual.
USUAL: Mapping[str, Any] = {
    "deletable": True,
    "editable": True,
    "tags": [],
    "slideshow": {"slide_type": ""},
    "jupyter": {},
}
COLAB_KEPT = ("gpuType", "machine_shape", "private_outputs")


def clean_notebook(path: str | os.PathLike[str], *, write: bool = True) -> bool:
    """Cleans a notebook in place.

    Args:
        path: An `.ipynb` file.
        write: False only says whether there is something to clean.

    Returns:
        Whether it was not clean.

    Raises:
        NotebookError: It is no notebook of format 4.
        StorageError: It cannot be read or written.

    Example:
        >>> cell = {"cell_type": "code", "source": "1 + 1", "metadata": {}, "execution_count": 7}
        >>> notebook = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [cell]}
        >>> _ = Path("sum.ipynb").write_text(json.dumps(notebook))
        >>> clean_notebook("sum.ipynb"), clean_notebook("sum.ipynb")
        (True, False)
    """
    place = Path(path)
    before = read_bytes(place)
    after = clean_bytes(before, place)
    if write and after != before:
        write_bytes(place, after)
    return after != before


def clean_bytes(content: bytes, path: Path = Path("the notebook")) -> bytes:
    """The content of a notebook's file, cleaned.

    Args:
        content: The file.
        path: What messages call it.

    Raises:
        NotebookError: It is no notebook of format 4.
    """
    if path.suffix == ".py":
        raise NotebookError(
            "`clean` is for .ipynb files",
            f"'{path}' is Python",
            "Leave it: a marimo notebook keeps no outputs.",
        )
    notebook = parse_notebook(path, content)
    about = notebook["metadata"]
    keep_all = bool(about.get("keep_output"))
    kept = [_clean_cell(cell, keep_all) for cell in notebook["cells"]]
    _clean_metadata(about, keep_widgets=any(kept))
    text = json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    if b"\r\n" in content:  # a checkout on Windows: git turns the ends, not we
        text = text.replace("\n", "\r\n")
    return text.encode(
        "utf-8", "backslashreplace"
    )  # half of a surrogate pair is no UTF-8, but \ud83d is JSON


def _clean_cell(cell: dict[str, Any], keep_all: bool) -> bool:
    """Cleans one cell; returns whether it keeps outputs."""
    metadata = cast("dict[str, Any]", cell["metadata"])
    keeps = keep_all or any(metadata.get(key) or key in (metadata.get("tags") or ()) for key in KEEP)
    for key in CELL_NOISE:
        metadata.pop(key, None)
    if isinstance(metadata.get("jupyter"), dict):
        metadata["jupyter"].pop("outputs_hidden", None)
    for key, usual in USUAL.items():
        if key in metadata and metadata[key] == usual:
            del metadata[key]
    cell["source"] = _lines(cell["source"])
    if cell["cell_type"] != "code":
        return False
    cell["execution_count"] = None
    cell["outputs"] = [_clean_output(output) for output in cell.get("outputs") or []] if keeps else []
    return bool(cell["outputs"])


def _clean_output(output: dict[str, Any]) -> dict[str, Any]:
    """An output that is kept: no counter, and its texts as lists of lines."""
    if "execution_count" in output:
        output["execution_count"] = None
    if "text" in output:
        output["text"] = _lines(output["text"])
    data = cast("dict[str, Any]", output.get("data") or {})
    for kind, value in data.items():
        if not kind.endswith("json"):
            data[kind] = _lines(value)
    return output


def _clean_metadata(about: dict[str, Any], keep_widgets: bool) -> None:
    for key in [*NOTEBOOK_NOISE, *(() if keep_widgets else (WIDGETS,))]:
        about.pop(key, None)
    if isinstance(about.get("language_info"), dict):
        about["language_info"].pop("version", None)  # of the kernel that ran last
    if isinstance(about.get("vscode"), dict):
        about["vscode"].pop("interpreter", None)
    if isinstance(about.get("colab"), dict):
        about["colab"] = {key: about["colab"][key] for key in COLAB_KEPT if key in about["colab"]}
    for key in ("colab", "vscode"):
        if about.get(key) == {}:
            del about[key]


def _lines(text: Any) -> Any:
    """Text as Jupyter stores it: a list of lines, each but the last with its end."""
    if isinstance(text, list) and all(isinstance(line, str) for line in cast("list[Any]", text)):
        text = "".join(cast("list[str]", text))
    return text.splitlines(keepends=True) if isinstance(text, str) else text
