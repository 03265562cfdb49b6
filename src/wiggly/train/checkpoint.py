"""Checkpoints: weights and optimizer state in one safetensors file.

In: a model and its optimizer. Out: `<name>.safetensors`; nothing is pickled, so reading a stranger's file
runs none of their code. The file is written aside, flushed to the disk and renamed over the old one. Read
next: `learner.py`, `save` and `load`.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from wiggly.errors import ArgumentError, ModelError, StorageError
from wiggly.train.distributed.sharding import put_optimizer, put_weights, whole_tensor
from wiggly.train.optim.base import Optimizer
from wiggly.train.resume.snapshot import pack, unpack

__all__ = [
    "Contents",
    "RunState",
    "atomic_write",
    "load_checkpoint",
    "read_checkpoint",
    "read_notes",
    "replacing",
    "save_checkpoint",
]

SUFFIX = ".safetensors"
# No module can have such a name, so the kinds of tensors in a file never clash.
OPTIMIZER_PREFIX, RUN_PREFIX = "@optimizer.", "@run."
# In the place of a parameter's number: tensors that the settings refer to.
LOOSE = "loose"
FORMAT, VERSION = "wiggly-checkpoint", 1


@dataclass(frozen=True)
class RunState:
    """What a checkpoint keeps of a fit that is under way, besides weights and optimizer; see `resume/run.py`.

    Attributes:
        values: JSON values.
        tensors: Tensors that they refer to; each name begins with `RUN_PREFIX`.
    """

    values: dict[str, Any]
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Contents:
    """A checkpoint that was read.

    Attributes:
        weights: The model's state.
        optimizer: As torch's optimizers take it; None if the file has none.
        run: None if the file is not of a fit under way.
    """

    weights: dict[str, Tensor]
    optimizer: dict[str, Any] | None
    run: RunState | None


@contextlib.contextmanager
def replacing(path: str | Path, previous: Path | None = None) -> Generator[Path]:
    """A place to write a file aside; when the block ends well it takes the place of `path` in one step.

    Args:
        path: The file; folders that do not exist are made. A link is followed.
        previous: Where the file that was there is put, once the new one is complete; None lets it go.

    Raises:
        StorageError: It cannot be written: no permission, a full disk. The file that was there is untouched.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with replacing(target) as aside:
        ...     _ = aside.write_text("all or nothing")
        >>> target.read_text()
        'all or nothing'
    """
    target = Path(os.path.realpath(path))
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        _flush(aside)
        if previous is not None and target.exists():
            os.replace(target, previous)
        os.replace(aside, target)
        _flush(target.parent)
    except StorageError:
        raise
    except (OSError, SafetensorError) as error:
        raise _storage_error(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def _flush(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _storage_error(target: Path, error: Exception) -> StorageError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    kept = " The file that was there is untouched." if target.exists() else ""
    return StorageError(
        f"`{target}` must be writable",
        f"writing failed: {reason}",
        f"Free space on the disk, or choose a folder you may write to.{kept}",
    )


def atomic_write(path: str | Path, data: bytes) -> Path:
    """Writes a whole file or nothing; see `replacing`.

    Returns:
        The path.
    """
    with replacing(path) as aside:
        aside.write_bytes(data)
    return Path(path)


def checkpoint_path(folder: Path, name: str | Path) -> Path:
    """`folder/name.safetensors`; an absolute name stands for itself."""
    path = folder / name
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: Optimizer | None = None,
    run: RunState | None = None,
    previous: Path | None = None,
    notes: Mapping[str, str] | None = None,
    writes: bool = True,
) -> None:
    """Writes the weights, and what else is given.

    Args:
        path: The file.
        model: Whose weights.
        optimizer: Its state is written too.
        run: What a fit needs to go on, besides those two.
        previous: As for `replacing`.
        notes: Texts by name, which `read_notes` gives back.
        writes: False in a process that only helps to put sharded weights together, for another one to write.

    Raises:
        StorageError: The file cannot be written; the previous one is untouched.
        ModelError: The model keeps state that is no tensor.
    """
    tensors: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            raise ModelError(
                "a checkpoint holds tensors only",
                f"`{name}` of the model's state is a {type(value).__name__}",
                "Keep it in a buffer, or save it yourself.",
            )
        tensors[name] = value
    header = {**(notes or {}), "format": FORMAT, "version": str(VERSION)}
    if optimizer is not None:
        settings, state = _optimizer_parts(optimizer.state_dict())
        tensors |= state
        header["optimizer"] = json.dumps(settings)
    if run is not None:
        tensors |= run.tensors
    ready = _writable(tensors, writes)
    if not writes:
        return
    if run is not None:
        header["run"] = json.dumps(run.values)
        header["checksum"] = _checksum(ready, header)
    with replacing(path, previous) as aside:
        save_file(ready, aside, header)


def _checksum(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    """Of all tensors and of the texts beside them: a changed bit would otherwise be trained on."""
    total = 0
    for text in (header.get("optimizer", ""), header["run"]):
        total = zlib.crc32(text.encode(), total)
    for name in sorted(tensors):
        total = zlib.crc32(name.encode(), total)
        flat = tensors[name].cpu().reshape(-1).view(torch.uint8)
        total = zlib.crc32(cast("Any", flat.numpy()), total)
    return f"{total:08x}"


def _writable(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """On the CPU, contiguous, and tied weights written twice: what safetensors asks for."""
    seen: set[int] = set()
    ready: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = whole_tensor(tensor.detach()).cpu().contiguous()
        if not keep:
            continue
        if plain.numel() and plain.untyped_storage().data_ptr() in seen:
            plain = plain.clone()
        seen.add(plain.untyped_storage().data_ptr())
        ready[name] = plain
    return ready


def _optimizer_parts(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """An optimizer's state as JSON-able settings and named tensors."""
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{OPTIMIZER_PREFIX}{index}.{name}"] = value
            else:
                plain.setdefault(str(index), {})[name] = value
    rest = {**{name: value for name, value in state.items() if name != "state"}, "plain": plain}
    # A few optimizers keep tensors in lists, or in the groups.
    return pack(rest, tensors, f"{OPTIMIZER_PREFIX}{LOOSE}."), tensors


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: Optimizer | None = None, device: str | torch.device = "cpu"
) -> bool:
    """Reads weights into a model, and the optimizer's state if the file has it and `optimizer` is given.

    Everything is read and compared before anything is changed.

    Args:
        path: The file.
        model: Takes the weights.
        optimizer: Takes the optimizer's state.
        device: Where the tensors are read to.

    Returns:
        Whether the optimizer's state was taken over.

    Raises:
        StorageError: There is no such file, or it is damaged.
        ModelError: Its layers are not the model's; the message names the first ones.
    """
    return apply_checkpoint(read_checkpoint(path, device), path.name, model, optimizer)


