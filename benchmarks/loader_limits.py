"""What bounds every loader of `loader.py`: the same work by hand, without choice, checks or bad files.

In: a `Job`. Out: a function that starts one pass. `decode only` reads and decodes and makes no batch; `by
hand` is a plain loop in threads (simplejpeg, one matrix, one `cv2.warpPerspective` or `cv2.resize`, one
look-up table to normalised floats written into the batch); with `reuse` it overwrites a few batches again and
again, which a loader whose batches may be kept cannot do; cached, it is warp and table alone. Read next:
`loader.py`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from loader_tasks import MEAN, MIN_SCALE, SIZE, STD, Job, Pass, check_decoder, decode, decoded


def decode_only(job: Job) -> Pass:
    """Read and decode, nothing else."""
    check_decoder(job.files[0])
    labels = job.labels

    def batch(number: int, positions: Any, seed: int) -> tuple[None, list[int]]:
        for position in positions:
            decode(job.files[position])
        return None, [labels[i] for i in positions]

    return lambda: _in_threads(batch, job)


def by_hand(job: Job, reuse: bool = False, filtered: bool = False) -> Pass:
    """The work itself; see above. With `filtered` the warp is wiggly's own, which also
    filters before a shrink."""
    import cv2
    import numpy as np
    import torch

    cv2.setNumThreads(1)
    labels = job.labels
    known = decoded(job.files) if job.data == "cached" else {}
    render = _filtering_renderer(job.task) if filtered else _renderer(job.task)
    ring = [_empty_batch(job.bs) for _ in range(job.workers + 2)] if reuse else []

    def batch(number: int, positions: Any, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = ring[number % len(ring)] if reuse else _empty_batch(job.bs)
        rows = x.permute(0, 2, 3, 1).numpy()
        draws = np.random.default_rng((seed, number)).random((job.bs, 16))
        for row, position, u in zip(rows, positions, draws, strict=True):
            file = job.files[position]
            render(known[file] if known else decode(file), row, u)
        return x, torch.tensor([labels[i] for i in positions])

    return lambda: _in_threads(batch, job)


def _renderer(task: str) -> Callable[[Any, Any, Any], None]:
    """Picture, row of the batch and 16 random numbers: writes the finished picture into the row."""
    import cv2
    import numpy as np

    ramp, mean, std = np.arange(256, dtype=np.float32) / 255, np.float32(MEAN), np.float32(STD)
    plain = ((ramp[:, None] - mean) / std)[None]  # (1, 256, 3): one column per channel
    clipped = np.clip(ramp, 1e-3, 1 - 1e-3)
    logit = np.log(clipped / (1 - clipped))

    def full(image: Any, row: Any, u: Any) -> None:
        matrix, table = _warp_matrix(image.shape[1], image.shape[0], u), plain
        if u[12] < 0.75:  # brightness and contrast of up to 0.2, in logit space as fastai has them
            light = 1 / (1 + np.exp(-(logit * (0.8 + 0.45 * u[13]) + 0.8 * (u[14] - 0.5))))
            table = ((light[:, None] - mean) / std)[None].astype(np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        border = cv2.BORDER_REFLECT_101
        warped = cv2.warpPerspective(image, matrix, (SIZE, SIZE), flags=flags, borderMode=border)
        cv2.LUT(warped, table, dst=row)

    def crop(image: Any, row: Any, u: Any) -> None:
        left, top, width, height = crop_box(image.shape[1], image.shape[0], u)
        part = image[top : top + height, left : left + width]
        cv2.LUT(cv2.resize(part, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), plain, dst=row)

    return full if task == "full" else crop


def _filtering_renderer(task: str) -> Callable[[Any, Any, Any], None]:
    """As `_renderer`, with wiggly's resampling; the table is plain."""
    import cv2
    import numpy as np

    from wiggly.vision.geometry import Geometry, box_to, resample, translation

    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    plain = ((levels - np.float32(MEAN)) / np.float32(STD))[None]
    to_corner, to_centre = translation(0.5, 0.5), translation(-0.5, -0.5)  # of the first pixel, as the origin
    size = (SIZE, SIZE)

    def render(image: Any, row: Any, u: Any) -> None:
        height, width = image.shape[:2]
        if task == "full":
            matrix = np.linalg.inv(to_corner @ _warp_matrix(width, height, u) @ to_centre)
        else:
            matrix = box_to(*crop_box(width, height, u), size)
        cv2.LUT(resample(image, Geometry(matrix, size)), plain, dst=row)

    return render


def _empty_batch(bs: int) -> Any:
    import torch

    return torch.empty(bs, 3, SIZE, SIZE, memory_format=torch.channels_last)


def _in_threads(batch: Callable[..., Any], job: Job) -> Iterator[Any]:
    """Batches in order from a pool of threads, one future per batch, at most `workers + 1` of them unread."""
    import numpy as np

    n, bs, look_ahead = len(job.files), job.bs, job.workers + 1
    seed = int(np.random.default_rng().integers(2**31))
    order = np.random.default_rng(seed).permutation(n)[: n - n % bs].reshape(-1, bs).tolist()
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(job.workers) as pool:
        for number, positions in enumerate(order):
            waiting.append(pool.submit(batch, number, positions, seed))
            if len(waiting) == look_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _warp_matrix(width: int, height: int, u: Any) -> Any:
    """Target to source pixels in one matrix: random square, flip, rotation, zoom, perspective."""
    import cv2
    import numpy as np

    side, half = min(width, height), SIZE / 2
    x, y = side / 2 + u[0] * (width - side), side / 2 + u[1] * (height - side)
    angle = math.radians(20 * (u[2] - 0.5)) if u[3] < 0.75 else 0.0
    scale = side / SIZE / (1 + 0.1 * u[4] if u[5] < 0.75 else 1.0)
    flip = -1 if u[6] < 0.5 else 1
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    matrix = np.array([[flip * c, -s, x], [flip * s, c, y], [0, 0, 1]])
    if u[7] < 0.75:
        dx, dy = 0.4 * half * (u[8] - 0.5), 0.4 * half * (u[9] - 0.5)
        corners = np.float32([[-half, -half], [half, -half], [half, half], [-half, half]])
        moved = corners + np.float32([[-dx, -dy], [dx, dy], [-dx, -dy], [dx, dy]])
        matrix = matrix @ cv2.getPerspectiveTransform(corners, moved)
    return matrix @ np.array([[1, 0, 0.5 - half], [0, 1, 0.5 - half], [0, 0, 1]])


def crop_box(width: int, height: int, u: Any) -> tuple[int, int, int, int]:
    """A random box of at least `MIN_SCALE` of the area, sides 3:4 to 4:3: left, top, width, height."""
    area = (MIN_SCALE + (1 - MIN_SCALE) * u[0]) * width * height
    ratio = math.exp(math.log(4 / 3) * (2 * u[1] - 1))
    w, h = min(width, round(math.sqrt(area * ratio))), min(height, round(math.sqrt(area / ratio)))
    return round(u[2] * (width - w)), round(u[3] * (height - h)), w, h
