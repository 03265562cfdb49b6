"""What one prediction costs, and how long the first one takes, without PyTorch and with it.

Run: `python benchmarks/predict.py` (two minutes), `--quick` (half a minute), `--threads 1`. In: photos of
pets as they are (about 500×375), and the bundle of `serve.py`: `tf_efficientnet_lite0`, 37 classes, 224 px.
Peers take turns photo by photo, so that a busy moment hits all of them; of each photo the fastest round
counts. "bare" is what nobody can do without: Pillow decodes, and ONNX Runtime runs the same graph, which
resamples inside. Starts are fresh processes: import, open, one answer. Out: JSON lines and a table.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serve import write_bundle
from support import emit, footer, pet_files, table

PHOTOS, ROUNDS, STARTS = 48, 7, 5
GOAL = 1.15  # of the bare session and decoding

START = {
    "wiggly, ONNX Runtime": "from wiggly.bundle.session import open_session as load",
    "wiggly, PyTorch": "from wiggly import load_bundle as load",
}


def peers(bundle: Path, threads: int) -> dict[str, Callable[[Path], Any]]:
    """One function per peer, from a file to an answer."""
    import io

    import numpy as np
    import onnxruntime
    import torch
    from PIL import Image
    from torchvision.transforms import v2

    from wiggly.bundle.archive import read_archive
    from wiggly.bundle.predictor import load_bundle
    from wiggly.bundle.session import open_session

    torch.set_num_threads(threads)
    session, predictor = open_session(bundle, threads=threads), load_bundle(bundle)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    graph = read_archive(bundle).files["model.onnx"]
    bare_session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    prepare = v2.Compose(
        [v2.PILToTensor(), v2.Resize(224), v2.CenterCrop(224), v2.ToDtype(torch.float32, scale=True)]
    )
    model = predictor.model

    def bare(file: Path) -> Any:
        pixels = np.asarray(Image.open(io.BytesIO(file.read_bytes())).convert("RGB"))
        return bare_session.run(None, {"image": pixels[None]})[0].argmax()

    def by_hand(file: Path) -> Any:
        with torch.inference_mode():
            return model(prepare(Image.open(file).convert("RGB"))[None]).softmax(1).argmax()

    return {
        "bare ONNX Runtime + Pillow": bare,
        "wiggly, ONNX Runtime": session.predict,
        "wiggly, PyTorch": predictor.predict,
        "torch by hand": by_hand,
    }


def cost(bundle: Path, photos: int, rounds: int, threads: int) -> list[dict[str, Any]]:
    """Milliseconds per photo: mean over the photos of the fastest round."""
    files, all_peers = pet_files()[:: max(1, len(pet_files()) // photos)][:photos], peers(bundle, threads)
    best: dict[str, dict[Path, float]] = {name: {} for name in all_peers}
    for turn in range(rounds + 1):
        for file in files:
            for name, answer in all_peers.items():
                started = time.perf_counter()
                answer(file)
                seconds = time.perf_counter() - started
                if turn:  # the first round warms up
                    best[name][file] = min(seconds, best[name].get(file, seconds))
    means = {name: 1000 * statistics.fmean(times.values()) for name, times in best.items()}
    bare = means["bare ONNX Runtime + Pillow"]
    return [
        {"what": "cost", "peer": name, "ms": round(mean, 3), "ratio": round(mean / bare, 3)}
        for name, mean in means.items()
    ]


def starts(bundle: Path, times: int) -> list[dict[str, Any]]:
    """Seconds from the start of a process to its first answer."""
    photo, rows = pet_files()[0], list[dict[str, Any]]()
    for name, line in START.items():
        found: list[float] = []
        code = f"{line}\nload({str(bundle)!r}).predict({str(photo)!r})"
        for _ in range(times):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            found.append(time.perf_counter() - started)
        rows.append({"what": "start", "peer": name, "s": round(min(found), 3)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer photos and rounds")
    parser.add_argument("--threads", type=int, default=2, help="of each peer")
    parser.add_argument("--bundle", type=Path, help="a bundle of pets; by default one is made")
    parser.add_argument("--out", help="append JSON lines to this file")
    settings = parser.parse_args()
    photos, rounds, times = (12, 3, 2) if settings.quick else (PHOTOS, ROUNDS, STARTS)
    with tempfile.TemporaryDirectory() as folder:
        bundle = settings.bundle or Path(folder) / "pets.wiggly"
        if settings.bundle is None:
            write_bundle(bundle)
        rows = [*starts(bundle, times), *cost(bundle, photos, rounds, settings.threads)]
    for row in rows:
        emit(row, settings.out)
    peers: dict[str, dict[str, Any]] = {}
    for row in rows:
        peers.setdefault(row["peer"], {}).update(row)
    cells = [[name, row.get("ms", ""), row.get("ratio", ""), row.get("s", "")] for name, row in peers.items()]
    print(table(["peer", "ms per photo", "of bare", "first answer after, s"], cells), footer(), sep="\n\n")
    [ratio] = [
        row["ratio"] for row in rows if row["what"] == "cost" and row["peer"] == "wiggly, ONNX Runtime"
    ]
    print(f"{'within' if ratio <= GOAL else 'ABOVE'} the goal of {GOAL} times bare")


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    main()
