"""The loop: reproducible, right about what learns and what does not, clear about what cannot be trained."""

from __future__ import annotations

import pytest
import torch
from tests.train.support import (
    body_and_head,
    digit_learner,
    digit_loaders,
    digits,
    equal,
    small_model,
    weights_of,
)
from torch import nn

from wiggly.data.blocks import CategoryBlock
from wiggly.data.loaders import DataLoaders
from wiggly.errors import ArgumentError, TrainingError
from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.losses.core import CrossEntropyLossFlat


def changed(before: dict[str, torch.Tensor], learn) -> set[str]:
    return {name for name, value in weights_of(learn).items() if not torch.equal(value, before[name])}


BODY_NORMS = {f"0.{layer}.{name}" for layer in (1, 4) for name in ("weight", "bias")}
STATISTICS = {
    f"0.{layer}.{name}" for layer in (1, 4) for name in ("running_mean", "running_var", "num_batches_tracked")
}
HEAD = {"1.1.weight", "1.1.bias"}


def test_the_same_seed_gives_the_same_weights_bit_by_bit() -> None:
    def trained(seed: int):
        learn = digit_learner(dls=digit_loaders(seed=seed))
        learn.fine_tune(2, 1e-2)
        return weights_of(learn)

    first = trained(seed=1)
    assert equal(first, trained(seed=1))
    assert not equal(first, trained(seed=2))


def test_the_loop_is_that_of_plain_torch() -> None:
    learn = digit_learner(opt_func=torch.optim.SGD)
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in digit_loaders().train:
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    learn.fit(1, 0.1)
    for ours, theirs in zip(learn.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_frozen_with_train_bn_the_norms_go_on_learning() -> None:
    learn = digit_learner(train_bn=True)
    learn.freeze()
    before = weights_of(learn)
    learn.fit(1)
    assert changed(before, learn) == HEAD | BODY_NORMS | STATISTICS


def test_frozen_without_train_bn_nothing_of_the_body_moves() -> None:
    learn = digit_learner(train_bn=False)
    learn.freeze()
    before = weights_of(learn)
    learn.fit(1)
    assert changed(before, learn) == HEAD
    learn.unfreeze()
    learn.fit(1)
    assert changed(before, learn) >= HEAD | BODY_NORMS
    assert not changed(before, learn) & STATISTICS


def test_without_train_bn_no_graph_is_built_for_a_frozen_body() -> None:
    class Watch(Callback):
        def before_fit(self, state):
            self.handle = self.learner.model[0].register_forward_hook(self.see)
            self.graphs = []

        def see(self, module, args, out):
            self.graphs.append(out.requires_grad)

        def cleanup(self, state):
            self.handle.remove()

    seen = {}
    for train_bn in (True, False):
        learn = digit_learner(train_bn=train_bn)
        learn.freeze()
        watch = Watch()
        learn.fit(1, cbs=watch)
        seen[train_bn] = watch.graphs[:4]  # the training batches
    assert seen == {True: [True] * 4, False: [False] * 4}


def test_layer_norms_count_as_norms() -> None:
    model = nn.Sequential(nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.LayerNorm(8)), nn.Linear(8, 10))
    learn = digit_learner(model=model, train_bn=True)
    learn.freeze()
    assert model[0][2].weight.requires_grad
    assert not model[0][1].weight.requires_grad


def test_freezing_clears_the_optimizer_and_fits_do_not() -> None:
    learn = digit_learner()
    learn.fit(1)
    first = learn.opt
    assert len(first.inner.state) == 10
    learn.fit(1)
    assert {int(values["step"]) for values in first.inner.state.values()} == {8}
    learn.freeze()
    assert learn.opt is first
    assert len(first.inner.state) == 0
    learn.fit(1, reset_opt=True)
    assert learn.opt is not first


def test_freeze_to_counts_groups() -> None:
    learn = digit_learner(
        splitter=lambda m: [list(m[0][:3].parameters()), list(m[0][3:].parameters()), list(m[1].parameters())]
    )
    for n, free in ((0, 3), (1, 2), (-2, 2), (2, 1), (-1, 1)):
        learn.train_bn = False
        learn.freeze_to(n)
        assert sum(group[0].requires_grad for group in learn.groups) == free
    for n in (3, -4):
        with pytest.raises(ArgumentError, match="3 parameter groups"):
            learn.freeze_to(n)


