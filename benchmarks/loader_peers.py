"""The loaders that `loader.py` compares: one function each, which makes a training loader for a task.

In: the task (`crop` or `full`), files, batch size, threads or worker processes. Out: a function that starts
one pass and yields batches `(n, 3, 224, 224)`, float32, normalised with ImageNet's statistics, with their
labels. Each is written as that peer is meant to be used; where it can be used in several ways, the fastest
that was found (`README.md` says what was tried). Peers are imported inside their function: each runs in a
process of its own.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from support import breed

SIZE, PRESIZE, MIN_SCALE = 224, 460, 0.5
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
Pass = Callable[[], Iterator[Any]]


def fastai(task: str, files: list[str], bs: int, workers: int) -> Pass:
    """fastai 2.8.12: item transforms in worker processes, augmentation on the whole batch."""
    from fastai.vision.all import (
        CategoryBlock,
        DataBlock,
        ImageBlock,
        IndexSplitter,
        Normalize,
        RandomResizedCrop,
        Resize,
        aug_transforms,
    )

    item = Resize(PRESIZE) if task == "full" else RandomResizedCrop(SIZE, min_scale=MIN_SCALE)
    augment = aug_transforms(size=SIZE) if task == "full" else []
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        splitter=IndexSplitter(range(bs)),
        get_y=breed,
        item_tfms=item,
        batch_tfms=[*augment, Normalize.from_stats(MEAN, STD)],
    )
    paths = [Path(f) for f in files]
    dls = block.dataloaders([*paths[:bs], *paths], bs=bs, num_workers=workers)
    return lambda: iter(dls.train)


def wiggly(task: str, files: list[str], bs: int, workers: int) -> Pass:
    """wiggly, read as its Learner reads it: with the statistics of the model lent to the loader."""
    from wiggly.vision.all import (
        CategoryBlock,
        DataBlock,
        ImageBlock,
        IndexSplitter,
        RandomResizedCrop,
        Resize,
        aug_transforms,
    )

    item = Resize(PRESIZE) if task == "full" else RandomResizedCrop(SIZE, min_scale=MIN_SCALE)
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        splitter=IndexSplitter(range(bs)),
        get_y=breed,
        item_tfms=item,
        batch_tfms=aug_transforms(size=SIZE) if task == "full" else [],
    )
    paths = [Path(f) for f in files]
    dls = block.dataloaders([*paths[:bs], *paths], bs=bs, num_workers=workers)
    return lambda: (batch.tensors for batch in dls.train.batches(stats=(MEAN, STD)))


def torchvision(task: str, files: list[str], bs: int, workers: int) -> Pass:
    """torchvision v2 on uint8 tensors in the workers of torch's DataLoader; floats are made of the batch."""
    import torch
    from torch.utils.data import DataLoader, Dataset
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import v2

    bilinear = v2.InterpolationMode.BILINEAR
    crop = [v2.RandomResizedCrop(SIZE, scale=(MIN_SCALE, 1.0), antialias=True)]
    full = [
        v2.RandomCrop(375),  # the largest square; every picture of this benchmark has this short side
        v2.Resize(SIZE, antialias=True),
        v2.RandomHorizontalFlip(),
        v2.RandomApply([v2.RandomAffine(degrees=10, scale=(1.0, 1.1), interpolation=bilinear)], p=0.75),
        v2.RandomPerspective(distortion_scale=0.2, p=0.75, interpolation=bilinear),
        v2.RandomApply([v2.ColorJitter(brightness=0.2, contrast=0.2)], p=0.75),
    ]
    transform = v2.Compose(full if task == "full" else crop)
    finish = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    vocab = {label: i for i, label in enumerate(sorted({breed(f) for f in files}))}

    class Photos(Dataset[tuple[torch.Tensor, int]]):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return transform(decode_image(files[index], mode=ImageReadMode.RGB)), vocab[breed(files[index])]

    loader = DataLoader(
        Photos(), bs, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0
    )
    return lambda: ((finish(x), y) for x, y in loader)


