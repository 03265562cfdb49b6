"""Networks for tables: embeddings of the categories and the numbers, then layers; TabM, many of them in one.

In: `cats` int64 `(n, k)` and `conts` float32 `(n, m)`. Out: `(n, n_out)`, for several targets a tuple. No
training code is imported, so a predictor can use it. Read next: `parts.py`, `learner.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiggly.errors import ArgumentError, DependencyError, ModelError
from wiggly.tabular.parts import Embeddings, Levels, Numbers, Outputs, Range

__all__ = ["TabMModel", "TableModel", "TabularModel", "build_model", "emb_sz_rule", "model_config"]

Sizes = Sequence[tuple[int, int]]
Bins = Sequence[Tensor | int]


def emb_sz_rule(n: int) -> int:
    """Width of the embedding of a category with `n` values, `#na#` included.

    Example:
        >>> emb_sz_rule(2), emb_sz_rule(10), emb_sz_rule(10**6)
        (2, 6, 600)
    """
    return min(600, round(1.6 * n**0.56))


class TableModel(nn.Module):
    """What both networks share: the features of a row, and the scale of the outputs.

    Args:
        emb_szs: For each category its number of values and the width of its embedding.
        n_cont: Numbers.
        n_out: Outputs; a list has those of each target.
        y_range: Least and largest output.
        scaled: See `Outputs`, as for `bounded`.
        bounded: See there.
        num_embeddings: "linear", "periodic" or "piecewise" vectors of numbers; None takes them as they are.
        num_width: Numbers in such a vector.
        bins: Borders of the pieces; see `Numbers`.
        levels: Values of numbers that get a vector each; see `Levels`.
        embed_std: Standard deviation of the categories' first vectors.

    Attributes:
        config: The arguments, in JSON types: `build_model` makes the network again of them.
        n_features: Numbers of a row after embedding.
    """

    arch: str

    def __init__(
        self,
        emb_szs: Sizes,
        n_cont: int,
        n_out: int | Sequence[int],
        y_range: Range | None,
        scaled: bool,
        bounded: bool,
        num_embeddings: str | None,
        num_width: int,
        bins: Bins | None,
        levels: Bins | None,
        embed_std: float,
    ) -> None:
        super().__init__()
        if not emb_szs and not n_cont:
            raise ArgumentError("a network for tables needs a column", "there is none", "Name some.")
        counts = [n_out] if isinstance(n_out, int) else list(n_out)
        self.embeds = Embeddings(emb_szs, embed_std)
        self.numbers: nn.Module = nn.Identity()
        if num_embeddings is not None and n_cont:
            self.numbers = Numbers(num_embeddings, n_cont, num_width, bins)
        known = [v if isinstance(v, int) else len(v) for v in levels or ()]
        self.levels = Levels(levels, embed_std) if levels is not None and any(known) else None
        self.outputs = Outputs(counts, y_range, scaled, bounded)
        self.n_cont, self.n_features = n_cont, self.embeds.width + getattr(self.numbers, "width", n_cont)
        self.n_features += 0 if self.levels is None else sum(self.levels.widths)
        self.config: dict[str, Any] = {
            "arch": self.arch,
            "emb_szs": [[int(n), int(width)] for n, width in emb_szs],
            "n_cont": n_cont,
            "n_out": counts[0] if len(counts) == 1 else counts,
            "y_range": None if y_range is None else [float(bound) for bound in y_range],
            "scaled": scaled,
            "bounded": self.outputs.bounded,
            "num_embeddings": num_embeddings,
            "num_width": num_width,
            "bins": None if bins is None else [b if isinstance(b, int) else len(b) - 1 for b in bins],
            "levels": known if self.levels is not None else None,
            "embed_std": embed_std,
        }

    def features(self, cats: Tensor, conts: Tensor) -> Tensor:
        """A row of numbers for each row of the table."""
        parts = [self.embeds(cats)] if len(self.embeds) else []
        parts += [self.numbers(conts)] if self.n_cont else []
        parts += [] if self.levels is None else [self.levels(conts)]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


class TabularModel(TableModel):
    """Embeddings and normalised numbers side by side, then linear layers with ReLU and batch norm.

    Args:
        emb_szs: For each category its number of values and the width of its embedding.
        n_cont: Numbers.
        n_out: Outputs; a list has those of each target.
        layers: Widths of the hidden layers.
        y_range: Least and largest output; None leaves it free.
        ps: Dropout after each hidden layer, one number for all or one each.
        embed_p: Dropout of the embeddings.
        use_bn: Batch norm after each hidden layer.
        bn_final: Batch norm after the last layer.
        bn_cont: Batch norm of the numbers, unless they are embedded.
        lin_first: Linear, ReLU, norm, dropout; False: norm, dropout, linear, ReLU.
        scaled: Predict numbers as `mean + std * output`; see `Outputs`.
        bounded: Hold them in evaluation near those of training; see `Outputs`.
        num_embeddings: "linear", "periodic" or "piecewise" vectors of numbers; None takes them as they are.
        num_width: Numbers in such a vector.
        bins: Borders of the pieces; see `Numbers`.
        levels: Values of numbers that get a vector each; see `Levels`.
        embed_std: Standard deviation of the categories' first vectors.

    Example:
        >>> model = TabularModel([(3, 2)], 1, 2, [8])
        >>> model(torch.tensor([[0], [2]]), torch.zeros(2, 1)).shape
        torch.Size([2, 2])
        >>> [type(layer).__name__ for layer in model.layers]
        ['Linear', 'ReLU', 'BatchNorm1d', 'Linear']
    """

    arch = "mlp"

    def __init__(
        self,
        emb_szs: Sizes,
        n_cont: int,
        n_out: int | Sequence[int],
        layers: Sequence[int] = (200, 100),
        y_range: Range | None = None,
        *,
        ps: float | Sequence[float] = 0.0,
        embed_p: float = 0.0,
        use_bn: bool = True,
        bn_final: bool = False,
        bn_cont: bool = True,
        lin_first: bool = True,
        scaled: bool = False,
        bounded: bool = False,
        num_embeddings: str | None = None,
        num_width: int = 16,
        bins: Bins | None = None,
        levels: Bins | None = None,
        embed_std: float = 0.01,
    ) -> None:
        super().__init__(
            emb_szs,
            n_cont,
            n_out,
            y_range,
            scaled,
            bounded,
            num_embeddings,
            num_width,
            bins,
            levels,
            embed_std,
        )
        drops = [float(ps)] * len(layers) if isinstance(ps, int | float) else [float(p) for p in ps]
        if len(drops) != len(layers):
            raise ArgumentError(
                "`ps` must be one number, or one for each of `layers`",
                f"there are {len(drops)} for {len(layers)}",
                "Pass a number.",
            )
        self.embed_drop = nn.Dropout(embed_p)
        # Borders of pieces lie where the numbers lie before any norm.
        normed = bn_cont and n_cont and num_embeddings is None
        self.bn_cont = nn.BatchNorm1d(n_cont) if normed else nn.Identity()
        widths = [self.n_features, *layers, sum(self.outputs.counts)]
        parts: list[nn.Module] = []
        for place, ((before, after), p) in enumerate(zip(pairwise(widths), [*drops, 0.0], strict=True)):
            last = place == len(layers)
            parts += _layer(before, after, p, use_bn and (bn_final or not last), lin_first, not last)
        self.layers = nn.Sequential(*parts)
        self.config |= {
            "layers": list(layers),
            "ps": drops,
            "embed_p": embed_p,
            "use_bn": use_bn,
            "bn_final": bn_final,
            "bn_cont": bn_cont,
            "lin_first": lin_first,
        }

    def features(self, cats: Tensor, conts: Tensor) -> Tensor:
        parts = [self.embed_drop(self.embeds(cats))] if len(self.embeds) else []
        parts += [self.numbers(self.bn_cont(conts))] if self.n_cont else []
        parts += [] if self.levels is None else [self.embed_drop(self.levels(conts))]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def forward(self, cats: Tensor, conts: Tensor) -> Any:
        return self.outputs(self.layers(self.features(cats, conts)))


def _layer(before: int, after: int, p: float, norm: bool, lin_first: bool, hidden: bool) -> list[nn.Module]:
    linear: list[nn.Module] = [nn.Linear(before, after, bias=not norm), *([nn.ReLU()] if hidden else [])]
    beside: list[nn.Module] = [nn.BatchNorm1d(after if lin_first else before)] if norm else []
    beside += [nn.Dropout(p)] if p else []
    return [*linear, *beside] if lin_first else [*beside, *linear]


class TabMModel(TableModel):
    """Many networks that share most of their weights, trained side by side and averaged (TabM; Gorishniy et
    al., arXiv:2410.24210), by the modules of the package tabm.

    In training the outputs of all members come, `(n, members, n_out)`, as each has a loss of its own. In
    evaluation they are one, `(n, n_out)`: numbers are averaged, and so are probabilities, which are then
    given as their logarithms (of a label as its log-odds), so that softmax (sigmoid) gives their mean.

    Args:
        emb_szs: For each category its number of values and the width of its embedding.
        n_cont: Numbers.
        n_out: Outputs; a list has those of each target.
        layers: Widths of the hidden layers, all the same.
        y_range: Least and largest output; None leaves it free.
        activations: For each target "softmax", "sigmoid" or "none": what becomes of the output.
        members: How many.
        dropout: After each hidden layer.
        scaled: Predict numbers as `mean + std * output`; see `Outputs`.
        bounded: Hold them in evaluation near those of training; see `Outputs`.
        num_embeddings: "linear", "periodic" or "piecewise" vectors of numbers; None takes them as they are.
        num_width: Numbers in such a vector.
        bins: Borders of the pieces; see `Numbers`.
        levels: Values of numbers that get a vector each; see `Levels`.
        embed_std: Standard deviation of the categories' first vectors.

    Raises:
        DependencyError: The package is not there.

    Example:
        >>> model = TabMModel([(3, 2)], 1, 2, [8, 8], members=4, num_embeddings=None)
        >>> cats, conts = torch.tensor([[0], [2]]), torch.zeros(2, 1)
        >>> model(cats, conts).shape, model.eval()(cats, conts).shape
        (torch.Size([2, 4, 2]), torch.Size([2, 2]))
    """

    arch = "tabm"

    def __init__(
        self,
        emb_szs: Sizes,
        n_cont: int,
        n_out: int | Sequence[int],
        layers: Sequence[int] = (128, 128),
        y_range: Range | None = None,
        *,
        activations: Sequence[str] = ("softmax",),
        members: int = 16,
        dropout: float = 0.25,
        scaled: bool = False,
        bounded: bool = False,
        num_embeddings: str | None = "piecewise",
        num_width: int = 16,
        bins: Bins | None = None,
        levels: Bins | None = None,
        embed_std: float = 0.2,
    ) -> None:
        super().__init__(
            emb_szs,
            n_cont,
            n_out,
            y_range,
            scaled,
            bounded,
            num_embeddings,
            num_width,
            bins,
            levels,
            embed_std,
        )
        if not layers or len(set(layers)) != 1:
            raise ArgumentError(
                "`layers` of TabM must be one or several of the same width",
                f"they are {list(layers)}",
                "E.g. [128, 128].",
            )
        try:
            import tabm
        except ImportError as error:
            raise DependencyError(
                'arch="tabm" needs the package tabm', "it is not installed", 'Install "wiggly[tabular]".'
            ) from error
        embedded = num_embeddings is not None and bool(n_cont)
        # A member's first scales are drawn once for all numbers of a column.
        widths = [width for _, width in emb_szs] + [num_width if embedded else 1] * n_cont
        widths += [] if self.levels is None else self.levels.widths
        self.view = tabm.EnsembleView(k=members)
        self.backbone = tabm.make_tabm_backbone(
            d_in=self.n_features,
            n_blocks=len(layers),
            d_block=layers[0],
            dropout=dropout,
            k=members,
            start_scaling_init="normal" if embedded else "random-signs",
            start_scaling_init_chunks=widths,
        )
        self.last = tabm.LinearEnsemble(layers[0], sum(self.outputs.counts), k=members)
        self.activations = list(activations)
        self.config |= {
            "layers": list(layers),
            "activations": self.activations,
            "members": members,
            "dropout": dropout,
        }

    def forward(self, cats: Tensor, conts: Tensor) -> Any:
        members = self.outputs(self.last(self.backbone(self.view(self.features(cats, conts)))))
        if self.training:
            return members
        if isinstance(members, Tensor):
            return averaged(members, self.activations[0])
        return tuple(averaged(part, how) for part, how in zip(members, self.activations, strict=True))


def averaged(members: Tensor, activation: str) -> Tensor:
    """One output of those of many members, so that after the activation it is the mean of theirs.

    Args:
        members: `(n, members, n_out)`.
        activation: "softmax", "sigmoid" or "none".

    Example:
        >>> scores = torch.tensor([[[0.0, 2.0], [1.0, -1.0]]])
        >>> bool(torch.allclose(averaged(scores, "softmax").softmax(1), scores.softmax(2).mean(1)))
        True
    """
    if activation == "softmax":
        return members.log_softmax(-1).logsumexp(1) - log(members.shape[1])
    if activation == "sigmoid":
        return F.logsigmoid(members).logsumexp(1) - F.logsigmoid(-members).logsumexp(1)
    return members.mean(1)


def model_config(model: nn.Module) -> dict[str, Any] | None:
    """What `build_model` makes a network of tables again of, in JSON types; None for one of the user's own.

    Example:
        >>> model_config(TabularModel([(3, 2)], 1, 2, [8]))["layers"]
        [8]
    """
    return dict(model.config) if isinstance(model, TableModel) else None


def build_model(config: Mapping[str, Any]) -> TableModel:
    """Make a network again from its description, with random weights, ready for `load_state_dict`.

    Args:
        config: What `model_config` returned.

    Raises:
        ModelError: The description is damaged, or of a later version.
        DependencyError: A package is missing that the network is made of.

    Example:
        >>> model = TabularModel([(3, 2)], 1, 2, [8])
        >>> build_model(model_config(model)).load_state_dict(model.state_dict())
        <All keys matched successfully>
    """
    arguments = dict(config)
    try:
        kind = {made.arch: made for made in (TabularModel, TabMModel)}[arguments.pop("arch")]
        for name in ("y_range",):
            arguments[name] = None if arguments[name] is None else tuple(arguments[name])
        arguments["emb_szs"] = [(int(n), int(width)) for n, width in arguments["emb_szs"]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return kind(**arguments)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            "the description of a network for tables must be one that this version of wiggly writes",
            f"it fails with {type(error).__name__}: {error}",
            "Install the version it was made with, or export the model again",
        ) from error
