"""What every test and docstring example runs under: no network, no windows, few threads, an own folder.

In: pytest. Out: an environment set before torch is imported. Read next: `tests/conftest.py`, the data of the
tests.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

# Read once by the libraries when they are imported, so set here and not in a fixture; subprocesses inherit
# them.
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several test processes share the cores
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

# A shell that starts tests in the background has them ignore Ctrl-C, which some of them are about.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LOOPBACK = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "::", "", None}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark docstring examples as docs: one step of `scripts/test.py` runs all that the docs claim."""
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            item.add_marker(pytest.mark.docs)


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Make this machine look offline: only loopback answers, so a pass proves that no network is needed."""
    patch = pytest.MonkeyPatch()
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in LOOPBACK:
            raise OSError(errno.ENETUNREACH, f"tests run without a network; {address} was asked for")
        connect(self, address)

    def guarded_resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in LOOPBACK:
            raise socket.gaierror(socket.EAI_NONAME, f"tests run without a network; {name} was looked up")
        return resolve(host, *args, **kwargs)

    patch.setattr(socket.socket, "connect", guarded_connect)
    patch.setattr(socket, "getaddrinfo", guarded_resolve)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def doctest_folder(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run each docstring example in an empty folder of its own, so that it may write files."""
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    folder = request.getfixturevalue("tmp_path")
    before = os.getcwd()
    os.chdir(folder)
    yield
    os.chdir(before)
