"""The loaders that `loader.py` compares: one function each, which makes a training loader for a task.

In: a `Job`. Out: a function that starts one pass and yields batches `(n, 3, 224, 224)`, float32, normalised
with ImageNet's statistics, with their labels. Each is written as that peer is meant to be used; where it can
be used in several ways, the fastest that was found (`README.md` says what was tried). None but wiggly has a
cache of decoded pictures; for the cached runs the others are given decoded pictures that lie in memory. Peers
are imported inside their function: each runs in a process of its own. Read next: `loader_limits.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from loader_limits import by_hand, crop_box, decode_only
from loader_tasks import MEAN, MIN_SCALE, PRESIZE, SIZE, STD, Job, Pass, Unavailable, decoded
from support import breed


def wiggly(job: Job) -> Pass:
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

    full = job.task == "full"
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        splitter=IndexSplitter(range(job.bs)),
        get_y=breed,
        item_tfms=Resize(PRESIZE) if full else RandomResizedCrop(SIZE, min_scale=MIN_SCALE),
        batch_tfms=aug_transforms(size=SIZE) if full else [],
    )
    paths = [Path(f) for f in job.files]
    cache = {"cache": "ram"} if job.data == "cached" else {}
    dls = block.dataloaders([*paths[: job.bs], *paths], bs=job.bs, num_workers=job.workers, **cache)
    return lambda: (batch.tensors for batch in dls.train.batches(stats=(MEAN, STD)))


def fastai(job: Job) -> Pass:
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

    full = job.task == "full"
    known = decoded(job.files) if job.data == "cached" else None
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        splitter=IndexSplitter(range(job.bs)),
        get_x=(lambda f: known[f]) if known is not None else (lambda f: Path(f)),
        get_y=breed,
        item_tfms=Resize(PRESIZE) if full else RandomResizedCrop(SIZE, min_scale=MIN_SCALE),
        batch_tfms=[*(aug_transforms(size=SIZE) if full else []), Normalize.from_stats(MEAN, STD)],
    )
    dls = block.dataloaders([*job.files[: job.bs], *job.files], bs=job.bs, num_workers=job.workers)
    return lambda: iter(dls.train)


def _v2_transform(task: str) -> Any:
    """torchvision v2 for uint8 tensors."""
    from torchvision.transforms import v2

    bilinear = v2.InterpolationMode.BILINEAR
    if task == "crop":
        return v2.RandomResizedCrop(SIZE, scale=(MIN_SCALE, 1.0), antialias=True)
    return v2.Compose(
        [
            v2.RandomCrop(375),  # the largest square; every picture of this benchmark has this short side
            v2.Resize(SIZE, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.RandomAffine(degrees=10, scale=(1.0, 1.1), interpolation=bilinear)], p=0.75),
            v2.RandomPerspective(distortion_scale=0.2, p=0.75, interpolation=bilinear),
            v2.RandomApply([v2.ColorJitter(brightness=0.2, contrast=0.2)], p=0.75),
        ]
    )


def _v2_finish() -> Any:
    """uint8 batch to normalised floats."""
    import torch
    from torchvision.transforms import v2

    return v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])


def _v2_reader(job: Job) -> Callable[[str], Any]:
    """File to uint8 tensor `(3, h, w)`."""
    import warnings

    import torch
    from torchvision.io import ImageReadMode, decode_image

    # torchvision 0.29 tells on every call that its decoders will move to torchcodec.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="torchvision")
    if job.data == "cached":
        known = {f: torch.from_numpy(p).permute(2, 0, 1) for f, p in decoded(job.files).items()}
        return known.__getitem__
    return partial(decode_image, mode=ImageReadMode.RGB)


def torchvision(job: Job) -> Pass:
    """torchvision v2 on uint8 tensors in the workers of torch's DataLoader; floats are made of the batch."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    read, transform, finish, vocab = _v2_reader(job), _v2_transform(job.task), _v2_finish(), job.vocab

    class Photos(Dataset[tuple[torch.Tensor, int]]):
        def __len__(self) -> int:
            return len(job.files)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return transform(read(job.files[index])), vocab[breed(job.files[index])]

    loader = DataLoader(
        Photos(), job.bs, shuffle=True, num_workers=job.workers, drop_last=True, persistent_workers=True
    )
    return lambda: ((finish(x), y) for x, y in loader)


def timm(job: Job) -> Pass:
    """timm's `create_loader` with its fast collation; its prefetcher, on the CPU, normalises the batch.

    timm has no perspective: its own full augmentation (RandAugment as in its recipes, two steps per picture)
    stands for rotation, shear, shift and colour.
    """
    import torch
    from PIL import Image
    from timm.data import create_loader

    known = None
    if job.data == "cached":
        known = {f: Image.fromarray(p) for f, p in decoded(job.files).items()}
    vocab = job.vocab

    class Photos(torch.utils.data.Dataset[tuple[Any, int]]):
        transform: Any = None

        def __len__(self) -> int:
            return len(job.files)

        def __getitem__(self, index: int) -> tuple[Any, int]:
            file = job.files[index]
            picture = known[file] if known is not None else Image.open(file).convert("RGB")
            return self.transform(picture), vocab[breed(file)]

    full = job.task == "full"
    loader = create_loader(
        Photos(),
        input_size=(3, SIZE, SIZE),
        batch_size=job.bs,
        is_training=True,
        scale=(0.8 if full else MIN_SCALE, 1.0),
        hflip=0.5 if full else 0.0,
        color_jitter=0.2 if full else 0.0,
        auto_augment="rand-m9-mstd0.5" if full else None,
        interpolation="bilinear",
        num_workers=job.workers,
        device=torch.device("cpu"),
        use_prefetcher=True,
    )
    return lambda: iter(loader)


