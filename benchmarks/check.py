"""How long `wiggly data check` takes for 10,000 photos, and how that grows; what it finds of planted copies.

In: the pet photos. Out: a table. Each photo is made of pieces of two real ones, 500×375, as JPEG of quality
90, in a temporary folder; no two of them share both, and 1 in 100 gets a copy of half the size. Pairs beside
these are "others found". Of three runs all are told, and the processor time of the best beside them: how much
more the runs took says how busy the machine was.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from support import ROOT, emit, environment, footer, pet_files, run_peer, table

WIDTH, HEIGHT = 500, 375
RUNS = 3


def write_photos(folder: Path, n: int) -> None:
    """`n` pieces of pet photos, blended with others so that no two agree, in 10 classes."""
    files = [file for file in pet_files() if not file.name.startswith("Abyssinian")]  # some are copies
    for label in range(10):
        (folder / f"class{label}").mkdir(parents=True)

    def write(k: int) -> None:
        random = np.random.default_rng(k)
        # No two numbers below n² / 2 give the same two photos.
        first, step = k % len(files), 1 + k // len(files)
        pieces = [_piece(files[p], random) for p in (first, (first + step) % len(files))]
        mixed = Image.blend(*pieces, alpha=float(random.uniform(0.45, 0.55)))
        mixed.save(folder / f"class{k % 10}" / f"{k:06}.jpg", quality=90)
        if k % 100 == 0:
            small = mixed.resize((WIDTH // 2, HEIGHT // 2))
            small.save(folder / f"class{k % 10}" / f"{k:06}_copy.jpg", quality=80)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, range(n)))


def _piece(path: Path, random: np.random.Generator) -> Image.Image:
    """A random part of a photo, perhaps mirrored, in the size of the set."""
    with Image.open(path) as image:
        photo = image.convert("RGB")
    share = float(random.uniform(0.4, 0.7))
    width, height = int(photo.width * share), int(photo.height * share)
    left, top = int(random.integers(0, photo.width - width)), int(random.integers(0, photo.height - height))
    piece = photo.crop((left, top, left + width, top + height)).resize((WIDTH, HEIGHT))
    return piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else piece


def check(job: dict[str, object]) -> dict[str, object]:
    """One run, in a process of its own."""
    import resource

    from wiggly.vision.check import check_folder

    start = time.process_time()
    found = check_folder(str(job["folder"]))
    processor = time.process_time() - start
    groups = {
        tuple(sorted(f.items[p] for p in group)) for f in found.findings if f.groups for group in f.groups
    }
    right = {pair for pair in groups if len(pair) == 2 and pair[1] == pair[0].replace(".jpg", "_copy.jpg")}
    return {
        "seconds": found.seconds,
        "processor_seconds": processor,
        "items": sum(found.sides.values()),
        "copies_found": len(right),
        "others_found": len(groups - right),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    """Writes the photos, checks them, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--out", help="append results to this file, a JSON object a line")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        job = json.loads(Path(options.job).read_text())
        sys.path.insert(0, str(ROOT / "src"))
        Path(job["result"]).write_text(json.dumps(check(job)))
        return
    rows: list[list[object]] = []
    for n in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_photos(Path(folder) / "photos", n)
            job = {"peer": "wiggly", "folder": f"{folder}/photos"}
            runs = [run_peer(__file__, job, environment(None)) for _ in range(RUNS)]
        best = min(runs, key=lambda run: run["seconds"])
        emit({"benchmark": "check", **best, "all_seconds": [r["seconds"] for r in runs]}, options.out)
        seconds = " ".join(f"{run['seconds']:.1f}" for run in runs)
        found = f"{best['copies_found']} of {-(-n // 100)}"
        processor = f"{best['processor_seconds']:.1f}"
        rows.append([f"{best['items']:,}", seconds, processor, found, best["others_found"], best["peak_mib"]])
    print(table(["photos", "seconds", "processor s", "copies found", "others found", "peak MiB"], rows))
    print(footer())


if __name__ == "__main__":
    main()
