"""`from wiggly.tabular.all import *`: the names a notebook on tables types, and nothing else.

Besides wiggly's own names it brings those a notebook leans on: `np pd plt torch nn F Path partial`.
Everything it brings stands in `__all__` below; the only one-letter names are `F` and `L`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiggly.bundle.predictor import load_bundle, load_learner
from wiggly.data.basics import L, first, range_of, set_seed, tensor
from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock, RegressionBlock
from wiggly.data.loaders import DataLoaders
from wiggly.data.split import (
    ColSplitter,
    FuncSplitter,
    IndexSplitter,
    RandomSplitter,
    TrainTestSplitter,
)
from wiggly.interpret.classification import ClassificationInterpretation
from wiggly.interpret.interpretation import Interpretation
from wiggly.interpret.tables.dependence import partial_dependence
from wiggly.interpret.tables.importance import permutation_importance
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
from wiggly.tabular.procs import Categorify, FillMissing, FillStrategy, Normalize
from wiggly.tabular.shrink import df_shrink
from wiggly.tabular.table import TabularPandas
from wiggly.train.callback import Callback
from wiggly.train.callbacks.monitor import EarlyStopping, ReduceLROnPlateau
from wiggly.train.callbacks.save import SaveModel
from wiggly.train.learner import Learner
from wiggly.train.losses.core import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat
from wiggly.train.lr_find import minimum, slide, steep, valley
from wiggly.train.metrics.core import accuracy, accuracy_multi, error_rate, mae, mse, rmse
from wiggly.train.metrics.whole_set import (
    F1Score,
    F1ScoreMulti,
    Precision,
    R2Score,
    Recall,
    RocAuc,
    RocAucBinary,
)

# The names that users of fastai know.
EarlyStoppingCallback, SaveModelCallback = EarlyStopping, SaveModel

__all__ = [
    "BCEWithLogitsLossFlat",
    "Callback",
    "Categorify",
    "CategoryBlock",
    "ClassificationInterpretation",
    "ColSplitter",
    "CollabDataLoaders",
    "CollabLearner",
    "CrossEntropyLossFlat",
    "DataLoaders",
    "EarlyStopping",
    "EarlyStoppingCallback",
    "Embedding",
    "EmbeddingDotBias",
    "EmbeddingNN",
    "F",
    "F1Score",
    "F1ScoreMulti",
    "FillMissing",
    "FillStrategy",
    "FuncSplitter",
    "IndexSplitter",
    "Interpretation",
    "L",
    "Learner",
    "MSELossFlat",
    "Module",
    "MultiCategoryBlock",
    "Normalize",
    "Path",
    "Precision",
    "R2Score",
    "RandomSplitter",
    "Recall",
    "ReduceLROnPlateau",
    "RegressionBlock",
    "RocAuc",
    "RocAucBinary",
    "SaveModel",
    "SaveModelCallback",
    "TabMModel",
    "TableEncoder",
    "TabularDataLoaders",
    "TabularLearner",
    "TabularModel",
    "TabularPandas",
    "Tensor",
    "TrainTestSplitter",
    "accuracy",
    "accuracy_multi",
    "add_datepart",
    "collab_learner",
    "cont_cat_split",
    "df_shrink",
    "emb_sz_rule",
    "error_rate",
    "first",
    "get_emb_sz",
    "load_bundle",
    "load_learner",
    "mae",
    "minimum",
    "mse",
    "nn",
    "np",
    "one_hot",
    "partial",
    "partial_dependence",
    "pd",
    "permutation_importance",
    "plt",
    "range_of",
    "rmse",
    "set_seed",
    "sigmoid_range",
    "slide",
    "steep",
    "tabular_config",
    "tabular_learner",
    "tensor",
    "torch",
    "valley",
]