def apply_checkpoint(found: Contents, name: str, model: nn.Module, optimizer: Optimizer | None) -> bool:
    """Gives a model, and its optimizer if there is one, what was read; see `load_checkpoint`."""
    weights = found.weights
    check_weights(model, weights, name)
    state = found.optimizer if optimizer is not None else None
    if optimizer is not None and state is not None:
        put_optimizer(optimizer, state)  # checks its groups before it changes anything
    put_weights(model, weights)
    return state is not None


def read_checkpoint(path: Path, device: str | torch.device = "cpu") -> Contents:
    """Reads a checkpoint whole, and changes nothing.

    Args:
        path: The file.
        device: Where the tensors are read to.

    Raises:
        StorageError: There is no such file, or it is damaged.
    """
    tensors, header = _read(path, device)
    try:
        if "run" in header and header["checksum"] != _checksum(tensors, header):
            raise ValueError("the checksum differs")
        optimizer = _optimizer_state(tensors, header) if "optimizer" in header else None
        run = json.loads(header["run"]) if "run" in header else None
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error
    more = {name: t for name, t in tensors.items() if name.startswith(RUN_PREFIX)}
    weights = {name: t for name, t in tensors.items() if not name.startswith((OPTIMIZER_PREFIX, RUN_PREFIX))}
    return Contents(weights, optimizer, None if run is None else RunState(run, more))


