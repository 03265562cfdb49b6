"""Checkpoints: weights and optimizer state in one safetensors file.

In: a model and its optimizer. Out: `<name>.safetensors`; nothing is pickled, so reading a stranger's file
runs none of their code. The file is written aside, flushed to the disk and renamed over the old one. Read
next: `learner.py`, `save` and `load`.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from wiggly.errors import ArgumentError, ModelError, StorageError
from wiggly.train.optim import Optimizer

__all__ = ["atomic_write", "load_checkpoint", "replacing", "save_checkpoint"]

SUFFIX = ".safetensors"
# No module can have such a name, so the two kinds of tensors in a file never clash.
OPTIMIZER_PREFIX = "@optimizer."
FORMAT, VERSION = "wiggly-checkpoint", 1


@contextlib.contextmanager
def replacing(path: str | Path) -> Generator[Path]:
    """A place to write a file aside; when the block ends well it takes the place of `path` in one step.

    Args:
        path: The file; folders that do not exist are made. A link is followed.

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


def save_checkpoint(path: Path, model: nn.Module, optimizer: Optimizer | None = None) -> None:
    """Writes the weights, and the optimizer's state if given.

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
    header = {"format": FORMAT, "version": str(VERSION)}
    if optimizer is not None:
        settings, state = _optimizer_parts(optimizer.state_dict())
        tensors |= state
        header["optimizer"] = json.dumps(settings)
    with replacing(path) as aside:
        save_file(_writable(tensors), aside, header)


def _writable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, contiguous, and tied weights written twice: what safetensors asks for."""
    seen: set[int] = set()
    ready: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
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
    return {"param_groups": state["param_groups"], "plain": plain}, tensors


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
    tensors, header = _read(path, device)
    weights = {name: t for name, t in tensors.items() if not name.startswith(OPTIMIZER_PREFIX)}
    check_weights(model, weights, path.name)
    state = _optimizer_state(tensors, header) if optimizer is not None and "optimizer" in header else None
    if optimizer is not None and state is not None:
        optimizer.load_state_dict(state)  # checks its groups before it changes anything
    model.load_state_dict(weights)
    return state is not None


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
    except (SafetensorError, OSError) as error:
        raise StorageError(
            f"`{path}` must be a whole safetensors file",
            f"reading failed: {error}",
            "It may have been cut short, or be of another kind. Copy it again, or save it anew.",
        ) from error
    if header.get("format") == FORMAT and int(header.get("version", "0")) > VERSION:
        raise StorageError(
            f"`{path}` must be of version {VERSION}", f"it is {header['version']}", "Update wiggly."
        )
    return tensors, header


def check_weights(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Compares names and shapes with the model's.

    Raises:
        ModelError: They differ.
    """
    wanted = {k: v for k, v in model.state_dict().items() if isinstance(v, Tensor)}
    missing = [k for k in wanted if k not in weights]
    unexpected = [k for k in weights if k not in wanted]
    shapes = [
        f"{k} is {tuple(weights[k].shape)}, the model's {tuple(v.shape)}"
        for k, v in wanted.items()
        if k in weights and weights[k].shape != v.shape
    ]
    kinds = (("missing", missing), ("not in the model", unexpected), ("of another shape", shapes))
    found = [f"{len(names)} {kind} ({'; '.join(names[:3])})" for kind, names in kinds if names]
    if found:
        raise ModelError(
            f"the layers in `{source}` must be those of the model",
            "; ".join(found),
            "Make the learner with the same architecture, head and number of classes as when it was saved.",
        )


def _optimizer_state(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> dict[str, Any]:
    settings = json.loads(header["optimizer"])
    for group in settings["param_groups"]:
        if "betas" in group:
            group["betas"] = tuple(group["betas"])  # JSON has lists only
    state: dict[int, dict[str, Any]] = {int(index): values for index, values in settings["plain"].items()}
    for name, tensor in tensors.items():
        if name.startswith(OPTIMIZER_PREFIX):
            index, key = name.removeprefix(OPTIMIZER_PREFIX).split(".", 1)
            state.setdefault(int(index), {})[key] = tensor
    return {"state": state, "param_groups": settings["param_groups"]}


def check_name(file: str | Path) -> None:
    """Refuses what `learn.load` of another library's habits would bring.

    Raises:
        ArgumentError: The name ends in .pth or .pt.
    """
    if Path(file).suffix in (".pth", ".pt", ".pkl"):
        raise ArgumentError(
            "checkpoints are safetensors files",
            f"got {str(file)!r}",
            "Leave the suffix out. For a torch file of weights: "
            "learn.model.load_state_dict(torch.load(file, weights_only=True)).",
        )
