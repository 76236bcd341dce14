"""Variants by name: ours, a user's own, and what is neither; and listing them loads nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from csrms_dist.basics.lookup import chosen, own, resolve
from csrms_dist.errors import ConfigError

KNOWN = {"text": "textwrap:dedent", "json": "json:dumps"}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working directory, which is not on sys.path."""
    (tmp_path / "own_variants.py").write_text("NUMBER = 3\nNAME = 'x'\n_HIDDEN = 4\n")
    (tmp_path / "own_broken.py").write_text("import no_such_package\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_variants", raising=False)
    return "own_variants"


def test_a_known_name_is_what_its_place_says() -> None:
    assert chosen(KNOWN, "json", "a.b") is resolve("json:dumps")


def test_a_user_s_own_is_imported(written: str) -> None:
    assert chosen(KNOWN, f"{written}:NUMBER", "a.b") == own(f"{written}:NUMBER", "a.b") == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jsn", r"a\.b: got 'jsn', expected one of text, json or module:name of your own; the nearest is json$"),
        ("own_variants:NUMBRE", r"a\.b: got '.*:NUMBRE', expected a number of own_variants; the nearest is .*:NUMBER$"),
        ("own_variants:NAME", r"a\.b: got '.*:NAME', expected a number of own_variants; the nearest is .*:NUMBER$"),
        (
            "own_gone:NAME",
            r"a\.b: got '.*', whose import says 'ModuleNotFoundError: .*', expected an importable module:n",
        ),
        ("own_broken:NAME", r"whose import says 'ModuleNotFoundError: No module named 'no_such_package''"),
    ],
)
def test_what_is_neither_is_refused(written: str, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen(KNOWN, name, "a.b", fits=lambda value: isinstance(value, int), expected="a number of {}")


@pytest.mark.parametrize("room", ["datasets", "encoders", "features"])
def test_settings_and_the_names_in_them_load_nothing_heavy(room: str) -> None:
    code = f"import csrms_dist.{room}.settings, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert set(done.stdout.split()) & {"numpy", "pyarrow", "torch", "sklearn", "scipy", "PIL", "numba", "timm"} == set()
