"""A small interpreter of ML programs, for the tests: what a Mac would compute, in numpy and PyTorch on a CPU.

In: an .mlpackage and the values of its inputs. Out: the values of its outputs. It reads the saved files, not
the objects that wrote them, weights by the layout of MILBlob (64-byte header; at each offset a 64-byte record
with the magic number, the type, the length and the offset of the data). It knows the operators of small
convolutional and tabular networks and fails on any other. It computes in 32 bits what the program says in
16.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MAGIC = 0xDEADBEEF
BLOB_TYPES = {1: np.float16, 2: np.float32, 3: np.uint8, 4: np.int8, 14: np.int32}
TYPES = {1: np.bool_, 10: np.float16, 11: np.float32, 21: np.int8, 22: np.int16, 23: np.int32, 31: np.uint8}


class Program:
    """The function `main` of an .mlpackage."""

    def __init__(self, folder: Path) -> None:
        from coremltools.proto import Model_pb2

        self.spec: Any = Model_pb2.Model()
        data = folder / "Data" / "com.apple.CoreML"
        self.spec.ParseFromString((data / "model.mlmodel").read_bytes())
        weights = data / "weights" / "weight.bin"
        self.blob = weights.read_bytes() if weights.exists() else b""
        function = self.spec.mlProgram.functions["main"]
        self.block = function.block_specializations[function.opset]

    @property
    def operators(self) -> set[str]:
        return {operation.type for operation in self.block.operations} - {"const"}

    def constants(self) -> dict[str, np.ndarray[Any, Any]]:
        """All constants by name."""
        return {
            operation.outputs[0].name: self.value(operation.attributes["val"])
            for operation in self.block.operations
            if operation.type == "const"
        }

    def value(self, value: Any) -> Any:
        """A constant of the program."""
        kind = value.type.tensorType
        shape = [dimension.constant.size for dimension in kind.dimensions]
        if value.WhichOneof("value") == "blobFileValue":
            return self._blob(value.blobFileValue.offset).reshape(shape)
        if value.immediateValue.WhichOneof("value") == "list":
            return [self.value(part) for part in value.immediateValue.list.values]
        held = value.immediateValue.tensor
        which = held.WhichOneof("value")
        if which == "strings":
            found = list(held.strings.values)
            return found if shape else found[0]
        if which == "bytes":
            array = np.frombuffer(held.bytes.values, TYPES[kind.dataType])
        elif which is None:
            array = np.empty(0, np.float32)
        else:
            array = np.array(getattr(held, which).values, dtype=TYPES[kind.dataType])
        return array.reshape(shape)

    def _blob(self, offset: int) -> np.ndarray[Any, Any]:
        magic, kind, size, start = struct.unpack_from("<IIQQ", self.blob, offset)
        assert magic == MAGIC
        return np.frombuffer(self.blob[start : start + size], BLOB_TYPES[kind])

    def run(self, **inputs: Tensor) -> dict[str, Any]:
        """The outputs by name, and everything in between."""
        known: dict[str, Any] = dict(inputs)
        for operation in self.block.operations:
            if operation.type == "const":
                made = self.value(operation.attributes["val"])
                known[operation.outputs[0].name] = _tensor(made)
                continue
            if operation.type == "classify":
                given = self._arguments(operation, known)
                known[operation.outputs[1].name] = dict(
                    zip(given["classes"], given["probabilities"].flatten().tolist(), strict=True)
                )
                best = int(given["probabilities"].argmax())
                known[operation.outputs[0].name] = given["classes"][best]
                continue
            if operation.type == "split":
                given = self._arguments(operation, known)
                parts = given["x"].split(given["split_sizes"].tolist(), int(given["axis"]))
                known |= zip((made.name for made in operation.outputs), parts, strict=True)
                continue
            known[operation.outputs[0].name] = OPERATORS[operation.type](self._arguments(operation, known))
        return known

    def _arguments(self, operation: Any, known: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, given in operation.inputs.items():
            values = [
                known[part.name] if part.WhichOneof("binding") == "name" else _tensor(self.value(part.value))
                for part in given.arguments
            ]
            found[name] = values if name == "values" else values[0]
        return found


def _tensor(value: Any) -> Any:
    if isinstance(value, str | list):
        return value
    array = np.asarray(value)
    return torch.from_numpy(array.astype(np.float32) if array.dtype == np.float16 else array.copy())


def _padding(given: dict[str, Any], x: Tensor, kernel: list[int], strides: list[int]) -> list[int]:
    """Before and after, of rows then columns."""
    kind = given["pad_type"]
    if kind == "valid":
        return [0, 0, 0, 0]
    if kind == "custom":
        return [int(p) for p in given["pad"].tolist()]
    assert kind == "same", kind
    pad: list[int] = []
    for side, k, stride in zip(x.shape[2:], kernel, strides, strict=True):
        total = max((-(-side // stride) - 1) * stride + k - side, 0)
        pad += [total // 2, total - total // 2]
    return pad


def _conv(given: dict[str, Any]) -> Tensor:
    x, weight, strides = given["x"], given["weight"].float(), given["strides"].tolist()
    top, bottom, left, right = _padding(given, x, list(weight.shape[2:]), strides)
    padded = F.pad(x, (left, right, top, bottom))
    bias = given["bias"].float() if "bias" in given else None
    return F.conv2d(padded, weight, bias, strides, 0, given["dilations"].tolist(), int(given["groups"]))


def _max_pool(given: dict[str, Any]) -> Tensor:
    kernel, strides = given["kernel_sizes"].tolist(), given["strides"].tolist()
    assert not bool(given["ceil_mode"])
    top, bottom, left, right = _padding(given, given["x"], kernel, strides)
    return F.max_pool2d(F.pad(given["x"], (left, right, top, bottom), value=float("-inf")), kernel, strides)


def _avg_pool(given: dict[str, Any]) -> Tensor:
    kernel, strides = given["kernel_sizes"].tolist(), given["strides"].tolist()
    top, bottom, left, right = _padding(given, given["x"], kernel, strides)
    assert (top, left) == (bottom, right)
    ceil, outside = bool(given["ceil_mode"]), not bool(given["exclude_padding_from_average"])
    return F.avg_pool2d(given["x"], kernel, strides, (top, left), ceil, outside)


def _pad(given: dict[str, Any]) -> Tensor:
    """Before and after, of the first of the padded dimensions first; PyTorch begins with the last."""
    sides = given["pad"].reshape(-1, 2).flip(0).reshape(-1).tolist()
    mode = given.get("mode", "constant")
    if mode == "constant":
        return F.pad(given["x"], sides, value=float(given["constant_val"]))
    return F.pad(given["x"], sides, mode=mode)


def _axes(given: dict[str, Any]) -> tuple[list[int], bool]:
    return [int(axis) for axis in given["axes"].reshape(-1).tolist()], bool(given["keep_dims"])


def _gather(given: dict[str, Any]) -> Tensor:
    assert int(given.get("batch_dims", torch.tensor(0))) == 0
    axis, places = int(given["axis"]), given["indices"].long()
    found = given["x"].index_select(axis, places.reshape(-1))
    return found.reshape(*given["x"].shape[:axis], *places.shape, *given["x"].shape[axis + 1 :])


def _matmul(given: dict[str, Any]) -> Tensor:
    x, y = given["x"].float(), given["y"].float()
    x = x.transpose(-1, -2) if bool(given.get("transpose_x", False)) else x
    return x @ (y.transpose(-1, -2) if bool(given.get("transpose_y", False)) else y)


def _slice(given: dict[str, Any]) -> Tensor:
    begin, end = given["begin"].tolist(), given["end"].tolist()
    ones, zeros = torch.ones(len(begin)), torch.zeros(len(begin))
    strides = given.get("stride", ones).tolist()
    from_start, to_end = given.get("begin_mask", zeros).tolist(), given.get("end_mask", zeros).tolist()
    squeezed = given.get("squeeze_mask", zeros).tolist()
    places: list[Any] = []
    for i, first in enumerate(begin):
        if squeezed[i]:
            places.append(int(first))
        else:
            start, stop = None if from_start[i] else int(first), None if to_end[i] else int(end[i])
            places.append(slice(start, stop, int(strides[i])))
    return given["x"][tuple(places)]


OPERATORS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "add": lambda g: g["x"] + g["y"],
    "sub": lambda g: g["x"] - g["y"],
    "mul": lambda g: g["x"] * g["y"],
    "real_div": lambda g: g["x"] / g["y"],
    "cast": lambda g: g["x"].to(torch.int32) if g["dtype"].startswith("int") else g["x"].float(),
    "conv": _conv,
    "pad": _pad,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "batch_norm": lambda g: F.batch_norm(
        g["x"], g["mean"], g["variance"], g.get("gamma"), g.get("beta"), eps=float(g["epsilon"])
    ),
    "relu": lambda g: g["x"].relu(),
    "clip": lambda g: g["x"].clamp(float(g["alpha"]), float(g["beta"])),
    "sigmoid": lambda g: g["x"].sigmoid(),
    "softmax": lambda g: g["x"].softmax(int(g["axis"])),
    "reduce_mean": lambda g: g["x"].mean(*_axes(g)),
    "reduce_max": lambda g: g["x"].amax(*_axes(g)),
    "reduce_argmax": lambda g: g["x"].argmax(int(g["axis"]), keepdim=bool(g["keep_dims"])).to(torch.int32),
    "reshape": lambda g: g["x"].reshape(g["shape"].tolist()),
    "squeeze": lambda g: g["x"].squeeze(tuple(g["axes"].tolist())),
    "expand_dims": lambda g: g["x"].reshape(_expanded(g["x"], g["axes"].tolist())),
    "transpose": lambda g: g["x"].permute(g["perm"].tolist()),
    "concat": lambda g: torch.cat(g["values"], int(g["axis"])),
    "linear": lambda g: F.linear(g["x"], g["weight"].float(), g["bias"].float() if "bias" in g else None),
    "gather": _gather,
    "slice_by_index": _slice,
    "maximum": lambda g: torch.maximum(g["x"], g["y"]),
    "minimum": lambda g: torch.minimum(g["x"], g["y"]),
    "abs": lambda g: g["x"].abs(),
    "log": lambda g: (g["x"] + float(g["epsilon"])).log(),
    "matmul": _matmul,
    "tile": lambda g: g["x"].repeat(g["reps"].tolist()),
    "reduce_sum": lambda g: g["x"].sum(*_axes(g)),
    "reduce_log_sum_exp": lambda g: g["x"].logsumexp(*_axes(g)),
    "less_equal": lambda g: g["x"] <= g["y"],
    "greater": lambda g: g["x"] > g["y"],
    "greater_equal": lambda g: g["x"] >= g["y"],
    "select": lambda g: torch.where(g["cond"].bool(), g["a"], g["b"]),
    "pixel_shuffle": lambda g: F.pixel_shuffle(g["x"], int(g["upscale_factor"])),
    "upsample_nearest_neighbor": lambda g: F.interpolate(
        g["x"], scale_factor=(float(g["scale_factor_height"]), float(g["scale_factor_width"]))
    ),
    "identity": lambda g: g["x"],
}


def _expanded(x: Tensor, axes: list[int]) -> list[int]:
    shape, rank = list(x.shape), x.ndim + len(axes)
    for axis in sorted(a % rank for a in axes):
        shape.insert(axis, 1)
    return shape
