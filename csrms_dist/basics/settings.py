"""The settings of the core: frozen, validated once, legal values in one table.

Each field is declared with `setting(default, legal, doc)`; `legal` is the text that both the check and the error
message use: an interval such as "[0, 1]" or "(0, inf)", or the allowed words. The store's and the cluster's own
settings live with them and use the same table.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any, Self, TypeVar

from csrms_dist.basics.lookup import OWN, check, nearest
from csrms_dist.errors import ConfigError

T = TypeVar("T")


def setting(
    default: T, legal: str = "", *, words: Iterable[str] = (), own: str = "", pair: bool = False, doc: str = ""
) -> T:
    """Declare one setting: its default, its legal interval and/or words, and one line of documentation.

    own: a user's own 'module:name' is legal beside the words; the 'module:name' of the `lookup.Kind` that it must be,
    imported when there is one to be checked. A setting whose default is a mapping takes words (or own
    names) to numbers in the interval, one whose default is a tuple takes a list of words (or own names), each once.
    pair: two numbers of the interval, [fewest, most], are legal beside one.
    """
    metadata = {"legal": legal, "words": tuple(words), "own": own, "pair": pair, "doc": doc}
    if isinstance(default, Mapping):
        made: T = field(default_factory=dict, metadata=metadata)  # type: ignore[assignment]
        return made
    return field(default=default, metadata=metadata)


def default_of(spec: dataclasses.Field[Any]) -> Any:
    """The default of a declared setting."""
    return spec.default if spec.default_factory is dataclasses.MISSING else spec.default_factory()


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _within(value: Any, legal: str) -> bool:
    """Whether a number lies in an interval; NaN lies in none."""
    low, high = (float(part) for part in legal[1:-1].split(","))
    above = value >= low if legal[0] == "[" else value > low
    below = value <= high if legal[-1] == "]" else value < high
    return bool(above and below)


def describe(spec: dataclasses.Field[Any]) -> str:
    """The legal values of a field as text: 'a whole number in [1, 64]', "a number in [0, 1] or 'auto'"."""
    legal, words, kind = spec.metadata["legal"], spec.metadata["words"], str(spec.type)
    if "Mapping" in kind:
        names = [f"'{word}'" for word in words] + ["module:name of your own"] * bool(spec.metadata["own"])
        return f"a mapping from {' or '.join(names)} to a number in {legal}"
    if kind.startswith("tuple"):
        names = [f"'{word}'" for word in words] + ["module:name of your own"] * bool(spec.metadata["own"])
        return f"a list of {', '.join(names[:-1])} or {names[-1]}, each once"
    parts = []
    if legal:
        parts.append(("a whole number in " if "int" in kind else "a number in ") + legal)
        if spec.metadata["pair"]:
            parts.append("[fewest, most] of them")
    elif "bool" in kind:
        parts.append("true or false")
    elif not words:
        parts.append("text")
    if words:
        listed = [f"'{word}'" for word in words]
        parts.append(listed[0] if len(listed) == 1 else "one of " + ", ".join(listed))
    if spec.metadata["own"]:
        parts.append("module:name of your own")
    return " or ".join(parts)


def check_value(settings: type[Settings], name: str, value: Any, prefix: str = "") -> Any:
    """Return `value` in the field's type, or raise ConfigError naming the legal values."""
    spec = next(spec for spec in fields(settings) if spec.name == name)
    legal, kind = spec.metadata["legal"], str(spec.type)
    read = _mapping if "Mapping" in kind else _listed if kind.startswith("tuple") else _plain
    found = read(spec, value)
    if found is not None:
        return found
    remedy = "change it in the configuration"
    if legal and isinstance(value, str):
        with contextlib.suppress(ValueError):
            float(value)
            point = "" if "int" in kind else " and with a point, as in 1.0e-3"
            remedy = f"write it without quotes{point}, because YAML reads this as text"
    elif isinstance(value, str) and len(spec.metadata["words"]) > 1:
        remedy = f"the nearest is {nearest(value, spec.metadata['words'])}"
    raise ConfigError(prefix + name, got=repr(value), expected=describe(spec), remedy=remedy)


