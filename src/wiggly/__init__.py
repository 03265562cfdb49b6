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
    from wiggly.clean.copying import clean_copy
    from wiggly.clean.merge import merge_journals
    from wiggly.clean.retrain.retrained import Retrained
    from wiggly.clean.suspects.suggest import suggest
    from wiggly.clean.suspects.suspect import Suspect, Suspects
    from wiggly.clean.tables import clean_table
    from wiggly.clean.trash import clean_in_place, restore_files
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
    from wiggly.data.edits.edit import Edit, ItemRef
    from wiggly.data.edits.identity import ItemIds, refs_of
    from wiggly.data.edits.journal import Journal
    from wiggly.data.edits.plan import EditSummary
    from wiggly.data.edits.state import ItemState
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
        DivergedError,
        ItemError,
        LabelError,
        ModelError,
        NotebookError,
        SpaceError,
        StorageError,
        TrainingError,
        WigglyError,
    )
    from wiggly.interpret.attribution import grad_cam
    from wiggly.interpret.classification import ClassificationInterpretation
    from wiggly.interpret.compare import compare
    from wiggly.interpret.comparison import Comparison
    from wiggly.interpret.detection import DetectionInterpretation
    from wiggly.interpret.interpretation import Interpretation
    from wiggly.interpret.score import wilson_interval
    from wiggly.interpret.segmentation import SegmentationInterpretation
    from wiggly.interpret.tables.dependence import partial_dependence
    from wiggly.interpret.tables.importance import permutation_importance
    from wiggly.notebook.clean import clean_notebook
    from wiggly.notebook.export import export_notebook, notebook2script
    from wiggly.records import (
        Batch,
        Prediction,
        Predictions,
        Split,
        State,
    )
    from wiggly.tabular.collab.learner import CollabLearner, collab_learner
    from wiggly.tabular.collab.loaders import CollabDataLoaders
    from wiggly.tabular.collab.models import EmbeddingDotBias, EmbeddingNN
    from wiggly.tabular.collab.parts import Embedding, Module, one_hot, sigmoid_range
    from wiggly.tabular.columns import cont_cat_split
    from wiggly.tabular.dates import add_datepart
    from wiggly.tabular.encoder import TableEncoder
    from wiggly.tabular.learner import TabularLearner, get_emb_sz, tabular_config, tabular_learner
    from wiggly.tabular.loaders import TabularDataLoaders
    from wiggly.tabular.models import TabMModel, TabularModel, emb_sz_rule
    from wiggly.tabular.procs import Categorify, FillMissing, FillStrategy
    from wiggly.tabular.shrink import df_shrink
    from wiggly.tabular.table import TabularPandas
    from wiggly.teach.explore import explore
    from wiggly.teach.interact import interact
    from wiggly.teach.quiz.show import Quiz, quiz_about
    from wiggly.train.callback import (
        Callback,
        CancelBatch,
        CancelEpoch,
        CancelFit,
        CancelPass,
    )
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
    from wiggly.train.distributed.engine import AccelerateEngine
    from wiggly.train.engine import (
        Engine,
        LocalEngine,
    )
    from wiggly.train.history import History
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
    from wiggly.train.lr_find import (
        minimum,
        slide,
        steep,
        valley,
    )
    from wiggly.train.memory import SplitBatches
    from wiggly.train.metrics.core import (
        Metric,
        PointError,
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
    from wiggly.train.mix import CutMix, MixUp
    from wiggly.train.optim.base import (
        SGD,
        Adam,
        Optimizer,
    )
    from wiggly.train.optim.by_name import OptimWrapper, wrap_optimizer
    from wiggly.train.optim.groups import trainable_params
    from wiggly.train.optim.more import (
        AdamW,
        Lamb,
        Lookahead,
        Muon,
        RAdam,
        RMSProp,
        ranger,
    )
    from wiggly.train.optim.schedule import ParamScheduler, torch_schedule
    from wiggly.train.optim.shapes import (
        combine,
        cosine,
        exponential,
        flat,
        linear,
        one_cycle,
        polynomial,
    )
    from wiggly.train.summary import Summary
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
    from wiggly.vision.decoder import unet_model
    from wiggly.vision.detection.boxes import Detection
    from wiggly.vision.detection.learner import DetectionLearner, detection_learner
    from wiggly.vision.detection.metrics import BoxMetric
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
        create_body,
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
    from wiggly.vision.unet import unet_learner

__all__ = [  # noqa: RUF022 - plain string order
    "APScoreBinary",
    "APScoreMulti",
    "AccelerateEngine",
    "ActivationStats",
    "Adam",
    "AdamW",
    "ArgumentError",
    "BBoxBlock",
    "BBoxLblBlock",
    "BCEWithLogitsLossFlat",
    "BadItemsError",
    "BalancedAccuracy",
    "Batch",
    "Block",
    "BnFreeze",
    "Body",
    "BoxMetric",
    "BrierScore",
    "Brightness",
    "BundleError",
    "CSVLogger",
    "Callback",
    "CancelBatch",
    "CancelEpoch",
    "CancelFit",
    "CancelPass",
    "Categorify",
    "CategoryBlock",
    "ClassificationInterpretation",
    "CohenKappa",
    "ColReader",
    "ColSplitter",
    "CollabDataLoaders",
    "CollabLearner",
    "CombinedLoss",
    "Comparison",
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
    "Detection",
    "DetectionInterpretation",
    "DetectionLearner",
    "Dice",
    "DiceLoss",
    "DiceMulti",
    "Dihedral",
    "DihedralItem",
    "DisplayedTransform",
    "DivergedError",
    "EMA",
    "EarlyStopping",
    "Edit",
    "EditSummary",
    "Embedding",
    "EmbeddingDotBias",
    "EmbeddingNN",
    "Engine",
    "ExplainedVariance",
    "F1Score",
    "F1ScoreMulti",
    "FBeta",
    "FillMissing",
    "FillStrategy",
    "Flip",
    "FlipItem",
    "FocalLoss",
    "FocalLossFlat",
    "FuncSplitter",
    "GradientAccumulation",
    "GradientClip",
    "GrandparentSplitter",
    "HammingLoss",
    "History",
    "Hook",
    "Hooks",
    "Hue",
    "ImageBlock",
    "ImageDataLoaders",
    "IndexSplitter",
    "IntToFloatTensor",
    "Interpretation",
    "ItemError",
    "ItemIds",
    "ItemRef",
    "ItemState",
    "ItemTransform",
    "JSONLogger",
    "Jaccard",
    "JaccardCoeff",
    "JaccardCoeffMulti",
    "Journal",
    "L",
    "LabelError",
    "LabelSmoothing",
    "LabelSmoothingCrossEntropy",
    "Lamb",
    "Learner",
    "LocalEngine",
    "Lookahead",
    "MLflowLogger",
    "MSELossFlat",
    "Manifest",
    "MaskBlock",
    "MatthewsCorrCoef",
    "Metric",
    "MixUp",
    "MixedPrecision",
    "ModelError",
    "Module",
    "MultiCategoryBlock",
    "Muon",
    "NoneReduce",
    "Normalize",
    "NotebookError",
    "OptimWrapper",
    "Optimizer",
    "PILImage",
    "PILImageBW",
    "PILMask",
    "PadMode",
    "ParamScheduler",
    "ParquetSource",
    "Perplexity",
    "Pipeline",
    "PointBlock",
    "PointError",
    "Precision",
    "PrecisionMulti",
    "Prediction",
    "Predictions",
    "Predictor",
    "Quiz",
    "R2Score",
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
    "Retrained",
    "RocAuc",
    "RocAucBinary",
    "RocAucMulti",
    "Rotate",
    "SGD",
    "Saturation",
    "SaveModel",
    "SegmentationDataLoaders",
    "SegmentationInterpretation",
    "ShardSplitter",
    "ShortEpoch",
    "SpaceError",
    "Split",
    "SplitBatches",
    "State",
    "StorageError",
    "Summary",
    "Suspect",
    "Suspects",
    "TabMModel",
    "TableEncoder",
    "TabularDataLoaders",
    "TabularLearner",
    "TabularModel",
    "TabularPandas",
    "TarSource",
    "TensorBoardLogger",
    "ToTensor",
    "Tracker",
    "TrackioLogger",
    "TrainTestSplitter",
    "TrainingError",
    "Transform",
    "TransformBlock",
    "TrivialAugment",
    "Vocab",
    "WandbLogger",
    "Warp",
    "WigglyError",
    "Zoom",
    "__version__",
    "accuracy",
    "accuracy_multi",
    "add_datepart",
    "aug_transforms",
    "build_model",
    "check_folder",
    "clean_copy",
    "clean_in_place",
    "clean_notebook",
    "clean_table",
    "collab_learner",
    "combine",
    "compare",
    "cont_cat_split",
    "cosine",
    "create_body",
    "create_head",
    "detection_learner",
    "df_shrink",
    "dummy_eval",
    "emb_sz_rule",
    "error_rate",
    "explore",
    "exponential",
    "export_notebook",
    "first",
    "flat",
    "foreground_acc",
    "get_annotations",
    "get_emb_sz",
    "get_files",
    "get_image_files",
    "get_text_files",
    "grad_cam",
    "hook_output",
    "hook_outputs",
    "imagenet_stats",
    "interact",
    "linear",
    "load_bundle",
    "load_learner",
    "mae",
    "merge_journals",
    "minimum",
    "model_sizes",
    "mse",
    "notebook2script",
    "num_features_model",
    "one_cycle",
    "one_hot",
    "parent_label",
    "partial_dependence",
    "permutation_importance",
    "pixel_accuracy",
    "polynomial",
    "quiz_about",
    "range_of",
    "ranger",
    "refs_of",
    "resize_images",
    "restore_files",
    "rmse",
    "set_seed",
    "setup_aug_tfms",
    "show_image",
    "sigmoid_range",
    "skm_to_wiggly",
    "slide",
    "steep",
    "subplots",
    "suggest",
    "tabular_config",
    "tabular_learner",
    "tensor",
    "top_k_accuracy",
    "torch_schedule",
    "trainable_params",
    "unet_learner",
    "unet_model",
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
        ArgumentError BadItemsError BundleError DataError DependencyError DivergedError ItemError LabelError
        ModelError NotebookError SpaceError StorageError TrainingError WigglyError
    """,
    "interpret.attribution": "grad_cam",
    "interpret.tables.dependence": "partial_dependence",
    "interpret.tables.importance": "permutation_importance",
    "notebook.clean": "clean_notebook",
    "notebook.export": "export_notebook notebook2script",
    "records": "Batch Prediction Predictions Split State",
    "data.basics": "L first range_of set_seed tensor",
    "data.block": "DataBlock",
    "data.edits.edit": "Edit ItemRef",
    "data.edits.identity": "ItemIds refs_of",
    "data.edits.journal": "Journal",
    "data.edits.plan": "EditSummary",
    "data.edits.state": "ItemState",
    "clean.copying": "clean_copy",
    "clean.merge": "merge_journals",
    "clean.retrain.retrained": "Retrained",
    "clean.suspects.suggest": "suggest",
    "clean.suspects.suspect": "Suspect Suspects",
    "clean.tables": "clean_table",
    "clean.trash": "clean_in_place restore_files",
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
    "teach.explore": "explore",
    "teach.quiz.show": "Quiz quiz_about",
    "teach.interact": "interact",
    "train.callback": "Callback CancelBatch CancelEpoch CancelFit CancelPass",
    "train.callbacks.activation": "ActivationStats",
    "train.callbacks.ema": "EMA",
    "train.callbacks.gradients": "GradientAccumulation GradientClip",
    "train.callbacks.logs": "CSVLogger JSONLogger",
    "train.callbacks.modes": "BnFreeze LabelSmoothing MixedPrecision ShortEpoch",
    "train.callbacks.monitor": "EarlyStopping ReduceLROnPlateau",
    "train.callbacks.save": "SaveModel",
    "train.callbacks.trackers": "MLflowLogger TensorBoardLogger Tracker TrackioLogger WandbLogger",
    "train.distributed.engine": "AccelerateEngine",
    "train.engine": "Engine LocalEngine",
    "train.history": "History",
    "train.hooks": "Hook Hooks dummy_eval hook_output hook_outputs model_sizes num_features_model",
    "train.learner": "Learner",
    "train.losses.core": """
        BCEWithLogitsLossFlat CrossEntropyLossFlat LabelSmoothingCrossEntropy MSELossFlat NoneReduce
    """,
    "train.lr_find": "minimum slide steep valley",
    "train.metrics.core": """
        Metric PointError accuracy accuracy_multi error_rate foreground_acc mae mse pixel_accuracy rmse
        top_k_accuracy
    """,
    "train.memory": "SplitBatches",
    "train.mix": "CutMix MixUp",
    "train.optim.groups": "trainable_params",
    "train.optim.by_name": "OptimWrapper wrap_optimizer",
    "train.optim.base": "Adam Optimizer SGD",
    "train.optim.more": "AdamW Lamb Lookahead Muon RAdam RMSProp ranger",
    "train.optim.schedule": "ParamScheduler torch_schedule",
    "train.optim.shapes": "combine cosine exponential flat linear one_cycle polynomial",
    "train.metrics.whole_set": """
        APScoreBinary APScoreMulti BalancedAccuracy BrierScore CohenKappa ExplainedVariance F1Score
        F1ScoreMulti FBeta HammingLoss Jaccard MatthewsCorrCoef Precision PrecisionMulti R2Score Recall
        RecallMulti RocAuc RocAucBinary RocAucMulti skm_to_wiggly
    """,
    "tabular.collab.learner": "CollabLearner collab_learner",
    "tabular.collab.loaders": "CollabDataLoaders",
    "tabular.collab.models": "EmbeddingDotBias EmbeddingNN",
    "tabular.collab.parts": "Embedding Module one_hot sigmoid_range",
    "tabular.columns": "cont_cat_split",
    "tabular.dates": "add_datepart",
    "tabular.encoder": "TableEncoder",
    "tabular.learner": "TabularLearner get_emb_sz tabular_config tabular_learner",
    "tabular.loaders": "TabularDataLoaders",
    "tabular.models": "TabMModel TabularModel emb_sz_rule",
    "tabular.procs": "Categorify FillMissing FillStrategy",
    "tabular.shrink": "df_shrink",
    "tabular.table": "TabularPandas",
    "train.summary": "Summary",
    "vision.augment": """
        IntToFloatTensor Normalize Rotate ToTensor Warp Zoom aug_transforms imagenet_stats setup_aug_tfms
    """,
    "vision.annotations": "get_annotations",
    "vision.blocks": "ImageBlock",
    "vision.boxes": "BBoxBlock BBoxLblBlock",
    "vision.detection.boxes": "Detection",
    "vision.detection.learner": "DetectionLearner detection_learner",
    "vision.detection.metrics": "BoxMetric",
    "interpret.detection": "DetectionInterpretation",
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
    "vision.models": "Body build_model create_body create_head vision_model",
    "vision.policy": "RandAugment TrivialAugment",
    "vision.points": "PointBlock",
    "vision.resize": "RandomResizedCrop Resize ResizeMethod",
    "interpret.classification": "ClassificationInterpretation",
    "interpret.compare": "compare",
    "interpret.comparison": "Comparison",
    "interpret.interpretation": "Interpretation",
    "interpret.score": "wilson_interval",
    "bundle.manifest": "Manifest",
    "bundle.predictor": "Predictor load_bundle load_learner",
    "train.losses.pixels": "CombinedLoss DiceLoss FocalLoss FocalLossFlat",
    "train.metrics.perplexity": "Perplexity",
    "train.metrics.pixels": "Dice DiceMulti JaccardCoeff JaccardCoeffMulti",
    "interpret.segmentation": "SegmentationInterpretation",
    "vision.unet": "unet_learner",
    "vision.decoder": "unet_model",
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
