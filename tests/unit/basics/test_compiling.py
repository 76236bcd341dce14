"""Compiled loops work wherever their code comes from, and it is said when they are compiled."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from csrms_dist.basics.compiling import COMPILING, compiled
from csrms_dist.basics.progress import Progress


def test_a_kernel_compiles_where_its_code_cannot_be_cached():
    scope: dict = {}
    exec("def double(x):\n    return 2 * x\n", scope)  # noqa: S102  (no file, so numba has no folder for it)
    assert compiled(scope["double"])(21) == 42


def doubled():
    scope: dict = {}
    exec("def double(x):\n    return 2 * x\n", scope)  # noqa: S102
    return compiled(scope["double"])


def test_compiling_is_said_once_by_the_work_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    stream, beside = io.StringIO(), io.StringIO()
    kernel = doubled()
    with Progress("cluster", stream=beside):
        pass
    with Progress("cluster", stream=stream):
        assert (kernel(21), kernel(2.0), kernel(3)) == (42, 4.0, 6)  # compiled for two types
    assert stream.getvalue().splitlines()[:-1] == [f"cluster   {COMPILING}"]
    assert COMPILING not in beside.getvalue()


def test_a_library_and_ci_compile_in_silence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("CI", "true")
    stream = io.StringIO()
    doubled()(1)
    with Progress("cluster", stream=stream):
        doubled()(1)
    assert COMPILING not in stream.getvalue()
    assert capsys.readouterr() == ("", "")


PROGRAM = """
import os
os.environ.pop("CI", None)
from csrms_dist.basics.progress import Progress
from kernels import double
with Progress("cluster"):
    double(1)
"""


def test_only_the_first_process_says_so(tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text(
        "from csrms_dist.basics.compiling import compiled\n@compiled\ndef double(x):\n    return 2 * x\n"
    )
    said = [
        subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=True).stderr
        for _ in range(2)
    ]
    assert [COMPILING in text for text in said] == [True, False], said
