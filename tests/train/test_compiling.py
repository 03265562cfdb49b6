"""`learn.compile()`: the numbers of uncompiled training, through freezing and back; few compilations."""

from __future__ import annotations

import copy
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.train.support import digit_learner, digit_loaders, equal, weights_of
from torch import nn

from wiggly.bundle.predictor import load_bundle
from wiggly.errors import ArgumentError
from wiggly.train.callback import Callback
from wiggly.train.callbacks.ema import EMA
from wiggly.train.compiling import CompiledForward
from wiggly.train.hooks import hook_output
from wiggly.train.learner import Learner
from wiggly.vision.learner import vision_learner
from wiggly.vision.loaders import ImageDataLoaders
from wiggly.vision.resize import Resize


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    """What earlier tests compiled would be found and reused."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def compilations() -> int:
    """Programs made since the test began, as torch counts them."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def compiled_learner(backend: str = "aot_eager", **settings: Any) -> Learner:
    return digit_learner(train_bn=False, **settings).compile(backend=backend)


def run_through(learn: Learner) -> list[float]:
    """Frozen, unfrozen, validation with a smaller last batch."""
    learn.fine_tune(2, base_lr=1e-2)
    return learn.validate()


def test_fine_tuning_gives_the_same_numbers_and_the_body_learns() -> None:
    plain, learn = digit_learner(train_bn=False), compiled_learner()
    before = weights_of(learn)
    expected, found = run_through(plain), run_through(learn)
    assert found == pytest.approx(expected, rel=1e-4)
    after = weights_of(learn)
    for name, value in weights_of(plain).items():
        torch.testing.assert_close(after[name], value, rtol=1e-4, atol=1e-4)
    assert not torch.equal(before["0.0.weight"], after["0.0.weight"])  # the first layer of the body
    assert compilations() == 2  # frozen and unfrozen; the two batches of validation differ in size
    assert after.keys() == before.keys()


def test_the_frozen_body_gets_no_gradient_and_the_unfrozen_one_does() -> None:
    learn, grads = compiled_learner(), []

    class Look(Callback):
        def before_step(self, state: Any) -> None:
            grads.append(learn.model[0][0].weight.grad)

    learn.freeze()
    learn.fit(1, cbs=Look())
    assert all(grad is None for grad in grads)
    grads.clear()
    learn.unfreeze()
    learn.fit(1, cbs=Look())
    assert all(grad is not None and grad.abs().sum() > 0 for grad in grads)
    learn.freeze()
    done = compilations()
    learn.fit(1)
    learn.unfreeze()
    learn.fit(1)
    assert compilations() == done  # going back to what is known costs nothing


def test_a_stream_of_odd_sizes_compiles_nothing() -> None:
    learn = compiled_learner()
    xs = [torch.rand(n, 1, 8, 8) for n in range(1, 20)]
    for x in xs:
        learn.get_preds(dl=[(x, torch.zeros(len(x), dtype=torch.long))])
    assert compilations() == 0
    learn.get_preds(dl=[(xs[4], torch.zeros(5, dtype=torch.long))] * 4)
    assert compilations() == 1


def test_one_program_serves_all_sizes_if_wanted() -> None:
    learn = digit_learner().compile(backend="aot_eager", dynamic=True)
    learn.get_preds(dl=[(torch.rand(n, 1, 8, 8), torch.zeros(n, dtype=torch.long)) for n in range(2, 12)])
    assert 1 <= compilations() <= 2


def test_many_learners_and_sizes_do_not_use_up_what_torch_allows() -> None:
    class AnySize(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.conv(x).mean((2, 3)))

    model = AnySize()
    learn = digit_learner(model=model, splitter=lambda m: list(m.parameters())).compile(backend="eager")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for side in range(8, 20):  # more sizes than the eight programs that torch keeps per function
            x, y = torch.rand(4, 1, side, side), torch.zeros(4, dtype=torch.long)
            learn.get_preds(dl=[(x, y)] * 3)
    assert compilations() == 12
    for _ in range(10):
        digit_learner().compile(backend="eager").fit(1)
    assert compilations() == 22


def test_parts_copies_files_and_exports_do_not_know_of_it(tmp_path: Path) -> None:
    learn = compiled_learner(path=tmp_path)
    learn.fit(1)
    assert not any("_orig_mod" in name for name in learn.model.state_dict())
    assert isinstance(learn.get_submodule("0.3"), nn.Conv2d)
    learn.save("compiled")
    plain = digit_learner(path=tmp_path, train_bn=False, model=copy.deepcopy(learn.model)).load("compiled")
    assert equal(weights_of(plain), weights_of(learn))
    other = compiled_learner(path=tmp_path)
    other.load("compiled")
    assert other.validate() == pytest.approx(learn.validate(), rel=1e-5)


