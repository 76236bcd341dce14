"""The Neo4j store without a server: its environment, and its password, which is nowhere."""

from __future__ import annotations

import pickle

import pytest

from csrms_dist.errors import ConfigError, StoreError
from graphstore.neo4j.store import Neo4jStore
from tests.unit.graphstore.making import NOWHERE


def test_another_machine_may_be_trusted_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_URI", "bolt://graph.example.org")
    monkeypatch.setenv("NEO4J_PASSWORD", "hush")
    with pytest.raises(ConfigError, match="CSRMS_NEO4J_UNVERIFIED=1"):
        Neo4jStore.from_environment()
    monkeypatch.setenv("CSRMS_NEO4J_UNVERIFIED", "1")
    assert "graph.example.org" in Neo4jStore.from_environment().location


@pytest.mark.parametrize("missing", ["NEO4J_URI", "NEO4J_PASSWORD"])
def test_what_the_environment_lacks_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO4J_URI", NOWHERE)
    monkeypatch.setenv("NEO4J_PASSWORD", "hush")
    monkeypatch.delenv(missing)
    with pytest.raises(ConfigError, match=f"{missing}: got nothing"):
        Neo4jStore.from_environment()


def test_the_password_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Neo4jStore(NOWHERE, "me", "hush")
    shown = [repr(store), store.location, str(vars(store))]
    with pytest.raises(StoreError, match="no answer from") as caught:
        store.runs()
    shown += [str(caught.value), repr(store)]
    assert all("hush" not in text for text in shown)
    assert b"hush" not in pickle.dumps(store)
    monkeypatch.setenv("NEO4J_URI", NOWHERE)
    monkeypatch.setenv("NEO4J_PASSWORD", "other")
    assert pickle.loads(pickle.dumps(store)).location == store.location  # noqa: S301
    store.close()
