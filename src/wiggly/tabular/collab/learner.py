"""`collab_learner`: a Learner that predicts who would rate what how, and recommends.

In: `CollabDataLoaders`. Out: a `CollabLearner`, nothing trained yet. Read next: `../../train/learner.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wiggly.errors import ArgumentError
from wiggly.tabular.collab.loaders import CollabDataLoaders
from wiggly.tabular.collab.models import EmbeddingDotBias, EmbeddingNN
from wiggly.tabular.collab.ranking import Ranking
from wiggly.tabular.learner import TabularLearner, get_emb_sz
from wiggly.train.again import Making
from wiggly.train.checks import whole_number
from wiggly.train.engine import Engine
from wiggly.train.loop import Callbacks, Momenta
from wiggly.train.metrics.core import metric_for
from wiggly.train.optim.base import Adam
from wiggly.train.optim.by_name import OptFunc
from wiggly.train.optim.groups import Splitter, trainable_params
from wiggly.train.optim.schedule import Rate

__all__ = ["CollabLearner", "collab_learner"]


class CollabLearner(TabularLearner):
    """A learner of ratings; made by `collab_learner`.

    `predict(row)` takes a user and an item, e.g. `{"user": 7, "title": "Fargo (1996)"}`.
    """

    dls: CollabDataLoaders
    model: Ranking

    def nearest(
        self, label: Any, n: int = 10, is_item: bool = True, least: int = 1
    ) -> list[tuple[Any, float]]:
        """Items (or users) that are near to one, or to several: see `Ranking.nearest`."""
        return self.model.nearest(label, n, is_item, least)

    def recommend(
        self, user: Any, n: int = 10, seen: bool = False, least: int = 1
    ) -> list[tuple[Any, float]]:
        """What a user would rate highest.

        Args:
            user: A user; one who was not in training gets what the mean of all would like.
            n: At most so many.
            seen: Also those that the user has rated, in training or validation.
            least: Items with fewer training ratings are left out.

        Returns:
            Items with the predicted rating, highest first.
        """
        return self.model.recommend(user, n, [] if seen else self.dls.rated(user), least)


def collab_learner(
    dls: CollabDataLoaders,
    n_factors: int | None = None,
    use_nn: bool = False,
    emb_szs: Mapping[str, int] | None = None,
    layers: Sequence[int] | None = None,
    config: Mapping[str, Any] | None = None,
    y_range: tuple[float, float] | None = None,
    loss_func: Callable[..., Any] | None = None,
    *,
    opt_func: str | OptFunc = Adam,
    lr: Rate = 5e-3,
    splitter: Splitter = trainable_params,
    cbs: Callbacks = None,
    metrics: Any = None,
    path: str | Path | None = None,
    model_dir: str | Path = "models",
    wd: float | None = 0.2,
    wd_bn_bias: bool = False,
    train_bn: bool = True,
    moms: Momenta = (0.95, 0.85, 0.95),
    engine: Engine | None = None,
) -> CollabLearner:
    """Make a learner of ratings.

    Args:
        dls: Loaders of ratings.
        n_factors: Numbers per user and per item, for the dot product; None takes 50.
        use_nn: A network over both embeddings instead of their dot product.
        emb_szs: Width of an embedding of the network by name of column; others take `emb_sz_rule`.
        layers: Widths of the network's hidden layers; None takes 200 and 100.
        config: More of the network: `ps` and `embed_p` of `EmbeddingNN`.
        y_range: Least and largest rating that is predicted. A sigmoid reaches neither, so it should be a
            little wider than the ratings: (0, 5.5) for 1 to 5 stars. None leaves predictions free.
        loss_func: None takes the mean squared error.
        opt_func: As for `Learner`, and so are all that follow but these three.
        lr: Learning rate where a fit is given none.
        splitter: As for `Learner`.
        cbs: As for `Learner`.
        metrics: None takes the root mean squared error; `[]` has none.
        path: As for `Learner`.
        model_dir: As for `Learner`.
        wd: Weight decay of the factors. It is higher than elsewhere, as most factors are known from few
            ratings only; measured on training ratings of MovieLens-100k (`dev/LOG.md`).
        wd_bn_bias: As for `Learner`; the biases of users and items decay then, too.
        train_bn: As for `Learner`.
        moms: As for `Learner`.
        engine: As for `Learner`.

    Raises:
        ArgumentError: An argument of the network without `use_nn`, `n_factors` with it, or a value out of
            range.

    Example:
        >>> table = {"user": [1, 1, 2, 2, 3] * 4, "book": list("abacb") * 4, "stars": [5, 3, 4, 4, 1] * 4}
        >>> dls = CollabDataLoaders.from_df(table, seed=0, bs=8, verbose=False)
        >>> learn = collab_learner(dls, n_factors=5, y_range=(0, 5.5))
        >>> with learn.no_bar(), learn.no_logging():
        ...     learn.fit_one_cycle(5)
        >>> len(learn.model.nearest("a")), learn.model.bias(["a", "b"]).shape
        (2, torch.Size([2]))
    """
    making = Making(collab_learner, locals())
    if use_nn:
        if n_factors is not None:
            raise ArgumentError(
                "`n_factors` belongs to the dot product",
                "`use_nn` is True",
                'Leave it out, and give the widths of the network as `emb_szs`, e.g. {"user": 50}.',
            )
        model = _network(dls, emb_szs, layers, config, y_range)
    else:
        given = {"emb_szs": emb_szs, "layers": layers, "config": config}
        wrong = [name for name, value in given.items() if value is not None]
        if wrong:
            raise ArgumentError(
                f"`{wrong[0]}` describes a network", "`use_nn` is False", "Pass use_nn=True, or leave it out."
            )
        factors = whole_number("n_factors", 50 if n_factors is None else n_factors, lowest=1)
        model = EmbeddingDotBias(factors, *_sizes(dls), y_range)
    train = dls.train_ds
    model.set_labels(dls.classes[dls.user_name], dls.classes[dls.item_name]).count(train.cats)
    model.start_at(float(train.targets[0].double().mean()))
    learn = CollabLearner(
        dls,
        model,
        loss_func=loss_func,
        opt_func=opt_func,
        lr=lr,
        splitter=splitter,
        cbs=cbs,
        metrics=metric_for(dls.target_blocks[0]) if metrics is None else metrics,
        path=path,
        model_dir=model_dir,
        wd=wd,
        wd_bn_bias=wd_bn_bias,
        train_bn=train_bn,
        moms=moms,
        engine=engine,
        model_config=model.config,
    )
    learn.making = making
    return learn


def _sizes(dls: CollabDataLoaders) -> tuple[int, int]:
    return len(dls.classes[dls.user_name]), len(dls.classes[dls.item_name])


def _network(
    dls: CollabDataLoaders,
    emb_szs: Mapping[str, int] | None,
    layers: Sequence[int] | None,
    config: Mapping[str, Any] | None,
    y_range: tuple[float, float] | None,
) -> EmbeddingNN:
    settings = dict(config or {})
    unknown = [name for name in settings if name not in ("ps", "embed_p")]
    if unknown:
        raise ArgumentError("`config` may have `ps` and `embed_p`", f"it has {unknown[0]!r}", "Leave it out.")
    sizes = get_emb_sz(dls, emb_szs)
    return EmbeddingNN(sizes, (200, 100) if layers is None else layers, y_range, **settings)
