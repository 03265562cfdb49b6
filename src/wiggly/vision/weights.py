"""Where pretrained weights come from: a local safetensors file, timm's hub or torchvision's server.

In: the name of an architecture, or a path. Out: a file that is there, tensors that fit the network, or a
`ModelError` that names both ways to go on without a network. Nothing pickled is read from a file the user
names. Read next: `bodies.py`, which makes the networks.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from wiggly.errors import ArgumentError, ModelError

__all__ = [
    "Sidecar",
    "check_names",
    "fit_stats",
    "load_weights",
    "no_weights_error",
    "read_sidecar",
    "read_weights",
    "require_download",
    "shape_error",
    "source_url",
    "timm_source",
]

Stats = tuple[tuple[float, ...], tuple[float, ...]]

# One attempt of this many seconds decides whether the server can be reached. huggingface_hub itself tries six
# times for each file name with pauses in between: 47 s until it gives up on a machine without a network.
PROBE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What the file `models.json` beside a weights file says about it.

    Attributes:
        arch_args: Arguments the architecture must be made with, e.g. `{"pad_type": "same"}` (key `kwargs`).
        stats: Mean and standard deviation of the images it was trained on (keys `mean` and `std`), or None.
        licence: SPDX identifier of the weights' terms (key `licence`), or None.
    """

    arch_args: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    stats: Stats | None = None
    licence: str | None = None


def read_sidecar(weights: Path) -> Sidecar:
    """Read the entry of a weights file in the `models.json` beside it.

    Args:
        weights: Path of the weights file; its name is the key of the entry.

    Returns:
        The entry; an empty `Sidecar` when there is no such file or entry.

    Raises:
        ModelError: If `models.json` is not JSON, or its entry has no usable `kwargs`, `mean`, `std`.

    Example:
        >>> read_sidecar(Path("nowhere/net.safetensors"))
        Sidecar(arch_args={}, stats=None, licence=None)
    """
    path = weights.with_name("models.json")
    if not path.is_file():
        return Sidecar()
    try:
        entry = json.loads(path.read_text(encoding="utf-8")).get(weights.name, {})
        stats = None
        if "mean" in entry and "std" in entry:
            stats = (tuple(map(float, entry["mean"])), tuple(map(float, entry["std"])))
        licence = entry.get("licence")
        return Sidecar(dict(entry.get("kwargs", {})), stats, None if licence is None else str(licence))
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            "a `models.json` beside a weights file must map file names to `kwargs`, `mean` and `std`",
            f"'{path}' does not ({error})",
            "Repair or rename it; `arch_args=` and `stats=` say the same in Python",
        ) from error


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Args:
        path: The file; floating-point tensors of less than 32 bits are cast up to float32.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        ModelError: If the file is missing, damaged, or in a pickled format.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ModelError("`weights` must be a file", f"'{path}' {what}", "Check the path.")
    if path.suffix != ".safetensors":
        raise ModelError(
            "`weights` must be a .safetensors file",
            f"got '{path}'; other formats are pickled, and reading those can run code",
            "Convert it: safetensors.torch.save_file(torch.load(path, weights_only=True), new_path)",
        )
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(
            "`weights` must be a readable .safetensors file",
            f"'{path}' is not: {error}",
            "Download it again.",
        ) from error
    small = (torch.float16, torch.bfloat16)
    return {name: t.float() if t.dtype in small else t for name, t in tensors.items()}


def check_names(
    model: nn.Module, tensors: Mapping[str, Tensor], source: Path, head: Iterable[str] = ()
) -> None:
    """Make sure that a file holds the tensors of this network, by name.

    Args:
        model: The network.
        tensors: What `read_weights` gave.
        source: The file, for the messages.
        head: Names of the children that classify (`fc`, `head`, ...): the file may hold tensors for them that
            the network has not, and may lack those that it has.

    Raises:
        ModelError: If a tensor is missing or left over.
    """
    own, tops = model.state_dict(), set(head)
    missing = [name for name in own if name not in tensors and not _inside(name, tops)]
    left_over = sorted(name for name in tensors if name not in own and not _inside(name, tops))
    if missing or left_over:
        parts = [_first(missing, "missing"), _first(left_over, "unexpected")]
        raise ModelError(
            "the names in `weights` must be those of the architecture",
            f"'{source}' does not fit: " + ", ".join(part for part in parts if part),
            "Pass the architecture these weights are of, with its `arch_args`; the names must be those of "
            "its library (timm for a string)",
        )


def load_weights(
    model: nn.Module, tensors: Mapping[str, Tensor], source: Path, head: Iterable[str] = ()
) -> None:
    """Copy tensors into a network that must match them exactly, apart from the classifier.

    Args:
        model: The network, changed in place.
        tensors: What `read_weights` gave.
        source: The file, for the messages.
        head: As for `check_names`.

    Raises:
        ModelError: If a tensor is missing, left over, or of another shape; nothing is copied then.
    """
    check_names(model, tensors, source, head)
    own, tops = model.state_dict(), set(head)
    same = {n: t for n, t in tensors.items() if n in own and own[n].shape == t.shape}
    wrong = [n for n in tensors if n in own and n not in same and not _inside(n, tops)]
    if wrong:
        raise shape_error(
            source, f"first '{wrong[0]}': {list(tensors[wrong[0]].shape)}, not {list(own[wrong[0]].shape)}"
        )
    model.load_state_dict(same, strict=False)


