"""Blocks of no modality: vocabularies, multi-hot vectors, numbers; and back to what a person reads."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.preprocessing import LabelEncoder, MultiLabelBinarizer

from wiggly.data.block import DataBlock
from wiggly.data.blocks import (
    Block,
    CategoryBlock,
    MultiCategoryBlock,
    RegressionBlock,
    TransformBlock,
    Vocab,
)
from wiggly.data.split import IndexSplitter
from wiggly.errors import ArgumentError, BundleError, DataError, LabelError


def fitted(labels: Any, **options: Any) -> CategoryBlock:
    block = CategoryBlock(**options)
    block.fit(labels)
    return block


def test_vocab_behaves_as_the_course_uses_it() -> None:
    vocab = Vocab(["Abyssinian", "Bengal", "beagle"])
    assert np.array(vocab).tolist() == list(vocab) and dict(enumerate(vocab))[1] == "Bengal"
    assert vocab[torch.tensor(2)] == vocab[np.int64(2)] == vocab[-1] == "beagle"
    assert vocab[torch.tensor([0, 2])] == vocab[np.array([0, 2])] == vocab[[0, 2]] == vocab[::2]
    assert vocab[torch.tensor([[0], [1]])] == [["Abyssinian"], ["Bengal"]]
    assert vocab.o2i == {"Abyssinian": 0, "Bengal": 1, "beagle": 2}
    assert json.loads(json.dumps(vocab)) == vocab and len(vocab) == 3 and "Bengal" in vocab
    assert pd.Series([2, 0]).map(dict(enumerate(vocab))).tolist() == ["beagle", "Abyssinian"]
    with pytest.raises(IndexError):
        vocab[3]


@given(st.lists(st.text(max_size=4), min_size=2).filter(lambda labels: len(set(labels)) > 1))
def test_codes_are_scikit_learns(labels: list[str]) -> None:
    block, peer = fitted(labels), LabelEncoder().fit(np.array(labels, dtype=object))
    assert list(block.vocab) == sorted(set(labels))
    assert [int(block.encode(x)) for x in labels] == peer.transform(np.array(labels, dtype=object)).tolist()
    assert [block.decode(block.encode(x)) for x in labels] == labels
    assert block.n_out == len(set(labels))


@pytest.mark.parametrize(
    ("labels", "want"),
    [
        (["b", "A", "a", "B"], ["A", "B", "a", "b"]),
        ([10, 9, 2], [2, 9, 10]),
        ([True, False], [False, True]),
        ([np.bool_(True), np.False_], [False, True]),
        ([np.int64(3), np.int64(1)], [1, 3]),
        ([np.str_("b"), np.str_("a")], ["a", "b"]),
        ([torch.tensor(1), torch.tensor(0)], [0, 1]),
        ([1, "a", 2], [1, 2, "a"]),
        ([("x", 1), ("a", 2)], [("a", 2), ("x", 1)]),
        (["b", None, "a", float("nan")], ["a", "b"]),
    ],
)
def test_kinds_of_labels(labels: Any, want: Any) -> None:
    block = fitted(labels)
    assert list(block.vocab) == want
    assert [type(x) for x in block.vocab] == [type(x) for x in want]
    assert block.decode(block.encode(labels[0])) == want[int(block.encode(labels[0]))]


def test_order_and_missing() -> None:
    assert list(fitted("bab", sort=False).vocab) == ["b", "a"]
    block = fitted(["b", None, "a"], add_na=True)
    assert list(block.vocab) == ["#na#", "a", "b"]
    assert [int(block.encode(x)) for x in ("zebra", None, float("nan"), "b")] == [0, 0, 0, 2]
    assert list(CategoryBlock(vocab=["b", "a"]).vocab) == ["a", "b"]
    assert list(CategoryBlock(vocab=["b", "a"], sort=False).vocab) == ["b", "a"]


def test_labels_that_cannot_be() -> None:
    block = fitted("ab")
    with pytest.raises(LabelError, match=r"'c' is not among the 2: a, b"):
        block.encode("c")
    with pytest.raises(LabelError, match="one is missing"):
        block.encode(None)
    for unhashable in (["a"], {"a": 1}, np.array(["a"])):
        with pytest.raises(LabelError, match=r"single value.*\n.*MultiCategoryBlock"):
            fitted([unhashable, ["b"]])
    with pytest.raises(LabelError, match=r"at least 2 classes; the training items have 1: \['a'\]"):
        fitted("aa")
    with pytest.raises(LabelError, match="at least 2"):
        CategoryBlock(vocab=["a"]).fit("aa")
    with pytest.raises(DataError, match="fitted"):
        _ = CategoryBlock().vocab


@given(st.lists(st.lists(st.sampled_from("abcde"), max_size=4), min_size=1).filter(any))
def test_multi_hot_is_scikit_learns(labels: list[list[str]]) -> None:
    block, peer = MultiCategoryBlock(), MultiLabelBinarizer()
    block.fit(labels)
    want = peer.fit_transform(labels)
    assert list(block.vocab) == peer.classes_.tolist()
    assert torch.equal(
        torch.stack([block.encode(x) for x in labels]), torch.tensor(want, dtype=torch.float32)
    )
    assert [sorted(set(x)) for x in labels] == [block.decode(block.encode(x)) for x in labels]


def test_multi_category() -> None:
    block = MultiCategoryBlock(encoded=True, vocab=["z", "a"])
    block.fit([[0, 1]])
    assert block.decode(block.encode([1, 0])) == ["z"] and block.loss == "bce_logits"
    assert block.predicted(torch.tensor([0.6, 0.5])).tolist() == [True, False]
    with pytest.raises(ArgumentError, match="vocab"):
        MultiCategoryBlock(encoded=True)
    for wrong in ("cat dog", 3):
        with pytest.raises(LabelError, match="list of labels"):
            MultiCategoryBlock().fit([wrong])
    with pytest.raises(LabelError, match="no training item"):
        MultiCategoryBlock().fit([[], []])
    known = MultiCategoryBlock()
    known.fit([["a"]])
    with pytest.raises(LabelError, match="'b'"):
        known.encode(["b"])


def test_regression() -> None:
    one, two = RegressionBlock(), RegressionBlock()
    one.fit([1.5, 2])
    two.fit([(1, 2), (3, 4)])
    assert (one.n_out, two.n_out) == (1, 2)
    assert one.encode(np.float64(1.5)).dtype == torch.float32 and one.encode("2.5") == 2.5
    assert one.decode(one.encode(1.5)) == 1.5 and two.decode(two.encode((1, 2))) == (1.0, 2.0)
    for wrong in ("many", None, float("nan"), float("inf"), [1, "x"]):
        with pytest.raises(LabelError, match="regression target"):
            one.encode(wrong)


def test_transform_block() -> None:
    assert TransformBlock().encode(np.float32(2)).item() == 2
    with pytest.raises(DataError, match="same shape"):
        TransformBlock().encode_into([1.0, 2.0], torch.empty(3))


@pytest.mark.parametrize(
    "block",
    [
        fitted("ab"),
        fitted("ba", sort=False),
        fitted("ab", add_na=True),
        fitted([True, False]),
        MultiCategoryBlock(vocab=["b", "a"]),
        RegressionBlock(3),
        TransformBlock(),
    ],
    ids=lambda b: b.describe(),
)
def test_config_makes_an_equal_block(block: Block) -> None:
    again = Block.from_config(json.loads(json.dumps(block.config())))
    assert type(again) is type(block) and again.vocab == block.vocab and again.n_out == block.n_out
    assert again.config() == block.config()


def test_config_of_something_else() -> None:
    for config in ({"name": "Resize", "args": {"size": 3}}, {"name": "os.system"}, {}):
        with pytest.raises(BundleError):
            Block.from_config(config)


def test_a_block_draws_its_title() -> None:
    import matplotlib.pyplot as plt

    _, axes = plt.subplots()
    fitted("ab").draw("a", axes)
    RegressionBlock().draw(2.5, axes, colour="red")
    assert axes.get_title() == "a\n2.5"


# -------------------------------------------------------------------------- what users give, right and wrong


def test_multi_hot_targets_given_ready_made() -> None:
    block = MultiCategoryBlock(encoded=True, vocab=["z", "a", "m"])
    for raw in ([0, 1, 1], (0.0, 1.0, 1.0), np.array([0, 1, 1]), pd.Series([0, 1, 1]), [False, True, True]):
        assert block.encode(raw).tolist() == [0, 1, 1] and block.decode(block.encode(raw)) == ["a", "m"]
    short: list[Any] = [[0, 1], [0, 1, 1, 0], ["z"], "011", None, 1, [[0, 1, 1]]]
    for wrong in (*short, [0, 2, 1], [0, 0.5, 1], [0, float("nan"), 1]):
        with pytest.raises(LabelError, match="3 zeros and ones"):
            block.encode(wrong)
    assert list(MultiCategoryBlock(encoded=True, vocab=["b", "a"], add_na=True).vocab) == ["b", "a"]


def test_several_labels_that_are_unknown_or_missing() -> None:
    block = MultiCategoryBlock()
    block.fit([["b"], {"a"}, ("b", "b")])
    assert list(block.vocab) == ["a", "b"] and block.encode({"b"}).tolist() == [0, 1]
    for wrong in ("ab", None, float("nan"), 3, b"ab", {"a": 1}):
        with pytest.raises(LabelError, match="MultiCategoryBlock needs a list of labels"):
            block.encode(wrong)
    with pytest.raises(LabelError, match=r"'z' is not among the 2: a, b(.|\n)*MultiCategoryBlock\(vocab"):
        block.encode(["a", "z"])
    with pytest.raises(LabelError, match="one is missing"):
        block.encode(["a", None])
    lenient = MultiCategoryBlock(add_na=True)
    lenient.fit([["b", None], ["a"]])
    assert list(lenient.vocab) == ["#na#", "a", "b"]
    assert lenient.encode(["z", "b"]).tolist() == [1, 0, 1] and lenient.encode([None]).tolist() == [1, 0, 0]
    assert list(MultiCategoryBlock(vocab=["z", "a"]).vocab) == ["z", "a"]


def test_numbers_of_the_wrong_length() -> None:
    fitted_two, three = RegressionBlock(), RegressionBlock(3)
    fitted_two.fit([(1, 2)])
    for block, wrong in ((fitted_two, (1, 2, 3)), (fitted_two, 1.5), (three, (1, 2)), (fitted_two, [])):
        with pytest.raises(LabelError, match=f"must have {block.n_out} numbers; it has"):
            block.encode(wrong)
    one = RegressionBlock(1)
    assert one.encode([1.5]).shape == one.encode(1.5).shape == torch.Size([])
    with pytest.raises(LabelError, match="must have 1 number; it has 2"):
        one.encode((1, 2))
    for wrong in (pd.NA, 1e300, "", {"a": 1}, object()):
        with pytest.raises(LabelError, match="regression target"):
            one.encode(wrong)
    with pytest.raises(ArgumentError, match="`n_out`"):
        RegressionBlock(0)
    assert RegressionBlock().encode(np.ones((2, 3))).shape == (2, 3)


def test_functions_of_a_transform_block() -> None:
    block = TransformBlock(type_tfms=[str.split, len], batch_tfms=lambda x: x * 10)
    assert block.load("three short words") == 3
    recipe = DataBlock(
        (block, TransformBlock(type_tfms=float, item_tfms=lambda v: v + 0.5)),
        getters=[lambda k: "a " * k, lambda k: k],
        splitter=IndexSplitter([0]),
    )
    x, y = recipe.dataloaders(range(1, 5), bs=3, shuffle=False).train.one_batch()
    assert x.tolist() == [20, 30, 40] and y.tolist() == [2.5, 3.5, 4.5]
    for name in ("type_tfms", "item_tfms", "batch_tfms"):
        with pytest.raises(ArgumentError, match=name):
            TransformBlock(**{name: 3})
    with pytest.raises(DataError, match="can be a tensor"):
        TransformBlock().encode("text")
    assert TransformBlock().encode(Image.new("L", (3, 2), 7)).tolist() == [[7, 7, 7], [7, 7, 7]]


def test_a_callable_of_one_block_leaves_the_others_alone() -> None:
    recipe = DataBlock(
        (TransformBlock(item_tfms=lambda v: v + 100), TransformBlock, TransformBlock(item_tfms=lambda v: -v)),
        n_inp=2,
        getters=[float, float, float],
        splitter=IndexSplitter([0]),
    )
    a, b, c = recipe.dataloaders(range(3), bs=2, shuffle=False).train.one_batch()
    assert (a.tolist(), b.tolist(), c.tolist()) == ([101, 102], [1, 2], [-1, -2])
    failing = DataBlock(
        (TransformBlock(batch_tfms=lambda x: x[:1]), TransformBlock), splitter=IndexSplitter([0])
    )
    with pytest.raises(DataError, match="one row per item"):
        failing.dataloaders([1.0, 2.0, 3.0], bs=2).one_batch()


class Text(Block):
    """A block as a user would write it: words as numbers, with a picture of its own."""

    is_picture = True

    def load(self, raw: Any) -> str:
        return str(raw).lower()

    def encode(self, value: str) -> torch.Tensor:
        return torch.tensor([ord(letter) for letter in value[:3].ljust(3)])

    def decode(self, encoded: torch.Tensor) -> str:
        return "".join(map(chr, encoded.tolist()))

    def draw(self, value: str, axes: Any, title: str | None = None, colour: str = "black") -> None:
        axes.text(0.5, 0.5, value)


def test_a_block_of_ones_own() -> None:
    import matplotlib.pyplot as plt

    recipe = DataBlock((Text, CategoryBlock), get_y=len, splitter=IndexSplitter([0]))
    dls = recipe.dataloaders(["ab", "ABC", "de", "FGH"], bs=2, seed=0)
    dls.show_batch()
    shown = {ax.texts[0].get_text(): ax.get_title() for ax in plt.gcf().axes}
    assert shown == {"abc": "3", "de ": "2", "fgh": "3"}
