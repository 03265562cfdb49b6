"""What cannot be trained says what does not fit, and what to change: cases that people try."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score
from torch import Tensor, nn

from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.errors import ArgumentError, DataError, DivergedError, ModelError, TrainingError
from wiggly.interpret.interpretation import Interpretation
from wiggly.train.learner import Learner
from wiggly.train.losses.core import CrossEntropyLossFlat
from wiggly.train.metrics.core import Metric, accuracy_multi, top_k_accuracy
from wiggly.train.metrics.whole_set import RocAucBinary


def numbers(i: int) -> Tensor:
    return torch.rand(4, generator=torch.Generator().manual_seed(i))


def classes(i: int) -> Tensor:
    return torch.tensor(i % 3)


def loaders(x: Any = numbers, y: Any = classes, n: int = 32, bs: int = 8) -> DataLoaders:
    data = [(x(i), y(i)) for i in range(n)]
    return DataLoaders(DataLoader(data, bs), DataLoader(data, bs), device="cpu")


def learner(dls: Any = None, model: Any = None, loss: Any = None, **settings: Any) -> Learner:
    learn = Learner(
        loaders() if dls is None else dls,
        nn.Linear(4, 3) if model is None else model,
        loss_func=loss or nn.CrossEntropyLoss(),
        **settings,
    )
    learn.show_bar = learn.show_table = False
    return learn


class Output(nn.Module):
    """Its scores in whatever form a function makes of them."""

    def __init__(self, form: Any) -> None:
        super().__init__()
        self.layer, self.form = nn.Linear(4, 3), form

    def forward(self, x: Tensor) -> Any:
        return self.form(self.layer(x))


def too_high(i: int) -> Tensor:
    return torch.tensor(5 if i == 20 else 1)  # in the third batch


@pytest.mark.parametrize(
    ("y", "loss", "named"),
    [
        (lambda i: torch.tensor(i / 3), None, r"class numbers \(integers\); they are torch.float32"),
        (too_high, None, "from 0 to 2, as the model has 3 outputs; this batch has 1 to 5.\nMake .* n_out=6"),
        (too_high, lambda p, y: F.cross_entropy(p, y), "this batch has 1 to 5"),
        (too_high, partial(F.cross_entropy, label_smoothing=0.1), "this batch has 1 to 5"),
        (lambda i: torch.tensor(i % 3 - 1), None, "this batch has -1 to 1.\nNumber the classes from 0"),
        (lambda i: torch.tensor(i % 2 == 0), None, r"they are torch.bool.\n.*y\.long\(\)"),
        (lambda i: classes(i).int(), None, r"they are torch.int32.\n.*y\.long\(\)"),
        (lambda i: classes(i)[None], None, r"shape \(n,\); .*\(8, 1\).\n.*squeeze\(1\)"),
        (lambda i: F.one_hot(classes(i), 3), None, r"\(8, 3\) and \(8, 3\).\n.*argmax\(1\)"),
        (lambda i: F.one_hot(classes(i), 3), CrossEntropyLossFlat(), r"argmax\(1\)"),
        (lambda i: torch.tensor(i / 3), nn.MSELoss(), r"one shape; they are \(8, 3\) and \(8,\)"),
        (lambda i: torch.zeros(3).long(), nn.BCEWithLogitsLoss(), "BCEWithLogitsLossFlat, which converts"),
        (lambda i: torch.ones(3), nn.BCELoss(), r"from 0 to 1; they are from -.*\n.*nn.Sigmoid\(\)"),
        (
            lambda i: torch.tensor(i / 3),
            F.mse_loss,
            r"mse_loss needs .* one shape; they are \(8, 3\) and \(8,\)",
        ),
        (lambda i: torch.tensor(i / 3), partial(F.l1_loss, reduction="sum"), "l1_loss needs .* one shape"),
        (
            lambda i: torch.zeros(3).long(),
            F.binary_cross_entropy_with_logits,
            r"or make them floats: y.float\(\)",
        ),
        (classes, nn.NLLLoss(), r"at most 0; they go up to .*\n.*nn.LogSoftmax\(1\)"),
        (classes, F.nll_loss, r"nll_loss needs outputs that are logarithms"),
    ],
)
def test_targets_that_do_not_fit_the_loss(y: Any, loss: Any, named: str) -> None:
    with pytest.raises(TrainingError, match=named):
        learner(loaders(y=y), loss=loss).fit(1)


def test_targets_that_fit_after_all() -> None:
    for y in (lambda i: classes(i).byte(), lambda i: F.one_hot(classes(i), 3).float()):
        learner(loaders(y=y)).fit(1)
    learner(loaders(y=lambda i: classes(i)[None]), loss=CrossEntropyLossFlat()).fit(1)


@pytest.mark.parametrize(
    ("form", "named"),
    [
        (lambda o: (o, o), r"returned a tuple of 2.\n.*F.cross_entropy\(out\[0\], y\)"),
        (lambda o: {"logits": o, "h": o}, r"a dict with 'logits', 'h'.\n.*\(out\['logits'\], y\)"),
        (lambda o: SimpleNamespace(logits=o), r"a SimpleNamespace.\n.*\(out.logits, y\)"),
        (lambda o: None, r"returned None.\nIts `forward` must end with `return`"),
        (lambda o: o.detach(), r"output has no gradient.\nLook in the model for \.detach\(\)"),
        (lambda o: o.mean(0, keepdim=True), "one row per item; 8 items gave an output of shape"),
        (lambda o: o.to_sparse(), r"Could not run 'aten::_log_softmax'.{0,300} ... \(output \(8, 3\)"),
    ],
)
def test_outputs_that_do_not_fit_the_loss(form: Any, named: str) -> None:
    with pytest.raises(TrainingError, match=named):
        learner(model=Output(form)).fit(1)


def test_the_advice_for_an_output_in_parts_works() -> None:
    learner(model=Output(lambda o: {"logits": o}), loss=lambda out, y: F.cross_entropy(out["logits"], y)).fit(
        1
    )


def test_outputs_in_parts_are_predicted_as_they_are() -> None:
    def logits(out: Any, y: Tensor) -> Tensor:
        return F.cross_entropy(out["logits"], y)

    learn = learner(model=Output(lambda o: {"logits": o, "rest": (o[:, :1],), "none": None}), loss=logits)
    for precision in ("float32", "bfloat16"):
        learn.engine.set_precision(precision)
        learn.fit(1)
        preds, targets, losses = learn.get_preds(with_loss=True)
        assert preds.keys() == {"logits", "rest"} and preds["rest"][0].shape == (len(targets), 1)
        assert torch.allclose(losses.mean(), logits(preds, targets), atol=1e-3)


@pytest.mark.parametrize(
    ("form", "named"),
    [
        (lambda o: None, "has no attribute 'softmax' .the output is a NoneType.*\n.*`act`"),
        (lambda o: {"logits": o}, "the activation that `CrossEntropyLoss` implies .*the output is a dict"),
        (lambda o: o.long(), r"of shape \(\d+, 3\)"),
    ],
)
def test_predicting_names_outputs_that_have_no_activation(form: Any, named: str) -> None:
    with pytest.raises(TrainingError, match=named):
        learner(model=Output(form)).get_preds()


def test_a_model_that_returns_nothing_in_particular() -> None:
    with pytest.raises(TrainingError, match="is or holds a NoneType"):
        learner(model=Output(lambda o: (o, None)), loss=lambda o, y: F.cross_entropy(o[0], y)).get_preds(
            act=lambda o: o
        )
    with pytest.raises(TrainingError, match="`act` must accept the model's output; AttributeError"):
        learner().get_preds(act=lambda o: o.nothing)


def no_loss(pred: Tensor, y: Tensor) -> None:
    return None


@pytest.mark.parametrize(
    ("loss", "named"),
    [
        (
            nn.CrossEntropyLoss(reduction="none"),
            r"`CrossEntropyLoss` gave one of shape \(8,\).\nTake the mean",
        ),
        (lambda p, y: F.cross_entropy(p, y).item(), r"gave a float.\n.*without \.item\(\)"),
        (no_loss, "`no_loss` gave a NoneType"),
        (lambda p, y: (F.cross_entropy(p, y), 1), "gave a tuple"),
        (lambda p, y: F.cross_entropy(p, y).detach(), r"made of it has none.\nLook in the loss for \.detach"),
        (lambda p, y: p.nope, r"AttributeError: 'Tensor' object has no attribute 'nope' \(output \(8, 3\)"),
        (lambda p: p.mean(), r"called with the output and 1 target\(s\): it takes \(p\)"),
        (nn.GaussianNLLLoss(), r"1 target\(s\): it takes \(input: .*, target: .*, var: "),
    ],
)
def test_losses_that_are_none(loss: Any, named: str) -> None:
    with pytest.raises(TrainingError, match=named):
        learner(loss=loss).fit(1)


@pytest.mark.parametrize(
    ("loss", "named"),
    [
        (nn.CrossEntropyLoss, r"it is the class CrossEntropyLoss.\n.*loss_func=CrossEntropyLoss\(\)"),
        ("mse", "it is 'mse'"),
        (3, "it is 3"),
    ],
)
def test_what_is_no_function_is_no_loss(loss: Any, named: str) -> None:
    with pytest.raises(ArgumentError, match=named):
        learner(loss=loss).fit(1)


def with_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))


@pytest.mark.parametrize(
    ("x", "model", "bs", "named"),
    [
        (lambda i: numbers(i).double(), None, 8, r"inputs: \(8, 4\) float64\).\n.*x.to\(torch.float32\)"),
        (lambda i: (9 * numbers(i)).long(), None, 8, "nn.Embedding"),
        (numbers, nn.Linear(5, 3), 8, r"Linear failed with RuntimeError: .*inputs: \(8, 4\) float32"),
        (numbers, nn.Bilinear(4, 4, 3), 8, r"give 1 input\(s\): change `n_inp`"),
        (numbers, with_norm(), 1, "Norm layers need 2 rows in training: pass drop_last=True"),
        (numbers, with_norm(), 31, "Norm layers need 2 rows in training: pass drop_last=True"),
    ],
)
def test_inputs_that_do_not_fit_the_model(x: Any, model: Any, bs: int, named: str) -> None:
    with pytest.raises(TrainingError, match=named):
        learner(loaders(x, bs=bs), model).fit(1)


def test_predicting_says_it_as_well() -> None:
    with pytest.raises(TrainingError, match="the model must accept the loaders' batches; Linear failed"):
        learner(model=nn.Linear(5, 3)).get_preds()


class Value(Metric):
    name = "value"

    def __init__(self, found: Any) -> None:
        self.found = found

    def reset(self) -> None: ...

    def accumulate(self, pred: Any, targets: tuple[Tensor, ...]) -> None: ...

    def value(self) -> Any:
        return self.found


def rate_of_luck(pred: Tensor, y: Tensor) -> str:
    return "good"


@pytest.mark.parametrize(
    ("metric", "named"),
    [
        (rate_of_luck, r"`rate_of_luck` .*: it returned a str \('good'\)"),
        (lambda p, y: None, "it returned a NoneType"),
        (lambda p, y: p, r"it returned a Tensor of shape \(8, 3\)"),
        (lambda p, y: np.ones(3), r"it returned a ndarray of shape \(3,\)"),
        (lambda p, y: 1 / 0, "ZeroDivisionError: division by zero.\nIt is called with the output of a batch"),
        (lambda p, y: [0.5], "it returned a list .*\n.*one number, e.g. the mean"),
        (accuracy_score, r"\n.*skm_to_wiggly\(accuracy_score\)"),
        (RocAucBinary(), "\n.*several classes need average='macro', or RocAuc"),
        (accuracy_multi, r"predictions and targets must be as many; .*\nCheck `axis`"),
        (top_k_accuracy, r"it is 5 of 3.\n.*k=2"),
        (Value("x"), r"`value` .*: its value is a str \('x'\)"),
        (Value(None), "its value is a NoneType"),
        (Value(torch.ones(3)), r"its value is a Tensor of shape \(3,\)"),
    ],
)
def test_metrics_that_fail_are_named(metric: Any, named: str) -> None:
    with pytest.raises(TrainingError, match=named):
        learner(metrics=metric).fit(1)


def test_metrics_that_are_numbers_after_all() -> None:
    found = [lambda p, y: np.float32(1.5), lambda p, y: 1, Value(torch.tensor(2.0)), Value(np.float64(3))]
    learn = learner(metrics=found)
    learn.fit(1)
    assert learn.recorder.values[0][2:] == [1.5, 1.0, 2.0, 3.0]
    with pytest.raises(ArgumentError, match="got 'accuracy'"):
        learner(metrics="accuracy")


def frozen(learn: Learner) -> None:
    learn.opt.zero_grad()
    learn.model.requires_grad_(False)
    learn.fit(1)


@pytest.mark.parametrize(
    ("settings", "call", "error", "named"),
    [
        ({"model": nn.Flatten()}, None, ModelError, "parameters that take a gradient; .* none in Flatten"),
        ({}, frozen, TrainingError, r"all parameters of the model are frozen.\nCall learn.unfreeze\(\)"),
        ({"model": nn.Linear}, None, ArgumentError, r"got the class Linear.\nMake one of it"),
        ({"dls": [1, 2]}, None, ArgumentError, r"got a list.\nPut yours together: DataLoaders"),
        ({}, lambda learn: learn.fit(1.5), ArgumentError, "`n_epoch` must be a whole number; it is 1.5"),
        ({}, lambda learn: learn.fit("3"), ArgumentError, "`n_epoch` must be a whole number; it is '3'"),
        ({}, lambda learn: learn.fit(2, start_epoch=2), ArgumentError, "`start_epoch` must be below"),
        ({}, lambda learn: learn.fit(2, start_epoch=-1), ArgumentError, "`start_epoch` must be at least 0"),
        ({}, lambda learn: learn.fit(1, [1e-3, 1e-2]), ArgumentError, "it has 2, the model has 1"),
        ({}, lambda learn: learn.fit_one_cycle(1, moms=(0.9, 0.8)), ArgumentError, "three numbers"),
        ({}, lambda learn: learn.fit_one_cycle(1, wd=[0.1, 0.1]), ArgumentError, "`wd` must be at least 0"),
        ({}, lambda learn: learn.fine_tune("2"), ArgumentError, "`epochs` must be a whole number; it is '2'"),
        ({}, lambda learn: learn.fine_tune(1, freeze_epochs=0.5), ArgumentError, "`freeze_epochs` must be a"),
        ({}, lambda learn: learn.fine_tune(1, lr_mult=0), ArgumentError, "`lr_mult` must be above 0"),
        ({}, lambda learn: learn.freeze_to("head"), ArgumentError, "got 'head'; the model has 1"),
        ({}, lambda learn: learn.get_submodule(3), ModelError, "there is no 3"),
        ({"splitter": lambda m: None}, None, ArgumentError, "it returned NoneType.\nE.g. splitter=lambda"),
        ({"splitter": lambda m: [m]}, None, ArgumentError, "`splitter` must be a function from the model to"),
        ({"splitter": lambda m: [["weight"]]}, None, ArgumentError, "there is a str in what it returned"),
        ({"splitter": 3}, None, ArgumentError, "it is 3"),
        ({"model": nn.Linear(4, 3, device="meta")}, None, ArgumentError, "'weight' is on the meta device"),
    ],
)
def test_learners_and_calls_that_cannot_train(
    settings: dict[str, Any], call: Any, error: type[Exception], named: str
) -> None:
    def run() -> None:
        learn = learner(**settings)
        call(learn) if call else learn.fit(1)

    with pytest.raises(error, match=named):
        run()


def test_loaders_that_cannot_train() -> None:
    batch = (torch.rand(2, 4), torch.tensor([0, 1]))
    with pytest.raises(TrainingError, match=r"a generator does not.\n.*`__len__`"):
        learner(DataLoaders((batch for _ in range(3)), None, device="cpu")).fit(1)
    sizes = DataLoader([(torch.rand(3 + i % 2), i % 2) for i in range(8)], bs=4)
    for part, said in ((sizes, r"one shape; stack expects"), ([(torch.rand(4), None)], "NoneType")):
        loader = part if isinstance(part, DataLoader) else DataLoader(part * 4, bs=2)
        with pytest.raises(DataError, match=said):
            learner(DataLoaders(loader, None, device="cpu")).fit(1)
    alone = learner(DataLoaders([batch] * 3, None, device="cpu"))
    for ask in (alone.validate, alone.get_preds, partial(Interpretation.from_learner, alone)):
        with pytest.raises(DataError, match="there must be validation items"):
            ask()
    with pytest.raises(DataError, match="part 1 is a tuple: "):
        learner(loaders(y=lambda i: "ab"[i % 2])).fit(1)
    learner(DataLoaders([batch] * 3, [batch], device="cpu")).fit(1)


def test_numbers_that_are_none_are_found_in_the_batch() -> None:
    with pytest.raises(DivergedError, match="it is nan, and so are inputs of a batch at step 1"):
        learner(loaders(lambda i: numbers(i) * float("nan"))).fit(1)


def test_lazy_layers_are_named_before_anything_fails_on_them() -> None:
    pairs = [(numbers(i), classes(i)) for i in range(8)]
    dls = DataLoaders(DataLoader(pairs, bs=4), DataLoader(pairs, bs=4), device="cpu")
    model = nn.Sequential(nn.LazyLinear(5), nn.Linear(5, 3))
    with pytest.raises(ArgumentError, match=r"'0\.weight' of a lazy layer"):
        Learner(dls, model, nn.CrossEntropyLoss())
    plain_norm = nn.Sequential(nn.Linear(6, 5), nn.LazyBatchNorm1d(affine=False))
    with pytest.raises(ArgumentError, match=r"'1\.running_mean' of a lazy layer"):
        Learner(dls, plain_norm, nn.CrossEntropyLoss())
    model(dls.one_batch()[0])
    assert Learner(dls, model, nn.CrossEntropyLoss()).summary().parameters == 43