def _is_word(spec: dataclasses.Field[Any], value: Any) -> bool:
    words, own = spec.metadata["words"], spec.metadata["own"]
    return isinstance(value, str) and (value in words or (own and OWN.fullmatch(value) is not None))


def _plain(spec: dataclasses.Field[Any], value: Any) -> Any:
    """A number, a word, a text or a truth value in the field's type; None when it is not legal."""
    legal, words, kind = spec.metadata["legal"], spec.metadata["words"], str(spec.type)
    if _is_word(spec, value):
        return value
    if spec.metadata["pair"] and isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        return _pair(spec, value)
    if legal and _is_number(value) and _within(value, legal):
        with contextlib.suppress(OverflowError):
            number = float(value) if "float" in kind else int(value)
            if "float" in kind or number == value:
                return number
    elif not legal and not words and (isinstance(value, bool) if "bool" in kind else isinstance(value, str)):
        return value
    return None


def _pair(spec: dataclasses.Field[Any], value: Sequence[Any]) -> Any:
    """(fewest, most), or one number where they are equal; None when a number is not legal or the first is larger."""
    if not all(_is_number(number) for number in value):
        return None
    low, high = (_plain(spec, number) for number in value)
    if low is None or high is None or low > high:
        return None
    return low if low == high else (low, high)


def _mapping(spec: dataclasses.Field[Any], value: Any) -> dict[str, float] | None:
    """Words to numbers; None when a key or a value is not legal."""
    legal = spec.metadata["legal"]
    if not isinstance(value, Mapping):
        return None
    if not all(_is_word(spec, key) and _is_number(n) and _within(n, legal) for key, n in value.items()):
        return None
    return {key: float(n) for key, n in value.items()}


def _listed(spec: dataclasses.Field[Any], value: Any) -> tuple[str, ...] | None:
    """A list of words, of which one alone may stand by itself; None when one is not legal or comes twice."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(_is_word(spec, name) for name in names):
        return None
    return tuple(names) if len(set(names)) == len(names) else None


@dataclass(frozen=True)
class Settings:
    """Base of every section: checks each field against the table when it is made."""

    def __post_init__(self) -> None:
        for spec in fields(self):
            if "legal" in spec.metadata:
                value = check_value(type(self), spec.name, getattr(self, spec.name), self._prefix())
                object.__setattr__(self, spec.name, value)

    def check_own(self) -> None:
        """Raise ConfigError for a user's own 'module:name' here that is not there or is something else."""
        for name, place, kind in self._own():
            check(place, name, kind)

    def _own(self) -> Iterator[tuple[str, str, str]]:
        """(setting, 'module:name', its kind) of everything here that is a user's own."""
        for spec in fields(self):
            if spec.metadata.get("own"):
                value = getattr(self, spec.name)
                for name in value if isinstance(value, Mapping | tuple) else [value]:
                    if name not in spec.metadata["words"]:
                        yield f"{self._prefix()}{spec.name}", name, spec.metadata["own"]

    @classmethod
    def section(cls) -> str:
        """The name of this section in the YAML file; '' for what stands above all sections."""
        return cls.__name__.removesuffix("Settings").removesuffix("Job").lower()

    @classmethod
    def _prefix(cls) -> str:
        """What stands before a key of this section in an error."""
        return f"{cls.section()}." if cls.section() else ""

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Build the section from a YAML mapping; an unknown key names the nearest valid one."""
        valid = [spec.name for spec in fields(cls)]
        for key in values:
            if key not in valid:
                raise ConfigError(
                    f"unknown key {cls.section()}.{key}",
                    remedy=f"the nearest valid key is {cls.section()}.{nearest(str(key), valid)}",
                )
        return cls(**values)
