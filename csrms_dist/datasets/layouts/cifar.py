"""CIFAR-10 and CIFAR-100 as their authors and torchvision store them: Python pickles of (N, 3072) uint8.

`data.path` is the folder `cifar-10-batches-py` or `cifar-100-python`, or its parent. Nothing but arrays, numbers and
text can be unpickled: a pickle is a program, and this one comes from elsewhere.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy._core import multiarray

from csrms_dist.basics.arrays import I64, U8
from csrms_dist.datasets.decoding import Stored
from csrms_dist.datasets.layouts.layout_format import Found, LayoutFormat, Rows
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.errors import DataError


@dataclass(frozen=True)
class Format:
    folder: str
    train: tuple[str, ...]
    test: str
    labels: str
    meta: str
    names: str


FORMATS = (
    Format(
        "cifar-10-batches-py", tuple(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "labels",
        "batches.meta", "label_names",
    ),
    Format("cifar-100-python", ("train",), "test", "fine_labels", "meta", "fine_label_names"),
)  # fmt: skip
WIDTH = 32 * 32 * 3
UNPACK = "unpack it again"


class _ForeignObject(pickle.UnpicklingError):
    """Something that is neither array, number nor text."""


def _latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes into an old pickle."""
    if encoding not in ("latin1", "latin-1"):
        raise _ForeignObject(f"the encoding {encoding}")
    return text.encode("latin1")


def _scalar(dtype: np.dtype[Any], raw: bytes) -> Any:
    """How NumPy writes one of its numbers: labels that are a list of np.int64."""
    if dtype.hasobject:
        raise _ForeignObject("an object in the place of a number")
    return np.frombuffer(raw, dtype, 1)[0]


def _array(raw: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: Literal["C", "F"]) -> Any:
    """How NumPy writes an array with protocol 5, which Python 3.14 takes by itself."""
    return np.frombuffer(raw, dtype).reshape(shape, order=order)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): multiarray._reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array for core in ("core", "_core")},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _ForeignObject(f"the object {module}.{name}, which is no array")
        return _ALLOWED[module, name]


def format_of(path: Path) -> tuple[Path, Format]:
    """The folder of a CIFAR set and its format. Raises DataError when there is none, or more than one."""
    found = []
    for kind in FORMATS:
        found += [(folder, kind) for folder in (path, path / kind.folder) if (folder / kind.meta).is_file()]
    if len(found) != 1:
        expected = " or ".join(kind.folder for kind in FORMATS)
        got = f"{path} with {'both of them' if found else 'neither'} in it"
        raise DataError("data.path", got=got, expected=expected, remedy="name the folder itself")
    return found[0]


def files_of(settings: DataSettings) -> list[Path]:
    """The files that the layout reads."""
    folder, kind = format_of(Path(settings.path))
    return [folder / name for name in (*kind.train, kind.test, kind.meta)]


def find(settings: DataSettings) -> Found:
    """Read the labels of every file; pixels are read again when they are asked for, one file at a time."""
    folder, kind = format_of(Path(settings.path))
    names = _names(folder / kind.meta, kind)
    sides = {
        "train": _rows("train", [folder / name for name in kind.train], kind),
        "test": _rows("test", [folder / kind.test], kind),
    }
    name = "cifar10" if kind is FORMATS[0] else "cifar100"
    return Found(name, sides, names=dict(enumerate(names)), n_classes=len(names))


def _rows(side: str, paths: list[Path], kind: Format) -> Rows:
    labels: list[I64] = []
    for path in paths:
        batch = _load(path)
        array = _numbers(_entry(batch, kind.labels, path))
        if array is None or len(array) != len(_pixels(batch, path)):
            got = "labels that are no list of whole numbers" if array is None else f"{array.size} labels"
            raise DataError(f"{path}", got=got, expected="a class index for each image")
        labels.append(array)
    joined = np.concatenate(labels)
    ids = pa.array([f"{side}/{n:05d}" for n in range(len(joined))], pa.string())
    return Rows(ids, np.arange(len(joined) + 1), joined, _Pixels(tuple(paths)))


def _numbers(labels: Any) -> I64 | None:
    """Class indices as an array; None: they are something else."""
    try:
        array = np.asarray(labels)
    except ValueError:  # lists of unequal length
        return None
    return array.astype(np.int64) if array.ndim == 1 and array.dtype.kind in "iu" else None


def _names(path: Path, kind: Format) -> list[str]:
    names = _entry(_load(path), kind.names, path)
    if not isinstance(names, list | tuple | np.ndarray) or not all(isinstance(name, str | bytes) for name in names):
        raise DataError(f"{path}: {kind.names}", got=type(names).__name__, expected="the names of the classes")
    return [name.decode(errors="backslashreplace") if isinstance(name, bytes) else str(name) for name in names]


@dataclass(frozen=True)
class _Pixels:
    """Reads the images of ascending rows, counted over all files."""

    paths: tuple[Path, ...]

    def __call__(self, rows: I64) -> Iterator[Stored]:
        first = 0
        for path in self.paths:
            pixels = _pixels(_load(path), path)
            for row in rows[(rows >= first) & (rows < first + len(pixels))]:
                yield np.ascontiguousarray(pixels[row - first].reshape(3, 32, 32).transpose(1, 2, 0))
            first += len(pixels)


def _load(path: Path) -> dict[Any, Any]:
    try:
        with path.open("rb") as file:
            batch = _Unpickler(file, encoding="bytes").load()
    except FileNotFoundError as error:
        raise DataError(f"{path}", got="nothing there", expected="a file of CIFAR", remedy=UNPACK) from error
    except MemoryError:
        raise
    except _ForeignObject as error:
        raise DataError(f"{path}", got=f"'{error}'", expected="a pickle of arrays as CIFAR has it") from error
    except Exception as error:  # a damaged pickle raises whatever its opcodes meet
        got = error.strerror if isinstance(error, OSError) and error.strerror else "a file that is damaged or no pickle"
        raise DataError(f"{path}", got=got, expected="a pickle of arrays as CIFAR has it", remedy=UNPACK) from error
    if not isinstance(batch, dict):
        raise DataError(f"{path}", got=type(batch).__name__, expected="a dictionary as CIFAR has it")
    return batch


def _entry(batch: dict[Any, Any], key: str, path: Path) -> Any:
    for name in (key.encode(), key):
        if name in batch:
            return batch[name]
    raise DataError(f"{path}", got=f"no '{key}' in it", expected="a file as CIFAR has it", remedy=UNPACK)


def _pixels(batch: dict[Any, Any], path: Path) -> U8:
    pixels = _entry(batch, "data", path)
    if not (isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.shape[1:] == (WIDTH,)):
        got = f"{pixels.dtype} of shape {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise DataError(f"{path}: data", got=got, expected=f"uint8 of shape (N, {WIDTH})")
    return pixels


LAYOUT = LayoutFormat(find, files_of)
