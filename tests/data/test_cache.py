"""Decoded items kept in memory or on disk: equal to the bit or made again, bounded, shared, safe to kill."""

from __future__ import annotations

import gc
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wiggly.data.cache import disk as disk_module
from wiggly.data.cache import segments
from wiggly.data.cache import store as cache_module
from wiggly.data.cache.disk import DiskCache, default_folder, default_limit
from wiggly.data.cache.store import Cache, FileFact, RamCache, available_memory, digest, file_stamp
from wiggly.errors import ArgumentError

SRC = Path(disk_module.__file__).resolve().parents[2]


def key_of(n: int) -> bytes:
    return digest(str(n).encode())


def array_of(n: int) -> Any:
    """An array that only `n` decides: another process can tell whether it is right."""
    made = np.random.default_rng(n)
    return made.integers(0, 256, (10 + n % 37, 11 + n % 13, 3), dtype=np.uint8)


def right(cache: Cache, n: int) -> bool:
    """Whether the cache has array `n`; a wrong one fails the test."""
    found = cache.get(key_of(n))
    assert found is None or np.array_equal(found, array_of(n)), n
    return found is not None


def fill(cache: Cache, last: int) -> None:
    for n in range(last):
        cache.put(key_of(n), array_of(n))


def used(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


@pytest.fixture(params=["ram", "disk"])
def cache(request: Any, tmp_path: Path) -> Cache:
    return RamCache(10**6) if request.param == "ram" else DiskCache(tmp_path, 10**6)


def test_gives_back_what_was_put(cache: Cache) -> None:
    arrays = [array_of(1), array_of(2)[:, :, :1], np.random.default_rng(0).random((3, 5), dtype=np.float32)]
    for n, array in enumerate(arrays):
        cache.put(key_of(n), array[::-1])  # a view whose rows run backwards
    for n, array in enumerate(arrays):
        found = cache.get(key_of(n))
        assert found is not None and found.dtype == array.dtype and np.array_equal(found, array[::-1])
        with pytest.raises(ValueError, match="read-only"):
            found[0] = 0
    assert cache.get(key_of(99)) is None and cache.misses == 3


def test_remembers_facts(cache: Cache) -> None:
    fact = FileFact(digest(b"x"), (375, 500, 3, 6, 1, 0))
    cache.note(key_of(1), fact)
    assert cache.recall(key_of(1)) == fact and cache.recall(key_of(2)) is None
    assert cache.get(key_of(1)) is None


def test_ram_is_bounded_and_says_so() -> None:
    cache = RamCache(limit=3000)
    for n in range(10):
        cache.put(key_of(n), np.zeros(1000, np.uint8))
    assert cache.size == 3000 and sum(cache.get(key_of(n)) is not None for n in range(10)) == 3
    assert "3 kB of at most 3 kB" in cache.describe() and "full" in cache.describe()


def test_a_view_does_not_keep_its_base() -> None:
    cache, base = RamCache(10**9), np.zeros((100, 100), np.uint8)
    cache.put(b"k", base[:50])
    found = cache.get(b"k")
    assert found is not None and found.base is None and base.flags.writeable


def test_another_cache_object_finds_the_arrays(tmp_path: Path) -> None:
    first = DiskCache(tmp_path, 10**7)
    for n in range(50):
        first.put(key_of(n), array_of(n))
    assert all(right(DiskCache(tmp_path, 10**7), n) for n in range(50))
    assert all(right(pickle.loads(pickle.dumps(first)), n) for n in range(50))


def test_a_second_reader_sees_what_is_added_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_module, "REFRESH_SECONDS", 0.0)
    first, second = DiskCache(tmp_path, 10**7), DiskCache(tmp_path, 10**7)
    for n in range(20):
        (first if n % 2 else second).put(key_of(n), array_of(n))
        assert right(first, n) and right(second, n)


