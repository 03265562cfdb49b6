"""A batch of pictures decoded, warped and coloured on the device, with the same draws as on the CPU.

In: `LazyImage`s: encoded pictures, a matrix, curves and statistics each. Out: float32 `(n, c, h, w)`. JPEGs
are decoded by nvJPEG where there is one; what it does not take is decoded on the CPU. Matrices and tables are
those of `image.py`; only the filter before a shrink is computed in floats here, and nvJPEG does not shrink,
so grey levels differ by 1.5 at most on average, where JPEGs are made much smaller by 2. Read next:
`../data/transfer.py`, how batches made on the CPU get to a device.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from wiggly.errors import DataError, ItemError
from wiggly.vision.colour import ColourMatrix, MeasuredCurve, PixelStep, table
from wiggly.vision.decode import EncodedImage
from wiggly.vision.geometry import LARGEST_SHRINK, Geometry, scaling, source_scale
from wiggly.vision.image import LazyImage
from wiggly.vision.warp import Picture, warp

__all__ = ["decode_jpegs", "render", "takes"]


def render(values: Sequence[LazyImage], device: torch.device) -> tuple[Tensor, dict[int, ItemError]]:
    """Images as one batch, made on the device.

    Args:
        values: Images of one target size.
        device: Where to decode and warp; on "cpu" the same arithmetic runs without nvJPEG.

    Returns:
        `(n, c, h, w)` float32, channels_last, in [0, 1] or normalised; and for each row that could not be
        decoded (it holds zeros) why.

    Raises:
        DataError: The target sizes differ.

    Example:
        >>> grey = LazyImage(EncodedImage("a", 2, 3, 1, array=np.full((2, 3, 1), 255, dtype=np.uint8)))
        >>> images, bad = render([grey, grey], torch.device("cpu"))
        >>> images.shape, float(images.mean()), bad
        (torch.Size([2, 1, 2, 3]), 1.0, {})
    """
    h, w = _common_size(values)
    channels = values[0].source.channels
    with torch.no_grad(), _own_stream(device):
        images = torch.zeros((len(values), h, w, channels), device=device)
        pictures, bad = _pictures(values, device)
        if rows := sorted(pictures):
            some = [values[k] for k in rows]
            finished = _coloured(warp([pictures[k] for k in rows]), some)
            _cut_holes(finished, some)
            images[rows] = finished
        for k in sorted(set(range(len(values))) - set(pictures) - set(bad)):
            images[k] = _made_on_cpu(values[k]).to(device)
    if images.is_cuda:  # used on another stream than it was made on: not to be given away before that is done
        images.record_stream(torch.cuda.default_stream(device))
    return images.permute(0, 3, 1, 2), bad


def _common_size(values: Sequence[LazyImage]) -> tuple[int, int]:
    h, w = values[0].size
    for value in values:
        if value.size != (h, w):
            raise DataError(
                "images of one batch must have the same size (height × width)",
                f"{value.size[0]}×{value.size[1]} came after {h}×{w} (at '{value.source.name}')",
                "Add item_tfms=Resize(224), which brings every image to one size.",
            )
    return h, w


_streams = threading.local()


@contextlib.contextmanager
def _own_stream(device: torch.device) -> Generator[None]:
    """Work of this thread on a stream of its own, finished at the end, so that it runs beside the model's."""
    if device.type != "cuda":
        yield
        return
    stream = getattr(_streams, str(device), None)
    if stream is None:
        stream = torch.cuda.Stream(device)
        setattr(_streams, str(device), stream)
    with torch.cuda.stream(stream):
        yield
        stream.synchronize()  # waits without Python's lock; whoever gets the batch need not wait any more


