"""Where a model looks: Grad-CAM, which parts of a photo speak for a class.

In: a learner and a photo. Out: a heat map in [0, 1] over the photo's own pixels. The method is that of
Selvaraju et al., "Grad-CAM", arXiv:1610.02391: the channels of the last feature map, each weighted by the
mean gradient of the class's output (before softmax), added up, and what is negative set to 0. Read next:
`interpretation.py`, which draws it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from random import Random
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from wiggly.data.dataset import Dataset
from wiggly.data.loader import DataLoader
from wiggly.errors import ArgumentError, DataError, ItemError
from wiggly.train.hooks import evaluating, first_tensor
from wiggly.train.predict import in_order
from wiggly.vision.geometry import translation
from wiggly.vision.image import LazyImage
from wiggly.vision.models import VisionModel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wiggly.train.learner import Learner

__all__ = ["HeatMap", "class_maps", "draw_heat", "grad_cam", "heat_maps", "overlaid"]

Heat = npt.NDArray[np.float32]
ToMap = Callable[[Tensor], Tensor]
# Share of a pixel's colour that is the heat's, so that the photo shines through; and brightness of cold
# places.
STRENGTH, COLD = 0.45, 0.6
# Tokens that are no patch of the picture (class, registers): more than these no network has.
MOST_EXTRA_TOKENS = 16


@dataclass(frozen=True, slots=True)
class HeatMap:
    """What speaks for a class in one photo.

    Attributes:
        position: Of the photo in its data set.
        target: Index of the output asked about.
        photo: The photo before all transforms, `(h, w, 3)` or `(h, w)`, uint8.
        heat: 0 to 1 for each of its pixels, `(h, w)`; 0 where the model did not look, beyond its crop.
        view: The four corners of what the model saw, `(4, 2)` as x and y in the photo's pixels.
    """

    position: int
    target: int
    photo: npt.NDArray[np.uint8]
    heat: Heat
    view: npt.NDArray[np.float64]


def grad_cam(
    learn: Learner, item: Any, layer: nn.Module | str | None = None, target: int | str | None = None
) -> Heat:
    """Which parts of a photo speak for a class (Grad-CAM, arXiv:1610.02391).

    Args:
        learn: A learner of one image and one row of outputs.
        item: What `learn.predict` accepts: a path, an array, a picture.
        layer: The part of the model whose output is weighed, or its dotted name; None takes the last feature
            map, of a vision transformer the tokens that enter the last block.
        target: The class, by index or label; None takes the predicted one.

    Returns:
        `(h, w)` in the photo's own pixels, upright, from 0 to 1; all 0 if nothing speaks for the class.

    Raises:
        ArgumentError: There is no such layer or class, or the layer's output is no map.
        ItemError: The item cannot be read.
        DataError: The loaders were not built from blocks with one image.

    Example:
        >>> from PIL import Image
        >>> from wiggly import ImageDataLoaders, vision_learner
        >>> photos = [Image.new("RGB", (48, 32), colour) for colour in ["red", "blue"] * 8]
        >>> dls = ImageDataLoaders.from_lists(".", photos, ["red", "blue"] * 8, seed=1, bs=4)
        >>> learn = vision_learner(dls, "test_resnet", pretrained=False)
        >>> grad_cam(learn, photos[0], target="blue").shape
        (32, 48)
    """
    dl = learn.dls.test_dl([item], bs=1, num_workers=0)
    return heat_maps(learn, dl, [0], layer, target)[0].heat


def heat_maps(
    learn: Learner,
    dl: Any,
    positions: Sequence[int],
    layer: nn.Module | str | None = None,
    target: int | str | None = None,
) -> list[HeatMap]:
    """Grad-CAM of several items of a loader, in one pass.

    Args:
        learn: As for `grad_cam`.
        dl: The loader; the items are read as validation does.
        positions: Of the items in its data set.
        layer: As for `grad_cam`.
        target: As for `grad_cam`.

    Returns:
        One per item that can still be read.
    """
    dl = in_order(dl)
    if not isinstance(dl, DataLoader) or not isinstance(dl.dataset, Dataset) or dl.dataset.n_inp != 1:
        raise DataError(
            "a heat map is laid over the one image of an item read by a DataBlock",
            f"the loader is a {type(dl).__name__}"
            + ("" if not hasattr(dl, "dataset") else " of other items"),
            "Build the loaders with DataBlock or ImageDataLoaders.",
        )
    batch = dl.assemble(positions, dl.dataset)
    if not len(batch):
        raise ItemError(*next(iter(dl.bad_items.items())), "Pass a file, an array or a picture that opens.")
    maps, targets = class_maps(learn, batch.inputs, layer, target)
    made: list[HeatMap] = []
    for position, coarse, index in zip(batch.positions, maps, targets, strict=True):
        image = dl.dataset.sample(position, Random(0))[0]
        if not isinstance(image, LazyImage):
            raise DataError(
                "a heat map is laid over an image",
                f"the input is a {type(image).__name__}",
                "Use an ImageBlock.",
            )
        photo = np.asarray(dl.dataset.blocks[0].present(LazyImage(image.source)))
        heat, view = _over_photo(coarse, image)
        made.append(HeatMap(position, index, photo, heat, view))
    return made


def class_maps(
    learn: Learner, inputs: tuple[Tensor, ...], layer: nn.Module | str | None, target: int | str | None
) -> tuple[Tensor, list[int]]:
    """Grad-CAM of a batch in the layer's own resolution, each map divided by its maximum.

    Args:
        learn: The learner.
        inputs: Images `(n, c, h, w)` in [0, 1].
        layer: As for `grad_cam`.
        target: As for `grad_cam`.

    Returns:
        Maps `(n, h', w')` on the CPU, and for each the index of its class.
    """
    model, engine = learn.model, learn.engine
    engine.prepare(model)
    inputs = tuple(x.to(engine.device) for x in inputs)
    with evaluating(model, grad=True), _float32(engine.device):
        part, to_map = _chosen_layer(learn, layer, inputs)
        with _starting_at(part) as kept:
            scores: Any = model(*inputs)
        if not isinstance(scores, Tensor) or scores.ndim != 2:
            given = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise ArgumentError(
                "Grad-CAM asks what speaks for one output of a row of them",
                f"the model gives {given}",
                "Use a learner that classifies, or predicts numbers.",
            )
        if not kept:
            raise ArgumentError(
                "`layer` must be a part that the model runs", "it was not run", "Pass another."
            )
        chosen = _targets(learn, scores, target)
        slopes = _slopes(scores.gather(1, chosen[:, None]).sum(), kept[-1])
    features, slopes = to_map(kept[-1].detach()), to_map(slopes)
    maps = (slopes.mean((2, 3), keepdim=True) * features).sum(1).relu()
    highest = maps.amax((1, 2), keepdim=True)
    return torch.where(highest > 0, maps / highest, 0.0).cpu(), chosen.tolist()


@contextmanager
def _float32(device: torch.device) -> Generator[None]:
    with torch.autocast(device.type, enabled=False):
        yield


@contextmanager
def _starting_at(part: nn.Module) -> Generator[list[Tensor]]:
    """Has gradients reach back to what a part puts out and no further: the frozen body costs no backward
    pass."""
    kept: list[Tensor] = []

    def restart(module: nn.Module, args: Any, output: Any) -> Tensor | None:
        if not isinstance(output, Tensor):
            raise ArgumentError(
                "`layer` must put out one tensor",
                f"it puts out a {type(output).__name__}",
                "Pass a part inside.",
            )
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()  # layers behind it may work in place, which a leaf forbids

    handle = part.register_forward_hook(restart)
    try:
        yield kept
    finally:
        handle.remove()


def _slopes(score: Tensor, features: Tensor) -> Tensor:
    found = torch.autograd.grad(score, features, allow_unused=True)[0] if score.requires_grad else None
    if found is None:
        raise ArgumentError(
            "`layer` must be a part that the outputs depend on",
            "no gradient reaches it",
            "Pass an earlier or later part, see learn.summary().",
        )
    return found


def _targets(learn: Learner, scores: Tensor, target: int | str | None) -> Tensor:
    if target is None:
        return scores.argmax(1)
    labels = list(getattr(learn.target_block, "vocab", None) or [])
    index = labels.index(target) if target in labels else target
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < scores.shape[1]:
        raise ArgumentError(
            "`target` must be a class, by index or label",
            f"got {target!r}; there are {scores.shape[1]} outputs",
            f"Pass one of {', '.join(map(repr, labels[:5]))} ..." if labels else "Pass an index.",
        )
    return torch.full((len(scores),), index, device=scores.device)


# ---- which layer ----


def _chosen_layer(
    learn: Learner, layer: nn.Module | str | None, inputs: tuple[Tensor, ...]
) -> tuple[nn.Module, ToMap]:
    """The layer to weigh, and what makes its output a map `(n, c, h, w)`."""
    model = learn.model
    body = model.body if isinstance(model, VisionModel) else None
    size = int(inputs[0].shape[-2]), int(inputs[0].shape[-1])
    if layer is None and body is not None and not body.pooled:
        return body, _as_map(size, "NCHW", None)  # the body turns its map around itself
    part = learn.get_submodule(layer) if isinstance(layer, str) else layer
    if not isinstance(part, nn.Module | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ArgumentError(
            "`layer` must be a part of the model, or its name", f"got {part!r}", "See learn.summary(depth=4)."
        )
    if part is None:
        part = _last_block(body or model) or _last_map(model, inputs)
    inside = body is not None and any(part is inner for inner in body.model.modules())
    extra = getattr(body.model, "num_prefix_tokens", None) if body is not None and inside else None
    return part, _as_map(size, body.layout if body is not None and inside else "NCHW", extra)


def _last_block(network: nn.Module) -> nn.Module | None:
    """What enters the last block of a vision transformer: behind it, the class token has all that counts."""
    for part in network.modules():
        parts = cast("Any", part)
        if hasattr(part, "patch_embed") and hasattr(part, "blocks"):  # timm
            return getattr(parts.blocks[-1], "norm1", None)
        if hasattr(part, "conv_proj") and hasattr(part, "encoder"):  # torchvision
            return parts.encoder.layers[-1].ln_1
    return None


def _last_map(model: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    """The part that is the last to put out a map of more than one pixel."""
    found: list[nn.Module] = []

    def note(module: nn.Module, args: Any, output: Any) -> None:
        tensor = first_tensor(output)
        if tensor is not None and tensor.ndim == 4 and tensor.shape[2] * tensor.shape[3] > 1:
            found.append(module)

    handles = [part.register_forward_hook(note) for part in model.modules() if part is not model]
    try:
        with torch.no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise ArgumentError(
            "Grad-CAM needs a layer that puts out a map of features",
            f"no part of this {type(model).__name__} does",
            "Pass layer= with the name of one that puts out (n, c, h, w), see learn.summary().",
        )
    return found[-1]


def _as_map(size: tuple[int, int], layout: str, extra: int | None) -> ToMap:
    """What turns a layer's output, a map or the tokens of a transformer, into `(n, c, h, w)`."""

    def to_map(x: Tensor) -> Tensor:
        if x.ndim == 4:
            return x.permute(0, 3, 1, 2) if layout == "NHWC" else x
        found = _patches(int(x.shape[1]), size, extra) if x.ndim == 3 else None
        if found is None:
            raise ArgumentError(
                "`layer` must put out a map (n, c, h, w), or a transformer's tokens (n, patches, c)",
                f"it puts out {list(x.shape)}",
                "Pass another one, see learn.summary(depth=4).",
            )
        return x[:, -found[0] * found[1] :].unflatten(1, found).permute(0, 3, 1, 2)

    return to_map


