"""`detection_learner`: a Learner that finds things: boxes with labels and scores.

In: loaders of pictures, boxes and their labels, and a detector. Out: a `DetectionLearner`, with the body
frozen if it is pretrained. Read next: `models.py`, the detectors; `metrics.py`, what the table says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from wiggly.errors import ArgumentError
from wiggly.records import Prediction
from wiggly.train.again import Making
from wiggly.train.engine import Engine
from wiggly.train.learner import Learner
from wiggly.train.loop import Callbacks, Momenta
from wiggly.train.optim.base import Adam
from wiggly.train.optim.by_name import OptFunc
from wiggly.train.optim.groups import Splitter
from wiggly.train.optim.schedule import Rate
from wiggly.train.predict import loader_at
from wiggly.vision.asking import channels, image_size, statistics
from wiggly.vision.boxes import BBoxBlock, BBoxLblBlock
from wiggly.vision.detection.boxes import Numbering
from wiggly.vision.detection.detector import LEAST_SIDE, Detector
from wiggly.vision.detection.metrics import BoxMetric, box_metrics
from wiggly.vision.detection.models import detector_groups, detector_model
from wiggly.vision.detection.showing import draw_detections, predict_boxes

__all__ = ["DetectionLearner", "DetectionLoss", "detection_learner"]

# Detectors are shy where data is small: at 0.3 most boxes shown were false, at 0.5 most true ones missing
# (FCOS on 366 photos of 20 classes: precision 12, 34, 68 % at 0.3, 0.4, 0.5, recall 54, 42, 29 %).
MIN_SCORE = 0.4


class DetectionLoss:
    """The sum of a detector's own losses, and how its output is read.

    Args:
        model: The detector.
        min_score: Boxes with a lower score are not shown.
    """

    def __init__(self, model: Detector, min_score: float = MIN_SCORE) -> None:
        self.model, self.min_score = model, min_score

    def __call__(self, pred: Any, boxes: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch.

        Args:
            pred: The detector's output.
            boxes: `(n, k, 4)` in [-1, 1].
            labels: `(n, k)`.
        """
        return torch.stack(list(self.model.losses(pred, boxes, labels).values())).sum()

    def activation(self, pred: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes `(n, max_boxes, 4)`, labels and scores `(n, max_boxes)`; rows of score 0 hold nothing."""
        return pred[0], pred[1], pred[2]

    def decodes(self, activated: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Boxes and labels as the blocks have them, without those below `min_score`."""
        boxes, labels, scores = activated
        shown = scores >= self.min_score
        padding = self.model.numbering.padding
        return boxes * shown[..., None], torch.where(shown, labels, padding)


class DetectionLearner(Learner):
    """A learner whose predictions are boxes; `detection_learner` makes it."""

    @property
    def min_score(self) -> float:
        """Boxes with a lower score are neither predicted nor shown; settable."""
        return cast("DetectionLoss", self.loss_func).min_score

    @min_score.setter
    def min_score(self, score: float) -> None:
        check_score(score)
        cast("DetectionLoss", self.loss_func).min_score = score
        for metric in self.metrics:
            if isinstance(metric, BoxMetric):
                metric.min_score = score

    def predict(self, item: Any) -> Prediction:
        """Finds things in one picture.

        Args:
            item: What the input block accepts: a path, an array, a picture.

        Returns:
            `(found, labels, scores)`: a list of `Detection`, best first, their boxes in pixels of the picture
            as it was given; and for each its encoded label and its score.

        Raises:
            ItemError: The item cannot be read.
        """
        return predict_boxes(self, item, self.min_score)

    def show_results(
        self,
        ds_idx: int = 1,
        dl: Any = None,
        max_n: int = 9,
        shuffle: bool = True,
        nrows: int | None = None,
        ncols: int | None = None,
        figsize: tuple[float, float] | None = None,
    ) -> None:
        """Draws pictures with the true boxes in dashed green and what was found, with its score.

        Args:
            ds_idx: 0 for the training items, 1 for the validation items.
            dl: A loader instead.
            max_n: At most this many items.
            shuffle: Other items at every call.
            nrows: Rows of the grid.
            ncols: Columns of the grid.
            figsize: Inches.
        """
        loader = loader_at(self.dls, ds_idx) if dl is None else dl
        draw_detections(self, loader, self.min_score, max_n, shuffle, nrows, ncols, figsize)


def detection_learner(
    dls: Any,
    arch: Any = None,
    *,
    body: Any = None,
    pretrained: bool = True,
    weights: Any = None,
    min_score: float = MIN_SCORE,
    max_boxes: int = 100,
    iou_threshold: float | None = None,
    normalize: bool = True,
    n_in: int | None = None,
    arch_args: Mapping[str, Any] | None = None,
    stats: tuple[Sequence[float], Sequence[float]] | None = None,
    opt_func: str | OptFunc = Adam,
    lr: Rate = 1e-3,
    splitter: Splitter = detector_groups,
    cbs: Callbacks = None,
    metrics: Any = None,
    path: str | Path | None = None,
    model_dir: str | Path = "models",
    wd: float | None = None,
    wd_bn_bias: bool = False,
    train_bn: bool | None = None,
    moms: Momenta = (0.95, 0.85, 0.95),
    engine: Engine | None = None,
) -> DetectionLearner:
    """Make a learner that finds things in pictures and says what they are.

    Args:
        dls: Loaders made with `blocks=(ImageBlock, BBoxBlock, BBoxLblBlock), n_inp=1`.
        arch: A detector of torchvision by name or constructor: "fasterrcnn_...", "retinanet_...", "fcos_...",
            "ssd300_vgg16", "ssdlite320_mobilenet_v3_large". None takes
            "fasterrcnn_mobilenet_v3_large_fpn", or "fcos" with a `body`. With a `body` its family: "fcos",
            "retinanet", "fasterrcnn".
        body: The name of a timm network to build the detector on, for weights of an image classifier.
        pretrained: Start from published weights, with the body frozen until `unfreeze` or the second part of
            `fine_tune`: those of the whole detector, trained on COCO, or those of the `body`.
        weights: Start from these instead: a .safetensors file of the detector in torchvision's names (for any
            classes: what depends on them starts anew), or of the `body` as in `vision_learner`.
        min_score: Boxes with a lower score are neither predicted nor shown.
        max_boxes: Most boxes per picture.
        iou_threshold: Of two boxes of one class that overlap by more (intersection over union), the better
            one is kept; None takes the detector's own.
        normalize: Normalise with the statistics of the weights.
        n_in: Channels of the images; None asks the image block.
        arch_args: More arguments of the body.
        stats: Mean and standard deviation per channel; they win over everything else.
        opt_func: As for `Learner`, as all that follow.
        lr: As for `Learner`.
        splitter: Divides the parameters into groups: body, and all above it.
        cbs: As for `Learner`.
        metrics: Names of columns ("AP", "AP50", "AP75", "precision", "recall") or metrics; None takes AP and
            AP50.
        path: As for `Learner`.
        model_dir: As for `Learner`.
        wd: As for `Learner`.
        wd_bn_bias: As for `Learner`.
        train_bn: As for `Learner`; None is False for pretrained weights and True for random ones.
        moms: As for `Learner`.
        engine: As for `Learner`.

    Returns:
        The learner.

    Raises:
        ArgumentError: The loaders have no boxes with labels, or a number is out of range.
        ModelError: The detector or its weights cannot be found or do not fit.

    Example:
        >>> from wiggly import BBoxBlock, BBoxLblBlock, DataBlock, ImageBlock
        >>> block = DataBlock(blocks=(ImageBlock, BBoxBlock, BBoxLblBlock), n_inp=1,
        ...                   get_x=lambda n: torch.zeros(3, 64, 64),
        ...                   get_y=[lambda n: [[8, 8, 40, 40]], lambda n: ["square"]])
        >>> dls = block.dataloaders(range(8), bs=2, seed=1)
        >>> learn = detection_learner(dls, "fcos", body="test_resnet", pretrained=False)
        >>> [metric.name for metric in learn.metrics]
        ['AP', 'AP50']
    """
    making = Making(detection_learner, locals())
    block = _label_block(dls)
    numbering = Numbering(first=1, padding=0) if block.add_na else Numbering(first=0, padding=-100)
    check_score(min_score)
    size = image_size(dls)
    _check_size(size)
    model = detector_model(
        arch,
        len(block.vocab) - numbering.first,
        body=body,
        n_in=channels(dls) if n_in is None else n_in,
        pretrained=pretrained,
        weights=weights,
        arch_args=arch_args,
        normalize=normalize,
        stats=stats or statistics(dls),
        image_size=size,
        numbering=numbering,
        max_boxes=max_boxes,
        iou_threshold=iou_threshold,
    ).to(memory_format=torch.channels_last)
    learn = DetectionLearner(
        dls,
        model,
        loss_func=DetectionLoss(model, min_score),
        opt_func=opt_func,
        lr=lr,
        splitter=splitter,
        cbs=cbs,
        metrics=_metrics(metrics, min_score, numbering),
        path=path,
        model_dir=model_dir,
        wd=wd,
        wd_bn_bias=wd_bn_bias,
        train_bn=not model.pretrained if train_bn is None else train_bn,
        moms=moms,
        engine=engine,
        model_config=model.config,
    )
    if model.pretrained:
        learn.freeze()
    learn.making = making
    return learn


def check_score(score: float) -> None:
    """Raises an ArgumentError for a score outside [0, 1]."""
    if not 0 <= score <= 1:
        raise ArgumentError("`min_score` must be in [0, 1]", f"it is {score}", "Pass e.g. 0.5.")


def _label_block(dls: Any) -> BBoxLblBlock:
    """The block of the labels, checked to stand behind one of boxes."""
    targets: list[Any] = list(getattr(dls, "target_blocks", ()))
    if len(targets) == 2 and isinstance(targets[0], BBoxBlock) and isinstance(targets[1], BBoxLblBlock):
        return targets[1]
    raise ArgumentError(
        "`detection_learner` needs loaders with boxes and a label for each of them",
        f"their targets are {[type(block).__name__ for block in targets] or 'unknown'}",
        "Build them with DataBlock(blocks=(ImageBlock, BBoxBlock, BBoxLblBlock), n_inp=1, get_y=[boxes, "
        "labels]); where all boxes are of one kind, give them one label.",
    )


def _check_size(size: tuple[int, int] | None) -> None:
    if size is not None and min(size) < LEAST_SIDE:
        raise ArgumentError(
            f"images to find things in must be at least {LEAST_SIDE} pixels high and wide",
            f"these are {size[0]}×{size[1]}",
            "Build the loaders with item_tfms=Resize(224), say.",
        )


def _metrics(metrics: Any, min_score: float, numbering: Numbering) -> Any:
    """Names as metrics that count the boxes once for all of them; what is a metric already stays."""
    if metrics is None:
        metrics = ["AP", "AP50"]
    given: list[Any] = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
    names = [metric for metric in given if isinstance(metric, str)]
    made = iter(box_metrics(names, min_score, numbering))
    return [next(made) if isinstance(metric, str) else metric for metric in given]
