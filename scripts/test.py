"""Every check there is, the same here and in CI: lint, types, imports, web, docs, browser, unit tests.

`python3 scripts/test.py` runs all of them and ends with a table; `... types unit` runs those named; `--slow`
adds the tests marked slow; what follows `--` goes to pytest: `... unit -- tests/train -x`. Read next:
`browser.py`.
"""

import argparse
import os
import sys
import time

from browser import ensure_chromium, ensure_webkit
from environment import call, prepare, program, quiet_threads


def main():
    """Run the steps in order, each to its end, and return 1 if any of them failed."""
    options = parse()
    python = prepare(".venv", ["test"])
    if "browser" in options.steps:
        ensure_chromium(python)
        ensure_webkit()
    results = [run_step(name, command(name, python, options)) for name in options.steps]
    print(
        "\n"
        + "\n".join(
            f"{'passed' if ok else 'FAILED'}  {name:<8} {seconds:6.1f} s" for name, ok, seconds in results
        )
    )
    return 0 if all(ok for _, ok, _ in results) else 1


def command(name, python, options):
    """Return the commands of one step."""
    slow = "" if options.slow else " and not slow"
    pytest = [python, "-m", "pytest", "-q"]
    shared_out = ["-n", workers(), "--dist", "loadfile"]  # servers and bundles are made once per file
    return {
        "lint": [[python, "-m", "ruff", "check"], [python, "-m", "ruff", "format", "--check"]],
        "types": [[python, "-m", "pyright", "--pythonpath", python]],
        "web": [[python, "scripts/web.py", "--check"]],
        "imports": [[program(python, "lint-imports"), "--no-cache"]],
        "docs": [[*pytest, "-m", f"docs{slow}", *shared_out, *options.pytest]],
        "unit": [[*pytest, "-m", f"not browser and not docs{slow}", *shared_out, *options.pytest]],
        "browser": [[*pytest, "-m", f"browser{slow}", *shared_out, *options.pytest]],
    }[name]


def run_step(name, commands):
    """Run one step's commands and return its name, whether all passed, and the seconds it took."""
    print(f"\n==> {name}", flush=True)
    start = time.monotonic()
    passed = all(call(*command, env=quiet_threads(), check=False) == 0 for command in commands)
    return name, passed, time.monotonic() - start


def workers():
    """Return how many processes share the tests: the cores this process may use, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return str(min(cores, 8))


def parse():
    """Return the steps asked for, whether slow tests run, and the arguments for pytest."""
    steps = ["lint", "types", "imports", "web", "docs", "browser", "unit"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", nargs="*", choices=[*steps, []], help="which checks to run (default: all)")
    parser.add_argument("--slow", action="store_true", help="also run the tests marked slow")
    own, _, rest = _split(sys.argv[1:])
    options = parser.parse_args(own)
    options.steps, options.pytest = options.steps or steps, rest
    return options


def _split(arguments):
    """Split at the first `--`, before which stand our own arguments."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:cut], "--", arguments[cut + 1 :]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