def _patches(n_tokens: int, size: tuple[int, int], extra: int | None) -> tuple[int, int] | None:
    """Rows and columns of a transformer's patches, which come last among its tokens.

    Example:
        >>> _patches(197, (224, 224), None), _patches(1 + 7 * 14, (112, 224), None)
        ((14, 14), (7, 14))
    """
    shape = size[1] / size[0]
    grids: list[tuple[float, int, tuple[int, int]]] = []
    for other in range(MOST_EXTRA_TOKENS) if extra is None else (extra,):
        rows = round(sqrt(max(n_tokens - other, 0) / shape))
        if rows and (n_tokens - other) % rows == 0:
            columns = (n_tokens - other) // rows
            grids.append((abs(columns / rows - shape), other, (rows, columns)))
    return min(grids)[2] if grids else None


# ---- over the photo ----


def _over_photo(coarse: Tensor, image: LazyImage) -> tuple[Heat, npt.NDArray[np.float64]]:
    """A map in the photo's own pixels, and the corners of what the model saw of it."""
    height, width = image.size
    fine = nn.functional.interpolate(
        coarse[None, None], (height, width), mode="bilinear", align_corners=False
    )
    matrix = np.eye(3) if image.geometry is None else image.geometry.matrix
    # OpenCV has the centre of the first pixel at 0, we have it at 0.5.
    to_view = translation(-0.5, -0.5) @ matrix @ translation(0.5, 0.5)
    size, how = (image.source.width, image.source.height), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    heat = cv2.warpPerspective(fine[0, 0].numpy(), to_view, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.warpPerspective(
        np.ones((height, width), np.uint8), to_view, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]])
    back = corners @ np.linalg.inv(matrix).T
    return np.clip(heat, 0, 1).astype(np.float32) * seen, back[:, :2] / back[:, 2:]


