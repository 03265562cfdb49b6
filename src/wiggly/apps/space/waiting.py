"""Until a Space runs: what the hub says of it, and the end of its log where it fails.

In: a client of the hub, and the commit that was pushed. Out: nothing, or an error. Read next: `push.py`.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from wiggly.errors import SpaceError

__all__ = ["wait_until_running"]

FAILED = {"BUILD_ERROR", "CONFIG_ERROR", "RUNTIME_ERROR", "NO_APP_FILE", "DELETING"}
AT_REST = {"PAUSED", "STOPPED", "SLEEPING"}
WORKING = {"BUILDING", "RUNNING_BUILDING", "APP_STARTING", "RUNNING_APP_STARTING"}

PAUSE = 3.0  # seconds until the hub is asked again
GRACE = 30.0  # seconds for which it may still tell of the commit before, where it does not say of which
ATTEMPTS = 5  # in a row
LAST_LINES = 15  # of a log


def wait_until_running(
    api: Any, repo_id: str, commit: str, timeout: float, network: type[Exception] = OSError
) -> None:
    """Waits until a Space runs what was pushed.

    Args:
        api: A `huggingface_hub.HfApi`.
        repo_id: The Space.
        commit: What was pushed.
        timeout: Seconds until then.
        network: What the client raises where the hub does not answer; it may happen a few times.

    Raises:
        SpaceError: It fails, is at rest, or takes longer.
    """
    start, working, stage = time.monotonic(), False, ""
    while True:
        runtime = _runtime(api, repo_id, network)
        waited, before = time.monotonic() - start, stage
        stage = str(getattr(runtime.stage, "value", runtime.stage))
        working = working or stage in WORKING
        if stage != before:
            print(f"  {waited:4.0f} s  {stage.lower().replace('_', ' ')}", flush=True)
        built = runtime.raw.get("sha")
        current = built == commit if built else working or waited > GRACE
        if current and stage == "RUNNING":
            return
        if current and stage in FAILED:
            raise _failed(repo_id, stage, runtime.raw, log_end(api, repo_id, stage == "BUILD_ERROR", network))
        if stage in AT_REST and waited > min(GRACE, timeout):
            raise _at_rest(repo_id, stage)
        if waited > timeout:
            raise _late(repo_id, stage, timeout, log_end(api, repo_id, "BUILDING" in stage, network))
        time.sleep(PAUSE)


def _runtime(api: Any, repo_id: str, network: type[Exception]) -> Any:
    """What the hub says of a Space; it is asked again where it does not answer."""
    for _ in range(ATTEMPTS - 1):
        try:
            return api.get_space_runtime(repo_id)
        except (OSError, network):
            time.sleep(PAUSE)
    return api.get_space_runtime(repo_id)


def _failed(repo_id: str, stage: str, raw: dict[str, Any], log: str) -> SpaceError:
    said = str(raw.get("errorMessage") or "").strip()
    told = "\n".join(part for part in (said, log) if part)
    return SpaceError(
        f"the Space '{repo_id}' must start",
        f"it is in {stage}" + (f":\n{told}\n" if told else ""),
        "Mend what the log says; then push again.",
    )


def _at_rest(repo_id: str, stage: str) -> SpaceError:
    return SpaceError(
        f"the Space '{repo_id}' must start",
        f"it is {stage.lower()}: what was pushed is there, and runs once somebody wakes it",
        "Restart it on its page on the hub, then push again, which asks it for the worked examples.",
    )


def _late(repo_id: str, stage: str, timeout: float, log: str) -> SpaceError:
    return SpaceError(
        f"the Space '{repo_id}' must run within {timeout:g} seconds",
        f"it is in {stage}" + (f":\n{log}\n" if log else ""),
        "Look at its log on the hub, or pass a longer time-out.",
    )


def log_end(api: Any, repo_id: str, build: bool, network: type[Exception] = OSError) -> str:
    """The last lines of a Space's log; nothing where the hub does not give it.

    Args:
        api: A `huggingface_hub.HfApi`.
        repo_id: The Space.
        build: Of its building; else of its run.
        network: What the client raises where the hub does not answer.
    """
    fetch = getattr(api, "fetch_space_logs", None)  # not in every version
    parts: list[str] = []
    if fetch is not None:
        with suppress(OSError, KeyError, ValueError, network):  # what has come by then is shown
            parts.extend(fetch(repo_id, build=build))
    return "\n".join("".join(parts).splitlines()[-LAST_LINES:])
