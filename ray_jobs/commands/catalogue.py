"""The list of the named queries: name, parameters, purpose. Light, for it is asked for before anything else."""

from __future__ import annotations

from collections.abc import Sequence

from graphstore.queries import NamedQuery, named_queries

TOP = 100
"""How many a query for the first ones gives, unless told."""
FILLED = ("run", "addition")
"""Parameters that are filled in unless given."""


def shown(wanted: Sequence[str]) -> list[str]:
    """The parameters that a user must give, as the user knows them."""
    return ["id" if name == "instance" else name for name in wanted if name not in FILLED]


def catalogue() -> str:
    """The named queries: name, parameters, purpose."""
    lines = []
    for name, item in named_queries().items():
        given = [parameter for parameter in shown(item.parameters) if parameter != "top"]
        parameters = " ".join([*(f"--param {parameter}=..." for parameter in given), *_limit(item)])
        lines.append(f"{name} {parameters}".rstrip() + f"\n    {item.purpose}")
    return "\n".join(lines)


def _limit(item: NamedQuery) -> list[str]:
    return [f"--limit {TOP}"] if "top" in item.parameters else []
