"""From a folder of your own photos to a model that is honest about its errors, and an app other people use.

In: `from wiggly import DataBlock, vision_learner`, or `import wiggly as wg`. Out: the name, loaded with its
room on first use, so that `import wiggly` costs next to nothing and no torch. Read next: `records.py`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors and type checkers see; tests/rails keeps it equal to the table below
    from wiggly.bundle.manifest import Manifest
    from wiggly.bundle.predictor import (
        Predictor,
        load_bundle,
        load_learner,
    )
    from wiggly.data.basics import (
        L,
        first,
        range_of,
        set_seed,
        tensor,
    )
    from wiggly.data.block import DataBlock
    from wiggly.data.blocks import (
        Block,
        CategoryBlock,
        MultiCategoryBlock,
        RegressionBlock,
        TransformBlock,
        Vocab,
    )
    from wiggly.data.dataset import Dataset
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
    from wiggly.data.shards.build import ShardSplitter
    from wiggly.data.shards.formats import ParquetSource, TarSource
    from wiggly.data.split import (
        ColSplitter,
        FuncSplitter,
        GrandparentSplitter,
        IndexSplitter,
        RandomSplitter,
        TrainTestSplitter,
    )
    from wiggly.data.transform import DisplayedTransform, ItemTransform, RandTransform, Transform
    from wiggly.errors import (
        ArgumentError,
        BadItemsError,
        BundleError,
        DataError,
        DependencyError,
        ItemError,
        LabelError,
        ModelError,
        StorageError,
        TrainingError,
        WigglyError,
    )
    from wiggly.interpret.classification import ClassificationInterpretation
    from wiggly.interpret.interpretation import Interpretation
    from wiggly.interpret.score import wilson_interval
    from wiggly.records import (
        Batch,
        Prediction,
        Predictions,
        Split,
        State,
    )
    from wiggly.train.callback import (
        Callback,
        CancelBatch,
        CancelEpoch,
        CancelFit,
    )
    from wiggly.train.engine import (
        Engine,
        LocalEngine,
    )
    from wiggly.train.history import History
    from wiggly.train.learner import Learner
    from wiggly.train.losses import (
        BCEWithLogitsLossFlat,
        CrossEntropyLossFlat,
        LabelSmoothingCrossEntropy,
        MSELossFlat,
    )
    from wiggly.train.lr_find import (
        minimum,
        slide,
        steep,
        valley,
    )
    from wiggly.train.metrics import (
        Metric,
        PointError,
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
    from wiggly.train.optim import (
        SGD,
        Adam,
        Optimizer,
        trainable_params,
        wrap_optimizer,
    )
    from wiggly.train.schedule import (
        combine,
        cosine,
        exponential,
        flat,
        one_cycle,
    )
    from wiggly.train.scores import (
        APScoreBinary,
        APScoreMulti,
        BalancedAccuracy,
        BrierScore,
        CohenKappa,
        ExplainedVariance,
        F1Score,
        F1ScoreMulti,
        FBeta,
        HammingLoss,
        Jaccard,
        MatthewsCorrCoef,
        Precision,
        PrecisionMulti,
        R2Score,
        Recall,
        RecallMulti,
        RocAuc,
        RocAucBinary,
        RocAucMulti,
        skm_to_wiggly,
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
    from wiggly.vision.check import DataCheck, check_folder
    from wiggly.vision.draws import PadMode
    from wiggly.vision.erase import CutOut, RandomErasing
    from wiggly.vision.files import (
        resize_images,
        show_image,
        subplots,
        verify_images,
    )
    from wiggly.vision.flip import Dihedral, DihedralItem, Flip, FlipItem
    from wiggly.vision.image import (
        PILImage,
        PILImageBW,
    )
    from wiggly.vision.learner import vision_learner
    from wiggly.vision.lighting import Brightness, Contrast, Hue, Saturation
    from wiggly.vision.loaders import ImageDataLoaders, SegmentationDataLoaders
    from wiggly.vision.mask import MaskBlock, PILMask
    from wiggly.vision.models import (
        Body,
        build_model,
        create_head,
        vision_model,
    )
    from wiggly.vision.points import PointBlock
    from wiggly.vision.policy import RandAugment, TrivialAugment
    from wiggly.vision.resize import (
        RandomResizedCrop,
        Resize,
        ResizeMethod,
    )

__all__ = [  # noqa: RUF022 - plain string order
    "APScoreBinary",
    "APScoreMulti",
    "Adam",
    "ArgumentError",
    "BBoxBlock",
    "BBoxLblBlock",
    "BCEWithLogitsLossFlat",
    "BadItemsError",
    "BalancedAccuracy",
    "Batch",
    "Block",
    "Body",
    "BrierScore",
    "Brightness",
    "BundleError",
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
    "DataCheck",
    "DataError",
    "DataLoader",
    "DataLoaders",
    "Dataset",
    "Datasets",
    "DependencyError",
    "Dihedral",
    "DihedralItem",
    "DisplayedTransform",
    "Engine",
    "ExplainedVariance",
    "F1Score",
    "F1ScoreMulti",
    "FBeta",
    "Flip",
    "FlipItem",
    "FuncSplitter",
    "GrandparentSplitter",
    "HammingLoss",
    "History",
    "Hue",
    "ImageBlock",
    "ImageDataLoaders",
    "IndexSplitter",
    "IntToFloatTensor",
    "Interpretation",
    "ItemError",
    "ItemTransform",
    "Jaccard",
    "L",
    "LabelError",
    "LabelSmoothingCrossEntropy",
    "Learner",
    "LocalEngine",
    "MSELossFlat",
    "Manifest",
    "MaskBlock",
    "MatthewsCorrCoef",
    "Metric",
    "MixUp",
    "ModelError",
    "MultiCategoryBlock",
    "Normalize",
    "Optimizer",
    "PILImage",
    "PILImageBW",
    "PILMask",
    "PadMode",
    "ParquetSource",
    "Pipeline",
    "PointBlock",
    "PointError",
    "Precision",
    "PrecisionMulti",
    "Prediction",
    "Predictions",
    "Predictor",
    "R2Score",
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
    "SGD",
    "Saturation",
    "SegmentationDataLoaders",
    "ShardSplitter",
    "Split",
    "State",
    "StorageError",
    "TarSource",
    "ToTensor",
    "TrainTestSplitter",
    "TrainingError",
    "Transform",
    "TransformBlock",
    "TrivialAugment",
    "Vocab",
    "Warp",
    "WigglyError",
    "Zoom",
    "__version__",
    "accuracy",
    "accuracy_multi",
    "aug_transforms",
    "build_model",
    "check_folder",
    "combine",
    "cosine",
    "create_head",
    "error_rate",
    "exponential",
    "first",
    "flat",
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
    "one_cycle",
    "parent_label",
    "pixel_accuracy",
    "range_of",
    "resize_images",
    "rmse",
    "set_seed",
    "setup_aug_tfms",
    "show_image",
    "skm_to_wiggly",
    "slide",
    "steep",
    "subplots",
    "tensor",
    "top_k_accuracy",
    "trainable_params",
    "using_attr",
    "valley",
    "verify_images",
    "vision_learner",
    "vision_model",
    "wilson_interval",
    "wrap_optimizer",
]

__version__ = "0.1.0"

# Room to the names it gives.
_ROOMS = {
    "errors": """
        ArgumentError BadItemsError BundleError DataError DependencyError ItemError LabelError
        ModelError StorageError TrainingError WigglyError
    """,
    "records": "Batch Prediction Predictions Split State",
    "data.basics": "L first range_of set_seed tensor",
    "data.block": "DataBlock",
    "data.blocks": "Block CategoryBlock MultiCategoryBlock RegressionBlock TransformBlock Vocab",
    "data.dataset": "Dataset",
    "data.datasets": "Datasets",
    "data.items": "ColReader RegexLabeller get_files get_image_files get_text_files parent_label using_attr",
    "data.loader": "DataLoader",
    "data.loaders": "DataLoaders",
    "data.pipeline": "Pipeline",
    "data.shards.build": "ShardSplitter",
    "data.shards.formats": "ParquetSource TarSource",
    "data.split": """
        ColSplitter FuncSplitter GrandparentSplitter IndexSplitter RandomSplitter TrainTestSplitter
    """,
    "data.transform": "DisplayedTransform ItemTransform RandTransform Transform",
    "train.callback": "Callback CancelBatch CancelEpoch CancelFit",
    "train.engine": "Engine LocalEngine",
    "train.history": "History",
    "train.learner": "Learner",
    "train.losses": "BCEWithLogitsLossFlat CrossEntropyLossFlat LabelSmoothingCrossEntropy MSELossFlat",
    "train.lr_find": "minimum slide steep valley",
    "train.metrics": """
        Metric PointError accuracy accuracy_multi error_rate mae mse pixel_accuracy rmse top_k_accuracy
    """,
    "train.mix": "CutMix MixUp",
    "train.optim": "Adam Optimizer SGD trainable_params wrap_optimizer",
    "train.schedule": "combine cosine exponential flat one_cycle",
    "train.scores": """
        APScoreBinary APScoreMulti BalancedAccuracy BrierScore CohenKappa ExplainedVariance F1Score
        F1ScoreMulti FBeta HammingLoss Jaccard MatthewsCorrCoef Precision PrecisionMulti R2Score Recall
        RecallMulti RocAuc RocAucBinary RocAucMulti skm_to_wiggly
    """,
    "vision.augment": """
        IntToFloatTensor Normalize Rotate ToTensor Warp Zoom aug_transforms imagenet_stats setup_aug_tfms
    """,
    "vision.annotations": "get_annotations",
    "vision.blocks": "ImageBlock",
    "vision.boxes": "BBoxBlock BBoxLblBlock",
    "vision.check": "DataCheck check_folder",
    "vision.draws": "PadMode",
    "vision.erase": "CutOut RandomErasing",
    "vision.files": "resize_images show_image subplots verify_images",
    "vision.flip": "Dihedral DihedralItem Flip FlipItem",
    "vision.image": "PILImage PILImageBW",
    "vision.learner": "vision_learner",
    "vision.lighting": "Brightness Contrast Hue Saturation",
    "vision.loaders": "ImageDataLoaders SegmentationDataLoaders",
    "vision.mask": "MaskBlock PILMask",
    "vision.models": "Body build_model create_head vision_model",
    "vision.policy": "RandAugment TrivialAugment",
    "vision.points": "PointBlock",
    "vision.resize": "RandomResizedCrop Resize ResizeMethod",
    "interpret.classification": "ClassificationInterpretation",
    "interpret.interpretation": "Interpretation",
    "interpret.score": "wilson_interval",
    "bundle.manifest": "Manifest",
    "bundle.predictor": "Predictor load_bundle load_learner",
}

_WHERE = {name: f"wiggly.{room}" for room, names in _ROOMS.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Loads a public name on first use (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(_unknown(name))
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, __all__, n=3)
    return f"wiggly has no '{name}'" + (f"; did you mean {' or '.join(near)}?" if near else "")