def spdl(job: Job, filters: bool = False) -> Pass:
    """SPDL's pipeline: its own threads finish a batch each, with torchvision's functions for uint8 tensors.

    With `filters` spdl.io's FFmpeg decodes and changes the pictures instead.
    """
    import torch
    from spdl.pipeline import PipelineBuilder

    finish, labels = _v2_finish(), job.labels
    load = _spdl_filters(job) if filters else _spdl_tensors(job)

    def batch(positions: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        torch.set_num_threads(1)  # holds for the calling thread: SPDL's threads do not start threads each
        return finish(load([job.files[i] for i in positions])), torch.tensor([labels[i] for i in positions])

    def one_pass() -> Iterator[Any]:
        pipeline = (
            PipelineBuilder()
            .add_source(torch.randperm(len(job.files)).tolist())
            .aggregate(job.bs, drop_last=True)
            .pipe(batch, concurrency=job.workers, output_order="input")
            .add_sink(2)
            .build(num_threads=job.workers)
        )
        with pipeline.auto_stop():
            yield from pipeline

    return one_pass


def _spdl_tensors(job: Job) -> Callable[[list[str]], Any]:
    import torch

    read, transform = _v2_reader(job), _v2_transform(job.task)
    return lambda files: torch.stack([transform(read(file)) for file in files])


def _spdl_filters(job: Job) -> Callable[[list[str]], Any]:
    import numpy as np

    try:
        import spdl.io

        spdl.io.demux_image(job.files[0])
    except RuntimeError as error:
        raise Unavailable("spdl.io needs FFmpeg's libraries (apt-get install ffmpeg)") from error

    random, filters = np.random.default_rng(), _full_filters if job.task == "full" else _crop_filters

    def load(files: list[str]) -> Any:
        frames = [
            spdl.io.decode_packets(spdl.io.demux_image(file), filter_desc=filters(u))
            for file, u in zip(files, random.random((len(files), 16)), strict=True)
        ]
        return spdl.io.to_torch(spdl.io.convert_frames(frames)).permute(0, 3, 1, 2)

    return load


def _crop_filters(u: Any) -> str:
    x, y, w, h = crop_box(500, 375, u)
    return f"crop=w={w}:h={h}:x={x}:y={y},scale=w={SIZE}:h={SIZE}:flags=bilinear,format=pix_fmts=rgb24"


def _full_filters(u: Any) -> str:
    """FFmpeg's filters for flip, perspective, rotation, zoom and lighting; small first, as for the others."""
    steps = [f"crop=w=375:h=375:x={round(125 * u[0])}:y=0", f"scale=w={SIZE}:h={SIZE}:flags=bilinear"]
    steps += ["hflip"] if u[1] < 0.5 else []
    if u[2] < 0.75:
        dx, dy = (22 * (u[3:5] - 0.5)).tolist()
        corners = f"x0={dx}:y0={dy}:x1=W-{dx}:y1=-{dy}:x2=-{dx}:y2=H+{dy}:x3=W+{dx}:y3=H-{dy}"
        steps.append(f"perspective={corners.replace('--', '+').replace('+-', '-')}:interpolation=linear")
    steps += [f"rotate={0.35 * (u[5] - 0.5)}"] if u[6] < 0.75 else []
    steps += [f"eq=brightness={0.2 * (u[8] - 0.5)}:contrast={0.8 + 0.45 * u[9]}"] if u[7] < 0.75 else []
    return ",".join([*steps, "format=pix_fmts=rgb24"])


# By kind of data: whom to measure. Those in LIMITS are not loaders that could be used.
COLD: dict[str, Callable[[Job], Pass]] = {
    "fastai": fastai,
    "torchvision v2": torchvision,
    "timm": timm,
    "SPDL": spdl,
    "SPDL, spdl.io": partial(spdl, filters=True),
    "decode only": decode_only,
    "by hand": by_hand,
    "by hand, reusing batches": partial(by_hand, reuse=True),
    "wiggly": wiggly,
}
CACHED: dict[str, Callable[[Job], Pass]] = {
    "fastai": fastai,
    "torchvision v2": torchvision,
    "timm": timm,
    "SPDL": spdl,
    "warp + table alone": partial(by_hand, reuse=True),
    "filter + warp + table alone": partial(by_hand, reuse=True, filtered=True),
    "wiggly": wiggly,
}
PEERS = {"cold": COLD, "cached": CACHED}
LIMITS = (
    "decode only",
    "by hand",
    "by hand, reusing batches",
    "warp + table alone",
    "filter + warp + table alone",
)
PROCESSES = ("fastai", "torchvision v2", "timm")  # the others work in threads
