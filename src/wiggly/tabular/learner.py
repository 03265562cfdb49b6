"""`tabular_learner`: a Learner over a network that fits a table.

In: `TabularDataLoaders`. Out: a `TabularLearner`, nothing trained yet. Read next: `../train/learner.py`.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from torch import Tensor, nn

from wiggly.errors import ArgumentError
from wiggly.records import State
from wiggly.tabular.loader import TableDataset
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.tabular.losses import EvenLoss, MembersLoss, SeveralLosses, weights_of_classes
from wiggly.tabular.models import TableModel, TabMModel, TabularModel, emb_sz_rule
from wiggly.tabular.parts import Range
from wiggly.tabular.settings import check_layers, check_loaders, check_settings, check_sizes
from wiggly.tabular.statistics import pieces_of, scales_of, training_rows
from wiggly.tabular.table import TabularPandas
from wiggly.tabular.threads import fitting_threads
from wiggly.train.again import Making
from wiggly.train.callback import Callback
from wiggly.train.engine import Engine
from wiggly.train.learner import Learner
from wiggly.train.loop import Callbacks, Momenta
from wiggly.train.losses.core import loss_for
from wiggly.train.metrics.core import metric_for
from wiggly.train.optim.base import Adam
from wiggly.train.optim.by_name import OptFunc
from wiggly.train.optim.groups import Splitter, trainable_params
from wiggly.train.optim.schedule import Rate
from wiggly.train.predict import collect, encoded_of

__all__ = [
    "TablePrediction",
    "TabularLearner",
    "get_emb_sz",
    "table_loss",
    "tabular_config",
    "tabular_learner",
]

NETWORKS: dict[str, type[TableModel]] = {"mlp": TabularModel, "tabm": TabMModel}
# What `config` may not say, as it is said elsewhere.
ELSEWHERE = (
    *("emb_szs", "n_cont", "n_out", "layers", "y_range", "scaled", "bounded", "bins", "levels"),
    "activations",
)
ClassWeights = str | Mapping[Any, float] | Sequence[float]


class TablePrediction(NamedTuple):
    """What is predicted of one row; unpacks as `row, index, probs = learn.predict(row)`.

    Attributes:
        row: The row as the model saw it, with the prediction as its target: `row.show()` prints it.
        index: The encoded prediction: the position in `dls.vocab` for a label; a tuple for several targets.
        probs: The activated output; a tuple for several targets.
    """

    row: TabularPandas
    index: Any  # pyright: ignore[reportIncompatibleMethodOverride]  (the name users know)
    probs: Any

    @property
    def decoded(self) -> Any:
        """The prediction as the user calls it; for several targets a list."""
        blocks = self.row.targets.blocks
        if len(blocks) == 1:
            return blocks[0].decode(self.index)
        return [block.decode(index) for block, index in zip(blocks, self.index, strict=True)]


class TabularLearner(Learner):
    """A learner of a table; `Learner` documents the arguments, `tabular_learner` makes it.

    A small network runs on one thread of a CPU, as others would only be waited for.
    """

    @contextlib.contextmanager
    def _using(self, state: State, callbacks: Sequence[Callback]) -> Generator[None]:
        rows = getattr(self.dls.train, "bs", None) or 1
        with fitting_threads(self.model, rows, self.engine.device), super()._using(state, callbacks):
            yield

    def predict(self, item: Any) -> Any:
        """Predicts one row.

        Args:
            item: A row: of a table, a dict, or a table with one row.

        Returns:
            `(row, index, probs)`, a `TablePrediction`; `.decoded` is what the user calls the prediction.

        Raises:
            ArgumentError: It is not one row.
            DataError: A column of numbers holds something else.
        """
        table: TabularPandas = self.dls.table
        made = table.new(item, labelled=False)
        if len(made) != 1:
            raise ArgumentError(
                "`predict` takes one row",
                f"there are {len(made)}",
                "Pass one, or learn.get_preds(dl=learn.dls.test_dl(rows)) for many.",
            )
        loader = self.dls.loader_class(made.dataset(labelled=False), bs=1, seed=0).to(self.engine.device)
        with self.engine.alone():  # one row is not divided, and one process may ask for it
            probs: Any = collect(self, loader).probs
        blocks = table.targets.blocks
        if isinstance(probs, Tensor):
            encoded = encoded_of(self, probs)
            return TablePrediction(made.with_targets(table.targets, [encoded]), encoded[0], probs[0])
        parts = cast("tuple[Tensor, ...]", probs)
        predicted = [block.predicted(part) for block, part in zip(blocks, parts, strict=True)]
        row, index = made.with_targets(table.targets, predicted), tuple(part[0] for part in predicted)
        return TablePrediction(row, index, tuple(part[0] for part in parts))


def get_emb_sz(dls: Any, sz_dict: Mapping[str, int] | None = None) -> list[tuple[int, int]]:
    """For each category its number of values, `#na#` included, and the width of its embedding.

    Args:
        dls: Loaders of a table, or a `TabularPandas`.
        sz_dict: Widths by column; None, and for other columns, takes `emb_sz_rule`.

    Raises:
        ArgumentError: A column is no category.

    Example:
        >>> to = TabularPandas({"city": ["Rome", "Oslo"], "age": [1.0, 2.0]}, None, ["city"], ["age"])
        >>> get_emb_sz(to), get_emb_sz(to, {"city": 5})
        ([(3, 3)], [(3, 5)])
    """
    classes, given = dls.classes, dict(sz_dict or {})
    unknown = [name for name in given if name not in classes]
    if unknown:
        raise ArgumentError(
            "`emb_szs` must name categories", f"{unknown[0]!r} is none of {list(classes)}", "Mend the name."
        )
    return [(len(v), int(given.get(name, emb_sz_rule(len(v))))) for name, v in classes.items()]


def tabular_config(**settings: Any) -> dict[str, Any]:
    """Settings of a network, as `tabular_learner` takes them in `config`.

    Args:
        settings: Of `TabularModel`: `ps`, `embed_p`, `use_bn`, `bn_final`, `bn_cont`, `lin_first`; of
            `TabMModel`: `members`, `dropout`; of both: `num_embeddings`, `num_width`, `embed_std`; for
            "piecewise" `n_bins`, pieces at most (96 if not given), and `n_levels`: columns of numbers with no
            more values than this (200 if not given, 0 for none) get a vector for each value, too.

    Raises:
        ArgumentError: There is no such setting.

    Example:
        >>> tabular_config(ps=[0.1, 0.2], embed_p=0.04)
        {'ps': [0.1, 0.2], 'embed_p': 0.04}
    """
    known = {name for network in NETWORKS.values() for name in _settings(network)}
    return _checked(settings, known, "`config`")


def _settings(network: type[TableModel]) -> set[str]:
    return {"n_bins", "n_levels", *inspect.signature(network).parameters} - set(ELSEWHERE)


def _checked(settings: Mapping[str, Any], known: set[str], where: str) -> dict[str, Any]:
    unknown = sorted(set(settings) - known)
    if unknown:
        others = [arch for arch, network in NETWORKS.items() if unknown[0] in _settings(network)]
        if others:
            raise ArgumentError(
                f"{where} must have settings of the network",
                f"`{unknown[0]}` is one of arch={others[0]!r}",
                f"Pass arch={others[0]!r} as well, or leave it out.",
            )
        raise ArgumentError(
            f"{where} must have settings of the network",
            f"it has no `{unknown[0]}`",
            f"There are {', '.join(sorted(known))}.",
        )
    return dict(settings)


def tabular_learner(
    dls: TabularDataLoaders,
    layers: Sequence[int] | None = None,
    emb_szs: Mapping[str, int] | Sequence[tuple[int, int]] | None = None,
    config: Mapping[str, Any] | None = None,
    n_out: int | None = None,
    y_range: Range | None = None,
    *,
    arch: str = "mlp",
    class_weights: ClassWeights | None = None,
    loss_func: Callable[..., Any] | None = None,
    opt_func: str | OptFunc = Adam,
    lr: Rate = 1e-3,
    splitter: Splitter = trainable_params,
    cbs: Callbacks = None,
    metrics: Any = None,
    path: str | Path | None = None,
    model_dir: str | Path = "models",
    wd: float | None = None,
    wd_bn_bias: bool = False,
    train_bn: bool = True,
    moms: Momenta = (0.95, 0.85, 0.95),
    engine: Engine | None = None,
) -> TabularLearner:
    """Make a learner for a table.

    Numbers are predicted in the unit of the target, whatever that is: the network's last layer is scaled by
    mean and standard deviation of the training rows (not with `y_range`).

    Args:
        dls: Loaders of a table.
        layers: Widths of the hidden layers; None takes 200 and 100, for TabM 128 twice.
        emb_szs: Widths of embeddings by column, or for each category its number of values and the width;
            None takes `emb_sz_rule`.
        config: More settings of the network, as `tabular_config(...)` gives them.
        n_out: Outputs; None asks the target blocks.
        y_range: Least and largest prediction of a number.
        arch: "mlp", layers with batch norm, or "tabm", many networks in one (`TabMModel`): slower, and where
            there are more than a few thousand rows usually better.
        class_weights: How much each class counts: "balanced", `{label: weight}`, or a number for each label.
        loss_func: None asks the target blocks; several losses are added up, of numbers divided by the
            target's variance, and so it is where several numbers are one target.
        opt_func: As for `Learner`.
        lr: As for `Learner`.
        splitter: As for `Learner`.
        cbs: As for `Learner`.
        metrics: None takes the only target block's own; `[]` has none.
        path: As for `Learner`.
        model_dir: As for `Learner`.
        wd: As for `Learner`.
        wd_bn_bias: As for `Learner`.
        train_bn: As for `Learner`.
        moms: As for `Learner`.
        engine: As for `Learner`.

    Raises:
        ArgumentError: An argument is out of range, or does not go with the target.
        DependencyError: A package is missing.

    Example:
        >>> table = {"city": ["Rome", "Oslo"] * 10, "age": range(20), "sold": ["yes", "no"] * 10}
        >>> dls = TabularDataLoaders.from_df(table, y_names="sold", cat_names=["city"], cont_names=["age"],
        ...     bs=8, seed=0, verbose=False)
        >>> learn = tabular_learner(dls)
        >>> row, index, probs = learn.predict({"city": "Rome", "age": 30})
        >>> probs.shape, row.cat_names
        (torch.Size([2]), ['city'])
    """
    making = Making(tabular_learner, locals())
    check_loaders(dls)
    blocks: list[Any] = list(dls.target_blocks)
    model = _network(dls, arch, layers, emb_szs, config, n_out, y_range)
    loss = table_loss(dls, model, class_weights) if loss_func is None else loss_func
    if arch == "tabm":
        loss = MembersLoss(loss, blocks[0] if len(blocks) == 1 else None)
    learn = TabularLearner(
        dls,
        model,
        loss_func=loss,
        opt_func=opt_func,
        lr=lr,
        splitter=splitter,
        cbs=cbs,
        metrics=_metric(blocks) if metrics is None else metrics,
        path=path,
        model_dir=model_dir,
        wd=wd,
        wd_bn_bias=wd_bn_bias,
        train_bn=train_bn,
        moms=moms,
        engine=engine,
        model_config={"table": model.config},
    )
    learn.making = making
    return learn


def _network(
    dls: Any,
    arch: str,
    layers: Sequence[int] | None,
    emb_szs: Mapping[str, int] | Sequence[tuple[int, int]] | None,
    config: Mapping[str, Any] | None,
    n_out: int | None,
    y_range: Range | None,
) -> TableModel:
    if arch not in NETWORKS:
        raise ArgumentError("`arch` must be 'mlp' or 'tabm'", f"it is {arch!r}", "Leave it out for 'mlp'.")
    network, blocks = NETWORKS[arch], list(dls.target_blocks)
    counts, activations = [block.n_out for block in blocks], [block.activation for block in blocks]
    if y_range is not None and any(activation != "none" for activation in activations):
        raise ArgumentError(
            "`y_range` bounds numbers", f"the target is {blocks[0].describe()}", "Leave it out."
        )
    settings = _checked(config or {}, _settings(network), "`config`")
    check_settings(settings)
    check_sizes(emb_szs, dls.classes)
    settings |= pieces_of(dls, settings, arch)
    if arch == "tabm":
        settings["activations"] = activations
    if layers is not None:
        check_layers(layers)
        settings["layers"] = list(layers)
    sizes = emb_szs if isinstance(emb_szs, Sequence) else get_emb_sz(dls, emb_szs)
    scaled = n_out is None and y_range is None and "none" in activations
    made = cast("Callable[..., TableModel]", network)
    outputs = counts if n_out is None else n_out
    # Such a network takes numbers beyond those of training for the outermost of them, and answers so, too.
    bounded = scaled and "bins" in settings and isinstance(dls.train.dataset, TableDataset)
    model = made(
        sizes, len(dls.cont_names), outputs, y_range=y_range, scaled=scaled, bounded=bounded, **settings
    )
    if scaled:
        for buffer, values in scales_of(dls, blocks).items():
            if hasattr(model.outputs, buffer):
                getattr(model.outputs, buffer).copy_(values)
    return model


def _metric(blocks: Sequence[Any]) -> Any:
    return metric_for(blocks[0]) if len(blocks) == 1 else None


def table_loss(dls: Any, model: TableModel, weights: ClassWeights | None = None) -> nn.Module:
    """The loss of a network of tables: that of the target block, or of several the sum.

    Args:
        dls: Loaders of a table.
        model: Knows the scale of its numbers.
        weights: `class_weights` of `tabular_learner`.
    """
    blocks: list[Any] = list(dls.target_blocks)
    losses = [loss_for(block) for block in blocks]
    if weights is not None:
        if [block.activation for block in blocks] != ["softmax"]:
            raise ArgumentError(
                "`class_weights` needs one target with labels", f"there are {dls.y_names}", "Leave it out."
            )
        cast("Any", losses[0]).weight = weights_of_classes(weights, blocks[0].vocab, training_rows(dls)[2])
    if len(losses) == 1:
        uneven = model.outputs.scaled and len(model.outputs.std) > 1
        return EvenLoss(losses[0], model.outputs.std) if uneven else losses[0]
    shares = [1.0] * len(blocks)
    if model.outputs.scaled:
        parts = model.outputs.std.split([block.n_out for block in blocks])
        shares = [1 / float(std.square().mean()) for std in parts]
    return SeveralLosses(losses, shares, blocks)
