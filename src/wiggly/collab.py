"""`from wiggly.collab import *`: the names a notebook on recommendations types, and nothing else.

In: nothing. Out: names. Read next: `tabular/collab/loaders.py`.
"""

from __future__ import annotations

from wiggly.tabular.collab.learner import CollabLearner, collab_learner
from wiggly.tabular.collab.loaders import CollabDataLoaders
from wiggly.tabular.collab.models import EmbeddingDotBias, EmbeddingNN
from wiggly.tabular.collab.parts import Embedding, Module, one_hot, sigmoid_range

__all__ = [
    "CollabDataLoaders",
    "CollabLearner",
    "Embedding",
    "EmbeddingDotBias",
    "EmbeddingNN",
    "Module",
    "collab_learner",
    "one_hot",
    "sigmoid_range",
]
