"""The check of a query before it is sent."""

from __future__ import annotations

import pytest

from csrms_dist.errors import StoreError
from graphstore.cypher import reading


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
    ],
)
def test_nothing_hides_a_writing_word(text: str) -> None:
    with pytest.raises(StoreError, match="read-only"):
        reading(text, {})


@pytest.mark.parametrize("text", ["hello", "EXPLAIN MATCH (n) RETURN n", "(n) RETURN n", "/* MATCH */ SHOW TABLES"])
def test_what_begins_with_another_word_is_no_query(text: str) -> None:
    with pytest.raises(StoreError, match=r"^syntax error in the query: got '\w+' as its first word, expected MATCH"):
        reading(text, {})
