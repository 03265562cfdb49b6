"""The order of events, what cancelling does, and how short a callback may be."""

from __future__ import annotations

import pytest
import torch
from tests.train.support import digit_learner, digit_loaders, equal, weights_of

from wiggly.errors import ArgumentError
from wiggly.records import State
from wiggly.train.callback import EVENTS, Callback, CancelBatch, CancelEpoch, CancelFit, as_callbacks


class Log(Callback):
    """Writes down every event."""

    def __init__(self) -> None:
        self.events: list[str] = []


def _logger(name):
    def event(self, state, *error):
        self.events.append(
            name if not name.endswith("batch") else f"{name}:{'train' if state.training else 'valid'}"
        )

    return event


for _name in EVENTS:
    setattr(Log, _name, _logger(_name))


def test_events_come_in_order() -> None:
    log = Log()
    digit_learner(dls=digit_loaders(n_train=64)).fit(2, cbs=log)
    epoch = [
        *("before_epoch", "before_train", "before_batch:train", "after_pred", "after_loss", "before_step"),
        *("after_batch:train", "after_train", "before_validate"),
        *("before_batch:valid", "after_pred", "after_loss", "after_batch:valid") * 2,
        *("after_validate", "after_epoch"),
    ]
    assert log.events == ["before_fit", *epoch, *epoch, "after_fit", "cleanup"]


def test_five_lines_are_enough() -> None:
    class StopEarly(Callback):
        def after_epoch(self, state):
            if state.row["valid_loss"] < 100:
                raise CancelFit

    learn = digit_learner()
    learn.fit(5, cbs=StopEarly)
    assert len(learn.recorder.values) == 1


def test_gradients_may_be_clipped_and_accumulated() -> None:
    class Clip(Callback):
        def before_step(self, state):
            self.learner.engine.unscale(self.learner.opt)
            self.norm = torch.nn.utils.clip_grad_norm_(self.learner.model.parameters(), 1e-3)

    class Accumulate(Callback):
        def before_step(self, state):
            if (state.batch_index + 1) % 2:
                raise CancelBatch

    learn = digit_learner()
    clip = Clip()
    learn.fit(1, cbs=[Accumulate(), clip])
    assert learn.state.step == 2
    assert clip.norm > 1e-3


def test_accumulating_two_half_batches_is_one_whole_batch() -> None:
    class Accumulate(Callback):
        def after_loss(self, state):
            state.loss = state.loss / 2

        def before_step(self, state):
            if state.step * 2 + 1 > state.batch_index:
                raise CancelBatch

    def linear():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))

    def trained(bs, cbs):
        learn = digit_learner(
            dls=digit_loaders(bs=bs), model=linear(), splitter=lambda m: list(m.parameters())
        )
        learn.fit(1, 1e-2, cbs=cbs)
        assert learn.state.step == 4
        return weights_of(learn)["1.weight"]

    torch.testing.assert_close(trained(32, Accumulate()), trained(64, None))


def test_a_cancelled_batch_leaves_the_weights() -> None:
    class SkipAll(Callback):
        def before_batch(self, state):
            if state.training:
                raise CancelBatch

    learn = digit_learner()
    learn.train_bn = False
    before = weights_of(learn)
    learn.fit(1, cbs=SkipAll)
    assert equal(before, weights_of(learn))
    assert learn.recorder.losses == []
    assert len(learn.recorder.values) == 1


def test_a_cancelled_epoch_ends_with_its_event() -> None:
    class Skip(Callback):
        def before_validate(self, state):
            raise CancelEpoch

    learn = digit_learner()
    log = Log()
    learn.fit(2, cbs=[Skip(), log])
    assert log.events.count("after_epoch") == 2
    assert "after_validate" not in log.events
    assert [str(row[1]) for row in learn.recorder.values] == ["nan", "nan"]


def test_a_cancelled_validation_batch_does_not_count() -> None:
    class SkipSecond(Callback):
        def before_batch(self, state):
            if not state.training and state.batch_index == 1:
                raise CancelBatch

    learn = digit_learner(cbs=SkipSecond())
    whole = digit_learner().validate(dl=list(learn.dls.valid)[:1])
    assert learn.validate() == pytest.approx(whole)


def test_callbacks_see_and_change_the_state() -> None:
    class Blank(Callback):
        def before_batch(self, state):
            state.batch.inputs[0].zero_()

        def after_pred(self, state):
            state.pred = state.pred * 0

    learn = digit_learner(cbs=[Blank()])
    probs, _ = learn.get_preds()  # the same two events run in predictions
    torch.testing.assert_close(probs, torch.full_like(probs, 0.1))


def test_cleanup_runs_after_an_error_and_the_error_goes_on() -> None:
    class Fail(Callback):
        def after_loss(self, state):
            raise KeyboardInterrupt

    log = Log()
    with pytest.raises(KeyboardInterrupt):
        digit_learner().fit(1, cbs=[log, Fail()])
    assert log.events[-2:] == ["on_error", "cleanup"]
    assert "after_fit" not in log.events


def test_order_decides_who_comes_first() -> None:
    seen = []

    class Late(Callback):
        order = 5

        def before_fit(self, state):
            seen.append("late")

    class Early(Callback):
        order = -5

        def before_fit(self, state):
            seen.append("early")

    digit_learner(cbs=[Late()]).fit(1, cbs=[Early()])
    assert seen == ["early", "late"]


def test_misspelt_events_are_found_when_the_class_is_written() -> None:
    with pytest.raises(ArgumentError, match="Did you mean `after_batch`"):
        type("Wrong", (Callback,), {"after_batches": lambda self, state: None})
    with pytest.raises(ArgumentError, match=r"\(self, state\)"):
        type("Wrong", (Callback,), {"after_batch": lambda self: None})
    with pytest.raises(ArgumentError, match=r"\(self, state, error\)"):
        type("Wrong", (Callback,), {"on_error": lambda self, state: None})


def test_only_callbacks_are_callbacks() -> None:
    assert as_callbacks(None) == []
    assert isinstance(as_callbacks(Log)[0], Log)
    with pytest.raises(ArgumentError, match="must be callbacks"):
        as_callbacks([print])  # pyright: ignore


def test_a_callback_may_predict_during_training() -> None:
    class Peek(Callback):
        def after_batch(self, state):
            if state.training:
                self.seen = self.learner.get_preds()[0].shape
                assert self.learner.state is state
                assert self.learner.model.training

    def trained(cbs):
        torch.manual_seed(3)
        learn = digit_learner()
        learn.fit(2, cbs=cbs)
        return learn

    peek = Peek()
    assert equal(weights_of(trained(peek)), weights_of(trained(None)))
    assert peek.seen == (100, 10)


def test_the_same_callback_twice_acts_once() -> None:
    class Count(Callback):
        n = 0

        def after_batch(self, state: State) -> None:
            self.n += 1

    count = Count()
    assert as_callbacks([count, count]) == [count]
    assert len(as_callbacks([Count, Count])) == 2


def test_a_class_that_needs_arguments_says_so() -> None:
    class Needs(Callback):
        def __init__(self, folder: str) -> None:
            self.folder = folder

    with pytest.raises(ArgumentError, match=r"Make one of it: cbs=Needs\(\.\.\.\)"):
        as_callbacks([Needs])  # type: ignore[list-item]
    for wrong in ("EMA", 5, [None], [dict]):
        with pytest.raises(ArgumentError, match="`cbs` must be callbacks"):
            as_callbacks(wrong)  # type: ignore[arg-type]
