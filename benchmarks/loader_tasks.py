"""What `loader.py` asks of everybody: the tasks, the sizes, and pictures that are kept decoded.

In: nothing. Out: `Job`, one order to a loader; `decoded`, the arrays of the cached runs. Read next:
`loader_peers.py`, the loaders; `loader_limits.py`, what bounds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import breed

SIZE, PRESIZE, MIN_SCALE = 224, 460, 0.5
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
TASKS = ("crop", "full")
DATA = ("cold", "cached")
# One pass: yields (x, y); x is None where a limit makes no batch.
Pass = Callable[[], Iterator[Any]]


class Unavailable(Exception):
    """This loader cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Job:
    """One order to a loader.

    Attributes:
        task: "crop" or "full".
        data: "cold", every picture is decoded every time, or "cached", it is in memory decoded already.
        files: The pictures of one pass; names come up several times.
        bs: Pictures of a batch.
        workers: Threads or processes.
    """

    task: str
    data: str
    files: list[str]
    bs: int
    workers: int

    @property
    def vocab(self) -> dict[str, int]:
        """Label to number."""
        return {label: i for i, label in enumerate(sorted({breed(f) for f in self.files}))}

    @property
    def labels(self) -> list[int]:
        """The number of each file's label."""
        vocab = self.vocab
        return [vocab[breed(f)] for f in self.files]


def decode(file: str) -> Any:
    """The limits' decoder: what wiggly's does for these pictures (`check_decoder`)."""
    import simplejpeg

    return simplejpeg.decode_jpeg(Path(file).read_bytes(), fastdct=False, fastupsample=True)


def check_decoder(file: str) -> None:
    """Stops unless wiggly decodes a picture that is shrunk by 1.1 to the same pixels as `decode`."""
    import numpy as np

    from wiggly.vision.decode import open_image

    image = open_image(file)
    ours = image.pixels(image.height / 1.1, image.width / 1.1)
    if ours.shape != decode(file).shape or not np.array_equal(ours, decode(file)):
        raise SystemExit(
            "the limits must decode as wiggly does; the pixels differ: adapt `decode` in loader_tasks.py."
        )


def decoded(files: list[str]) -> dict[str, Any]:
    """Every picture once, decoded: `(h, w, 3)` uint8."""
    return {file: decode(file) for file in dict.fromkeys(files)}
