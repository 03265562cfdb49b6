"""Why GPUs: products against torch, limits against data sheets, what is timed, and the page played with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from tests.teach.conftest import Stage

from wiggly.errors import ArgumentError
from wiggly.teach import gpus, limits
from wiggly.teach.gpus import Speed, Timing, measure_products, multiply_in_loops, why_gpus
from wiggly.teach.limits import cpu_limit, cuda_limit


def test_loops_give_what_torch_gives(in_node: Callable[[str, Any], Any]) -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(3, 5)), rng.normal(size=(5, 2))
    expected = torch.from_numpy(a) @ torch.from_numpy(b)
    np.testing.assert_allclose(multiply_in_loops(a.tolist(), b.tolist()), expected, rtol=1e-12)
    theirs = in_node("gpus.multiplyInLoops(...given)", [a.tolist(), b.tolist()])
    np.testing.assert_allclose(theirs, expected, rtol=1e-12)
    square = rng.normal(size=(2, 6, 6)).astype(np.float32)
    flat = "[...gpus.multiplyFlat(Float32Array.from(given[0].flat()), Float32Array.from(given[1].flat()), 6)]"
    found = in_node(flat, square.tolist())
    product = torch.from_numpy(square[0]) @ torch.from_numpy(square[1])
    np.testing.assert_allclose(np.reshape(found, (6, 6)), product, rtol=1e-4, atol=1e-6)


def test_each_way_does_the_product_it_is_timed_for() -> None:
    a, b = (np.random.default_rng(seed).random((24, 24)) for seed in (0, 1))
    a32, b32 = (np.random.default_rng(seed).random((24, 24), np.float32) for seed in (0, 1))
    for way in gpus._ways(2):  # pyright: ignore[reportPrivateUsage]
        found = np.asarray(torch.as_tensor(way.make(24)()).float().cpu())
        expected = a @ b if way.speed.kind == "loops" else a32 @ b32
        np.testing.assert_allclose(found, expected, rtol=1e-2 if "16 bits" in way.speed.name else 1e-4)


def test_sizes_double_and_threads_are_as_before() -> None:
    before = torch.get_num_threads()
    speeds = measure_products(0.02)
    assert torch.get_num_threads() == before
    assert [speed.kind for speed in speeds[:3]] == ["loops", "cpu", "cpu"]
    for speed in speeds:
        sizes = [timing.n for timing in speed.timings]
        assert sizes == [4 * 2**i for i in range(len(sizes))] and len(sizes) > 1
        for timing in speed.timings:
            assert 0 < timing.seconds <= timing.usual and timing.repeats >= 3
            assert timing.gflops == pytest.approx(2 * timing.n**3 / timing.seconds / 1e9)
    # A loop in Python looks up every number: on any machine some thousand times slower.
    assert max(t.gflops for t in speeds[1].timings) > 10 * max(t.gflops for t in speeds[0].timings)
    with pytest.raises(ArgumentError, match="above 0"):
        measure_products(0)


def test_what_does_not_fit_ends_the_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(n: int) -> Callable[[], Any]:
        if n > 8:
            raise torch.OutOfMemoryError("full")
        return lambda: None

    way = gpus.Way(Speed("small", "gpu", ""), make)
    assert [timing.n for timing in gpus._timed(way, 0.01)] == [4, 8]  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("multiprocessors", "kilohertz", "capability", "teraflops"),
    [  # peak rates for 32 bits as NVIDIA's data sheets give them
        (132, 1_980_000, (9, 0), 67),  # H100 SXM
        (108, 1_410_000, (8, 0), 19.5),  # A100
        (128, 2_520_000, (8, 9), 82.6),  # GeForce RTX 4090
        (40, 1_590_000, (7, 5), 8.1),  # T4
        (80, 1_530_000, (7, 0), 15.7),  # V100 SXM2
    ],
)
def test_limits_are_those_of_the_data_sheets(
    multiprocessors: int, kilohertz: int, capability: tuple[int, int], teraflops: float
) -> None:
    limit = cuda_limit(multiprocessors, kilohertz, capability)
    assert limit is not None and limit.gflops / 1000 == pytest.approx(teraflops, rel=0.01)
    assert f"{multiprocessors} multiprocessors" in limit.how


def test_what_is_not_known_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cuda_limit(10, 1e6, (99, 0)) is None
    assert cpu_limit(8, 3200, "DEFAULT") is None
    found = cpu_limit(8, 3500, "AVX512")
    assert found is not None and found.gflops == 8 * 3.5 * 64
    monkeypatch.setattr(limits.platform, "system", lambda: "Darwin")
    assert limits.limit_of_cpu(4) is None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (3.2e-9, "3.2 ns"),
        (4.04e-5, "40 µs"),
        (0.0021, "2.1 ms"),
        (59, "59 s"),
        (90, "1.5 min"),
        (9e5, "10 days"),
    ],
)
def test_time_is_said_in_fitting_units(in_node: Callable[[str, Any], Any], seconds: float, said: str) -> None:
    assert in_node("gpus.spoken(given)", seconds) == said


def test_beyond_what_was_timed_the_work_decides(in_node: Callable[[str, Any], Any]) -> None:
    timings = [asdict(Timing(4, 1e-6, 2e-6, 9)), asdict(Timing(8, 5e-6, 6e-6, 9))]
    assert in_node("gpus.expected(given, 8)", timings) == {"seconds": 5e-6, "timed": True}
    found = in_node("gpus.expected(given, 32)", timings)
    assert found == {"seconds": pytest.approx(5e-6 * 64), "timed": False}
    assert in_node("gpus.expected(given, 2)", timings) is None


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1100, False), (390, True)])
def test_sizes_are_walked_and_the_browser_is_timed(
    stage: Callable[..., Stage], width: int, dark: bool
) -> None:
    toy = stage(why_gpus(0.02), width=width, dark=dark)
    assert toy.state["n"] == 4
    toy.press("Step")
    toy.page.keyboard.press("ArrowRight")
    assert toy.state["n"] == 16
    loops = toy.page.locator("tr[data-way='Loops in Python'] td").nth(1)
    timed = {timing["n"]: timing["seconds"] for timing in toy.state["speeds"][0]["timings"]}
    unit = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1}
    value, name = loops.inner_text().replace("≈ ", "").split()
    expected = timed.get(16) or timed[max(timed)] * (16 / max(timed)) ** 3
    assert float(value) * unit[name] == pytest.approx(expected, rel=0.06)
    assert "batches" in toy.notice
    toy.slide("Rows and columns", 12)
    assert toy.state["n"] == 4096 and loops.inner_text().startswith("≈")
    assert toy.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.browser
def test_a_page_without_python_times_the_browser(stage: Callable[..., Stage]) -> None:
    toy = stage(why_gpus(0))
    assert toy.state["speeds"] == [] and "Nothing is timed yet" in toy.notice
    toy.press("Time this browser")
    toy.page.wait_for_function("document.querySelector('.wx').wigglyState.speeds.length >= 2")
    toy.page.wait_for_function("!document.querySelector('.wx').wigglyState.busy", timeout=60_000)
    lists, packed = toy.state["speeds"][:2]
    assert [timing["n"] for timing in lists["timings"]][:3] == [4, 8, 16]
    assert all(0 < timing["seconds"] <= timing["usual"] for timing in packed["timings"])
    assert toy.page.locator("tr[data-way]").count() == len(toy.state["speeds"])