def test_disk_is_bounded_and_the_unused_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 400_000
    for generation in range(4):  # each a run of its own
        cache = DiskCache(tmp_path, limit)
        for n in range(100 * generation, 100 * generation + 100):
            cache.put(key_of(n), array_of(n))
            assert used(tmp_path) - unused_room(tmp_path) <= limit
        assert not cache.stopped
        assert all(right(cache, n) for n in range(100 * generation, 100 * generation + 100))
        del cache
        gc.collect()
        assert used(tmp_path) <= limit
        time.sleep(0.02)  # time stamps of the next run differ
    last = DiskCache(tmp_path, limit)
    kept = [sum(right(last, n) for n in range(100 * g, 100 * g + 100)) for g in range(4)]
    assert kept[3] == 100 and kept[0] == 0 and kept == sorted(kept)


def unused_room(folder: Path) -> int:
    """Bytes that a writer has set aside and not written: holes of the file."""
    sparse = [f.stat() for f in folder.rglob("*.pixels")]
    return sum(max(0, s.st_size - 512 * s.st_blocks) for s in sparse)


def test_what_is_in_use_is_not_removed(tmp_path: Path) -> None:
    held = DiskCache(tmp_path, 100_000)
    for n in range(100):
        held.put(key_of(n), array_of(n))
    assert "full" in held.stopped  # its own arrays are in use: it stops, and does not turn over
    mine = [n for n in range(100) if right(held, n)]
    other = DiskCache(tmp_path, 100_000)
    for n in range(100, 200):
        other.put(key_of(n), array_of(n))
    assert mine and all(right(held, n) for n in mine) and used(tmp_path) <= 100_000


def test_many_short_runs_leave_few_files(tmp_path: Path) -> None:
    for n in range(disk_module.MOST_SEGMENTS + 20):
        DiskCache(tmp_path, 10**8).put(key_of(n), array_of(n))
    assert len(list(tmp_path.rglob("*.pixels"))) <= disk_module.MOST_SEGMENTS


# --------------------------------------------------------------------------------------------------- damage

BUILD = """
import sys
sys.path.insert(0, {src!r}); sys.path.insert(0, {tests!r})
from test_cache import DiskCache, array_of, key_of
cache = DiskCache({folder!r}, {limit})
print("ready", flush=True)
for n in range({first}, {last}):
    if cache.get(key_of(n)) is None:
        cache.put(key_of(n), array_of(n))
    if n % 20 == 0:
        print(n, flush=True)
print(cache.stopped or "done", flush=True)
"""


def build(folder: Path, first: int = 0, last: int = 400, limit: int = 10**8) -> subprocess.Popen[str]:
    tests = str(Path(__file__).parent)
    code = BUILD.format(src=str(SRC), tests=tests, folder=str(folder), first=first, last=last, limit=limit)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline().strip() == "ready"
    return process


def said(process: subprocess.Popen[str]) -> str:
    """The last word of a builder."""
    return process.communicate()[0].splitlines()[-1]


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_while_building(tmp_path: Path) -> None:
    chance = random.Random(0)
    kept: list[int] = []
    for _ in range(8):
        process = build(tmp_path, last=2000)
        assert process.stdout is not None
        stop = chance.randrange(1000)
        while int(process.stdout.readline()) < stop:
            pass
        time.sleep(chance.uniform(0.0, 0.01))  # anywhere between and within two writes
        process.send_signal(signal.SIGKILL)
        process.communicate()
        cache = DiskCache(tmp_path, 10**8)
        kept.append(sum(right(cache, n) for n in range(2000)))
        del cache
    assert kept == sorted(kept) and kept[0] > 0 and kept[-1] < 2000, kept
    assert said(build(tmp_path, last=2000)) == "done"
    last = DiskCache(tmp_path, 10**8)
    assert all(right(last, n) for n in range(2000))
    # The room that the killed had taken was given back: one copy of each array and little else.
    assert used(tmp_path) < 1.2 * sum(array_of(n).nbytes + 200 for n in range(2000))