def _damaged(path: Path, error: Exception) -> StorageError:
    return StorageError(
        f"`{path}` must be a whole safetensors file",
        f"reading failed: {error}",
        "It may have been cut short, or be of another kind. Copy it again, or save it anew.",
    )


def _read(path: Path, device: str | torch.device) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.exists():
        names = sorted(p.stem for p in path.parent.glob(f"*{SUFFIX}")) if path.parent.is_dir() else []
        there = f"the folder has: {', '.join(names[:10])}" if names else "the folder has no checkpoint"
        fix = "Pass one of these names." if names else "Write one first with learn.save('name')."
        raise StorageError(f"`{path}` must exist", there, fix)
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            header = cast("dict[str, str]", file.metadata() or {})
            tensors = {str(name): cast("Tensor", file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    version = header.get("version", "0") if header.get("format") == FORMAT else "0"
    if version.isdecimal() and int(version) > VERSION:
        raise StorageError(
            f"`{path}` must be of version {VERSION}", f"it is {header['version']}", "Update wiggly."
        )
    return tensors, header


def weight_differences(model: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """In words, where names and shapes differ from the model's; empty where they do not."""
    wanted = {k: v for k, v in model.state_dict().items() if isinstance(v, Tensor)}
    missing = [k for k in wanted if k not in weights]
    unexpected = [k for k in weights if k not in wanted]
    shapes = [
        f"{k} is {tuple(weights[k].shape)}, the model's {tuple(v.shape)}"
        for k, v in wanted.items()
        if k in weights and weights[k].shape != v.shape
    ]
    kinds = (("missing", missing), ("not in the model", unexpected), ("of another shape", shapes))
    return "; ".join(f"{len(names)} {kind} ({'; '.join(names[:3])})" for kind, names in kinds if names)


def read_notes(path: Path) -> dict[str, str]:
    """The texts beside the tensors of a checkpoint; none if there is no such file, or it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return cast("dict[str, str]", file.metadata() or {})
    except (SafetensorError, OSError):
        return {}


def check_weights(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Compares names and shapes with the model's.

    Raises:
        ModelError: They differ.
    """
    found = weight_differences(model, weights)
    if found:
        raise ModelError(
            f"the layers in `{source}` must be those of the model",
            found,
            "Make the learner with the same architecture, head and number of classes as when it was saved.",
        )


def _optimizer_state(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = unpack(json.loads(header["optimizer"]), tensors)
    plain: dict[str, dict[str, Any]] = settings.pop("plain")
    state: dict[int, dict[str, Any]] = {int(index): values for index, values in plain.items()}
    for name, tensor in tensors.items():
        if name.startswith(OPTIMIZER_PREFIX):
            index, key = name.removeprefix(OPTIMIZER_PREFIX).split(".", 1)
            if index != LOOSE:
                state.setdefault(int(index), {})[key] = tensor
    return {**settings, "state": state}


def check_name(file: str | Path) -> None:
    """Refuses what is no name, and what `learn.load` of another library's habits would bring.

    Raises:
        ArgumentError: It is empty or no text, or ends in .pth or .pt.
    """
    if not isinstance(file, (str, Path)) or not Path(file).name:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ArgumentError(
            "a checkpoint needs the name of a file", f"got {str(file)!r}", "Pass one, e.g. 'model'."
        )
    if Path(file).suffix in (".pth", ".pt", ".pkl"):
        raise ArgumentError(
            "checkpoints are safetensors files",
            f"got {str(file)!r}",
            "Leave the suffix out. For a torch file of weights: "
            "learn.model.load_state_dict(torch.load(file, weights_only=True)).",
        )