def test_a_splitter_by_gradient_keeps_its_groups_when_frozen() -> None:
    from wiggly.train.optim.groups import trainable_params

    learn = digit_learner(splitter=lambda m: [trainable_params(m[0]), trainable_params(m[1])], train_bn=False)
    learn.freeze()
    learn.fit(1, reset_opt=True)
    learn.unfreeze()
    assert all(p.requires_grad for p in learn.model.parameters())
    assert learn.opt.n_groups == 2


def test_what_the_user_froze_stays_frozen() -> None:
    model = small_model()
    model[0][0].requires_grad_(False)
    learn = digit_learner(model=model, splitter=lambda m: [p for p in m.parameters() if p.requires_grad])
    learn.freeze()  # one group: nothing to freeze
    learn.unfreeze()
    before = weights_of(learn)
    learn.fit(1)
    assert not {"0.0.weight", "0.0.bias"} & changed(before, learn)


def test_the_loss_comes_from_the_target_block() -> None:
    dls = digit_loaders()
    blocks = [CategoryBlock(list("ab")), CategoryBlock(list(range(10)))]
    dls.blocks = blocks
    assert isinstance(digit_learner(dls=dls, loss_func=None).loss_func, CrossEntropyLossFlat)
    dls.blocks = [*blocks, CategoryBlock(list("ab"))]
    with pytest.raises(ArgumentError, match="they have 2"):
        digit_learner(dls=dls, loss_func=None)
    with pytest.raises(ArgumentError, match="they have 0"):
        digit_learner(loss_func=None)


def test_loaders_of_torch_work() -> None:
    from torch.utils.data import DataLoader, TensorDataset

    x, y = digits()
    data = TensorDataset(x[:128], y[:128])
    learn = digit_learner(
        dls=DataLoaders(DataLoader(data, 32, shuffle=True), DataLoader(data, 32), device="cpu")
    )
    learn.fit(1)
    assert len(learn.recorder.losses) == 4
    assert learn.get_preds()[0].shape == (128, 10)


def test_no_batches_is_an_error() -> None:
    learn = digit_learner()
    learn.dls.train = []
    with pytest.raises(TrainingError, match="at least 1 batch"):
        learn.fit(1)


def test_memory_of_the_device_running_out_says_what_to_do() -> None:
    class Full(Callback):
        def after_pred(self, state):
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(TrainingError, match=r"one of 64 items[\s\S]*smaller `bs`"):
        digit_learner().fit(1, cbs=Full())


def test_ctrl_c_leaves_a_learner_that_goes_on(tmp_path) -> None:
    class Interrupt(Callback):
        def before_step(self, state):
            if state.step == 2:
                raise KeyboardInterrupt

    learn = digit_learner(path=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(2, cbs=Interrupt())
    assert all(p.isfinite().all() for p in learn.model.parameters())
    kept = learn.save("interrupted")
    assert len(learn.recorder.losses) == 3
    assert learn.recorder.phases[-1]["rows"] == []
    other = digit_learner(path=tmp_path).load(kept)
    other.dls.train.epoch = learn.dls.train.epoch
    for learner in (learn, other):  # no gradient of the broken step is left over
        learner.fit(1)
    assert equal(weights_of(learn), weights_of(other))


def test_a_batch_is_not_held_after_the_fit() -> None:
    learn = digit_learner()
    learn.fit(1)
    assert (learn.state.batch, learn.state.pred, learn.state.loss) == (None, None, None)


def test_progress_of_the_state() -> None:
    state = State(n_epochs=4, epoch=1, n_batches=10, batch_index=5)
    assert state.progress == pytest.approx(0.375)
    state.training = False
    assert state.progress == pytest.approx(0.5)
    assert State().progress == 0.0


def test_groups_by_default_are_one() -> None:
    from wiggly.train.optim.groups import trainable_params

    learn = digit_learner(splitter=trainable_params)
    assert len(learn.groups) == 1
    learn.freeze()
    before = weights_of(learn)
    learn.fit(1)
    assert changed(before, learn) > HEAD
    assert len(digit_learner(splitter=body_and_head).groups) == 2
