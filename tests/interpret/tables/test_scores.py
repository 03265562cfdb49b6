"""Slices and calibration by hand and against scikit-learn; the reports of tables, numbers and labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss
from tests.interpret.support import LogitsBlock, parse
from tests.interpret.tables.test_columns import people
from torch import nn

from wiggly.cli.table_scoring import said_of
from wiggly.data.blocks import MultiCategoryBlock, RegressionBlock
from wiggly.data.dataset import Dataset
from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.errors import ArgumentError, DataError
from wiggly.interpret.interpretation import Interpretation
from wiggly.interpret.report import write_report
from wiggly.interpret.score import wilson_interval
from wiggly.interpret.tables.baselines import baselines_of
from wiggly.interpret.tables.calibration import calibration_of, temperature_of
from wiggly.interpret.tables.gather import gather_table
from wiggly.interpret.tables.sections import table_page
from wiggly.interpret.tables.slices import errors_by_group, groups_of
from wiggly.tabular.learner import tabular_learner
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.train.learner import Learner
from wiggly.train.metrics.core import accuracy, rmse


def trained(y_names: Any, **settings: Any) -> Any:
    torch.manual_seed(0)
    dls = TabularDataLoaders.from_df(
        people(),
        cat_names=["city"],
        cont_names=["age"],
        y_names=y_names,
        bs=32,
        seed=0,
        verbose=False,
        **settings,
    )
    metrics = {"buys": accuracy, "shoes": rmse}.get(str(y_names), [])
    learn = tabular_learner(dls, metrics=metrics)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(3, 1e-2)
    return learn


@pytest.fixture(scope="module")
def buyers() -> Any:
    return trained("buys")


def test_slices_are_shares_of_each_group(buyers: Any) -> None:
    interp = Interpretation.from_learner(buyers)
    rows = people().iloc[buyers.dls.valid.dataset.rows.numpy()].reset_index(drop=True)
    wrong = (interp.preds.argmax(1) != interp.targs).numpy()
    found = interp.slices("city")
    for group in found.groups:
        part = wrong[(rows["city"] == group.group).to_numpy()]
        assert group.n == len(part)
        assert group.score == pytest.approx(part.mean())
        assert (group.low, group.high) == tuple(wilson_interval(int(part.sum()), len(part)))
    assert found.whole.score == pytest.approx(wrong.mean())
    ages = interp.slices("age")
    assert ages.groups[-1].group == "missing"
    assert ages.groups[-1].n == int(rows["age"].isna().sum())
    assert sum(group.n for group in ages.groups) == len(rows)
    assert list(found.to_frame()["city"]) == [*(g.group for g in found.groups), "all"]
    assert len(interp.plot_slices("city").patches) == len(found.groups)
    shoes = interp.slices("shoes")  # a column that the model does not read
    assert sum(group.n for group in shoes.groups) == len(rows)
    with pytest.raises(ArgumentError, match="one of the table"):
        interp.slices("hat")


def test_groups_of_all_kinds() -> None:
    names, which = groups_of(pd.Series([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]))
    assert names == ["1 to 2.75", "2.75 to 4.5", "4.5 to 6.25", "6.25 to 8"]
    assert which.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert groups_of(pd.Series([0, 1, 1, 0]))[0] == ["0", "1"]
    assert groups_of(pd.Series([True, False, None], dtype=object))[0] == ["False", "True", "missing"]
    many = pd.Series([f"v{k}" for k in range(30)] + ["v3"] * 5)
    names, which = groups_of(many, 4)
    assert names[-1] == "all others"
    assert len(names) == 5
    assert "v3" in names
    assert np.bincount(which).sum() == 35
    dates = pd.Series(pd.date_range("2024-01-01", periods=40))
    assert len(groups_of(dates)[0]) == 4


def test_intervals_of_errors() -> None:
    errors = np.array([1.0, 4.0, 9.0, 16.0] * 25)
    found = errors_by_group("x", ["a"], np.zeros(100, dtype=int), errors, "RMSE")
    (part,) = found.groups
    assert part.score == pytest.approx(np.sqrt(7.5))
    reach = 1.96 * errors.std(ddof=1) / 10
    assert (part.low, part.high) == pytest.approx((np.sqrt(7.5 - reach), np.sqrt(7.5 + reach)), rel=1e-4)
    assert errors_by_group("x", ["a", "b"], np.array([0] * 95 + [1] * 5), errors, "loss").groups[0].n == 95
    assert len(errors_by_group("x", ["a", "b"], np.array([0] * 95 + [1] * 5), errors, "loss").groups) == 1


def test_reliability_is_scikit_learns() -> None:
    draw = np.random.default_rng(0)
    said = draw.random(2000)
    true = (draw.random(2000) < said**2).astype(int)
    found = calibration_of(np.stack([1 - said, said], 1), true, 1)
    right, confidence = calibration_curve(true, said, n_bins=10)
    np.testing.assert_allclose(found.right, right)
    np.testing.assert_allclose(found.confidence, confidence)
    assert found.counts.sum() == 2000
    axes = found.plot()
    line: Any = axes.lines[1]
    np.testing.assert_allclose(line.get_ydata(), right)


def test_temperature_is_the_most_likely_one() -> None:
    torch.manual_seed(0)
    scores = torch.randn(3000, 4)
    targets = torch.multinomial((scores / 2.5).softmax(1), 1)[:, 0].numpy()
    probs = scores.double().softmax(1).numpy()
    found = temperature_of(probs, targets)
    assert found == pytest.approx(2.5, rel=0.15)
    for other in (found * 0.9, found * 1.1):
        warmed = torch.from_numpy(probs).log().div(other).softmax(1).numpy()
        best = torch.from_numpy(probs).log().div(found).softmax(1).numpy()
        assert log_loss(targets, warmed) > log_loss(targets, best)
    made = calibration_of(probs, targets)
    assert made.ece_after < made.ece
    with pytest.raises(ArgumentError, match="needs rows"):
        calibration_of(np.zeros((0, 2)), np.zeros(0, dtype=int))


def test_calibration_of_a_label(buyers: Any) -> None:
    interp = Interpretation.from_learner(buyers)
    assert "'yes'" in interp.calibration().what
    np.testing.assert_allclose(interp.calibration("no").counts.sum(), len(interp))
    with pytest.raises(ArgumentError, match="`label` must be"):
        interp.calibration("perhaps")
    with pytest.raises(DataError, match="probabilities of one label"):
        Interpretation.from_learner(trained("shoes")).calibration()


def test_simpler_models_are_fitted_to_the_same_rows(buyers: Any) -> None:
    found = {simpler.name: simpler.score for simpler in baselines_of(buyers)}
    targets = buyers.dls.valid.dataset.targets[0]
    usual = int(torch.bincount(buyers.dls.train.dataset.targets[0]).argmax())
    constant, linear, trees = found.values()
    assert constant == pytest.approx(float((targets != usual).float().mean()))
    assert linear < constant
    assert trees < constant
    numbers = trained("shoes")
    mean = numbers.dls.train.dataset.targets[0].mean()
    expected = float((numbers.dls.valid.dataset.targets[0] - mean).square().mean().sqrt())
    assert baselines_of(numbers)[0].score == pytest.approx(expected, rel=1e-5)


def test_report_of_labels(buyers: Any, tmp_path: Path) -> None:
    place = write_report(buyers, tmp_path / "buys.html")
    page = parse(place.read_text(encoding="utf-8"))
    for said in (
        "Classifier of buys",
        "always the most frequent label",
        "gradient boosting",
        "By city",
        "Permutation importance",
        "Reliability",
        "Confusion matrix",
        "whether age was missing",
        "tabular_learner(dls",
        "from wiggly.tabular.all import *",
    ):
        assert said in page.text, said
    assert place.stat().st_size < 5e6
    assert sum(tag == "img" for tag, _ in page.starts) == 4
    facts = gather_table(buyers)
    assert facts.numbers()["model"] == pytest.approx(1 - buyers.validate()[1])


def test_report_of_numbers_says_what_is_not_there(tmp_path: Path) -> None:
    page = parse(write_report(trained("shoes"), tmp_path / "shoes.html").read_text(encoding="utf-8"))
    assert "Prediction of shoes" in page.text
    assert "always the mean" in page.text
    assert "No confusion table and no calibration: the target is no label." in page.text
    assert "Not shown to be better than" in page.text  # shoes follow from nothing


def test_report_of_several_targets(tmp_path: Path) -> None:
    learn = trained(["buys", "shoes"])
    page = parse(write_report(learn, tmp_path / "both.html").read_text(encoding="utf-8"))
    assert "there are several targets" in page.text


def echo(block: Any, targets: list[Any]) -> Learner:
    """A learner of something that is no table, whose model returns its input."""
    items = [([0.1 * k, -0.1 * k], target) for k, target in enumerate(targets)]
    blocks = [LogitsBlock(), block]

    def loader() -> DataLoader:
        data = Dataset(items, [lambda item: item[0], lambda item: item[1]], blocks, n_inp=1)
        return DataLoader(data, bs=4, num_workers=0)

    dls = DataLoaders(loader(), loader(), blocks=blocks, device="cpu")
    return Learner(dls, nn.Identity())


@pytest.mark.parametrize(
    ("block", "target", "said"),
    [
        (RegressionBlock(2), [1.0, 2.0], "Prediction of numbers"),
        (MultiCategoryBlock(vocab=["a", "b"]), ["a"], "Labels, several per item"),
    ],
)
def test_report_of_what_is_no_table(block: Any, target: Any, said: str, tmp_path: Path) -> None:
    learn = echo(block, [target] * 12)
    page = parse(write_report(learn, tmp_path / "other.html").read_text(encoding="utf-8"))
    assert said in page.text
    assert "these inputs are not columns of a table" in page.text


def test_no_report_of_a_model_that_has_diverged(tmp_path: Path) -> None:
    for target in ("buys", "shoes"):
        learn = trained(target)
        for part in learn.model.parameters():
            part.data.fill_(float("nan"))
        with pytest.raises(DataError, match="a report needs predictions that are numbers"):
            write_report(learn, tmp_path / "nan.html")
    assert not (tmp_path / "nan.html").exists()


def test_what_a_report_of_a_table_says_to_do_again_can_be_done(tmp_path: Path) -> None:
    place = tmp_path / "people.csv"
    people().to_csv(place, index=False)
    dls = TabularDataLoaders.from_csv(place, y_names="buys", bs=32, seed=0, verbose=False)
    learn = tabular_learner(dls)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 1e-2)
    program = gather_table(learn).snippet
    assert "your own code" not in program
    space: dict[str, Any] = {}
    exec(program.replace('"report.html"', repr(str(tmp_path / "again.html"))), space)
    assert space["dls"].cat_names == dls.cat_names
    assert space["dls"].valid.dataset.rows.tolist() == dls.valid.dataset.rows.tolist()


def test_the_headline_of_shares_and_of_errors(buyers: Any) -> None:
    facts = gather_table(buyers)
    whole = facts.score
    right, wrong = f"{100 * (1 - whole.score):.1f} %", f"{100 * whole.score:.1f} %"
    said = parse(str(table_page(facts))).text
    low, high = (f"{100 * end:.1f}" for end in wilson_interval(round(whole.score * whole.n), whole.n))
    interval = f"(95 % interval {low}\u2013{high} %)"
    assert f"{right} right, an error rate of {wrong} on {whole.n} validation rows {interval}." in said
    told = said_of(facts)
    assert told.startswith(f"{right} right, error rate {wrong} on {whole.n} validation rows (95 % interval")
    everything = replace(facts, everything=True)
    assert "validation rows" not in str(table_page(everything)) + said_of(everything)
    numbers = replace(facts, score_name="RMSE", score=replace(whole, score=47380.0, low=45e3, high=5e4))
    assert said_of(numbers).startswith(
        f"RMSE 47,380 on {whole.n} validation rows (95 % interval 45,000\u201350,000"
    )


def test_simpler_models_of_rows_that_are_all_new_learn_from_the_others_of_them(buyers: Any) -> None:
    rows = np.arange(len(people()))
    sides = (buyers.dls.table.dataset(side) for side in (rows[:0], rows))
    dls = TabularDataLoaders(*(TabularDataLoaders.loader_class(side) for side in sides), buyers.dls.table)
    constant, linear, trees = baselines_of(
        Learner(dls, buyers.model, loss_func=buyers.loss_func, metrics=accuracy)
    )
    usual = (people()["buys"] == people()["buys"].mode()[0]).mean()
    assert constant.score == pytest.approx(1 - usual)
    assert 0 < linear.score < constant.score and 0 < trees.score < constant.score


def test_a_value_that_most_have_is_a_group_of_its_own() -> None:
    gains = pd.Series([0.0] * 80 + list(range(1, 21)) + [None])
    names, which = groups_of(gains)
    assert names == ["0", "1 to 10.5", "10.5 to 20", "missing"]
    assert np.bincount(which).tolist() == [80, 10, 10, 1]
    assert groups_of(pd.Series(np.arange(100.0)))[0][0].startswith("0 to ")
