"""`from wiggly.vision.all import *`: the names a notebook on images types, and nothing else.

Besides wiggly's own names it brings those a notebook leans on: `np pd plt torch nn F Path partial Image` and
torchvision's resnets. Everything it brings stands in `__all__` below; the only one-letter names are `F` and
`L`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.models import resnet18, resnet34, resnet50, resnet101, resnet152

from wiggly.bundle.predictor import load_bundle, load_learner
from wiggly.data.basics import L, first, range_of, set_seed, tensor
from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock, RegressionBlock, TransformBlock
from wiggly.data.datasets import Datasets
from wiggly.data.items import (
    ColReader,
    RegexLabeller,
    get_files,
    get_image_files,
    get_text_files,
    parent_label,
    using_attr,
)
from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.data.pipeline import Pipeline
from wiggly.data.split import (
    ColSplitter,
    FuncSplitter,
    GrandparentSplitter,
    IndexSplitter,
    RandomSplitter,
    TrainTestSplitter,
)
from wiggly.data.transform import DisplayedTransform, ItemTransform, RandTransform, Transform
from wiggly.interpret.attribution import grad_cam
from wiggly.interpret.classification import ClassificationInterpretation
from wiggly.interpret.compare import compare
from wiggly.interpret.detection import DetectionInterpretation
from wiggly.interpret.interpretation import Interpretation
from wiggly.interpret.segmentation import SegmentationInterpretation
from wiggly.train.callback import Callback, CancelBatch, CancelEpoch, CancelFit, CancelPass
from wiggly.train.callbacks.activation import ActivationStats
from wiggly.train.callbacks.ema import EMA
from wiggly.train.callbacks.gradients import GradientAccumulation, GradientClip
from wiggly.train.callbacks.logs import CSVLogger, JSONLogger
from wiggly.train.callbacks.modes import BnFreeze, LabelSmoothing, MixedPrecision, ShortEpoch
from wiggly.train.callbacks.monitor import EarlyStopping, ReduceLROnPlateau
from wiggly.train.callbacks.save import SaveModel
from wiggly.train.callbacks.trackers import (
    MLflowLogger,
    TensorBoardLogger,
    Tracker,
    TrackioLogger,
    WandbLogger,
)
from wiggly.train.hooks import (
    Hook,
    Hooks,
    dummy_eval,
    hook_output,
    hook_outputs,
    model_sizes,
    num_features_model,
)
from wiggly.train.learner import Learner
from wiggly.train.losses.core import (
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
    LabelSmoothingCrossEntropy,
    MSELossFlat,
    NoneReduce,
)
from wiggly.train.losses.pixels import CombinedLoss, DiceLoss, FocalLoss, FocalLossFlat
from wiggly.train.lr_find import minimum, slide, steep, valley
from wiggly.train.metrics.core import (
    accuracy,
    accuracy_multi,
    error_rate,
    foreground_acc,
    mae,
    mse,
    pixel_accuracy,
    rmse,
    top_k_accuracy,
)
from wiggly.train.metrics.perplexity import Perplexity
from wiggly.train.metrics.pixels import Dice, DiceMulti, JaccardCoeff, JaccardCoeffMulti
from wiggly.train.metrics.whole_set import (
    BalancedAccuracy,
    CohenKappa,
    F1Score,
    F1ScoreMulti,
    MatthewsCorrCoef,
    Precision,
    PrecisionMulti,
    Recall,
    RecallMulti,
    RocAuc,
    RocAucBinary,
    RocAucMulti,
)
from wiggly.train.mix import CutMix, MixUp
from wiggly.train.optim.base import SGD, Adam
from wiggly.train.optim.by_name import OptimWrapper, wrap_optimizer
from wiggly.train.optim.more import AdamW, Lamb, Lookahead, Muon, RAdam, RMSProp, ranger
from wiggly.train.optim.schedule import ParamScheduler, torch_schedule
from wiggly.train.optim.shapes import (
    SchedCos,
    SchedExp,
    SchedLin,
    SchedNo,
    SchedPoly,
    combine_scheds,
    combined_cos,
)
from wiggly.vision.annotations import get_annotations
from wiggly.vision.augment import (
    IntToFloatTensor,
    Normalize,
    Rotate,
    ToTensor,
    Warp,
    Zoom,
    aug_transforms,
    imagenet_stats,
    setup_aug_tfms,
)
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.boxes import BBoxBlock, BBoxLblBlock
from wiggly.vision.detection.boxes import Detection
from wiggly.vision.detection.learner import DetectionLearner, detection_learner
from wiggly.vision.detection.metrics import BoxMetric
from wiggly.vision.draws import PadMode
from wiggly.vision.erase import CutOut, RandomErasing
from wiggly.vision.files import resize_images, show_image, subplots, verify_images
from wiggly.vision.flip import Dihedral, DihedralItem, Flip, FlipItem
from wiggly.vision.image import PILImage, PILImageBW
from wiggly.vision.learner import vision_learner
from wiggly.vision.lighting import Brightness, Contrast, Hue, Saturation
from wiggly.vision.loaders import ImageDataLoaders, SegmentationDataLoaders
from wiggly.vision.mask import MaskBlock, PILMask
from wiggly.vision.models import create_body, create_head, vision_model
from wiggly.vision.points import PointBlock
from wiggly.vision.policy import RandAugment, TrivialAugment
from wiggly.vision.resize import RandomResizedCrop, Resize, ResizeMethod
from wiggly.vision.unet import unet_learner

# The names that users of fastai know.
EarlyStoppingCallback, SaveModelCallback, ShortEpochCallback = EarlyStopping, SaveModel, ShortEpoch

__all__ = [
    "EMA",
    "SGD",
    "ActivationStats",
    "Adam",
    "AdamW",
    "BBoxBlock",
    "BBoxLblBlock",
    "BCEWithLogitsLossFlat",
    "BalancedAccuracy",
    "BnFreeze",
    "BoxMetric",
    "Brightness",
    "CSVLogger",
    "Callback",
    "CancelBatch",
    "CancelEpoch",
    "CancelFit",
    "CancelPass",
    "CategoryBlock",
    "ClassificationInterpretation",
    "CohenKappa",
    "ColReader",
    "ColSplitter",
    "CombinedLoss",
    "Contrast",
    "CrossEntropyLossFlat",
    "CutMix",
    "CutOut",
    "DataBlock",
    "DataLoader",
    "DataLoaders",
    "Datasets",
    "Detection",
    "DetectionInterpretation",
    "DetectionLearner",
    "Dice",
    "DiceLoss",
    "DiceMulti",
    "Dihedral",
    "DihedralItem",
    "DisplayedTransform",
    "EarlyStopping",
    "EarlyStoppingCallback",
    "F",
    "F1Score",
    "F1ScoreMulti",
    "Flip",
    "FlipItem",
    "FocalLoss",
    "FocalLossFlat",
    "FuncSplitter",
    "GradientAccumulation",
    "GradientClip",
    "GrandparentSplitter",
    "Hook",
    "Hooks",
    "Hue",
    "Image",
    "ImageBlock",
    "ImageDataLoaders",
    "IndexSplitter",
    "IntToFloatTensor",
    "Interpretation",
    "ItemTransform",
    "JSONLogger",
    "JaccardCoeff",
    "JaccardCoeffMulti",
    "L",
    "LabelSmoothing",
    "LabelSmoothingCrossEntropy",
    "Lamb",
    "Learner",
    "Lookahead",
    "MLflowLogger",
    "MSELossFlat",
    "MaskBlock",
    "MatthewsCorrCoef",
    "MixUp",
    "MixedPrecision",
    "MultiCategoryBlock",
    "Muon",
    "NoneReduce",
    "Normalize",
    "OptimWrapper",
    "PILImage",
    "PILImageBW",
    "PILMask",
    "PadMode",
    "ParamScheduler",
    "Path",
    "Perplexity",
    "Pipeline",
    "PointBlock",
    "Precision",
    "PrecisionMulti",
    "RAdam",
    "RMSProp",
    "RandAugment",
    "RandTransform",
    "RandomErasing",
    "RandomResizedCrop",
    "RandomSplitter",
    "Recall",
    "RecallMulti",
    "ReduceLROnPlateau",
    "RegexLabeller",
    "RegressionBlock",
    "Resize",
    "ResizeMethod",
    "RocAuc",
    "RocAucBinary",
    "RocAucMulti",
    "Rotate",
    "Saturation",
    "SaveModel",
    "SaveModelCallback",
    "SchedCos",
    "SchedExp",
    "SchedLin",
    "SchedNo",
    "SchedPoly",
    "SegmentationDataLoaders",
    "SegmentationInterpretation",
    "ShortEpoch",
    "ShortEpochCallback",
    "Tensor",
    "TensorBoardLogger",
    "ToTensor",
    "Tracker",
    "TrackioLogger",
    "TrainTestSplitter",
    "Transform",
    "TransformBlock",
    "TrivialAugment",
    "WandbLogger",
    "Warp",
    "Zoom",
    "accuracy",
    "accuracy_multi",
    "aug_transforms",
    "combine_scheds",
    "combined_cos",
    "compare",
    "create_body",
    "create_head",
    "detection_learner",
    "dummy_eval",
    "error_rate",
    "first",
    "foreground_acc",
    "get_annotations",
    "get_files",
    "get_image_files",
    "get_text_files",
    "grad_cam",
    "hook_output",
    "hook_outputs",
    "imagenet_stats",
    "load_bundle",
    "load_learner",
    "mae",
    "minimum",
    "model_sizes",
    "mse",
    "nn",
    "np",
    "num_features_model",
    "parent_label",
    "partial",
    "pd",
    "pixel_accuracy",
    "plt",
    "range_of",
    "ranger",
    "resize_images",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "rmse",
    "set_seed",
    "setup_aug_tfms",
    "show_image",
    "slide",
    "steep",
    "subplots",
    "tensor",
    "top_k_accuracy",
    "torch",
    "torch_schedule",
    "unet_learner",
    "using_attr",
    "valley",
    "verify_images",
    "vision_learner",
    "vision_model",
    "wrap_optimizer",
]
