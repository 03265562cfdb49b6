"""This Space: the model in `model.wiggly` on ONNX Runtime, with its page at `/` and `/v1` beside it.

In: the bundle beside this file. Out: a server on the port that Spaces look at. It proves the model by its
worked examples before it answers anybody. Read next: `wiggly/apps/server/start.py`, which does the work.
"""

from __future__ import annotations

import os
from pathlib import Path

from wiggly.apps.server.start import Place, serve_bundle

MODEL = Path(__file__).with_name("model.wiggly")
HOST = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")
PORT = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
CORES = os.environ.get("CPU_CORES", "")  # what the Space may use; the machine has many more

if __name__ == "__main__":
    serve_bundle(
        MODEL,
        Place(host=HOST, port=PORT),
        cors=["*"],  # pages on other sites may ask this model, too
        runtime="onnx",
        threads=int(CORES) if CORES.isdecimal() and int(CORES) else None,
    )