def test_lr_find_leaves_all_as_it_was() -> None:
    learn = compiled_learner()
    before = weights_of(learn)
    learn.lr_find(num_it=12, show_plot=False)
    assert equal(before, weights_of(learn))


def test_a_hook_sees_every_batch() -> None:
    learn, seen = compiled_learner(), []

    class Look(Callback):
        def before_train(self, state: Any) -> None:
            self.hook = hook_output(learn.model[0][0])

        def after_loss(self, state: Any) -> None:
            seen.append(self.hook.stored)
            self.hook.stored = None

    learn.fit(1)
    learn.fit(1, cbs=Look())
    assert all(output is not None for output in seen)
    assert len(seen) == len(learn.dls.train) + len(learn.dls.valid)


def test_half_precision_goes_on() -> None:
    learn = compiled_learner().to_bf16()
    learn.fit(2)
    assert compilations() == 1
    learn.to_fp32()
    learn.fit(1)
    assert compilations() == 2


def test_photos_of_two_sizes_averaged_weights_prediction_and_export(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    photos = [random.integers(0, 256, (48, 48, 3), dtype=np.uint8) for _ in range(48)]
    labels = ["light", "dark"] * 24

    def loaders(size: int) -> ImageDataLoaders:
        return ImageDataLoaders.from_lists(
            ".", photos, labels, seed=1, bs=8, item_tfms=Resize(size), device="cpu"
        )

    def trained(compile_it: bool) -> Learner:
        torch.manual_seed(0)
        learn = vision_learner(loaders(32), "test_resnet", pretrained=False, train_bn=False, cbs=EMA(0.9))
        learn.show_bar = learn.show_table = False
        if compile_it:
            learn.compile(backend="eager")
        learn.fine_tune(1, start="frozen")
        learn.dls = loaders(48)
        learn.freeze()
        learn.fit(1)
        learn.unfreeze()
        learn.fit(1)
        return learn

    plain, learn = trained(False), trained(True)
    assert 4 <= compilations() <= 6  # frozen and not, of both sizes
    for name, value in weights_of(plain).items():
        torch.testing.assert_close(weights_of(learn)[name], value, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        learn.predict(photos[0]).probs, plain.predict(photos[0]).probs, rtol=1e-3, atol=1e-4
    )
    done = compilations()
    bundle = load_bundle(learn.export(tmp_path / "model.wiggly", graph=False))  # exporting a graph traces
    assert bundle.predict(photos[0]).decoded == learn.predict(photos[0]).decoded
    assert compilations() == done


def test_what_cannot_be_compiled_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.exc import BackendCompilerFailed

    def no_compiler(*args: Any) -> Any:
        raise BackendCompilerFailed(no_compiler, RuntimeError("no C++ compiler"), None)

    learn = compiled_learner()
    monkeypatch.setattr(learn.engine.compiled, "_compiled", lambda: no_compiler)
    with pytest.warns(UserWarning, match="could not be compiled here, so it runs uncompiled"):
        learn.fit(1)
    plain = digit_learner(train_bn=False)
    plain.fit(1)
    assert equal(weights_of(plain), weights_of(learn))
    assert "not possible here" in repr(learn)


def test_a_models_own_error_stays_its_own() -> None:
    learn = digit_learner(
        model=nn.Sequential(nn.Flatten(), nn.Linear(7, 10)), splitter=lambda m: list(m.parameters())
    )
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        learn.compile(backend="eager").fit(1)


def test_unknown_options_name_those_there_are() -> None:
    with pytest.raises(ArgumentError, match="max-autotune"):
        digit_learner().compile(mode="fast")
    with pytest.raises(ArgumentError, match="inductor"):
        CompiledForward(backend="nothing")
    with pytest.raises(ArgumentError, match="`dynamic` must be True or False; got 'x'"):
        CompiledForward(dynamic="x")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_inductors_own_code_gives_the_same_numbers() -> None:
    plain = digit_learner(train_bn=False, dls=digit_loaders(n_valid=128))
    learn = compiled_learner("inductor", dls=digit_loaders(n_valid=128))
    expected, found = run_through(plain), run_through(learn)
    assert learn.engine.compiled is not None
    assert learn.engine.compiled.failure is None
    assert found == pytest.approx(expected, rel=1e-4)
    assert not torch.equal(weights_of(learn)["0.0.weight"], weights_of(digit_learner())["0.0.weight"])
    assert compilations() <= 4  # training and validation, frozen and not
