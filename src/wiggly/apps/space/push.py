"""A Space made, started, and proved: `wiggly space push user/name pets.wiggly`.

In: a bundle, and the name of a Space. Out: its address, once it answers the worked examples as recorded.
Nothing is overwritten that another program put there. Read next: `folder.py`, what is sent; `waiting.py`,
until it runs; `live.py`, how it is asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from wiggly.apps.space.folder import MARK, space_contents
from wiggly.apps.space.live import Endpoint, check_files, check_live
from wiggly.apps.space.waiting import wait_until_running
from wiggly.bundle.archive import read_archive
from wiggly.errors import ArgumentError, DependencyError, SpaceError, WigglyError

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["PushedSpace", "push_learner", "push_space"]

NAME = re.compile(r"[\w.\-]+/[\w.\-]+")
NOBODYS = {".gitattributes", "README.md"}  # what a Space has that was just made by hand
TIMEOUT = 1800.0


@dataclass(frozen=True)
class PushedSpace:
    """A Space that runs, and answers as the model does.

    Attributes:
        address: Its page on the hub.
        endpoint: Where its own page is, and `/v1` beside it.
        commit: What was pushed.
        examples: How many worked examples it was asked for; 0 for a static one, which cannot be asked.
        difference: The largest from what is recorded.
    """

    address: str
    endpoint: str
    commit: str
    examples: int
    difference: float


def push_space(
    repo_id: str,
    bundle: str | os.PathLike[str],
    *,
    private: bool = False,
    static: bool = False,
    token: str | None = None,
    timeout: float = TIMEOUT,
) -> PushedSpace:
    """Makes or renews a Space in one commit, waits until it runs, and asks it for the worked examples.

    Args:
        repo_id: "user/name".
        bundle: What `learn.export` wrote; it needs a graph.
        private: Whether only its owner sees it.
        static: A page without a server, where the model runs in the visitor's browser.
        token: With the right to write; None takes that of `hf auth login`, or of the variable HF_TOKEN.
        timeout: Seconds until it must run.

    Returns:
        Where it is, and how it answered. The address is printed, too.

    Raises:
        ArgumentError: The name is none, or there is no token.
        BundleError: The bundle is none, or has no graph.
        SpaceError: The name is taken, the hub refuses, the Space does not start, or says something else.
        DependencyError: A package is not installed.
    """
    hub = _hub()
    if not NAME.fullmatch(repo_id):
        fix = "Pass e.g. 'ada/pets'."
        raise ArgumentError("a Space's name must be 'user/name'", f"it is {repo_id!r}", fix)
    archive, files = read_archive(bundle), space_contents(bundle, static=static)
    secret = token or hub.get_token()
    if not secret:
        raise ArgumentError(
            "pushing a Space needs a token of Hugging Face with the right to write",
            "there is none",
            "Run `hf auth login`, or set the variable HF_TOKEN (huggingface.co/settings/tokens).",
        )
    api = hub.HfApi(token=secret)
    with _named(hub, repo_id):
        stale = _stale(hub, api, repo_id, set(files), private)
        sdk = "static" if static else "gradio"
        made = api.create_repo(
            repo_id, repo_type="space", space_sdk=sdk, private=private or None, exist_ok=True
        )
        commit = _commit(hub, api, repo_id, files, stale)
        print(f"pushed {len(files)} files to {made}; waiting until it runs", flush=True)
        wait_until_running(api, repo_id, commit, timeout, hub.errors.HTTPError)
        info = api.space_info(repo_id)
    endpoint = Endpoint(str(info.host), secret if info.private else None)
    if static:
        check_files(endpoint, archive)
        n, difference = 0, 0.0
        print(f"{made} runs: its model is this one ({archive.sha256[:12]})", flush=True)
    else:
        n, difference = check_live(endpoint, archive)
        print(f"{made} runs: {n} worked examples within {difference:.1g}, at {endpoint.address}", flush=True)
    return PushedSpace(str(made), endpoint.address, commit, n, difference)


def push_learner(
    learn: Learner, repo_id: str, *, private: bool, static: bool, token: str | None, timeout: float
) -> PushedSpace:
    """Exports a learner and pushes its bundle; see `push_space`."""
    with TemporaryDirectory(prefix="wiggly-space-") as folder:
        bundle = learn.export(Path(folder) / f"{repo_id.rpartition('/')[2]}.wiggly")
        return push_space(repo_id, bundle, private=private, static=static, token=token, timeout=timeout)


# ---- the hub ----


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise DependencyError(
            "pushing a Space needs the package huggingface_hub",
            f"it cannot be imported ({error})",
            'Install it: `pip install "wiggly[app]"`',
        ) from error
    return huggingface_hub


def _stale(hub: Any, api: Any, repo_id: str, files: set[str], private: bool) -> list[str]:
    """Files of an earlier push that are no longer needed.

    Raises:
        SpaceError: Somebody else's Space has this name, or everybody sees it and it should be private.
    """
    try:
        info = api.space_info(repo_id)
    except hub.errors.RepositoryNotFoundError:
        return []
    there = {entry.rfilename for entry in info.siblings or ()}
    if private and not info.private:
        raise SpaceError(
            "a Space that is to be private must not be there as a public one",
            f"'{repo_id}' is public",
            "Make it private in its settings on the hub, then push again; or take another name.",
        )
    if there <= NOBODYS:
        return []
    ours = MARK.read(_mark_of(api, repo_id)) if MARK.file in there else None
    if ours is None:
        raise SpaceError(
            "the Space must be new, empty, or pushed by wiggly",
            f"'{repo_id}' is there, and holds other files ({', '.join(sorted(there - NOBODYS)[:3])})",
            "Take another name, or delete that Space on the hub.",
        )
    return sorted(set(ours) & there - files)


def _mark_of(api: Any, repo_id: str) -> bytes:
    with TemporaryDirectory(prefix="wiggly-space-") as folder:
        return Path(api.hf_hub_download(repo_id, MARK.file, repo_type="space", local_dir=folder)).read_bytes()


def _commit(hub: Any, api: Any, repo_id: str, files: Mapping[str, bytes], stale: list[str]) -> str:
    """All changes at once, so that no half of them is ever built; returns the commit's hash."""
    operations = [hub.CommitOperationDelete(name) for name in stale]
    operations += [hub.CommitOperationAdd(name, content) for name, content in files.items()]
    made = api.create_commit(repo_id, operations, commit_message="Model pushed by wiggly", repo_type="space")
    return str(made.oid)


@contextmanager
def _named(hub: Any, repo_id: str) -> Generator[None]:
    """What the hub refuses, in three parts."""
    try:
        yield
    except hub.errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        told = getattr(error, "server_message", None) or str(error).strip().splitlines()[-1]
        if status == 401:
            fix = "Make a new token at huggingface.co/settings/tokens, then `hf auth login`."
            raise SpaceError("the token must be one that the hub knows", told, fix) from error
        if status == 403:
            fix = f"Take a token with the right to write to '{repo_id.partition('/')[0]}'."
            raise SpaceError("the token must have the right to write there", told, fix) from error
        raise SpaceError(f"the hub must take '{repo_id}'", told[:500], "Mend it, or try later.") from error
    except WigglyError:
        raise
    except (OSError, RuntimeError, hub.errors.HTTPError, hub.errors.HFValidationError) as error:
        told = " ".join(str(one) for one in (error, error.__cause__) if one is not None)
        raise SpaceError(
            f"the hub must take '{repo_id}'", told[:500].rstrip("."), "Check the name and the connection."
        ) from error
