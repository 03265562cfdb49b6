"""The summary: its counts are torch's and those of the papers, and it leaves the learner alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.train.support import digit_learner, equal, weights_of
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.errors import ArgumentError, ModelError
from wiggly.train.learner import Learner
from wiggly.train.summary import Summary


def learner_on(model: nn.Module, *shapes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Learner:
    """A quiet learner whose items are zeros of these shapes."""
    items = [(*(torch.zeros(shape, dtype=dtype) for shape in shapes), 0) for _ in range(4)]
    dls = DataLoaders(DataLoader(items, bs=4), DataLoader(items, bs=4), device="cpu")
    return Learner(dls, model, loss_func=nn.CrossEntropyLoss())


def summary_of(model: nn.Module, *shapes: tuple[int, ...], **settings: Any) -> Summary:
    return learner_on(model, *shapes, **settings).summary()


def test_it_counts_parameters_and_those_that_learn(capsys: pytest.CaptureFixture[str]) -> None:
    learn = digit_learner(train_bn=False)
    learn.freeze()
    found = learn.summary()
    out = capsys.readouterr().out
    assert out == f"{found}\n"
    total = sum(p.numel() for p in learn.model.parameters())
    head = sum(p.numel() for p in learn.model[1].parameters())
    assert (
        f"Sequential: {total:,} parameters, {head:,} of them learning ({1 - head / total:.0%} frozen)" in out
    )
    assert (found.parameters, found.learning) == (total, head)
    conv = next(line for line in out.splitlines() if line.startswith("0.3 "))
    flops = 2 * 8 * 16 * 9 * 4 * 4
    assert conv.split() == ["0.3", "Conv2d", "16×4×4", f"{8 * 16 * 9 + 16:,}", "0", f"{flops / 1e3:.3g}", "k"]
    assert "loss CrossEntropyLoss, optimizer AdamW with 2 parameter groups" in out
    assert "on cpu in float32" in out
    for row in found.rows:
        assert learn.get_submodule(row.path) is dict(learn.model.named_modules())[row.path]


def test_flops_are_those_of_the_formulas() -> None:
    found = {row.path: row.flops for row in digit_learner().summary().rows}
    assert found["0.0"] == 2 * 9 * 8 * 8 * 8  # two per weight and pixel of the output
    assert found["0.3"] == 2 * 8 * 9 * 16 * 4 * 4
    assert found["1.1"] == 2 * 256 * 10
    assert found["0"] == found["0.0"] + found["0.3"]
    assert found["0.1"] == 0


@pytest.mark.parametrize(
    ("name", "multiply_adds"),
    # He et al. arXiv:1512.03385, table 1: 1.8 G and 3.8 G (4.1 with the stride in the 3×3 convolution, as
    # torchvision's and timm's own pages say); Sandler et al. arXiv:1801.04381: 300 M; Tan & Le's lite0: 407
    # M; Dosovitskiy et al.: timm's results table has 4.6 G for ViT-S/16 (attention included).
    [("resnet18", 1.82e9), ("mobilenetv2_100", 0.31e9), ("tf_efficientnet_lite0", 0.40e9)],
)
def test_flops_are_those_that_papers_print(name: str, multiply_adds: float) -> None:
    timm = pytest.importorskip("timm")
    found = summary_of(timm.create_model(name), (3, 224, 224))
    assert found.flops / 2 == pytest.approx(multiply_adds, rel=0.04)
    assert len(str(found).splitlines()) <= 31


def test_attention_counts_however_torch_computes_it() -> None:
    class Attention(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return scaled_dot_product_attention(x, x, x)

    n, width = 16, 8
    assert summary_of(nn.Sequential(Attention()), (1, n, width)).flops == 2 * 2 * n * n * width
    # In evaluation torch's encoder layer would take a path that no counter sees.
    layer = nn.TransformerEncoderLayer(width, 1, dim_feedforward=32, batch_first=True)
    expected = 2 * n * (3 * width * width + width * width + 2 * width * 32) + 2 * 2 * n * n * width
    assert summary_of(nn.Sequential(layer), (n, width)).flops == expected


def test_recurrent_layers_count() -> None:
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(5, 7, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.lstm(x)[0][:, -1]

    found = summary_of(First(), (11, 5))
    assert found.flops == 2 * 11 * 4 * 7 * (5 + 7)
    assert found.rows[0].shape == (11, 7)


def test_several_inputs_functions_and_shared_layers() -> None:
    class Twins(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared, self.unused = nn.Linear(4, 3), nn.Linear(9, 9)

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return torch.cat([self.shared(a), self.shared(b)], 1) @ torch.ones(6, 2)

    found = summary_of(Twins(), (4,), (4,))
    assert found.input_shapes == ((4,), (4,))
    assert [(row.path, row.shape, row.flops) for row in found.rows] == [
        ("shared", (3,), 2 * 2 * 12),
        ("unused", None, 0),
    ]
    assert found.flops == 2 * 2 * 12 + 2 * 12


def test_a_model_that_fails_says_where() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(64, 8), nn.Linear(9, 2)))
    learn = digit_learner(model=model, splitter=lambda m: list(m.parameters()))
    with pytest.raises(
        ModelError, match=r"`1\.1` \(Linear\) fails on an input of shape \(2, 8\): .*mat1 and mat2"
    ):
        learn.summary()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_nothing_is_changed_by_it() -> None:
    learn = digit_learner()
    learn.model[0][1].eval()
    before, draws = weights_of(learn), torch.get_rng_state()
    learn.summary()
    assert equal(before, weights_of(learn))
    assert torch.equal(draws, torch.get_rng_state())
    assert learn.model.training
    assert not learn.model[0][1].training
    assert not any(p.grad is not None for p in learn.model.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in learn.model.modules())


def test_depth_shows_more_and_the_default_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    deep = nn.Sequential(
        nn.Sequential(nn.Sequential(nn.Linear(64, 64), nn.ReLU()), nn.ReLU()), nn.Linear(64, 10)
    )
    learn = digit_learner(model=nn.Sequential(nn.Flatten(), deep), splitter=lambda m: list(m.parameters()))

    def paths(depth: int | None) -> list[str]:
        table = str(learn.summary(depth)).split("\n\n")[0]
        return [line.split()[0] for line in table.splitlines()[1:]]

    assert paths(None) == ["0", "1", "1.0", "1.1"]
    assert paths(1) == ["0", "1"]
    assert paths(4) == [name for name, _ in learn.model.named_modules() if name]
    long = nn.Sequential(nn.Flatten(), *(nn.Linear(64, 64) for _ in range(100)))
    learn = digit_learner(model=long, splitter=lambda m: list(m.parameters()))
    found = learn.summary()
    assert len(str(found).splitlines()) <= 31
    assert "... 78 more: summary(depth=1)" in str(found)
    assert len(found.rows) == 101
    assert len(str(learn.summary(1)).splitlines()) > 100
    with pytest.raises(ArgumentError, match="depth"):
        learn.summary(0)


def test_a_part_that_holds_one_other_stands_for_it() -> None:
    body = nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()))
    found = digit_learner(model=nn.Sequential(body, nn.Flatten(), nn.Linear(72, 10)), splitter=_all).summary()
    assert [row.path for row in found.shown()] == ["0", "0.0.0", "0.0.1", "1", "2"]


def _all(model: nn.Module) -> list[nn.Parameter]:
    return list(model.parameters())


def test_memory_is_what_a_step_keeps() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))
    learn = digit_learner(model=model, splitter=_all, opt_func=torch.optim.SGD)
    weights = 4 * (64 * 100 + 100 + 1000 + 10)
    kept = (
        4 * 64 * (64 + 100)
    )  # inputs of both linear layers; the ReLU keeps its output, which is one of them
    assert learn.summary().memory_bytes == 2 * weights + kept
    for parameter in model[1].parameters():
        parameter.requires_grad_(False)
    assert (
        digit_learner(model=model, splitter=_all).summary().memory_bytes
        == weights + 3 * 4 * 1010 + 4 * 64 * 100
    )


def test_a_learner_prints_in_three_lines() -> None:
    learn = digit_learner()
    total = sum(p.numel() for p in learn.model.parameters())
    assert repr(learn) == (
        f"Learner: Sequential of {total:,} parameters, {total:,} learning\n"
        "  data: 256 training and 100 validation items\n"
        "  loss CrossEntropyLoss, optimizer Adam, on cpu in float32"
    )
    assert "compiled (eager, default)" in repr(learn.compile(backend="eager"))
