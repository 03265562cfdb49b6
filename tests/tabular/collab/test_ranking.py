"""Looking up, neighbours and recommendations, beside scikit-learn and a look at every pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity
from tests.tabular.collab.support import named_model

from wiggly.errors import ArgumentError
from wiggly.tabular.collab.models import EmbeddingDotBias, EmbeddingNN


def test_weights_and_biases_are_the_rows_of_the_labels() -> None:
    model = named_model()
    assert torch.equal(model.weight(["c", "a"]), model.i_weight.weight[[3, 1]])
    assert torch.equal(model.weight("bob", is_item=False), model.u_weight.weight[2])
    assert torch.equal(model.bias(["c", "a"]), model.i_bias.weight[[3, 1], 0])
    assert torch.equal(model.bias(["cem"], is_item=False), model.u_bias.weight[[3], 0])
    assert model.bias("a").shape == ()
    assert torch.equal(model.bias("a"), model.i_bias.weight[1, 0])
    assert torch.equal(model.bias(np.array(["c", "a"])), model.bias(["c", "a"]))
    assert not model.bias(["c"]).requires_grad


def test_labels_that_are_numbers_are_found_as_any_kind_of_number() -> None:
    model = EmbeddingDotBias.from_classes(2, {"u": ["#na#", 3, 70], "i": ["#na#", 1.5, 2.0]})
    for label in (70, 70.0, np.int16(70), torch.tensor(70)):
        assert model.codes(label, is_item=False).tolist() == [2]
    assert model.codes(torch.tensor([3, 70]), is_item=False).tolist() == [1, 2]
    with pytest.raises(ArgumentError, match=r"there is no '70'.*\n?.*Nearest: 70"):
        model.codes("70", is_item=False)


def test_an_unknown_label_is_refused_with_the_nearest() -> None:
    model = EmbeddingDotBias.from_classes(
        2, {"u": ["#na#", "x"], "i": ["#na#", "Fargo (1996)", "Heat (1995)"]}
    )
    with pytest.raises(ArgumentError, match=r"an item must be one of the 2 of training; there is no 'Fargo'"):
        model.bias(["Fargo"])
    with pytest.raises(ArgumentError, match=r"Nearest: 'Fargo \(1996\)'"):
        model.nearest("Fargo")
    with pytest.raises(ArgumentError, match=r"there is no None\.\s*Pass one of them"):
        model.bias(None)
    with pytest.raises(ArgumentError, match="none"):
        EmbeddingDotBias(2, 3, 4).weight("x")
    with pytest.raises(ArgumentError, match="3 items"):
        EmbeddingDotBias(2, 2, 3).set_labels(["#na#", 1], ["#na#", 1])


@pytest.mark.parametrize("is_item", [True, False])
def test_neighbours_are_those_of_the_cosine(is_item: bool) -> None:
    model = named_model()
    table = (model.i_weight if is_item else model.u_weight).weight.detach().numpy()
    labels = model.items if is_item else model.users
    expected = cosine_similarity(table)
    for code in range(1, len(labels)):
        found = model.nearest(labels[code], is_item=is_item)
        others = [other for other in np.argsort(-expected[code]) if other not in (0, code)]
        assert [label for label, _ in found] == [labels[other] for other in others]
        assert np.allclose([score for _, score in found], expected[code][others], atol=1e-5)
    assert len(model.nearest("a", n=2)) == 2


def test_what_is_near_to_several_is_near_to_their_mean_direction() -> None:
    model = named_model()
    vectors = model.i_weight.weight.detach().numpy()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = cosine_similarity(unit, unit[[1, 4]].mean(0, keepdims=True))[:, 0]
    found = model.nearest(["a", "d"])
    assert {label for label, _ in found} == set("bce")
    assert np.allclose([score for _, score in found], sorted(expected[[2, 3, 5]], reverse=True), atol=1e-5)


def test_recommendations_are_the_highest_of_all_predictions() -> None:
    model = named_model((0, 5.5))
    rated = {label: model(torch.tensor([[2, code]])).item() for code, label in enumerate(model.items)}
    expected = sorted(("a", "b", "d", "e"), key=lambda label: -rated[label])
    found = model.recommend("bob", leave_out=["c"])
    assert [label for label, _ in found] == expected
    assert np.allclose([score for _, score in found], [rated[label] for label in expected], atol=1e-6)
    assert model.recommend("bob", n=1, leave_out=["c"]) == found[:1]
    with pytest.raises(ArgumentError, match="'z'"):
        model.recommend("bob", leave_out=["z"])
    with pytest.raises(ArgumentError, match="`n`"):
        model.recommend("bob", n=0)


def test_who_has_no_rating_is_the_mean_of_those_who_have() -> None:
    model = named_model().train()
    model.count(torch.tensor([[1, 1], [1, 2], [2, 5], [2, 2]]))  # cem, c and d have none
    before = {name: table.detach().clone() for name, table in model.named_parameters()}
    model.eval()
    for name, known, unknown in (("u", [1, 2], [0, 3]), ("i", [1, 2, 5], [0, 3, 4])):
        for kind in ("weight", "bias"):
            was, now = before[f"{name}_{kind}.weight"], getattr(model, f"{name}_{kind}").weight
            assert torch.equal(now[known], was[known])
            assert torch.allclose(now[unknown], was[known].mean(0).expand(len(unknown), -1))
    assert model.recommend("nobody") == model.recommend("cem")
    assert {label for label, _ in model.recommend("ann", n=9)} == {"a", "b", "e"}
    assert {label for label, _ in model.recommend("ann", n=9, least=2)} == {"b"}
    assert {label for label, _ in model.recommend("ann", n=9, least=0)} == set("abcde")
    assert {label for label, _ in model.nearest("a", least=2)} == {"b"}


def test_counts_travel_with_the_weights() -> None:
    model = named_model()
    model.count(torch.tensor([[1, 1], [1, 2]]))
    other = EmbeddingDotBias(4, 4, 6)
    other.load_state_dict(model.state_dict())
    assert other.u_count.tolist() == [0, 2, 0, 0]
    assert other.i_count.tolist() == [0, 1, 1, 0, 0, 0]


def test_a_model_in_training_stays_in_training_and_is_asked_at_rest() -> None:
    torch.manual_seed(0)
    model = EmbeddingNN([(3, 4), (50, 4)], [8], ps=0.5, embed_p=0.5)
    model.set_labels(["#na#", 1, 2], ["#na#", *range(49)])
    assert model.training
    first = model.recommend(1)
    assert model.training
    assert model.layers.training
    assert first == model.recommend(1), "dropout or batch norm was at work"
    assert first == model.eval().recommend(1)
    assert not model.training
