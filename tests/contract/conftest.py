"""The stores that the contract holds for. A further store is one more entry of STORES."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graphstore.embedded_store import EmbeddedStore
from graphstore.store import GraphStore
from tests.contract.hierarchies import publication

STORES: dict[str, Callable[[Path], GraphStore]] = {"embedded": lambda folder: EmbeddedStore(folder / "graph")}


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GraphStore]:
    """An empty store."""
    made = STORES[request.param](tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module", params=list(STORES))
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GraphStore]:
    """A store that holds one run, for tests that only read."""
    made = STORES[request.param](tmp_path_factory.mktemp("filled"))
    made.publish(publication())
    yield made
    made.close()
