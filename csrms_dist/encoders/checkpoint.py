"""A file of weights -> its named tensors, whoever wrote it. Nothing in it is executed."""

from __future__ import annotations

import argparse
import pathlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from csrms_dist.errors import ConfigError, DataError

ENDINGS = (".safetensors", ".pth", ".pt", ".pth.tar", ".ckpt", ".bin")

WRAPPERS = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "state_dict", "model_state_dict", "model", "net")
"""Under which key trainers put a model beside epoch, optimiser and arguments; averaged weights (EMA) come first."""

_DEPTH = 3
_SAVE = "write it with safetensors.torch.save_file or torch.save(module.state_dict(), ...)"
_UNSUPPORTED = re.compile(r"(?:GLOBAL|unsupported class|Unsupported class|unsupported type) ([\w.]+)")


def _inert() -> Iterator[Any]:
    """What trainers keep beside their tensors, and what runs nothing when made: arguments, paths, numbers of NumPy."""
    yield from (argparse.Namespace, pathlib.PosixPath, np.ndarray, np.dtype)
    yield from {type(np.dtype(code)) for code in "?bBhHiIlLqQefd"}
    for core in ("core", "_core"):
        yield multiarray.scalar, f"numpy.{core}.multiarray.scalar"
        yield multiarray._reconstruct, f"numpy.{core}.multiarray._reconstruct"


def refuse_other_file(path: Path) -> None:
    """Raise ConfigError for a file that is not there, or whose name has another ending."""
    if not path.name.lower().endswith(ENDINGS) or not path.is_file():
        raise ConfigError(
            "encoder.weights", got=f"'{path}'" + _what_it_is(path),
            expected=f"'pretrained' or an existing file that ends in {', '.join(ENDINGS)}",
        )  # fmt: skip


def _what_it_is(path: Path) -> str:
    """What a path leads to in the place of a file, behind a comma; '' for a file."""
    if path.is_file():
        return ""
    return ", which is a folder" if path.is_dir() else ", which is not there"


def read_weights(path: Path) -> dict[str, Tensor]:
    """The named tensors of a weights file, or of a checkpoint that holds them under one of WRAPPERS.

    Raises ConfigError when it is not there or its name has another ending, DataError when it holds no named tensors,
    or besides them an object that torch does not make from an untrusted file, which is named.
    """
    refuse_other_file(path)
    found = _content(path)
    for _ in range(_DEPTH):
        if isinstance(found, Mapping):
            found = next((found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)), found)
    if isinstance(found, Mapping):  # the state of a module that is no tensor: of a quantiser, of another library
        found = {str(name): value for name, value in found.items() if not str(name).endswith("_extra_state")}
    if not isinstance(found, Mapping) or not found or not all(isinstance(v, Tensor) for v in found.values()):
        raise DataError(
            str(path), got=f"a {type(found).__name__} of something else", expected="named tensors",
            remedy="write it with torch.save(module.state_dict(), ...)",
        )  # fmt: skip
    return dict(found)


def _content(path: Path) -> Any:
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(list(_inert())):
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file raises whatever it meets first
        raise DataError(str(path), got=_complaint(error), expected="a weights file", remedy=_SAVE) from error


def _complaint(error: Exception) -> str:
    """What is wrong with a file that a library could not read, in our words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, SafetensorError):
        return "a file that is damaged or no safetensors"
    if named := _UNSUPPORTED.search(str(error)):
        return f"the object {named[1]} in it, which is neither tensor, number nor text"
    if "TorchScript" in str(error):
        return "a TorchScript program"
    return "a file that is damaged or that torch has not written"