def _pictures(
    values: Sequence[LazyImage], device: torch.device
) -> tuple[dict[int, Picture], dict[int, ItemError]]:
    """Decoded pictures by row. Left out are rows that cannot be read, and those for the CPU."""
    pictures: dict[int, Picture] = {}
    bad: dict[int, ItemError] = {}
    known = {k: value for k, value in enumerate(values) if _known(value)}
    for k, pixels in decode_jpegs({k: v.source for k, v in known.items()}, device).items():
        pictures[k] = Picture(pixels, _geometry(values[k]))
    for k, value in known.items():
        if k in pictures:
            continue
        try:
            picture = _decoded_on_cpu(value, device)
        except ItemError as error:
            bad[k] = error
            continue
        if picture is not None:
            pictures[k] = picture
    return pictures, bad


def _geometry(value: LazyImage) -> Geometry:
    return value.geometry or Geometry(np.eye(3), value.size)


def _decoded_on_cpu(value: LazyImage, device: torch.device) -> Picture | None:
    source, geometry = value.source, _geometry(value)
    enough = LARGEST_SHRINK / 2  # as in `LazyImage.pixels`
    sx, sy = source_scale(geometry.matrix, geometry.size)
    if value.geometry is None:
        pixels = source.pixels()
    else:
        pixels = source.pixels(enough * sy * source.height, enough * sx * source.width)
    if pixels.dtype != np.uint8:
        return None
    factor = next((f for f in (1, 2, 4, 8) if -(-source.height // f) == pixels.shape[0]), 1)
    if factor > 1:
        geometry = Geometry(geometry.matrix @ scaling(factor, factor), geometry.size, geometry.border)
    on_device = torch.from_numpy(np.array(pixels)).to(device)
    return Picture(on_device.permute(2, 0, 1), geometry, factor)


def _made_on_cpu(value: LazyImage) -> Tensor:
    """A row as the CPU path makes it: pictures of more than 8 bits, colour steps of other kinds."""
    out = np.empty((*value.size, value.source.channels), dtype=np.float32)
    value.write(out)
    return torch.from_numpy(out)


# --------------------------------------------------------------------------------------------------- decoding


def decode_jpegs(sources: dict[int, EncodedImage], device: torch.device) -> dict[int, Tensor]:
    """Upright pixels of those pictures that nvJPEG can decode.

    Args:
        sources: Pictures by row.
        device: Nothing is decoded unless it is a CUDA device.

    Returns:
        `(c, h, w)` uint8 by row; rows are missing where the CPU has to do it.
    """
    decoder = _decoder_of(device)
    rows = [k for k, source in sources.items() if takes(source)]
    if decoder is None or not rows:
        return {}
    try:
        decoded = decoder([sources[k] for k in rows], device)
    except (RuntimeError, AttributeError):
        # One picture that nvJPEG refuses (or no nvJPEG) leaves nothing of the batch: find out which it is.
        decoded = [_alone(decoder, sources[k], device) for k in rows]
    return {
        k: _upright(pixels, sources[k].orientation)
        for k, pixels in zip(rows, decoded, strict=True)
        if pixels is not None
    }


def takes(source: EncodedImage) -> bool:
    """Whether a picture is left to nvJPEG: a JPEG that is whole, in one of the two usual colour codings."""
    data = source.data
    if data is None or data.rfind(b"\xff\xd9", -64) < 0:  # cut files: the CPU path decides what is damage
        return False
    # Adobe's segment names the coding: 0 is RGB stored as such, which nvJPEG takes for YCbCr (Adobe TN 5116).
    adobe = data.find(b"\xff\xee\x00\x0eAdobe", 0, 1 << 16)
    return adobe < 0 or data[adobe + 15 : adobe + 16] == b"\x01"


Decoder = Callable[[Sequence[EncodedImage], torch.device], Sequence[Tensor | None]]


def _decoder_of(device: torch.device) -> Decoder | None:
    return _nvjpeg if device.type == "cuda" else None


def _nvjpeg(sources: Sequence[EncodedImage], device: torch.device) -> Sequence[Tensor]:
    from torchvision.io import ImageReadMode

    mode = ImageReadMode.RGB if sources[0].channels == 3 else ImageReadMode.GRAY
    encoded = [torch.frombuffer(bytearray(source.data or b""), dtype=torch.uint8) for source in sources]
    # What `torchvision.io.decode_jpeg` calls; that one warns on every call that torchcodec will replace it.
    operator: Any = torch.ops.image
    return operator.decode_jpegs_cuda(encoded, mode.value, device)


def _alone(decoder: Decoder, source: EncodedImage, device: torch.device) -> Tensor | None:
    try:
        return decoder([source], device)[0]
    except (RuntimeError, AttributeError):
        return None


def _upright(pixels: Tensor, orientation: int) -> Tensor:
    """Stored pixels `(c, h, w)` turned and mirrored as EXIF 2.32, table 4, says."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 2)
    axes = [1] if orientation in (3, 4, 7, 8) else []
    axes += [2] if orientation in (2, 3, 6, 7) else []
    return pixels.flip(axes) if axes else pixels


# ----------------------------------------------------------------------------------------------------- colour


def _known(value: LazyImage) -> bool:
    """Whether colours are curves and matrices alone; what measures a picture or its neighbourhood is not."""
    return all(
        isinstance(step, ColourMatrix) or not isinstance(step, (PixelStep, MeasuredCurve))
        for step in value.curves
    )


def _coloured(levels: Tensor, values: Sequence[LazyImage]) -> Tensor:
    """Grey levels `(n, c, h, w)` after all colour steps, as floats `(n, h, w, c)`."""
    steps = [list(value.curves) for value in values]
    while rows := [k for k, todo in enumerate(steps) if any(isinstance(s, ColourMatrix) for s in todo)]:
        curves: list[list[Any]] = []
        matrices: list[ColourMatrix] = []
        for k in rows:
            at = next(i for i, step in enumerate(steps[k]) if isinstance(step, ColourMatrix))
            curves.append(steps[k][:at])
            matrices.append(cast("ColourMatrix", steps[k][at]))
            steps[k] = steps[k][at + 1 :]
        levels[rows] = _mixed(levels[rows], curves, matrices)
    statistics = [value.statistics or (None, None) for value in values]
    tables = [table(cast("Any", todo), *s) for todo, s in zip(steps, statistics, strict=True)]
    return _look_up(levels, tables)


def _mixed(levels: Tensor, curves: Sequence[Any], matrices: Sequence[ColourMatrix]) -> Tensor:
    """Grey levels after each picture's curves and then its matrix, rounded as `ColourMatrix.on` does."""
    tables = [np.rint(np.clip(table(some), 0, 1) * 255).astype(np.float32) for some in curves]
    bytes_ = _look_up(levels, tables)  # (n, h, w, c)
    if bytes_.shape[3] == 3:
        rows = torch.tensor([m.rows for m in matrices], device=levels.device)  # (n, 3, 4)
        constant = rows[:, None, None, :, 3] * 255
        bytes_ = torch.einsum("nhwc,ndc->nhwd", bytes_, rows[:, :, :3]) + constant
    return bytes_.round().clamp(0, 255).to(torch.uint8).permute(0, 3, 1, 2)


def _look_up(levels: Tensor, tables: Sequence[Any]) -> Tensor:
    """`(n, c, h, w)` grey levels as floats `(n, h, w, c)`, each picture by its own table."""
    n, c, h, w = levels.shape
    shaped = np.stack([np.broadcast_to(t.reshape(256, -1), (256, c)) for t in tables])
    values = torch.from_numpy(shaped).to(levels.device)
    first = torch.arange(0, n * 256, 256, device=levels.device).view(n, 1, 1)
    out = torch.empty((n, h, w, c), device=levels.device)
    for k in range(c):
        out[..., k] = values[:, :, k].reshape(-1)[first + levels[:, k]]
    return out


def _cut_holes(images: Tensor, values: Sequence[LazyImage]) -> None:
    """Fills holes in finished rows `(n, h, w, c)`; what fills them is made on the CPU, as it always is."""
    for image, value in zip(images, values, strict=True):
        if value.holes:
            patch = np.full(image.shape, np.nan, np.float32)
            for hole in value.holes:
                hole.cut(patch, value.statistics)
            filled = torch.from_numpy(patch).to(image.device)
            image.copy_(torch.where(filled.isnan(), image, filled))
