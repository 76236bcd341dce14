"""`csrms doctor`: what is there, what is missing, and never a password."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from ray_jobs.commands import doctor
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


@pytest.mark.parametrize(
    ("uri", "password", "words"),
    [
        ("bolt://127.0.0.1:1", "hush", "no answer from bolt://127.0.0.1:1, database neo4j"),
        ("bolt://somebody:hush@127.0.0.1:1", "hush", "got a user or a password in it"),
        ("bolt://graph.example.org", "hush", "expected neo4j+s:// to another machine"),
        ("bolt://127.0.0.1:1", "", "NEO4J_PASSWORD: got nothing"),
    ],
)
def test_a_server_that_cannot_be_used_is_said_without_its_password(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, uri: str, password: str, words: str
) -> None:
    monkeypatch.setenv("NEO4J_URI", uri)
    monkeypatch.setenv("NEO4J_PASSWORD", password)
    said = cli("doctor")
    assert said.code == 7
    assert words in said.out
    assert "everything" not in said.out
    assert "hush" not in said.out + said.err
    assert "somebody" not in said.out + said.err
