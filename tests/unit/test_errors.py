"""Every error is one sentence, survives the trip between processes, and carries the command's exit code."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csrms_dist import errors
from csrms_dist.errors import CsrmsError, DataError, MissingDependencyError


def tree(kind: type[CsrmsError]) -> Iterator[type[CsrmsError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


KINDS = sorted(set(tree(CsrmsError)), key=lambda kind: kind.__name__)


def test_the_tree_holds_every_error_of_the_module() -> None:
    declared = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert declared <= set(KINDS)
    assert len(KINDS) > 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_pickling(kind: type[CsrmsError], protocol: int) -> None:
    error = kind("cluster.vigilance", got="1.5", expected="a number in [0, 1]", remedy="change it")
    again = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301
    assert type(again) is kind
    assert str(again) == str(error) == "cluster.vigilance: got 1.5, expected a number in [0, 1]; change it"
    assert again.exit_code == error.exit_code == kind.exit_code
    assert (again.what, again.got, again.expected, again.remedy) == (
        "cluster.vigilance", "1.5", "a number in [0, 1]", "change it",
    )  # fmt: skip


@given(st.text(min_size=1), st.text(), st.text(), st.text())
def test_any_text_survives_pickling(what: str, got: str, expected: str, remedy: str) -> None:
    error = DataError(what, got=got, expected=expected, remedy=remedy)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert str(again) == str(error)
    assert all(part in str(error) for part in (what, got, expected, remedy))


def test_exit_codes_tell_the_kinds_apart() -> None:
    direct = [kind for kind in CsrmsError.__subclasses__() if kind.__module__ == errors.__name__]
    codes = [kind.exit_code for kind in (CsrmsError, *direct)]
    assert len(set(codes)) == len(codes)
    # 0 is success; from 126 up the shell's own codes begin.
    assert all(0 < kind.exit_code < 126 for kind in KINDS)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "it"),
        ({"got": "a"}, "it: got a"),
        ({"expected": "b"}, "it: expected b"),
        ({"remedy": "c"}, "it; c"),
        ({"got": "a", "expected": "b"}, "it: got a, expected b"),
        ({"expected": "b", "remedy": "c"}, "it: expected b; c"),
        ({"got": "a", "expected": "b", "remedy": "c"}, "it: got a, expected b; c"),
    ],
)
def test_empty_parts_leave_no_trace(parts: dict[str, str], text: str) -> None:
    assert str(CsrmsError("it", **parts)) == text


def test_require_returns_the_module() -> None:
    assert errors.require("json").dumps([1]) == "[1]"
    assert errors.require("os.path").join("a", "b") == "a/b"


def test_require_names_the_package_and_the_extra() -> None:
    with pytest.raises(MissingDependencyError, match=r"no_such_package") as caught:
        errors.require("no_such_package.part", extra="full")
    assert "pip install 'csrms-dist[full]'" in str(caught.value)
    assert isinstance(caught.value.__cause__, ImportError)
