"""Files are whole, arrays have their space, and what the disk refuses is one sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csrms_dist.artefacts.files import NpyWriter, disk_errors, full_disk, reserve_npy, write_whole
from csrms_dist.errors import RunDirectoryError


def test_write_whole_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    for data in (b"one", b"", b"three"):
        write_whole(tmp_path / "x", data)
        assert (tmp_path / "x").read_bytes() == data
    with pytest.raises(IsADirectoryError):
        (tmp_path / "folder").mkdir()
        write_whole(tmp_path / "folder", b"no")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "x"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_place_without_permission(number: int) -> None:
    refused = pytest.raises(
        RunDirectoryError, match="runs/x: got a folder that may not be written; change its permissions"
    )
    with refused, disk_errors("runs/x"):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EDQUOT])
@pytest.mark.parametrize("context", [disk_errors, full_disk])
def test_every_kind_of_full(number: int, context: Callable[[str], Any]) -> None:
    text = f"cannot write below runs/x: got '{os.strerror(number)}'"
    with pytest.raises(RunDirectoryError, match=text) as caught, context("runs/x"):
        raise OSError(number, os.strerror(number))
    assert caught.value.exit_code == 4
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("error", [ValueError("5 requested"), OSError("odd")])
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, disk_errors("runs/x"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENAMETOOLONG, errno.EIO])
def test_any_refusal_is_one_sentence(number: int) -> None:
    text = f"^runs/x: got '{os.strerror(number)}', expected a place that can be written; choose another --out$"
    with pytest.raises(RunDirectoryError, match=text), disk_errors("runs/x"):
        raise OSError(number, "Failed to open local file '/runs/.x.7'")  # as Arrow says it


@pytest.mark.parametrize("shape", [(0,), (0, 3), (5,), (4, 3), (2, 3, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, bool])
def test_a_reserved_array_is_what_numpy_saves_of_zeros(tmp_path: Path, dtype: type, shape: tuple[int, ...]) -> None:
    start = reserve_npy(tmp_path / "a.npy", dtype, shape)
    np.save(tmp_path / "b.npy", np.zeros(shape, dtype))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    assert start == (tmp_path / "a.npy").stat().st_size - np.zeros(shape, dtype).nbytes


def test_an_array_may_be_written_in_any_order(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).random((10, 3))
    with NpyWriter(tmp_path / "a.npy", np.float32, whole.shape) as writer:
        for rows in (slice(7, 10), slice(0, 0), slice(0, 4), slice(4, 7)):
            writer.put(rows.start, whole[rows])
    np.save(tmp_path / "b.npy", whole.astype(np.float32))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_a_full_disk_is_an_error_before_a_value_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(RunDirectoryError, match="No space left"), full_disk("runs/x"):
        NpyWriter(tmp_path / "a.npy", np.float32, (10**12, 3))
