"""The main job on real data: a folder of digit scans becomes a model, a report, a bundle and a served app.

Each step is printed as the command a user would type. `SERVE=0` in the environment stops before serving;
`PORT=...` picks another port. Read next: `make_digits.py`, where the folder comes from.
"""

import contextlib
import os
import shlex
import sys

from environment import call, prepare, program, quiet_threads

# No pretrained weights: the demo works offline, and 8x8 scans do not resemble photos. A mirrored digit is no
# digit.
TRAIN = (
    "train digits --arch resnet10t --no-pretrained --size 32 --epochs 10 --no-flip "
    "--out digits.wiggly --report report.html"
)


def main():
    """Make the environment and the folder, train, and serve what was trained."""
    python = prepare(".venv", ["app"])
    call(python, "scripts/make_digits.py", "digits")
    wiggly(python, *shlex.split(TRAIN))
    if os.environ.get("SERVE", "1") not in ("0", "no", "false"):
        port = os.environ.get("PORT")
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how serving ends
            wiggly(python, "app", "digits.wiggly", *(["--port", port] if port else []))


def wiggly(python, *arguments):
    """Print a wiggly command as a user types it, then run it."""
    print(f"\n$ wiggly {shlex.join(arguments)}", flush=True)
    call(program(python, "wiggly"), *arguments, env=quiet_threads())


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