def shape_error(source: Path, detail: str) -> ModelError:
    """The error of weights whose names fit and whose shapes do not."""
    return ModelError(
        "the tensors in `weights` must have the shapes of the architecture",
        f"those in '{source}' do not ({detail})",
        "Pass the architecture these weights are of, with its `arch_args`",
    )


def _inside(name: str, tops: set[str]) -> bool:
    return name.split(".", 1)[0] in tops


def _first(names: list[str], what: str) -> str:
    return f"{len(names)} {what} (first '{names[0]}')" if names else ""


def timm_source(cfg: Any, arch: str) -> dict[str, Any]:
    """Find out where timm will take pretrained weights from, without waiting for a network that is not there.

    Args:
        cfg: timm's `PretrainedCfg` of the architecture.
        arch: Its name, for the messages.

    Returns:
        What to overlay on the configuration: the file in the local hub cache when it is there (then no
        network is used at all), else nothing.

    Raises:
        ModelError: If no weights exist, or they have to be downloaded and the server cannot be reached.
    """
    if not cfg.has_weights:
        raise ModelError(
            "`pretrained=True` needs published weights",
            f"timm has none for '{arch}'",
            f'Pass pretrained=False, or one of timm.list_pretrained("{arch.split("_")[0]}*")',
        )
    if not cfg.hf_hub_id:
        file_name = str(cfg.url).rsplit("/", 1)[-1]
        if not (Path(torch.hub.get_dir()) / "checkpoints" / file_name).is_file():
            require_download(str(cfg.url), arch)
        return {}
    if not cfg.custom_load and (cached := _cached_file(cfg)):
        return {"file": cached}
    require_download(source_url(cfg), arch, hub=True)
    return {}


def _cached_file(cfg: Any) -> str | None:
    """Path in the hub's local cache, looked for in timm's own order of preference."""
    repository, _, revision = str(cfg.hf_hub_id).partition("@")
    for name in (cfg.hf_hub_filename,) if cfg.hf_hub_filename else ("model.safetensors", "pytorch_model.bin"):
        found = huggingface_hub.try_to_load_from_cache(repository, name, revision=revision or None)
        if isinstance(found, str):
            return found
    return None


def require_download(url: str, arch: str, hub: bool = False) -> None:
    """Raise at once when pretrained weights have to be downloaded and cannot be.

    Args:
        url: Where they are.
        arch: Name of the architecture, for the message.
        hub: True for the Hugging Face hub, whose offline switch (`HF_HUB_OFFLINE`) is obeyed.

    Raises:
        ModelError: Naming both ways out: local weights, or none.
    """
    offline = hub and huggingface_hub.constants.HF_HUB_OFFLINE
    if not offline and _reachable(url):
        return
    raise no_weights_error(url, arch, "HF_HUB_OFFLINE is set" if offline else "the server cannot be reached")


def no_weights_error(url: str, arch: str, why: str) -> ModelError:
    """The error of a download that failed, with both ways to go on."""
    get = (
        f"save that file in '{torch.hub.get_dir()}/checkpoints'"
        if url.endswith(".pth")
        else "fetch its safetensors file"
    )
    return ModelError(
        "`pretrained=True` downloads weights, which needs a network or a copy in the local cache",
        f"for '{arch}' there is no copy and {why} ({url})",
        f'Pass weights="FILE.safetensors" with a local file (where there is a network, {get}), or '
        "pretrained=False to start from random weights",
    )


def source_url(cfg: Any) -> str:
    """The web address of the weights of a timm configuration: a page of the hub, or a file."""
    if not cfg.hf_hub_id:
        return str(cfg.url)
    return f"{huggingface_hub.constants.ENDPOINT}/{str(cfg.hf_hub_id).split('@')[0]}"


def _reachable(url: str) -> bool:
    """One short attempt; certificates and SOCKS proxies are left to the download, which knows more."""
    if any(proxy.startswith("socks") for proxy in urllib.request.getproxies().values()):
        return True
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)
    except OSError:
        return False


def fit_stats(stats: tuple[Sequence[float], Sequence[float]], n_in: int) -> Stats:
    """Statistics of RGB images for images of another number of channels.

    One channel gets their mean (its weights are the sum over the colours), two get the first two, more repeat
    them.

    Args:
        stats: Mean and standard deviation of 1, 3 or `n_in` channels.
        n_in: Channels of the images.

    Raises:
        ArgumentError: Another number of values, or a standard deviation that is not positive.

    Example:
        >>> fit_stats(((0.1, 0.2, 0.3), (1.0, 1.0, 1.0)), 4)
        ((0.1, 0.2, 0.3, 0.1), (1.0, 1.0, 1.0, 1.0))
    """
    mean, std = (tuple(float(v) for v in values) for values in stats)
    if len(mean) != len(std) or len(mean) not in (1, 3, n_in) or min(std) <= 0:
        raise ArgumentError(
            "statistics must be a mean and a positive standard deviation per channel",
            f"got {mean} and {std} for {n_in} channels",
            "Pass Normalize.from_stats(mean, std) with one number per channel",
        )
    return _fit(mean, n_in), _fit(std, n_in)


def _fit(values: tuple[float, ...], n_in: int) -> tuple[float, ...]:
    if n_in == 1 and len(values) == 3:
        return (sum(values) / 3,)
    return tuple(values[i % len(values)] for i in range(n_in))