def overlaid(found: HeatMap) -> npt.NDArray[np.uint8]:
    """The photo with its heat map laid over it: what speaks for the class is in colour and glows from blue
    to red, the rest is grey and dark.

    Args:
        found: Photo and heat.

    Returns:
        `(h, w, 3)`, uint8.
    """
    from matplotlib import colormaps

    photo = found.photo if found.photo.ndim == 3 else np.repeat(found.photo[:, :, None], 3, axis=2)
    heat, grey = found.heat[:, :, None], photo.mean(axis=2, keepdims=True)
    ground = COLD * grey * (1 - heat) + photo * heat
    colours = colormaps["turbo"](found.heat)[:, :, :3] * 255
    return np.rint(ground * (1 - STRENGTH) + colours * STRENGTH).astype(np.uint8)


def draw_heat(found: HeatMap, axes: Axes) -> None:
    """Draws a photo with its heat map; a dashed line frames what the model saw of it, if that is not all.

    Args:
        found: Photo, heat and view.
        axes: Where to draw.
    """
    height, width = found.heat.shape
    axes.imshow(overlaid(found))
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    whole = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    if np.abs(found.view - whole).max() > 1:
        axes.plot(*(np.vstack([found.view, found.view[:1]]) - 0.5).T, "w--", linewidth=1)
