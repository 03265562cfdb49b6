"""`unet_learner`: a Learner over a U-Net that fits the loaders: a class, or a number, for every pixel.

In: loaders of pictures and masks, and an architecture. Out: a `Learner` whose model has the right channels,
outputs and statistics, with the encoder frozen if it is pretrained. Read next: `decoder.py`, the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from wiggly.data.blocks import CategoryBlock, RegressionBlock
from wiggly.errors import ArgumentError
from wiggly.train.again import Making
from wiggly.train.engine import Engine
from wiggly.train.learner import Learner
from wiggly.train.loop import Callbacks, Momenta
from wiggly.train.metrics.pixels import leave_out
from wiggly.train.optim.base import Adam
from wiggly.train.optim.by_name import OptFunc
from wiggly.train.optim.groups import Splitter
from wiggly.train.optim.schedule import Rate
from wiggly.vision.asking import channels, default_metric, image_size, outputs, statistics
from wiggly.vision.decoder import unet_config, unet_groups, unet_model
from wiggly.vision.mask import MaskBlock
from wiggly.vision.points import PointBlock

__all__ = ["unet_learner"]


def unet_learner(
    dls: Any,
    arch: Any,
    normalize: bool = True,
    n_out: int | None = None,
    pretrained: bool = True,
    weights: Any = None,
    loss_func: Callable[..., Any] | None = None,
    opt_func: str | OptFunc = Adam,
    lr: Rate = 1e-3,
    splitter: Splitter | None = None,
    cbs: Callbacks = None,
    metrics: Any = None,
    path: str | Path | None = None,
    model_dir: str | Path = "models",
    wd: float | None = None,
    wd_bn_bias: bool = False,
    train_bn: bool | None = None,
    moms: Momenta = (0.95, 0.85, 0.95),
    last_cross: bool = False,
    self_attention: bool = False,
    y_range: tuple[float, float] | None = None,
    *,
    n_in: int | None = None,
    arch_args: Mapping[str, Any] | None = None,
    stats: tuple[Sequence[float], Sequence[float]] | None = None,
    engine: Engine | None = None,
) -> Learner:
    """Make a learner that fine-tunes a U-Net.

    The network, its weights and its decoder are those of `unet_model`; the arguments of training are those of
    `Learner`. Losses and metrics of this package that count pixels leave out the `void` class of the mask
    block, unless they were told which to ignore.

    Args:
        dls: Loaders of pictures and masks (`MaskBlock`, `SegmentationDataLoaders`). A `Normalize` among their
            transforms decides the statistics, which the model keeps.
        arch: A timm name ("convnext_tiny", "swin_tiny_patch4_window7_224"), a torchvision constructor
            (`resnet34`), a module, or a callable.
        normalize: Have the model normalise with its own statistics when the loaders name none.
        n_out: Outputs per pixel; None asks the target block (the number of codes).
        pretrained: Start from published weights, with the encoder frozen until `unfreeze` or the second part
            of `fine_tune`.
        weights: Start from these weights instead: a .safetensors file, say. The encoder is frozen as well.
        loss_func: None asks the target block: cross entropy over all pixels but void ones.
        opt_func: As for `Learner`.
        lr: As for `Learner`.
        splitter: Divides the parameters into groups; None takes `unet_groups`: lower and upper half of the
            encoder, decoder.
        cbs: As for `Learner`.
        metrics: None takes the target block's own (`pixel_accuracy`); `[]` has none. Others: `Dice`,
            `DiceMulti`, `JaccardCoeff`, `JaccardCoeffMulti`, `foreground_acc`.
        path: As for `Learner`.
        model_dir: As for `Learner`.
        wd: As for `Learner`.
        wd_bn_bias: As for `Learner`.
        train_bn: As for `Learner`; None is False for a pretrained encoder and True for random weights.
        moms: As for `Learner`.
        last_cross: As for `unet_model`.
        self_attention: As for `unet_model`.
        y_range: As for `unet_model`.
        n_in: Channels of the images; None asks the image block (3 without one).
        arch_args: As for `unet_model`.
        stats: Mean and standard deviation per channel; they win over everything else.
        engine: As for `Learner`.

    Returns:
        The learner; `learn.model[0]` is the encoder, `learn.model[1]` the decoder.

    Raises:
        ModelError: The architecture or its weights cannot be found, do not fit, give no feature map, or
            cannot take images of this size.
        ArgumentError: The number of outputs is not known, or less than that of the codes; or the targets are
            one label or number per picture.

    Example:
        >>> import numpy as np
        >>> from wiggly.vision.loaders import SegmentationDataLoaders
        >>> photos = [np.full((32, 48, 3), 20 * i, np.uint8) for i in range(8)]
        >>> dls = SegmentationDataLoaders.from_label_func(
        ...     ".", photos, lambda photo: photo[..., 0] > 90, seed=1, codes=["dark", "bright"], bs=2
        ... )
        >>> learn = unet_learner(dls, "test_resnet", pretrained=False)
        >>> learn.predict(photos[7]).decoded.size
        (48, 32)
    """
    if loss_func is None:
        _check_targets(dls, n_out)
    making = Making(unet_learner, locals())
    model = unet_model(
        arch,
        outputs(dls) if n_out is None else n_out,
        n_in=channels(dls) if n_in is None else n_in,
        pretrained=pretrained,
        weights=weights,
        arch_args=arch_args,
        normalize=normalize,
        stats=stats or statistics(dls),
        image_size=image_size(dls),
        last_cross=last_cross,
        self_attention=self_attention,
        y_range=y_range,
    ).to(memory_format=torch.channels_last)
    learn = Learner(
        dls,
        model,
        loss_func=loss_func,
        opt_func=opt_func,
        lr=lr,
        splitter=unet_groups if splitter is None else splitter,
        cbs=cbs,
        metrics=default_metric(dls) if metrics is None else metrics,
        path=path,
        model_dir=model_dir,
        wd=wd,
        wd_bn_bias=wd_bn_bias,
        train_bn=not model.pretrained if train_bn is None else train_bn,
        moms=moms,
        engine=engine,
        model_config=unet_config(model),
    )
    leave_out(getattr(learn.target_block, "void", None), [learn.loss_func, *learn.metrics])
    if model.pretrained:
        learn.freeze()
    learn.making = making
    return learn


def _check_targets(dls: Any, n_out: int | None) -> None:
    """What the loss that belongs to the target block could not be computed from."""
    for block in getattr(dls, "target_blocks", ()):
        if isinstance(block, (CategoryBlock, RegressionBlock, PointBlock)):
            raise ArgumentError(
                "a U-Net needs a target for every pixel",
                f"the target is a {type(block).__name__}",
                "Use vision_learner(dls, arch), or a MaskBlock.",
            )
        if isinstance(block, MaskBlock) and n_out is not None and n_out < block.n_out:
            raise ArgumentError(
                "`n_out` must be at least the number of codes",
                f"it is {n_out}, and there are {block.n_out}",
                "Leave it out, or pass a loss_func for fewer outputs.",
            )
