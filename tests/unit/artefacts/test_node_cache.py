"""The cache of a node: what is read by range equals the original, whatever is thrown away, within the bound."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.fs as pafs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csrms_dist.artefacts import node_cache, ranged_file
from csrms_dist.artefacts.node_cache import NodeCache
from csrms_dist.artefacts.ranged_file import ABSENT, RangedFile, create, give_up
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.datasets.image_source import in_memory
from csrms_dist.datasets.image_table import ImageTable, write_image_table
from csrms_dist.errors import ConfigError
from csrms_dist.features.ranged_vectors import RangedVectors
from csrms_dist.labels import LabelSpace

BLOCK = 1 << 12


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Blocks and large files of a size that tests can make."""
    monkeypatch.setattr(ranged_file, "BLOCK", BLOCK)
    monkeypatch.setattr(ranged_file, "AT_ONCE", 4)
    monkeypatch.setattr(node_cache, "WHOLE", 2 * BLOCK)
    monkeypatch.setattr(node_cache, "TRIES", 2)
    monkeypatch.setenv("CSRMS_CACHE", str(tmp_path / "cache"))
    yield


def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory("run", filesystem=pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem()))


def another_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gigabytes: float = 1.0) -> RunDirectory:
    monkeypatch.setenv("CSRMS_CACHE", str(tmp_path / "other"))
    monkeypatch.setenv("CSRMS_CACHE_GB", str(gigabytes))
    return directory(tmp_path)


def bytes_on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512


