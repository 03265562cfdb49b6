"""Boxes and labels from a COCO annotation file.

In: the JSON file. Out: file names, and for each of them boxes and labels, ready for `BBoxBlock` and
`BBoxLblBlock`. Read next: `blocks.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wiggly.errors import DataError

__all__ = ["get_annotations"]

BoxesAndLabels = tuple[list[list[float]], list[str]]


def get_annotations(
    fname: str | Path, prefix: str | Path | None = None
) -> tuple[list[str], list[BoxesAndLabels]]:
    """Reads boxes and their labels from a file in COCO's format (cocodataset.org, "Data format").

    Args:
        fname: The JSON file: `images`, `annotations` and `categories`.
        prefix: Put before every file name; a folder given as a `Path` is joined to it.

    Returns:
        The file names in the order of the file, and for each `(boxes, labels)`: lists of x1, y1, x2, y2 in
        pixels and of category names. An image without annotations has two empty lists.

    Raises:
        DataError: The file is missing, is no JSON, or lacks a part of the format.

    Example:
        >>> content = {"images": [{"id": 7, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "cat"}],
        ...            "annotations": [{"image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 40]}]}
        >>> _ = Path("boxes.json").write_text(json.dumps(content))
        >>> get_annotations("boxes.json", prefix=Path("photos"))
        (['photos/a.jpg'], [([[10.0, 20.0, 40.0, 60.0]], ['cat'])])
    """
    try:
        content = json.loads(Path(fname).read_text(encoding="utf-8"))
        names = {image["id"]: _with_prefix(image["file_name"], prefix) for image in content["images"]}
        labels = {category["id"]: category["name"] for category in content["categories"]}
        found: dict[Any, BoxesAndLabels] = {image: ([], []) for image in names}
        for annotation in content["annotations"]:
            _add(found, annotation, labels)
    except OSError as error:
        raise _unreadable(fname, error.strerror or str(error)) from error
    except (ValueError, TypeError) as error:
        raise _unreadable(fname, str(error)) from error
    except KeyError as error:
        raise _unreadable(fname, f"{error} is missing, or names what is not there") from error
    return list(names.values()), [found[image] for image in names]


def _add(
    found: Mapping[Any, BoxesAndLabels], annotation: Mapping[str, Any], labels: Mapping[Any, str]
) -> None:
    boxes, names = found[annotation["image_id"]]
    x, y, w, h = (float(number) for number in annotation["bbox"])
    boxes.append([x, y, x + w, y + h])
    names.append(labels[annotation["category_id"]])


def _with_prefix(name: str, prefix: str | Path | None) -> str:
    if isinstance(prefix, Path):
        return os.path.join(prefix, name)
    return f"{prefix or ''}{name}"


def _unreadable(fname: str | Path, reason: str) -> DataError:
    return DataError(
        "annotations must be a JSON file in COCO's format, with images, annotations and categories",
        f"'{fname}': {reason}",
        "Check the path and the file.",
    )
