"""`vision_learner`: a Learner over a vision model that fits the loaders.

In: loaders and an architecture. Out: a `Learner` whose model has the right channels, outputs and statistics,
with the body frozen if it is pretrained. Nothing is trained here. Read next: `../train/learner.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wiggly.train.again import Making
from wiggly.train.engine import Engine
from wiggly.train.learner import Learner
from wiggly.train.loop import Callbacks, Momenta
from wiggly.train.optim.base import Adam
from wiggly.train.optim.by_name import OptFunc
from wiggly.train.optim.groups import Splitter
from wiggly.train.optim.schedule import Rate
from wiggly.vision.asking import channels, default_metric, image_size, outputs, statistics
from wiggly.vision.models import body_groups, model_config, vision_model

__all__ = ["vision_learner"]


def vision_learner(
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
    cut: int | Callable[[nn.Module], nn.Module] | None = None,
    init: Callable[[Tensor], Any] = nn.init.kaiming_normal_,
    custom_head: nn.Module | None = None,
    concat_pool: bool = True,
    pool: bool = True,
    lin_ftrs: Sequence[int] | None = None,
    ps: float | Sequence[float] = 0.5,
    first_bn: bool = True,
    bn_final: bool = False,
    lin_first: bool = False,
    y_range: tuple[float, float] | None = None,
    *,
    n_in: int | None = None,
    arch_args: Mapping[str, Any] | None = None,
    stats: tuple[Sequence[float], Sequence[float]] | None = None,
    engine: Engine | None = None,
) -> Learner:
    """Make a learner that fine-tunes a vision model.

    The network, its weights and its head are those of `vision_model`, where `arch`, `weights`, `cut`,
    `arch_args` and the arguments from `init` to `y_range` are explained; the arguments of training are those
    of `Learner`.

    Args:
        dls: Loaders of images. A `Normalize` among their transforms decides the statistics, which the model
            keeps.
        arch: A timm name ("convnext_tiny"), a torchvision constructor (`resnet34`), a module, or a callable.
        normalize: Have the model normalise with its own statistics when the loaders name none.
        n_out: Outputs; None asks the target block (the number of classes).
        pretrained: Start from published weights, with the body frozen until `unfreeze` or the second part of
            `fine_tune`.
        weights: Start from these weights instead: a .safetensors file, say. The body is frozen as well.
        loss_func: None asks the target block.
        opt_func: As for `Learner`.
        lr: As for `Learner`.
        splitter: Divides the parameters into groups; None takes `body_groups`.
        cbs: As for `Learner`.
        metrics: None takes the target block's own (error rate for categories); `[]` has none.
        path: As for `Learner`.
        model_dir: As for `Learner`.
        wd: As for `Learner`.
        wd_bn_bias: As for `Learner`.
        train_bn: As for `Learner`; None is False for a pretrained body and True for random weights.
        moms: As for `Learner`.
        cut: As for `vision_model`.
        init: As for `vision_model`.
        custom_head: As for `vision_model`.
        concat_pool: As for `vision_model`.
        pool: As for `vision_model`.
        lin_ftrs: As for `vision_model`.
        ps: As for `vision_model`.
        first_bn: As for `vision_model`.
        bn_final: As for `vision_model`.
        lin_first: As for `vision_model`.
        y_range: As for `vision_model`.
        n_in: Channels of the images; None asks the image block (3 without one).
        arch_args: As for `vision_model`.
        stats: Mean and standard deviation per channel; they win over everything else.
        engine: As for `Learner`.

    Returns:
        The learner; `learn.model[0]` is the body, `learn.model[1]` the head, `learn.model_config` the JSON
        for a bundle.

    Raises:
        ModelError: The architecture or its weights cannot be found, do not fit, or cannot take images of this
            size.
        ArgumentError: The number of outputs is not known, or an argument is out of range.

    Example:
        >>> from wiggly.data.loader import DataLoader
        >>> from wiggly.data.loaders import DataLoaders
        >>> samples = [(torch.rand(3, 32, 32), i % 2) for i in range(8)]
        >>> dls = DataLoaders(DataLoader(samples, bs=4), DataLoader(samples, bs=4))
        >>> loss = nn.CrossEntropyLoss()
        >>> learn = vision_learner(dls, "test_resnet", n_out=2, pretrained=False, loss_func=loss)
        >>> learn.get_submodule("0.model.layer1.0.conv1")
        Conv2d(32, 32, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
    """
    making = Making(vision_learner, locals())
    model = vision_model(
        arch,
        outputs(dls) if n_out is None else n_out,
        n_in=channels(dls) if n_in is None else n_in,
        pretrained=pretrained,
        weights=weights,
        arch_args=arch_args,
        cut=cut,
        normalize=normalize,
        stats=stats or statistics(dls),
        image_size=image_size(dls),
        init=init,
        custom_head=custom_head,
        concat_pool=concat_pool,
        pool=pool,
        lin_ftrs=lin_ftrs,
        ps=ps,
        first_bn=first_bn,
        bn_final=bn_final,
        lin_first=lin_first,
        y_range=y_range,
    ).to(memory_format=torch.channels_last)
    learn = Learner(
        dls,
        model,
        loss_func=loss_func,
        opt_func=opt_func,
        lr=lr,
        splitter=body_groups if splitter is None else splitter,
        cbs=cbs,
        metrics=default_metric(dls) if metrics is None else metrics,
        path=path,
        model_dir=model_dir,
        wd=wd,
        wd_bn_bias=wd_bn_bias,
        train_bn=not model.pretrained if train_bn is None else train_bn,
        moms=moms,
        engine=engine,
        model_config=model_config(model),
    )
    if model.pretrained:
        learn.freeze()
    learn.making = making
    return learn