def test_killed_between_the_files_of_a_segment(tmp_path: Path) -> None:
    fill(DiskCache(tmp_path, 10**8), 20)
    gc.collect()
    before = used(tmp_path)
    taken = next(tmp_path.rglob("*.pixels")).with_name("0123456789abcdef-01234567.pixels")
    with open(taken, "xb") as file:
        file.truncate(10**7)
    again = DiskCache(tmp_path, 10**8)
    assert not taken.exists() and used(tmp_path) == before
    assert all(right(again, n) for n in range(20))


def test_two_build_at_once(tmp_path: Path) -> None:
    processes = [build(tmp_path), build(tmp_path), build(tmp_path, first=200, last=600)]
    assert [said(p) for p in processes] == ["done"] * 3
    cache = DiskCache(tmp_path, 10**8)
    assert all(right(cache, n) for n in range(600))


def test_two_build_at_once_within_the_bound(tmp_path: Path) -> None:
    processes = [build(tmp_path, limit=300_000) for _ in range(2)]
    assert {said(p) for p in processes} <= {"done", "it is full"}
    cache = DiskCache(tmp_path, 300_000)
    assert used(tmp_path) <= 300_000 and sum(right(cache, n) for n in range(400)) > 20


@pytest.mark.parametrize("suffix", ["pixels", "index"])
def test_damaged_files_are_made_again_never_trusted(tmp_path: Path, suffix: str) -> None:
    chance = random.Random(suffix)
    rebuilt = 0
    for trial in range(8):
        folder = tmp_path / str(trial)
        writer = DiskCache(folder, 10**6)
        for n in range(12):
            writer.put(key_of(n), array_of(n))
        del writer
        gc.collect()
        (path,) = folder.rglob(f"*.{suffix}")
        data = bytearray(path.read_bytes())
        at = chance.randrange(len(data))
        match trial % 4:
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                del data[at:]
            case 2:
                data[at : at + 4096] = bytes(min(4096, len(data) - at))
            case _:
                data[at:at] = b"?" * chance.randrange(1, 100)
        path.write_bytes(data)
        reader = DiskCache(folder, 10**6)
        for n in range(12):
            if not right(reader, n):
                reader.put(key_of(n), array_of(n))
                rebuilt += 1
        assert all(right(reader, n) for n in range(12))
        assert all(right(DiskCache(folder, 10**6), n) for n in range(12))
    assert rebuilt > 8


def test_files_that_vanish_or_are_not_ours(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 10**6)
    cache.put(key_of(1), array_of(1))
    inside = tmp_path / disk_module.FORMAT
    (inside / "stranger.index").write_bytes(os.urandom(1000))
    (inside / "empty.index").touch()
    (inside / "empty.pixels").touch()
    assert right(DiskCache(tmp_path, 10**6), 1)
    for path in inside.glob("*.pixels"):
        path.unlink()
    assert not right(DiskCache(tmp_path, 10**6), 1) and right(cache, 1)  # the mapping outlives the name


# ------------------------------------------------------------------------------------- no room, no permission


def test_a_full_disk_ends_the_keeping_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [20_000]

    def write(file: Any, data: memoryview) -> None:
        file.write(data[: left[0]])
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(segments, "_write", write)
    cache = DiskCache(tmp_path, 10**7)
    with pytest.warns(UserWarning, match="nothing more is cached.*No space left.*goes on") as caught:
        fill(cache, 100)
    assert len(caught) == 1 and "No space left" in cache.describe()
    assert 0 < sum(right(cache, n) for n in range(100)) < 30
    assert sum(right(DiskCache(tmp_path, 10**7), n) for n in range(100)) > 0


