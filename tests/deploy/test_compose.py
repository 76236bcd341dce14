"""deploy/compose.yaml cannot be run everywhere; what matters in it can be read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    (service,) = composed["services"].values()
    assert {volume.partition(":")[0] for volume in service["volumes"]} == set(composed["volumes"])
    return dict(service)


def test_the_image_is_of_the_line_that_the_jars_are_of(service: dict[str, Any]) -> None:
    version = re.search(r"<neo4j.version>(\d+\.\d+)\.\d+</", (DEPLOY / "neo4j" / "pom.xml").read_text())
    assert version
    assert service["image"] == f"neo4j:{version[1]}-community"


def test_ports_are_open_to_this_machine_alone(service: dict[str, Any]) -> None:
    assert [port.rpartition(":")[2] for port in service["ports"]] == ["7687", "7474"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_password_must_be_given(service: dict[str, Any]) -> None:
    assert service["environment"]["NEO4J_AUTH"].startswith("neo4j/${NEO4J_PASSWORD:?")


def test_memory_and_time_are_bounded_as_by_the_script(service: dict[str, Any]) -> None:
    given = {name: value for name, value in service["environment"].items() if name != "NEO4J_AUTH"}
    settings = {
        name.removeprefix("NEO4J_").replace("__", "\0").replace("_", ".").replace("\0", "_"): value
        for name, value in given.items()
    }
    template = dict(
        line.split("=", 1) for line in (DEPLOY / "neo4j" / "neo4j.conf").read_text().splitlines() if "=" in line
    )
    heap = {"server.memory.heap.initial_size", "server.memory.heap.max_size"}
    assert heap < set(settings)
    assert set(settings) - heap < set(template)
    for name in ("db.transaction.timeout", "db.lock.acquisition.timeout", "dbms.usage_report.enabled"):
        assert settings[name] == template[name]
    assert service["mem_limit"] == "3g"


def test_it_says_when_it_is_ready(service: dict[str, Any]) -> None:
    assert service["healthcheck"]["test"][0] == "CMD-SHELL"
    assert "7474" in service["healthcheck"]["test"][1]
