"""Exact versions of everything that a Space needs, as they are installed here.

In: nothing. Out: the lines of `requirements.txt`. What is not needed on the Space's Linux is left out. Read
next: `folder.py`.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution, version

from wiggly.errors import DependencyError

__all__ = ["locked", "python_of_lock"]

#: What the Space's program imports, as PyPI calls it.
WANTED = (
    "fastapi",
    "gradio",
    "numpy",
    "onnxruntime",
    "pillow",
    "prometheus-client",
    "pydantic",
    "python-multipart",
    "safetensors",
    "starlette",
    "uvicorn",
)

#: Where a Space runs; the version of Python is this one's.
PLACE = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}


def python_of_lock() -> str:
    """The Python for which the versions hold, such as "3.12"."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def locked() -> list[str]:
    """Lines such as `numpy==2.4.6`, sorted, of all that is needed and of all that these need.

    Raises:
        DependencyError: One of them is not installed here, so that there is no version to name.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    seen, waiting = set[tuple[str, str]](), [(name, "") for name in WANTED]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found[name] = _version(name)
        for line in distribution(name).requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({**PLACE, "extra": extra}):
                waiting += [(canonicalize_name(needed.name), one) for one in ("", *needed.extras)]
    return [f"{name}=={found[name]}" for name in sorted(found)]


def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]  # a build of this machine's own is on no index
    except PackageNotFoundError as error:
        raise DependencyError(
            "a Space is written with the versions that are installed",
            f"{name} is not",
            f'Install it: `pip install {name}`, or all of them: `pip install "wiggly[app,export]"`.',
        ) from error