@pytest.mark.skipif(os.name == "nt", reason="needs limits of a process")
def test_a_real_limit_on_file_size(tmp_path: Path) -> None:
    code = BUILD.format(
        src=str(SRC), tests=str(Path(__file__).parent), folder=str(tmp_path), first=0, last=400, limit=10**8
    )
    before = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))"
    )
    done = subprocess.run([sys.executable, "-c", before + code], capture_output=True, text=True)
    assert done.returncode == 0 and "failed" in done.stdout and done.stderr.count("UserWarning") == 1


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="nothing more is cached"):
        cache = DiskCache(tmp_path / "file" / "cache", 10**6)
    cache.put(key_of(1), array_of(1))
    assert cache.get(key_of(1)) is None


def test_default_folder_follows_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WIGGLY_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(disk_module.sys, "platform", "linux")
    assert default_folder() == tmp_path / "wiggly" / "decoded"
    monkeypatch.setenv("WIGGLY_CACHE", str(tmp_path / "elsewhere"))
    assert default_folder() == tmp_path / "elsewhere"
    assert 0 < default_limit(tmp_path / "not" / "yet") <= disk_module.MOST_DISK


# ------------------------------------------------------------------------------------------- files and memory


def test_a_stamp_changes_whenever_the_file_does(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"first")
    seen = {file_stamp(str(path), "t")[0], file_stamp(str(path), "other")[0]}
    old = path.stat()
    path.write_bytes(b"other")  # as long
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))  # and its time set back
    seen.add(file_stamp(str(path), "t")[0])
    path.write_bytes(b"longer than that")
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    seen.add(file_stamp(str(path), "t")[0])
    (tmp_path / "b").write_bytes(b"other")
    (tmp_path / "b").replace(path)
    seen.add(file_stamp(str(path), "t")[0])
    assert len(seen) == 5 and file_stamp(str(path), "t")[0] in seen


def test_a_file_just_written_is_not_at_rest(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    assert not file_stamp(str(path), "")[1]
    time.sleep(cache_module.FINE_TICK + 0.05)
    whole_second = path.stat().st_mtime_ns % 10**9 == 0
    assert file_stamp(str(path), "")[1] or whole_second
    with pytest.raises(OSError):
        file_stamp(str(tmp_path / "none"), "")


def test_available_memory_is_that_of_the_tightest_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 10**7 < available_memory() < 10**14
    own = Path("/proc/self/cgroup")
    if not own.exists():
        pytest.skip("needs Linux")
    group = tmp_path / own.read_text().strip().rpartition(":")[2].strip("/")
    group.mkdir(parents=True, exist_ok=True)
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("4000\n")
    (tmp_path / "memory.stat").write_text("anon 100\ninactive_file 700\n")
    assert cache_module._container_memory(tmp_path) == 1700
    (tmp_path / "memory.max").write_text("max\n")
    assert cache_module._container_memory(tmp_path) is None


def test_errors_name_the_argument() -> None:
    from wiggly.data.cache.keeping import choose_cache

    for arguments, message in (
        (("rom", None, None), "must be 'ram', 'disk', 'auto' or None; it is 'rom'"),
        (("ram", None, 0), "`cache_bytes` must be at least 1; it is 0"),
    ):
        with pytest.raises(ArgumentError, match=message):
            choose_cache(*arguments, lambda: 0)


def test_auto_takes_memory_then_disk_then_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wiggly.data.cache import keeping

    monkeypatch.setattr(keeping, "default_limit", lambda place: 5000)
    monkeypatch.setattr(cache_module, "available_memory", lambda: 2000)
    answers = {
        need: keeping.choose_cache("auto", tmp_path, None, lambda n=need: n) for need in (900, 4000, 9000, 0)
    }
    assert [getattr(answers[n][0], "kind", None) for n in (900, 4000, 9000, 0)] == ["ram", "disk", None, None]
    assert (
        answers[900][1]
        == "cache: ram, for the decoded items take about 900 bytes of the 1 kB that may be used there"
    )
    assert (
        "cache: disk" in answers[4000][1] and "cache: none" in answers[9000][1] and "no item" in answers[0][1]
    )