def by_hand(task: str, files: list[str], bs: int, workers: int, reuse: bool = False) -> Pass:
    """The same work with nothing around it: threads, one decode, one warp, one table look-up per image.

    `reuse` fills the same few batches again and again, which a loader whose batches may be kept cannot do.
    """
    import cv2
    import numpy as np
    import simplejpeg
    import torch

    cv2.setNumThreads(1)
    vocab = {label: i for i, label in enumerate(sorted({breed(f) for f in files}))}
    labels = [vocab[breed(f)] for f in files]
    ramp, mean, std = np.arange(256, dtype=np.float32) / 255, np.float32(MEAN), np.float32(STD)
    plain = ((ramp[:, None] - mean) / std)[None]  # (1, 256, 3): one column per channel
    clipped = np.clip(ramp, 1e-3, 1 - 1e-3)
    logit = np.log(clipped / (1 - clipped))
    look_ahead = workers + 1
    ring = [_empty_batch(bs) for _ in range(look_ahead + 1)]

    def full(image: Any, row: Any, u: Any) -> None:
        matrix, table = _warp_matrix(image.shape[1], image.shape[0], u), plain
        if u[12] < 0.75:  # brightness and contrast of up to 0.2, in logit space as fastai has them
            light = 1 / (1 + np.exp(-(logit * (0.8 + 0.45 * u[13]) + 0.8 * (u[14] - 0.5))))
            table = ((light[:, None] - mean) / std)[None].astype(np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpPerspective(
            image, matrix, (SIZE, SIZE), flags=flags, borderMode=cv2.BORDER_REFLECT_101
        )
        cv2.LUT(warped, table, dst=row)

    def crop(image: Any, row: Any, u: Any) -> None:
        left, top, width, height = _crop_box(image.shape[1], image.shape[0], u)
        part = image[top : top + height, left : left + width]
        cv2.LUT(cv2.resize(part, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), plain, dst=row)

    render = full if task == "full" else crop

    def batch(number: int, positions: Any, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = ring[number % len(ring)] if reuse else _empty_batch(bs)
        rows, draws = x.permute(0, 2, 3, 1).numpy(), np.random.default_rng((seed, number)).random((bs, 16))
        for row, position, u in zip(rows, positions, draws, strict=True):
            image = simplejpeg.decode_jpeg(
                Path(files[position]).read_bytes(), fastdct=True, fastupsample=True
            )
            render(image, row, u)
        return x, torch.tensor([labels[i] for i in positions])

    return lambda: _in_threads(batch, len(files), bs, workers, look_ahead)


def _empty_batch(bs: int) -> Any:
    import torch

    return torch.empty(bs, 3, SIZE, SIZE, memory_format=torch.channels_last)


def _in_threads(batch: Callable[..., Any], n: int, bs: int, threads: int, look_ahead: int) -> Iterator[Any]:
    """Batches in order from a pool of threads, one future per batch, at most `look_ahead` of them unread."""
    import numpy as np

    seed = int(np.random.default_rng().integers(2**31))
    order = np.random.default_rng(seed).permutation(n)[: n - n % bs].reshape(-1, bs).tolist()
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(threads) as pool:
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


def _crop_box(width: int, height: int, u: Any) -> tuple[int, int, int, int]:
    """A random box of at least `MIN_SCALE` of the area, sides 3:4 to 4:3, cut to what fits."""
    area = (MIN_SCALE + (1 - MIN_SCALE) * u[0]) * width * height
    ratio = math.exp(math.log(4 / 3) * (2 * u[1] - 1))
    w, h = min(width, round(math.sqrt(area * ratio))), min(height, round(math.sqrt(area / ratio)))
    return round(u[2] * (width - w)), round(u[3] * (height - h)), w, h


PEERS: dict[str, Callable[..., Pass]] = {
    "fastai": fastai,
    "torchvision v2": torchvision,
    "by hand": by_hand,
    "by hand, reusing batches": lambda *args: by_hand(*args, reuse=True),
    "wiggly": wiggly,
}
