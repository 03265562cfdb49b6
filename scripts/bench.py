"""Runs the benchmarks beside their peers, in an environment of its own (`.venv-bench`).

`python3 scripts/bench.py` runs all; names of scripts in `benchmarks/` pick some, and what follows `--` goes
to each.
"""

import sys

from environment import ROOT, call, prepare, quiet_threads

DEFAULT = ("loader", "fine_tune")


def main():
    """Prepare the environment with the peers and run the scripts asked for."""
    arguments = sys.argv[1:]
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    names, rest = arguments[:cut] or DEFAULT, arguments[cut + 1 :]
    unknown = [name for name in names if not (ROOT / "benchmarks" / f"{name}.py").exists()]
    if unknown:
        sys.exit(f"every name must be a script in benchmarks/; there is no {', '.join(unknown)}.")
    python = prepare(".venv-bench", requirements="benchmarks/requirements.txt")
    for name in names:
        print(f"\n==> benchmarks/{name}.py", flush=True)
        call(python, f"benchmarks/{name}.py", *rest, env=quiet_threads())


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
