"""Whole folders of image files: which cannot be read, smaller copies, and one picture on an axis.

Read next: `loaders.py`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from wiggly.data.basics import L
from wiggly.data.items import get_image_files
from wiggly.data.loader import default_workers
from wiggly.errors import ItemError, StorageError
from wiggly.vision.image import PILImage

__all__ = ["resize_images", "show_image", "subplots", "verify_images"]


def verify_images(fns: Sequence[str | Path]) -> L:
    """The files that cannot be read as images, each decoded in full, in threads.

    Example:
        >>> _ = Path("broken.jpg").write_bytes(b"no image")
        >>> verify_images([Path("broken.jpg")]).map(Path.unlink)
        [None]
    """
    files = list(fns)
    with ThreadPoolExecutor(default_workers()) as pool:
        readable = list(pool.map(_is_readable, files))
    return L(f for f, fine in zip(files, readable, strict=True) if not fine)


def _is_readable(file: str | Path) -> bool:
    try:
        PILImage.create(file)
    except ItemError:
        return False
    return True


def resize_images(
    path: str | Path,
    max_size: int,
    dest: str | Path = ".",
    recurse: bool = False,
    max_workers: int | None = None,
) -> None:
    """Copies of the images below `path` whose larger side is at most `max_size` pixels, upright; never
    enlarged.

    Files that cannot be read are left out; `verify_images` names them.

    Args:
        path: Folder of images.
        max_size: Pixels of the larger side.
        dest: Folder for the copies, with the same sub-folders; it may be `path`, then files are replaced one
            by one, each only after its smaller copy is complete.
        recurse: Also sub-folders.
        max_workers: Threads; None for one per core.

    Raises:
        DataError: `path` is no folder.
        StorageError: A copy cannot be written.
    """
    root, target = Path(path), Path(dest)
    files = get_image_files(root, recurse=recurse)
    with ThreadPoolExecutor(max_workers or default_workers()) as pool:
        for _ in pool.map(lambda f: _resize(f, target / f.relative_to(root), max_size), files):
            pass


def _resize(file: Path, target: Path, max_size: int) -> None:
    aside = target.with_name(f".{target.name}.part")
    try:
        with Image.open(file) as image:
            kind = image.format
            small = ImageOps.exif_transpose(image)
            small.thumbnail((max_size, max_size), Image.Resampling.LANCZOS)
            target.parent.mkdir(parents=True, exist_ok=True)
            small.save(aside, format=kind)
        os.replace(aside, target)
    except (OSError, SyntaxError, ValueError) as error:
        aside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageError(
                "the smaller copy must be writable", f"'{target}': {error}", "Choose another `dest`."
            ) from error


def subplots(
    nrows: int = 1, ncols: int = 1, figsize: tuple[float, float] | None = None, imsize: float = 3.0
) -> Any:
    """A figure and always an array of axes, `imsize` inches per picture."""
    import matplotlib.pyplot as plt

    size = figsize or (ncols * imsize, nrows * imsize)
    figure, axes = plt.subplots(nrows, ncols, figsize=size, squeeze=False)
    return figure, axes if nrows > 1 and ncols > 1 else axes.reshape(-1)


def show_image(
    im: Any,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
    title: str | None = None,
    **imshow: Any,
) -> Any:
    """Draws a picture, an array `(h, w[, c])`, or a tensor `(c, h, w)` on an axis, without ticks.

    Args:
        im: The picture; floats in [0, 1] or uint8.
        ax: matplotlib axes; None makes a figure.
        figsize: Inches of a figure made here.
        title: Text above it.
        imshow: For matplotlib's `imshow`, e.g. `cmap="gray"`.

    Returns:
        The axes.
    """
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=figsize)
    array = np.asarray(im.detach().cpu()) if hasattr(im, "detach") else np.asarray(im)
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    array = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    ax.imshow(array, **({"cmap": "gray"} if array.ndim == 2 else {}) | imshow)
    ax.axis("off")
    if title is not None:
        ax.set_title(title)
    return ax
