"""`csrms doctor`: what is there, what is missing, and never a password."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from ray_jobs import doctor
from tests.unit.ray_jobs.conftest import Cli


def test_everything_is_installed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("NEO4J_URI", raising=False)
    said = cli("doctor")
    assert (said.code, said.err) == (0, "")
    for word in ("Python", "torch", "ray", "dgl", "ladybug", "a local session", "embedded"):
        assert word in said.out
    assert "MISSING" not in said.out


def test_a_missing_package_is_named_with_its_remedy(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor.version

    def version(package: str) -> str:
        if package == "ladybug":
            raise PackageNotFoundError(package)
        return real(package)

    monkeypatch.setattr(doctor, "version", version)
    said = cli("doctor")
    assert said.code == 7
    assert "missing: ladybug; install" in said.out


def test_a_server_that_does_not_answer_and_its_password(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_URI", "bolt://somebody:hush@127.0.0.1:1")
    said = cli("doctor")
    assert said.code == 0
    assert "127.0.0.1:1 does not answer" in said.out
    assert "hush" not in said.out + said.err
    assert "somebody" not in said.out + said.err
