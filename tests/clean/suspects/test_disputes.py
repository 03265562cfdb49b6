"""Labels judged out of fold: against scikit-learn and by hand, and what must not matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from wiggly.clean.suspects.discriminant import discriminants
from wiggly.clean.suspects.disputes import confident_joint, dispute, verdict, weighted_again
from wiggly.clean.suspects.folds import fold_of_each, place_of_each
from wiggly.clean.suspects.linear import out_of_fold, standardised
from wiggly.clean.suspects.neighbours import find_neighbours, votes


def blobs(n: int = 300, classes: int = 3, wrong: int = 20, seed: int = 0) -> tuple[Any, Any, Any]:
    """Features around a centre for each class, given labels, and which of them are wrong."""
    draw = np.random.default_rng(seed)
    truth = np.arange(n) % classes
    features = draw.normal(0, 1, (n, 8)) + 3 * np.eye(8)[truth]
    labels, bad = truth.copy(), draw.choice(n, wrong, replace=False)
    labels[bad] = (labels[bad] + draw.integers(1, classes, wrong)) % classes
    return torch.from_numpy(features).float(), torch.from_numpy(labels), np.sort(bad)


def test_out_of_fold_is_what_scikit_learn_says() -> None:
    features, labels, _ = blobs()
    inputs = standardised(features)
    folds = torch.from_numpy(fold_of_each(place_of_each(features.numpy()), labels.numpy(), 5, 0))
    ours = out_of_fold(inputs, torch.eye(3)[labels], folds, decay=10.0).logits.softmax(1)
    for fold in range(5):
        seen = (folds != fold).numpy()
        theirs = LogisticRegression(C=1 / 10.0, tol=1e-8, max_iter=500).fit(inputs[seen], labels[seen])
        expected = theirs.predict_proba(inputs[~seen].numpy())
        assert np.abs(ours[~seen].numpy() - expected).max() < 0.01


def test_several_labels_and_weights_are_what_scikit_learn_says() -> None:
    features, labels, _ = blobs()
    inputs, weights = standardised(features), torch.rand(len(labels), 1)
    given_labels = torch.stack([labels == 0, labels != 1], 1).float()
    folds = torch.arange(len(labels)) % 4
    ours = out_of_fold(inputs, given_labels, folds, weights, several=True, decay=30.0).logits.sigmoid()
    for part in range(2):
        seen = (folds != 2).numpy()
        theirs = LogisticRegression(C=1 / 30.0, tol=1e-8, max_iter=500)
        theirs.fit(inputs[seen], given_labels[seen, part], weights[seen, 0])
        expected = theirs.predict_proba(inputs[~seen].numpy())[:, 1]
        assert np.abs(ours[~seen, part].numpy() - expected).max() < 0.01


def test_the_label_of_an_item_does_not_reach_its_own_verdict() -> None:
    features, labels, _ = blobs(wrong=0)
    folds = torch.arange(len(labels)) % 5
    first = out_of_fold(features, torch.eye(3)[labels], folds, decay=30.0).logits
    other = labels.clone()
    other[10] = (other[10] + 1) % 3
    second = out_of_fold(features, torch.eye(3)[other], folds, decay=30.0).logits
    assert torch.allclose(first[10], second[10], atol=2e-2)  # the fit of the other folds ends a step apart
    assert not torch.allclose(first[11], second[11], atol=2e-2)


def test_votes_are_the_mean_of_neighbours() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.9, 0.1], [0.0, 1.0], [0.1, 1.0]])
    hot = torch.eye(2)[torch.tensor([0, 1, 0, 1, 1])]
    near = find_neighbours(features, count=2)
    assert sorted(near.positions[0].tolist()) == [1, 2]
    weights = torch.exp(10 * near.likeness[0])
    expected = sum(w * hot[p] for w, p in zip(weights, near.positions[0], strict=True)) / weights.sum()
    assert torch.allclose(votes(near, hot)[0], expected, atol=1e-5)
    alone = find_neighbours(features, count=2, groups=[[0, 1]])
    assert 1 not in alone.positions[0].tolist() and 0 not in alone.positions[1].tolist()


def test_confident_joint_by_hand() -> None:
    probs = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.6, 0.4], [0.1, 0.9], [0.85, 0.15]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    # Bounds: class 0 (0.9 + 0.7 + 0.2) / 3 = 0.6, class 1 (0.4 + 0.9 + 0.15) / 3 = 0.4833.
    joint, wrong = confident_joint(probs, labels)
    assert wrong.tolist() == [False, False, True, True, False, True]
    assert joint.tolist() == [[2, 1], [2, 1]]


def test_confident_joint_keeps_counts_and_takes_classes_without_items() -> None:
    draw = np.random.default_rng(0)
    probs = draw.dirichlet(np.ones(4), 100)
    joint, _ = confident_joint(probs, draw.integers(0, 3, 100))
    assert joint.sum() == pytest.approx(100) and joint[3].sum() == 0


def test_scores_by_hand() -> None:
    probs = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    found = verdict(probs, torch.eye(3)[torch.tensor([0, 1])])
    assert found.scores == pytest.approx([0.3898, 0.7208], abs=1e-4) and found.parts.tolist() == [1, 2]
    several = verdict(torch.tensor([[0.9, 0.2, 0.6]]), torch.tensor([[1.0, 1.0, 0.0]]), several=True)
    assert several.scores == pytest.approx([0.8]) and several.parts.tolist() == [1] and several.n_wrong == 1
    weights = weighted_again(probs, torch.eye(3)[torch.tensor([0, 1])], several=False)
    assert weights.flatten().tolist() == pytest.approx([1.0, 0.5])


def test_planted_mistakes_come_first() -> None:
    features, labels, bad = blobs(wrong=25)
    found = dispute(features, torch.eye(3)[labels])
    first = np.argsort(-found.scores)[:25]
    assert len(set(first) & set(bad)) >= 20 and 15 <= found.n_wrong <= 40


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000))
def test_neither_order_nor_names_of_classes_matter(seed: int) -> None:
    features, labels, _ = blobs(wrong=20)
    usual = dispute(features, torch.eye(3)[labels]).scores
    draw = np.random.default_rng(seed)
    order, names = draw.permutation(len(labels)), torch.from_numpy(draw.permutation(3))
    other = dispute(features[order], torch.eye(3)[names[labels[order]]]).scores
    assert np.abs(usual[order] - other).max() < 0.02


def test_folds_spread_classes_and_keep_copies_together() -> None:
    labels = np.array([0] * 50 + [1] * 25)
    places = place_of_each(np.random.default_rng(0).normal(size=(75, 4)))
    folds = fold_of_each(places, labels, 5, 0)
    assert all(
        (np.bincount(folds[labels == k], minlength=5) == (labels == k).sum() // 5).all() for k in (0, 1)
    )
    assert len(set(fold_of_each(places, labels, 5, 0, [[0, 30, 60]])[[0, 30, 60]].tolist())) == 1
    assert (fold_of_each(places, labels, 5, 1) != folds).any()


def test_more_classes_than_fit_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels, _ = blobs()
    hot, folds = torch.eye(3)[labels], torch.arange(len(labels)) % 5
    usual = out_of_fold(features, hot, folds, decay=30.0).logits
    monkeypatch.setattr("wiggly.clean.suspects.linear.MOST_NUMBERS", 1)
    assert torch.allclose(out_of_fold(features, hot, folds, decay=30.0).logits, usual, atol=0.02)


def test_discriminants_are_what_scikit_learn_says(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels, _ = blobs()
    inputs, folds = standardised(features), torch.arange(len(labels)) % 4
    monkeypatch.setattr("wiggly.clean.suspects.discriminant.SHRINKS", (0.3,))
    monkeypatch.setattr("wiggly.clean.suspects.discriminant.SURENESS", [1.0])
    ours = discriminants(inputs, torch.eye(3)[labels], folds, torch.ones(len(labels), 1)).exp()
    for fold in range(4):
        seen = (folds != fold).numpy()
        x, y = inputs[seen].double().numpy(), labels[seen].numpy()
        rest = x - np.stack([x[y == k].mean(0) for k in range(3)])[y]
        within = rest.T @ rest / len(x)
        shrunk = 0.7 * within + 0.3 * np.diag(within).mean() * np.eye(x.shape[1])
        theirs = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=_Known(shrunk)).fit(x, y)
        assert np.abs(ours[~seen].numpy() - theirs.predict_proba(inputs[~seen].numpy())).max() < 1e-3


class _Known:
    """A covariance that is known, as scikit-learn asks for one class after the other."""

    def __init__(self, covariance: Any) -> None:
        self.covariance_ = covariance

    def fit(self, x: Any) -> _Known:
        return self


def test_discriminants_take_classes_without_items_and_unused_weights() -> None:
    features, labels, _ = blobs()
    folds = torch.arange(len(labels)) % 4
    weights = torch.ones(len(labels), 1)
    usual = discriminants(standardised(features), torch.eye(3)[labels], folds, weights)
    more = discriminants(standardised(features), torch.eye(5)[labels], folds, weights)
    assert more.isfinite().all() and (more.argmax(1) == usual.argmax(1)).all()
    wrong = (labels + 1) % 3
    mixed, none = torch.where(torch.arange(300) < 150, labels, wrong), weights.clone()
    none[150:] = 1e-6  # hardly any weight: wrong labels do not teach
    taught = discriminants(standardised(features), torch.eye(3)[mixed], folds, none)
    assert (taught.argmax(1) == labels).float().mean() > 0.9


def test_planted_mistakes_in_real_scans() -> None:
    from sklearn.datasets import load_digits

    digits, draw = load_digits(), np.random.default_rng(0)
    truth, bad = digits.target[:900], draw.choice(900, 90, replace=False)
    labels = truth.copy()
    labels[bad] = (labels[bad] + draw.integers(1, 10, 90)) % 10
    found = dispute(torch.from_numpy(digits.data[:900]).float(), torch.eye(10)[torch.from_numpy(labels)])
    assert average_precision_score(labels != truth, found.scores) > 0.97
    assert 75 <= found.n_wrong <= 110
    assert (found.parts[bad] == truth[bad]).mean() > 0.9
