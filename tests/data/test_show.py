"""Pictures of batches and results: where they stand, their titles, what the colours mean."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from tests.data.support import noise
from torch import nn

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock, RegressionBlock
from wiggly.data.show import grid
from wiggly.data.split import IndexSplitter
from wiggly.errors import ArgumentError, DataError
from wiggly.train.learner import Learner
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.mask import MaskBlock
from wiggly.vision.points import PointBlock


@pytest.mark.parametrize(
    ("n", "options", "want"),
    [
        (9, {}, (3, 3, 9)),
        (5, {}, (2, 3, 5)),
        (6, {"nrows": 1}, (1, 6, 6)),
        (6, {"ncols": 2}, (3, 2, 6)),
        (4, {"nrows": 1, "ncols": 2}, (1, 2, 2)),
        (9, {"per_item": 2}, (5, 4, 18)),
        (4, {"per_item": 2}, (2, 4, 8)),
        (1, {"per_item": 3}, (1, 3, 3)),
        (3, {"per_item": 2, "ncols": 1}, (3, 2, 6)),
    ],
)
def test_the_grid(n: int, options: dict[str, Any], want: tuple[int, int, int]) -> None:
    axes = grid(n, **options)
    rows, columns, count = want
    assert len(axes) == count
    assert axes[0].get_gridspec().get_geometry() == (rows, columns)


def test_a_wide_picture_has_low_rows() -> None:
    wide, tall = grid(4, aspect=0.5)[0].figure, grid(4, aspect=2.0)[0].figure
    assert wide.get_figwidth() > wide.get_figheight() and tall.get_figwidth() < tall.get_figheight()
    assert grid(4, figsize=(7, 5), aspect=0.5)[0].figure.get_size_inches().tolist() == [7, 5]
    with pytest.raises(ArgumentError, match="at least 1 picture"):
        grid(0)


def loaders(blocks: Any, getters: Any, n_inp: int = 1) -> Any:
    recipe = DataBlock(blocks, getters=getters, n_inp=n_inp, splitter=IndexSplitter([0, 1]))
    return recipe.dataloaders(range(8), bs=3, seed=0, num_workers=0)


def picture(k: int) -> Any:
    return noise(20, 30, seed=k)


def test_several_inputs_and_targets() -> None:
    dls = loaders(
        (ImageBlock, ImageBlock, CategoryBlock, MultiCategoryBlock, RegressionBlock),
        [picture, lambda k: noise(30, 20, seed=k), lambda k: k % 2, lambda k: ["a", "b"], lambda k: (1.5, 2)],
        n_inp=2,
    )
    dls.show_batch(max_n=2)
    axes = plt.gcf().axes
    assert len(axes) == 4 and all(len(ax.images) == 1 for ax in axes)
    assert [ax.images[0].get_array().shape[:2] for ax in axes] == [(20, 30), (30, 20)] * 2
    assert axes[0].get_title() in ("0\na; b\n1.5, 2", "1\na; b\n1.5, 2") and axes[1].get_title() == ""
    dls.show_batch(unique=True, max_n=3)
    assert len({ax.get_title() for ax in plt.gcf().axes[::2]}) == 1


class Two(nn.Module):
    """Right about the class (always 1), wrong about the number."""

    def forward(self, x: torch.Tensor) -> Any:
        return torch.tensor([[0.0, 1.0]]).expand(len(x), 2), torch.full((len(x), 2), -1.0)


def test_results_of_several_targets() -> None:
    dls = loaders(
        (ImageBlock, CategoryBlock, MultiCategoryBlock),
        [picture, lambda k: k % 2, lambda k: ["ab"[k % 2]]],
    )
    learn = Learner(dls, Two(), loss_func=lambda pred, *targets: pred[0].mean())
    learn.show_results(shuffle=False)
    titles = [ax.get_title() for ax in plt.gcf().axes]
    assert titles == ["0\n1\na\n", "1\n1\nb\n"]  # truth, prediction of the one target, then of the other
    assert {ax.title.get_color() for ax in plt.gcf().axes} == {"red"}
    one = Learner(dls, nn.Flatten(), loss_func=lambda pred, *targets: pred.mean())
    with pytest.raises(DataError, match=r"returns a tuple(.|\n)*one for 2"):
        one.show_results()


def test_a_long_title_is_broken_into_lines() -> None:
    names = [f"a quite long label {k}" for k in range(30)]
    dls = loaders((ImageBlock, MultiCategoryBlock), [picture, lambda k: names[: 1 + k]])
    dls.show_batch()
    lines = [line for ax in plt.gcf().axes for line in ax.get_title().splitlines()]
    assert max(map(len, lines)) <= 34 and len(lines) > 3
    many = loaders((ImageBlock, MultiCategoryBlock), [picture, lambda k: names])
    many.show_batch(max_n=1)
    assert len(plt.gcf().axes[0].get_title().splitlines()) == 4


def test_masks_and_points_over_the_first_picture() -> None:
    mask = np.arange(20 * 30).reshape(20, 30) * 3 // 600
    dls = loaders(
        (ImageBlock, ImageBlock, MaskBlock(["sky", "tree", "road"]), PointBlock, CategoryBlock),
        [picture, picture, lambda k: mask, lambda k: [(3, 4), (-9, 500)], lambda k: "xy"[k % 2]],
        n_inp=2,
    )
    dls.show_batch(max_n=1)
    left, right = plt.gcf().axes
    assert len(left.images) == 2 and len(left.collections) == 1 and len(right.images) == 1
    np.testing.assert_allclose(left.collections[0].get_offsets(), [[2.5, 3.5], [-9.5, 499.5]], atol=1e-3)
    assert left.get_xlim() == (-0.5, 29.5) and left.get_ylim() == (19.5, -0.5)
    legend = plt.gcf().legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["sky", "tree", "road"]
    assert len(left.images[0].get_array()) == 20 and left.get_title() in "xy"


def test_a_legend_of_very_many_classes_is_left_out() -> None:
    mask = np.arange(20 * 30).reshape(20, 30) // 6
    loaders((ImageBlock, MaskBlock(range(100))), [picture, lambda k: mask]).show_batch(max_n=1)
    assert not plt.gcf().legends and len(plt.gcf().axes[0].images) == 2
