"""Variants by name: a dict maps each name to 'module:name', which is imported when it is asked for.

So listing the names loads nothing, and a variant is one file and one entry. Where a setting takes a name it also takes
a user's own 'module:name', found beside the configuration or installed.
"""

from __future__ import annotations

import difflib
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

from csrms_dist.errors import ConfigError

PACKAGES = ("csrms_dist", "graphstore", "ray_jobs")
OWN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""The form of a user's own 'module:name'."""


def _anything(_: Any) -> bool:
    return True


@cache
def resolve(place: str) -> Any:
    """'package.module:name' of this project -> the object of that name."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def chosen(
    known: Mapping[str, str],
    name: str,
    setting: str,
    *,
    fits: Callable[[Any], bool] = _anything,
    expected: str = "a name that {} has",
) -> Any:
    """The object that `name` stands for: an entry of `known`, or the user's own 'module:name' (see `own`).

    Raises ConfigError, which names the setting, for a name that is neither.
    """
    if name in known:
        return resolve(known[name])
    if OWN.fullmatch(name):
        return own(name, setting, fits=fits, expected=expected)
    raise ConfigError(
        setting, got=repr(name), expected=f"one of {', '.join(known)} or module:name of your own",
        remedy=f"the nearest is {nearest(name, list(known))}",
    )  # fmt: skip


def own(
    place: str,
    setting: str,
    *,
    fits: Callable[[Any], bool] = _anything,
    expected: str = "a name that {} has",
    form: str = "module:name",
) -> Any:
    """A user's 'module:name' -> the object. The working directory is searched too, where the module is nowhere else.

    Raises ConfigError when the module cannot be imported or has no object of that name that fits.

    setting: what the error names.
    fits: whether an object can serve.
    expected: such an object in words, for the error; {} stands for the module.
    form: how it is written in the configuration, for the error.
    """
    module_name, _, name = place.partition(":")
    folder, package = str(Path.cwd()), module_name.partition(".")[0]
    if folder not in sys.path and package not in sys.modules and find_spec(package) is None:
        sys.path.append(folder)
    # The code is the user's: whatever it raises is theirs to read.
    try:
        module = import_module(module_name)
    except Exception as error:
        raise ConfigError(
            setting, got=f"'{place}', whose import says {one_line(error)}", expected=f"an importable {form}",
            remedy=f"{package}.py must lie in {folder} or be installed",
        ) from error  # fmt: skip
    if hasattr(module, name) and fits(getattr(module, name)):
        return getattr(module, name)
    found = nearest(name, [key for key in dir(module) if not key.startswith("_") and fits(getattr(module, key, None))])
    raise ConfigError(
        setting, got=f"'{place}'", expected=expected.format(module_name),
        remedy=f"the nearest is {module_name}:{found}" if found else "it has none",
    )  # fmt: skip


class Kind(NamedTuple):
    """What a user's own object must be. said: in words, {} stands for its module. fits: whether an object is one."""

    said: str
    fits: Callable[[Any], bool]


def check(place: str, setting: str, kind: str) -> None:
    """Raise ConfigError, which names the setting, unless 'module:name' is there and is of a `Kind`, named too."""
    found: Kind = resolve(kind)
    own(place, setting, fits=found.fits, expected=found.said)


def takes(value: Any, n: int) -> bool:
    """Whether something can be called with n arguments."""
    try:
        signature(value).bind(*range(n))
    except (TypeError, ValueError):
        return False
    return True


def own_code(error: BaseException) -> str:
    """Where in a user's own code an error was raised, 'my.py, line 17'; '' where it was raised in none.

    A user's own is what lies neither in this project nor among installed packages.
    """
    ours = [Path(sys.modules[name].__path__[0]).resolve() for name in PACKAGES if name in sys.modules]
    installed = [*ours, *(Path(path).resolve() for path in sysconfig.get_paths().values())]
    found = ""
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename).resolve()
        if path.is_file() and not any(path.is_relative_to(folder) for folder in installed):
            found = f"{path.name}, line {frame.lineno}"
    return found


def one_line(error: BaseException) -> str:
    """An error's kind and text, on one line."""
    return f"'{type(error).__name__}: {' '.join(str(error).split())[:200]}'"


CLOSE = 0.6
"""From this likeness on (of `difflib`) one name may be a slip of the pen for another."""


def nearest(name: str, valid: Sequence[str], likeness: float = 0.0) -> str:
    """The valid name that is closest to `name`, for error messages; '' where none is as like as that."""
    known = {word.lower(): word for word in reversed(valid)}
    matches = difflib.get_close_matches(name.lower(), known, n=1, cutoff=likeness)
    return known[matches[0]] if matches else ""
