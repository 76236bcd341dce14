"""The query files: headers that are true, and text that runs on every store."""

from __future__ import annotations

import re

import pytest

from csrms_dist.errors import StoreError
from graphstore.cypher import parameters, reading, tokens
from graphstore.export import _COVERS, _HAS_LABEL, _IN_PATTERN, _PATTERNS, _RUNS, INSTANCE_BY_ID
from graphstore.queries import NamedQuery, named_queries, named_query, parse
from graphstore.schema import SCHEMA

NAMES = [
    "confused_classes", "dominance", "instance", "mixed_patterns", "outliers", "r_id", "r_is", "r_mc",
    "shared_patterns",
]  # fmt: skip
INTERNAL = [_RUNS, _IN_PATTERN, _HAS_LABEL, _COVERS, _PATTERNS, INSTANCE_BY_ID]

# What one engine rejects or silently answers differently.
UNPORTABLE = {
    "a call": r"\bCALL\b",
    "SET +=": r"\+=",
    "REMOVE or FOREACH": r"\b(REMOVE|FOREACH)\b",
    "COLLECT { }": r"\bCOLLECT\s*\{",
    "a function that one engine lacks": r"\b(head|last|reduce|toInteger|toFloat|type|shortestPath|substring|size)\(",
    "a list comprehension": r"\[\s*\w+\s+IN\b",
    "an index or a slice of a list": r"[\w)\]]\[[^:]*(\d|\.\.)",
    "two labels": r":\w+:\w+",
    "a label expression": r":\w+\s*[|&!]",
    "WITH ... ORDER BY": r"\bWITH\b(?:(?!RETURN).)*ORDER BY",
    "a date or time": r"\b(date|datetime|time|timestamp|localdatetime)\s*\(",
}


def unportable(text: str) -> list[str]:
    plain = " ".join(part for kind, part in tokens(text) if kind != "space" and kind != "text")
    squeezed = re.sub(r" ?([^\w\s$`]) ?", r"\1", plain)
    return [what for what, rule in UNPORTABLE.items() if re.search(rule, squeezed, re.IGNORECASE | re.DOTALL)]


def returned(query: NamedQuery) -> tuple[str, ...]:
    tail = query.text[query.text.rindex("RETURN") : query.text.rindex("ORDER BY")]
    return tuple(re.findall(r"\bAS (\w+)", tail))


def test_the_package_has_these_queries() -> None:
    assert list(named_queries()) == NAMES
    with pytest.raises(StoreError, match="got 'r_ism', expected one of confused_classes, "):
        named_query("r_ism")


@pytest.mark.parametrize("name", NAMES)
def test_headers_tell_the_truth(name: str) -> None:
    query = named_query(name)
    assert sorted(parameters(query.text)) == sorted(query.parameters)
    assert returned(query) == query.columns
    assert query.parameters[0] == "run"
    assert query.doc.count("Cost: ") == 1
    assert reading(query.text, dict.fromkeys(query.parameters, "")) == query.text


@pytest.mark.parametrize("text", [*(named_query(name).text for name in NAMES), *INTERNAL])
def test_queries_keep_to_the_portable_subset(text: str) -> None:
    assert unportable(text) == []
    known = {t.label for t in SCHEMA.nodes} | {t.name for t in SCHEMA.edges}
    assert set(re.findall(r"[(\[]\w*:(\w+)", text)) <= known


@pytest.mark.parametrize(
    "text",
    [
        "MATCH (n) CALL { WITH n RETURN 1 AS x } RETURN x",
        "MATCH (n) SET n += {a: 1}",
        "RETURN COLLECT { MATCH (n) RETURN n.key } AS x",
        "RETURN head(collect(1)) AS x",
        "RETURN [x IN $list WHERE x > 1] AS y",
        "MATCH (n) RETURN n.list[0] AS x",
        "MATCH (n:Class:Pattern) RETURN n.key AS key",
        "MATCH (n:Class|Pattern) RETURN n.key AS key",
        "MATCH (n) WITH n ORDER BY n.key RETURN n.key AS key",
        "RETURN toInteger('1') AS x",
    ],
)
def test_the_lint_refuses_what_is_not_portable(text: str) -> None:
    assert unportable(text)


def test_a_header_that_is_not_whole_is_refused() -> None:
    whole = "// purpose: p\n// on two lines\n// parameters: none\n// columns: a, b\n// cost: none\nRETURN 1 AS a"
    query = parse("x", whole)
    assert query == NamedQuery("x", "RETURN 1 AS a", (), ("a", "b"), "p on two lines Parameters: none. Cost: none")
    with pytest.raises(StoreError, match="no // cost"):
        parse("x", whole.replace("// cost: none\n", ""))


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("MATCH (n) /* DELETE */ RETURN/**/n.key // ; DROP\n", "MATCH (n)   RETURN n.key"),
        ("RETURN 'DELETE; // no comment' AS x", "RETURN 'DELETE; // no comment' AS x"),
        ("match (n) return n.`set`", "match (n) return n.`set`"),
        ("OPTIONAL MATCH (n) RETURN n.created", "OPTIONAL MATCH (n) RETURN n.created"),
    ],
)
def test_reading_queries_are_sent_without_their_comments(text: str, sent: str) -> None:
    assert reading(text, {}) == sent


@pytest.mark.parametrize(
    "text",
    [
        "RETURN '' /* ' */ AS x CREATE (n) // '",
        "MATCH (n) RETURN n.x AS x UNION ALL LOAD FROM 'x' RETURN *",
        "/* MATCH */ CREATE (n)",
        "RETURN \"'\" AS a LOAD FROM '\"' RETURN 1",
        "MATCH (n)\u00a0DELETE n",
        "EXPLAIN MATCH (n) RETURN n",
    ],
)
def test_nothing_hides_a_writing_word(text: str) -> None:
    with pytest.raises(StoreError, match="read-only"):
        reading(text, {})
