"""Candidates and groups of copies: against a plain double loop, on look-alikes, and on chains of copies."""

from __future__ import annotations

import gzip
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from wiggly.vision.check.compare import same_picture
from wiggly.vision.check.copies import find_copies
from wiggly.vision.check.probe import probe
from wiggly.vision.check.similar import LIKENESS, candidates, make_sketch

Array = npt.NDArray[np.uint8]


def picture(seed: int, size: tuple[int, int] = (160, 120)) -> Array:
    random, total = np.random.default_rng(seed), np.zeros((size[1], size[0], 3))
    for cells in (3, 6, 12, 24):
        grid = random.integers(0, 255, (cells, cells, 3), dtype=np.uint8)
        total += np.asarray(Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC), dtype=float) / 4
    return total.clip(0, 255).astype(np.uint8)


def grouped(pictures: list[Array]) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    found = find_copies([probe(image) for image in pictures], lambda k: pictures[k])
    return found.exact, found.near, found.mirrored


def cut(image: Array, share: float) -> Array:
    y, x = (round(share * side) for side in image.shape[:2])
    return np.ascontiguousarray(image[y : image.shape[0] - y, x : image.shape[1] - x])


def test_candidates_are_those_of_a_double_loop() -> None:
    pictures = [picture(k % 40) // (1 + k // 40) for k in range(120)]
    sketches = [make_sketch(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) for image in pictures]
    known = [sketch for sketch in sketches if sketch is not None]
    assert len(known) == 120
    expected = {
        (i, j)
        for i in range(120)
        for j in range(i + 1, 120)
        if max(
            float(a.vectors[0] @ b.vectors[k])
            for k in range(3)
            for a, b in ((known[i], known[j]), (known[j], known[i]))
        )
        > LIKENESS
    }
    found = candidates(known)
    assert {(pair.first, pair.second) for pair in found if not pair.mirrored} == expected
    assert {(k, k + 40) for k in range(80)} <= expected
    assert [pair.likeness for pair in found] == sorted((pair.likeness for pair in found), reverse=True)


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_to_compare(n: int) -> None:
    assert grouped([picture(k) for k in range(n)]) == ([], [], [])


def test_exact_near_and_mirrored_copies_are_told_apart() -> None:
    first, second, third = picture(1), picture(2), picture(3)
    small = cv2.resize(second, (80, 60), interpolation=cv2.INTER_AREA)
    pictures = [first, second, third, first.copy(), small, np.ascontiguousarray(third[:, ::-1]), picture(4)]
    assert grouped(pictures) == ([[0, 3]], [[1, 4]], [[2, 5]])


def test_a_chain_of_cuts_is_not_one_group() -> None:
    """Each is a copy of the next, but the first and the last have little in common."""
    chain = [picture(7, (400, 300))]
    for _ in range(6):
        chain.append(cut(chain[-1], 0.04))
    assert not same_picture(chain[0], chain[-1])
    _, near, _ = grouped(chain)
    assert {k for group in near for k in group} == set(range(7))
    assert not any({0, 6} <= set(group) for group in near)
    neighbours = {(k, k + 1) for group in near for k in group if k + 1 in group}
    assert len(neighbours) >= 5


def test_many_copies_of_one_picture_are_one_group() -> None:
    image = picture(3, (300, 200))
    copies = [cv2.resize(image, (150 + 3 * k, 100 + 2 * k), interpolation=cv2.INTER_AREA) for k in range(40)]
    _, near, mirrored = grouped([*copies, *(picture(100 + k) for k in range(10))])
    assert near == [list(range(40))]
    assert mirrored == []


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_pictures_that_look_alike_are_no_copies(shared: Path, name: str) -> None:
    with gzip.open(shared / "data" / name / "train10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    assert grouped(list(images[:1500, :, :, None])) == ([], [], [])


def test_digits_that_are_copies_are_found_among_look_alikes(shared: Path) -> None:
    with gzip.open(shared / "data" / "mnist" / "train10k-images-idx3-ubyte.gz") as file:
        images = list(np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28, 1)[:500])
    images += [images[3].copy(), (images[7] * 0.8).astype(np.uint8)]
    assert grouped(images) == ([[3, 500]], [[7, 501]], [])
