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
from wiggly.interpret.classification import ClassificationInterpretation
from wiggly.interpret.interpretation import Interpretation
from wiggly.train.callback import Callback, CancelBatch, CancelEpoch, CancelFit
from wiggly.train.learner import Learner
from wiggly.train.losses import (
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
    LabelSmoothingCrossEntropy,
    MSELossFlat,
)
from wiggly.train.lr_find import minimum, slide, steep, valley
from wiggly.train.metrics import (
    accuracy,
    accuracy_multi,
    error_rate,
    mae,
    mse,
    pixel_accuracy,
    rmse,
    top_k_accuracy,
)
from wiggly.train.mix import CutMix, MixUp
from wiggly.train.optim import SGD, Adam, wrap_optimizer
from wiggly.train.scores import (
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
from wiggly.vision.draws import PadMode
from wiggly.vision.erase import CutOut, RandomErasing
from wiggly.vision.files import resize_images, show_image, subplots, verify_images
from wiggly.vision.flip import Dihedral, DihedralItem, Flip, FlipItem
from wiggly.vision.image import PILImage, PILImageBW
from wiggly.vision.learner import vision_learner
from wiggly.vision.lighting import Brightness, Contrast, Hue, Saturation
from wiggly.vision.loaders import ImageDataLoaders, SegmentationDataLoaders
from wiggly.vision.mask import MaskBlock, PILMask
from wiggly.vision.models import create_head, vision_model
from wiggly.vision.points import PointBlock
from wiggly.vision.policy import RandAugment, TrivialAugment
from wiggly.vision.resize import RandomResizedCrop, Resize, ResizeMethod

__all__ = [
    "SGD",
    "Adam",
    "BBoxBlock",
    "BBoxLblBlock",
    "BCEWithLogitsLossFlat",
    "BalancedAccuracy",
    "Brightness",
    "Callback",
    "CancelBatch",
    "CancelEpoch",
    "CancelFit",
    "CategoryBlock",
    "ClassificationInterpretation",
    "CohenKappa",
    "ColReader",
    "ColSplitter",
    "Contrast",
    "CrossEntropyLossFlat",
    "CutMix",
    "CutOut",
    "DataBlock",
    "DataLoader",
    "DataLoaders",
    "Datasets",
    "Dihedral",
    "DihedralItem",
    "DisplayedTransform",
    "F",
    "F1Score",
    "F1ScoreMulti",
    "Flip",
    "FlipItem",
    "FuncSplitter",
    "GrandparentSplitter",
    "Hue",
    "Image",
    "ImageBlock",
    "ImageDataLoaders",
    "IndexSplitter",
    "IntToFloatTensor",
    "Interpretation",
    "ItemTransform",
    "L",
    "LabelSmoothingCrossEntropy",
    "Learner",
    "MSELossFlat",
    "MaskBlock",
    "MatthewsCorrCoef",
    "MixUp",
    "MultiCategoryBlock",
    "Normalize",
    "PILImage",
    "PILImageBW",
    "PILMask",
    "PadMode",
    "Path",
    "Pipeline",
    "PointBlock",
    "Precision",
    "PrecisionMulti",
    "RandAugment",
    "RandTransform",
    "RandomErasing",
    "RandomResizedCrop",
    "RandomSplitter",
    "Recall",
    "RecallMulti",
    "RegexLabeller",
    "RegressionBlock",
    "Resize",
    "ResizeMethod",
    "RocAuc",
    "RocAucBinary",
    "RocAucMulti",
    "Rotate",
    "Saturation",
    "SegmentationDataLoaders",
    "Tensor",
    "ToTensor",
    "TrainTestSplitter",
    "Transform",
    "TransformBlock",
    "TrivialAugment",
    "Warp",
    "Zoom",
    "accuracy",
    "accuracy_multi",
    "aug_transforms",
    "create_head",
    "error_rate",
    "first",
    "get_annotations",
    "get_files",
    "get_image_files",
    "get_text_files",
    "imagenet_stats",
    "load_bundle",
    "load_learner",
    "mae",
    "minimum",
    "mse",
    "nn",
    "np",
    "parent_label",
    "partial",
    "pd",
    "pixel_accuracy",
    "plt",
    "range_of",
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
    "using_attr",
    "valley",
    "verify_images",
    "vision_learner",
    "vision_model",
    "wrap_optimizer",
]
