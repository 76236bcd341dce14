"""The connection: addresses that it takes, and its silence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from csrms_dist.errors import ConfigError
from graphstore.neo4j.store import Neo4jStore
from tests.unit.graphstore.making import NOWHERE


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("bolt://localhost:notaport", "such as neo4j\\+s://graph.example.org:7687"),
        ("bolt://graph.example.org:7687", r"neo4j\+s:// to another machine"),
        ("neo4j+ssc://10.0.0.7", r"neo4j\+s:// to another machine"),
        ("neo4j://127.0.0.1.example.org", r"neo4j\+s:// to another machine"),
        ("http://localhost:7474", "expected such as neo4j"),
        ("localhost", "expected such as neo4j"),
        ("neo4j+s://me:hush@graph.example.org", "got a user or a password in it"),
    ],
)
def test_an_unsafe_address_is_refused(uri: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        Neo4jStore(uri, "me", "hush")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("uri", ["neo4j+s://graph.example.org", "bolt://localhost", "neo4j://[::1]:7687", NOWHERE])
def test_a_safe_address_is_taken(uri: str) -> None:
    assert Neo4jStore(uri, "me", "hush").location == f"{uri}, database neo4j"


def test_an_import_leaves_logging_as_it_is() -> None:
    code = "import logging, graphstore.neo4j.store; assert 'neo4j' not in logging.root.manager.loggerDict"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
