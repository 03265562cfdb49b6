"""The losses table: sorted as torch sorts, in step with the data set, flat in memory."""

from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from tests.interpret.support import echo_learner

from wiggly.data.block import DataBlock
from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.data.split import IndexSplitter
from wiggly.errors import ArgumentError, DataError
from wiggly.interpret import interpretation
from wiggly.interpret.interpretation import Interpretation
from wiggly.records import Predictions
from wiggly.train.learner import Learner
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.mask import MaskBlock
from wiggly.vision.points import PointBlock
from wiggly.vision.resize import Resize

VOCAB = ["ant", "bee", "cow"]


def random_learner(n: int = 20, bad: tuple[int, ...] = ()) -> Learner:
    generator = torch.Generator().manual_seed(0)
    logits: list[Any] = torch.randn(n, 3, generator=generator).mul(2).tolist()
    labels = [VOCAB[i] for i in torch.randint(3, (n,), generator=generator).tolist()]
    for position in bad:
        logits[position] = None
    return echo_learner(logits, labels, VOCAB)


def interpret(learner: Any, **settings: Any) -> Interpretation:
    return Interpretation.from_learner(learner, **settings)


def test_top_losses_are_those_of_torch() -> None:
    learner = random_learner()
    items = learner.dls.valid_ds.items
    logits, targets = torch.tensor([x for x, _ in items]), torch.tensor([VOCAB.index(y) for _, y in items])
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="none").sort(descending=True)
    losses, positions = interpret(learner).top_losses()
    assert torch.allclose(losses, expected.values)
    assert positions == expected.indices.tolist()
    smallest = interpret(learner).top_losses(3, largest=False)
    assert smallest.positions == positions[::-1][:3]
    assert smallest.losses.shape == (3,)


def test_unreadable_items_leave_the_others_in_step() -> None:
    whole, holed = interpret(random_learner()), interpret(random_learner(bad=(0, 7, 8, 19)))
    assert holed.positions == [p for p in range(20) if p not in (0, 7, 8, 19)]
    assert len(holed) == 16
    expected = [p for p in whole.top_losses().positions if p in holed.positions]
    assert holed.top_losses().positions == expected
    for row, position in enumerate(holed.positions):
        items = holed.dl.dataset.items
        assert torch.allclose(holed.read(row), torch.tensor(items[position][0]))
        assert holed.decoded_target(row) == items[position][1]


def test_inputs_are_not_kept() -> None:
    """Memory stays flat: nothing that is kept is as large as the inputs."""
    found = interpret(random_learner())
    tensors = [value for value in vars(found).values() if isinstance(value, torch.Tensor)]
    assert sorted(tuple(t.shape) for t in tensors) == [(20,), (20,), (20, 3)]
    assert not any("input" in name and name != "input_block" for name in vars(found))


def test_k_is_checked_and_may_be_too_large() -> None:
    found = interpret(random_learner())
    with pytest.raises(ArgumentError, match="`k` must be at least 1"):
        found.top_losses(0)
    assert len(found.top_losses(999).positions) == 20


def test_a_loss_that_is_no_number_comes_first() -> None:
    found = interpret(random_learner())
    found.losses[4] = math.nan
    assert found.top_losses(1).positions == [4]


def test_another_loader_and_another_activation() -> None:
    learner = random_learner()
    few = DataLoader(learner.dls.valid_ds, bs=2, num_workers=0)
    found = interpret(learner, dl=few, act=torch.sigmoid)
    first = torch.tensor(learner.dls.valid_ds.items[0][0])
    assert torch.allclose(found.preds[0], first.sigmoid())
    assert interpret(learner, ds_idx=0).dl is learner.dls.train


def test_loaders_that_are_not_ours_work_but_cannot_be_drawn() -> None:
    pairs = [(torch.randn(4, 3), torch.randint(3, (4,))) for _ in range(3)]

    dls = DataLoaders(pairs, pairs, device="cpu")
    found = interpret(Learner(dls, torch.nn.Identity(), loss_func=torch.nn.CrossEntropyLoss()))
    assert torch.equal(found.targs, torch.cat([y for _, y in pairs]))
    assert found.item_name(3) == "item 3"
    with pytest.raises(DataError, match="input block"):
        found.plot_top_losses(2)


def test_items_without_labels_and_no_items_are_refused() -> None:
    learner = random_learner()
    unlabelled = Predictions(torch.zeros(2, 3), None, None, [0, 1])
    with pytest.raises(DataError, match="no label"):
        Interpretation(learner.dls.valid, unlabelled, (None, None))
    none = Predictions(torch.zeros(0, 3), torch.zeros(0), torch.zeros(0), [])
    with pytest.raises(DataError, match="at least 1 readable"):
        Interpretation(learner.dls.valid, none, (None, None))


def test_plot_top_losses_draws_a_grid_with_titles() -> None:
    found = interpret(random_learner())
    found.plot_top_losses(5, nrows=2)
    figure = plt.gcf()
    assert len(figure.axes) == 6
    assert figure.get_suptitle() == "Prediction/Actual/Loss"
    row = found.top_rows(1)[0]
    title = f"{found.decoded_pred(row)}/{found.decoded_target(row)} / {float(found.losses[row]):.2f}"
    assert figure.axes[0].get_title() == title
    with pytest.raises(ArgumentError, match="`nrows`"):
        found.plot_top_losses(5, nrows=0)


def test_heavy_packages_are_imported_only_where_they_are_used() -> None:
    for file in Path(interpretation.__file__).parent.glob("*.py"):
        tree = ast.parse(file.read_text())
        imported = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = " ".join(ast.unparse(node) for node in imported)
        assert not any(heavy in names for heavy in ("matplotlib", "sklearn", "pandas")), file.name


def test_points_and_masks_are_painted_onto_the_top_losses() -> None:
    """A list of numbers above the picture would fill the page."""
    pictures = [np.full((50, 45, 3), 10 * k, np.uint8) for k in range(6)]
    for block, answer, model in (
        (
            PointBlock,
            lambda k: [(10, 5), (15, 10)],
            torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1800, 4)),
        ),
        (MaskBlock(["sky", "road"]), lambda k: np.full((50, 45), k % 2), torch.nn.Conv2d(3, 2, 1)),
    ):
        recipe = DataBlock(
            blocks=(ImageBlock, block),
            get_items=lambda source: list(range(6)),
            splitter=IndexSplitter([0, 1, 2]),
            get_x=lambda k: pictures[k],
            get_y=answer,
            item_tfms=Resize((20, 30)),
        )
        found = interpret(Learner(recipe.dataloaders(".", bs=3, num_workers=0), model))
        found.plot_top_losses(2)
        axes = plt.gcf().axes[:2]
        assert [ax.get_title() for ax in axes] == [f"{found.losses[row]:.3g}" for row in found.top_rows(2)]
        assert all(len(ax.images) + len(ax.collections) == 2 for ax in axes)  # picture and prediction
        assert all(image.get_array().shape[:2] == (20, 30) for ax in axes for image in ax.images)
        plt.close()
