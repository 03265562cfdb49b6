"""How start-up, images per second and memory grow with the number of items: 10³ to 10⁶ paths.

Run: `python benchmarks/scale.py`, `--quick`, `--help`. The paths are synthetic: `class_07/000123.jpg` and so
on up to the number, in a list or a table; a getter maps each to one of 64 small real photos, so that nothing
but the number of items grows. Small pictures (96 px) are decoded, cropped and normalised as in training; a
loader that walks over all items anywhere shows up in the first batch, one that keeps something per item in
memory. Every size runs in a process of its own. Out: a JSON line per size and source, a table. Read next:
`support.py`.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import tempfile
import time
from itertools import chain, count
from pathlib import Path
from typing import Any

from support import WAIT_POLICY, cores, emit, environment, footer, pet_files, run_peer, table

SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUICK = (200, 1_000)
SOURCES = ("list", "table")
CLASSES, PICTURES, SIDE, CROP, BS = 37, 64, 96, 64, 64
TIMED = 12_800  # items of the timed part


def make_pictures(folder: Path) -> list[str]:
    """64 pet photos, 96 px."""
    from PIL import Image, ImageOps

    made: list[str] = []
    for k, source in enumerate(pet_files()[:PICTURES]):
        with Image.open(source) as image:
            picture = ImageOps.fit(image.convert("RGB"), (SIDE, SIDE))
        made.append(str(folder / f"{k}.jpg"))
        picture.save(made[-1], quality=90)
    return made


def resident() -> float:
    """MiB of memory this process holds now."""
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux: the peak stands for it
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def source_of(kind: str, n: int) -> Any:
    """`n` synthetic paths with their labels in the folder's name, and in a column of a table."""
    paths = [f"class_{k % CLASSES:02}/{k:07}.jpg" for k in range(n)]
    if kind == "list":
        return paths
    import pandas as pd

    return pd.DataFrame({"path": paths, "label": [path[:8] for path in paths]})


def loaders(kind: str, source: Any, pictures: list[str], workers: int) -> Any:
    """wiggly's loaders over the source."""
    from wiggly.vision.all import (
        CategoryBlock,
        ColReader,
        DataBlock,
        ImageBlock,
        RandomResizedCrop,
        RandomSplitter,
    )

    def picture(path: str) -> str:
        return pictures[int(path[-11:-4]) % len(pictures)]

    in_table = kind == "table"
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        splitter=RandomSplitter(0.1, seed=0),
        get_x=(lambda row: picture(row["path"])) if in_table else picture,
        get_y=ColReader("label") if in_table else (lambda path: path[:8]),
        item_tfms=RandomResizedCrop(CROP, min_scale=0.5),
    )
    return block.dataloaders(source, bs=BS, num_workers=workers, seed=0)


def one_size(job: dict[str, Any]) -> dict[str, Any]:
    """Start-up, first batch, rate and memory for one number of items."""
    import torch  # not part of the start-up that is measured

    import wiggly.vision.all  # noqa: F401

    source = source_of(job["kind"], job["items"])
    gc.collect()
    before, begin = resident(), time.perf_counter()
    dls = loaders(job["kind"], source, job["pictures"], job["workers"])
    ready, after = time.perf_counter(), resident()
    batches = chain.from_iterable(dls.train.batches() for _ in count())  # small sets: pass after pass
    next(batches)
    first, read = time.perf_counter(), 0
    while read < job["timed"]:
        read += len(next(batches))
    end = time.perf_counter()
    return {
        "start_up_seconds": round(ready - begin, 3),
        "first_batch_seconds": round(first - ready, 3),
        "items_per_second": round(read / (end - first), 1),
        "start_up_mib": round(after - before, 1),
        "reading_mib": round(resident() - after, 1),
        "torch": torch.__version__,
    }


def measure(sizes: tuple[int, ...], out: str | None, workers: int | None = None) -> list[dict[str, Any]]:
    """All sizes and sources; one record each."""
    records = []
    with tempfile.TemporaryDirectory() as folder:
        pictures = make_pictures(Path(folder))
        for kind in SOURCES:
            for n in sizes:
                job = {"peer": f"wiggly, {kind} of {n:,}", "kind": kind, "items": n, "pictures": pictures}
                job |= {"workers": workers or min(2, cores()), "timed": min(TIMED, 10 * n)}
                result = run_peer(__file__, job, environment(1, WAIT_POLICY))
                records.append({"benchmark": "scale", "source": kind, "items": n, **result})
                emit(records[-1], out)
    return records


def summary(records: list[dict[str, Any]]) -> str:
    """One line per source and size."""
    rows = [
        (
            r["source"],
            f"{r['items']:,}",
            f"{r['start_up_seconds']:.2f}",
            f"{r['first_batch_seconds']:.2f}",
            f"{r['items_per_second']:.0f}",
            f"{r['start_up_mib']:.0f}",
            f"{r['reading_mib']:.0f}",
        )
        for r in records
    ]
    header = ("source", "items", "start-up s", "first batch s", "items/s", "start-up MiB", "reading MiB")
    return table(header, rows)


def main() -> None:
    """Measure, or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--sizes", nargs="+", type=int, default=SIZES, help="numbers of items (10³ to 10⁶)")
    add("--workers", type=int, help="threads (one per core, at most 2)")
    add("--quick", action="store_true", help="two small sizes: measures nothing")
    add("--out", help="append the JSON lines to this file too")
    add("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        job = json.loads(Path(args.job).read_text())
        Path(job["result"]).write_text(json.dumps(one_size(job)))
        return
    print(summary(measure(QUICK if args.quick else tuple(args.sizes), args.out, args.workers)))
    print(footer())


if __name__ == "__main__":
    main()