@given(
    content=st.binary(min_size=1, max_size=6 * BLOCK),
    asked=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2 * BLOCK)), max_size=6),
    gone=st.lists(st.integers(1, 6 * BLOCK), max_size=3),
)
@settings(max_examples=30)
def test_what_is_read_by_range_is_the_original(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, asked: list[tuple[float, int]], gone: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("copy")
    path, marks, fetched = folder / "copy", folder / "0.marks", []

    def read(start: int, stop: int) -> bytes:
        fetched.append((start, stop))
        return content[start:stop]

    create(path, marks, len(content))
    copy = RangedFile(path, marks, len(content), read, lambda _: None)
    mapped = np.memmap(path, np.uint8, "r")
    for number, (where, length) in enumerate(asked):
        start = int(where * (len(content) - 1))
        stop = min(start + length, len(content))
        fetched.clear()
        with copy.reading(np.array([start]), np.array([stop])):
            assert mapped[start:stop].tobytes() == content[start:stop]
        needed = {block for byte in range(start, stop) for block in [byte // BLOCK]}
        assert {byte // BLOCK for a, b in fetched for byte in range(a, b)} <= needed
        if number < len(gone):
            give_up(path, marks, gone[number])
    handle = copy.hold_whole(folder / "filling")
    assert give_up(path, marks, len(content)) == 0
    assert path.read_bytes() == content
    os.close(handle)


def test_only_blocks_of_the_rows_that_are_asked_for_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = np.random.default_rng(0).normal(size=(4000, 16)).astype(np.float32)
    with directory(tmp_path).writing("features", "f") as folder:
        np.save(folder / "vectors.npy", vectors)
        (folder / "rows.txt").write_text("small")
    run = another_node(tmp_path, monkeypatch)
    folder = run.open("features", by_range=("vectors.npy",))
    assert (folder / "rows.txt").read_text() == "small"
    copy = run.ranged("features", "vectors.npy")
    assert copy is not None and run.ranged("features", "rows.txt") is None
    found = RangedVectors(copy)
    assert (len(found), found.shape, found.dtype) == (4000, (4000, 16), np.float32)
    rows = np.array([3999, 0, 1, 0])
    assert np.array_equal(found[rows], vectors[rows]) and np.array_equal(found[10:13], vectors[10:13])
    assert bytes_on_disk(copy.path) <= 3 * BLOCK
    assert found[np.zeros(0, np.int64)].shape == (0, 16)
    for outside in (np.array([4000]), np.array([-1])):
        with pytest.raises(IndexError, match="of 4000"):
            found[outside]
    # Who does not ask by range gets all of it, in the same copy.
    assert np.array_equal(np.load(run.open("features") / "vectors.npy"), vectors)
    assert np.array_equal(found[rows], vectors[rows])


@pytest.mark.parametrize("side", [16, 70])
def test_images_are_read_by_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    """Decoded in the table, and encoded."""
    pixels = np.random.default_rng(1).integers(0, 256, (90, side, side, 3), np.uint8)
    ids, space = [f"image/{n}" for n in range(90)], LabelSpace(("cat", "dog"))
    images = in_memory("made", space, ids, space.membership([n % 2 for n in range(90)]), ["train"] * 90, pixels)
    run = directory(tmp_path)
    with run.writing("images", "f") as folder:
        write_image_table(folder / "t.arrow", images)
        local = ImageTable(folder / "t.arrow")
        every = local.pixels(np.arange(90))
    other = another_node(tmp_path, monkeypatch)
    folder = other.open("images", by_range=("t.arrow",))
    copy = other.ranged("images", "t.arrow")
    assert copy is not None
    table = ImageTable(folder / "t.arrow", lambda name: copy)
    few = bytes_on_disk(copy.path)
    rows = np.array([89, 3, 41, 3])
    assert np.array_equal(table.pixels(rows), every[rows])
    assert few < bytes_on_disk(copy.path) < copy.size
    assert np.array_equal(table.pixels(np.arange(90)), every)


def test_the_bound_holds_while_a_larger_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(8000, 16)).astype(np.float32)  # 125 blocks
    with directory(tmp_path).writing("features", "f") as folder:
        np.save(folder / "vectors.npy", vectors)
    bound = 20 * BLOCK
    run = another_node(tmp_path, monkeypatch, bound / 1e9)
    run.open("features", by_range=("vectors.npy",))
    copy = run.ranged("features", "vectors.npy")
    assert copy is not None
    found, most = RangedVectors(copy), 0
    for rows in np.array_split(np.random.default_rng(1).permutation(8000), 400):
        assert np.array_equal(found[rows[:8]], vectors[rows[:8]])
        most = max(most, NodeCache.of_this_node().used())
    assert most <= bound + (ranged_file.AT_ONCE + 2) * BLOCK


def test_several_readers_beside_each_other_never_see_a_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock is of an open file, so threads with their own directories are to each other as processes are."""
    vectors = np.random.default_rng(0).normal(size=(4000, 16)).astype(np.float32)  # 63 blocks
    with directory(tmp_path).writing("features", "f") as folder:
        np.save(folder / "vectors.npy", vectors)
    another_node(tmp_path, monkeypatch, 12 * BLOCK / 1e9)
    monkeypatch.setattr("csrms_dist.artefacts.node_cache.warn", lambda _: None)
    start = threading.Barrier(4)

    def read(seed: int) -> int:
        run = directory(tmp_path)
        run.open("features", by_range=("vectors.npy",))
        copy = run.ranged("features", "vectors.npy")
        assert copy is not None
        found, rng = RangedVectors(copy), np.random.default_rng(seed)
        start.wait()
        wrong = 0
        for _ in range(40):
            rows = rng.integers(0, 4000, 4)
            wrong += not np.array_equal(found[rows], vectors[rows])
        return wrong

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == [0, 0, 0, 0]


def test_what_was_read_longest_ago_goes_first_and_what_is_in_use_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = directory(tmp_path)
    for number, name in enumerate(("a", "b", "c")):
        with run.writing(name, "f") as folder:
            (folder / "x").write_bytes(bytes([number]) * BLOCK)
    other = another_node(tmp_path, monkeypatch, 3.5 * 2 * BLOCK / 1e9)  # each with its stamp: two blocks
    for age, name in enumerate(("a", "b", "c")):
        other.open(name)
        [state] = (tmp_path / "other" / "state").glob(f"{name}-*")
        os.utime(state / "in_use", (age, age))
    with other.writing("d", "f") as folder:
        (folder / "x").write_bytes(b"d" * BLOCK)
    kept = {path.name.partition("-")[0] for path in (tmp_path / "other" / "artefacts").iterdir()}
    assert {"a", "b", "c"} <= kept  # this process has them open
    other.release()
    NodeCache.of_this_node().make_room(3 * BLOCK)
    kept = {path.name.partition("-")[0] for path in (tmp_path / "other" / "artefacts").iterdir()}
    assert kept == {"b", "c"}
    assert (other.open("a") / "x").read_bytes() == bytes(BLOCK)


def test_a_released_copy_stays_readable_where_it_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.arange(4000 * 16, dtype=np.float32).reshape(4000, 16)
    with directory(tmp_path).writing("features", "f") as folder:
        np.save(folder / "vectors.npy", vectors)
    run = another_node(tmp_path, monkeypatch)
    mapped = np.load(run.open("features") / "vectors.npy", mmap_mode="r")
    copy = run.ranged("features", "vectors.npy")
    assert copy is not None
    run.release()
    cache = NodeCache.of_this_node()
    NodeCache(cache.folder, 1).make_room(0)
    assert list((cache.folder / "artefacts").iterdir()) == []
    assert np.array_equal(mapped, vectors)
    assert np.array_equal(first_two(copy, mapped), vectors[:2])


def first_two(copy: RangedFile, mapped: np.ndarray) -> np.ndarray:
    with copy.reading(np.array([0]), np.array([BLOCK])):
        found: np.ndarray = np.array(mapped[:2])
        return found


def test_where_no_part_of_a_file_can_be_given_back_all_of_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoPunch:
        class fallocate:  # noqa: N801
            def __new__(cls, *_: object) -> int:  # type: ignore[misc]
                return -1

    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: NoPunch)
    path, marks, content = tmp_path / "copy", tmp_path / "0.marks", bytes(range(256)) * 64
    create(path, marks, len(content))
    copy = RangedFile(path, marks, len(content), lambda start, stop: content[start:stop], lambda _: None)
    copy.fetch(np.arange(4))
    assert give_up(path, marks, 1) > 0
    assert set(marks.read_bytes()) == {ABSENT} and bytes_on_disk(path) == 0
    with copy.reading(np.array([0]), np.array([len(content)])):
        assert path.read_bytes() == content


def test_what_a_killed_writer_staged_is_swept(tmp_path: Path) -> None:
    cache = NodeCache.of_this_node()
    with cache.staging("graph") as folder, cache.staging("graph"):
        assert folder.is_dir()  # its writer lives
    left = tmp_path / "cache" / "staging" / "graph-killed"
    left.mkdir()
    left.with_name("graph-killed.lock").touch()
    with cache.staging("train"):
        assert not left.exists()
    assert list((tmp_path / "cache" / "staging").iterdir()) == []


@pytest.mark.parametrize("given", ["0", "-1", "much", "inf"])
def test_a_bound_that_is_none(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSRMS_CACHE_GB", given)
    with pytest.raises(ConfigError, match=f"the variable CSRMS_CACHE_GB: got '{given}', expected a number above 0"):
        NodeCache.of_this_node()
