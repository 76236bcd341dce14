"""The query files: headers that are true, and text that runs on every store."""

from __future__ import annotations

import re
from types import ModuleType

import pyarrow as pa
import pytest

from csrms_dist.errors import ConfigError, StoreError
from graphstore import added_images, additions, predictions
from graphstore.cypher import parameters, reading, tokens
from graphstore.queries import NamedQuery, named_queries, named_query, parse
from graphstore.read_back import (
    ADDITIONS,
    COVERS,
    FIRST_INSTANCE,
    HAS_LABEL,
    IN_PATTERN,
    INSTANCE_BY_ID,
    PATTERNS,
    RUNS,
)
from graphstore.schema import SCHEMA
from ray_jobs.commands.query import _CLASS_NAMES

NAMES = [
    "changed_instances", "confused_classes", "confusions", "dominance", "hardest", "instance", "label_suspects",
    "largest_patterns", "members", "mistakes", "mixed_patterns", "moved_patterns", "outliers", "pattern_neighbours",
    "patterns", "r_id", "r_id_pairs", "r_is", "r_is_pairs", "r_mc", "r_mc_pairs", "representativeness", "runs",
    "shared_patterns",
]  # fmt: skip


def texts_of(module: ModuleType) -> list[str]:
    """The Cypher texts that a module keeps under names of its own."""
    found = [value for name, value in vars(module).items() if re.fullmatch("_[A-Z_]+", name)]
    assert found
    return [text for text in found if isinstance(text, str) and "MATCH" in text]


COLUMNS = [IN_PATTERN, HAS_LABEL, COVERS, PATTERNS]
INTERNAL = [
    RUNS,
    ADDITIONS,
    FIRST_INSTANCE,
    INSTANCE_BY_ID,
    _CLASS_NAMES,
    *(text for module in (added_images, additions, predictions) for text in texts_of(module)),
    *(text for c in COLUMNS for text in (c.by_rows, c.by_lists)),
]

# What one engine rejects or silently answers differently.
UNPORTABLE = {
    "a call": r"\bCALL\b",
    "SET +=": r"\+=",
    "REMOVE or FOREACH": r"\b(REMOVE|FOREACH)\b",
    "COLLECT { }": r"\bCOLLECT\s*\{",
    "a list comprehension": r"\[\s*\w+\s+IN\b",
    "an index or a slice of a list": r"[\w)\]]\[[^:]*(\d|\.\.)",
    "two labels": r":\w+:\w+",
    "a label expression": r":\w+\s*[|&!]",
    "WITH ... ORDER BY without LIMIT": r"\bWITH\b(?:(?!RETURN).)*ORDER BY(?:(?!LIMIT|RETURN).)*\b(?:MATCH|RETURN)\b",
    "a path of many steps": r"-\[[^\]]*\*",
    "arithmetic in 32 bits where 1.0 * would make it 64": r"(?<!1\.0\*)\b\w+\.(score|difficulty)\s?[-+*/]",
    "CASE whose first value is whole and another is not": r"\bTHEN -?\d+ (?:WHEN|ELSE)\b[^A-Z]*\d\.\d",
}
# Every other function is missing in one engine or means something else there: log is natural in Neo4j and decimal in
# ladybug, substring and list functions count from 1 there, toInteger, toString, head, reduce and type are not there.
FUNCTIONS = {"abs", "avg", "coalesce", "collect", "count", "log10", "max", "min", "round", "sum"}
KEYWORDS = {"AND", "AS", "CASE", "ELSE", "IN", "MATCH", "NOT", "OR", "RETURN", "THEN", "WHEN", "WHERE", "WITH"}


def squeezed(text: str) -> str:
    """The text without quoted texts and needless spaces."""
    plain = " ".join(part for kind, part in tokens(text) if kind != "space" and kind != "text")
    return re.sub(r" ?([^\w\s$`]) ?", r"\1", plain)


def unportable(text: str) -> list[str]:
    plain = squeezed(text)
    found = [what for what, rule in UNPORTABLE.items() if re.search(rule, plain, re.IGNORECASE | re.DOTALL)]
    called = set(re.findall(r"\b([A-Za-z]\w*)\(", plain))
    found += [f"the function {name}" for name in called if name not in FUNCTIONS and name.upper() not in KEYWORDS]
    for clause in re.split(r"\bMATCH\b", plain)[1:]:
        # ladybug may walk one edge twice in a MATCH, Neo4j never does
        kinds = re.findall(r"\[\w*:(\w+)", re.split(r"\b(?:RETURN|WITH|WHERE)\b", clause)[0])
        if len(kinds) != len(set(kinds)) and not re.search(r"<>a\.(key|idx)", plain):
            found.append("an edge type twice in one MATCH, without b.idx <> a.idx")
    return found


def returned(query: NamedQuery) -> tuple[str, ...]:
    tail = query.text[query.text.rindex("RETURN") :].partition("ORDER BY")[0]
    return tuple(re.findall(r"\bAS (\w+)", tail))


def test_the_package_has_these_queries() -> None:
    assert list(named_queries()) == NAMES
    with pytest.raises(ConfigError, match="got 'r_ism', expected one of changed_instances, "):
        named_query("r_ism")


@pytest.mark.parametrize("name", NAMES)
def test_headers_tell_the_truth(name: str) -> None:
    query = named_query(name)
    assert sorted(parameters(query.text)) == sorted(query.parameters)
    assert returned(query) == query.columns == tuple(query.schema.names)
    assert query.parameters[0] == "run"
    assert {kind for parameter, kind in query.kinds.items() if parameter not in ("top", "pattern")} == {"STRING"}
    assert reading(query.text, dict.fromkeys(query.parameters, "")) == query.text


@pytest.mark.parametrize("name", NAMES)
def test_queries_start_from_the_run(name: str) -> None:
    """Other runs and data sets lie in the same database, and its indices are on the keys and on Pattern.run."""
    text = named_query(name).text
    patterns = re.findall(r"\(\w*:Pattern\b([^)]*)\)", text)
    assert all(re.search(r"\{(run: \$(run|other)|key: \w+)\b", found) for found in patterns)
    assert re.search(r"\{(run|key): \$(run|instance)\b", text.splitlines()[0])


@pytest.mark.parametrize("name", NAMES)
def test_sums_of_nothing_are_0(name: str) -> None:
    """Without rows the sum is null in one engine; beside a grouping column there is a row at least."""
    tail = squeezed(named_query(name).text).rpartition("RETURN")[2]
    assert not re.search(r"(?<!coalesce\()\bsum\(", tail)


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
        "RETURN log(2.0) AS x",
        "RETURN substring($x, 1, 2) AS x",
        "MATCH (:Run)-[:OF_DATASET*1..2]->(d:Dataset) RETURN d.key AS key",
        "MATCH (:Instance)-[e:IN_PATTERN]->(:Pattern) RETURN e.score * e.score AS x",
        "MATCH (:Instance)-[e:IN_PATTERN]->(:Pattern) RETURN e.difficulty - 1 AS x",
        "MATCH (c:Class) RETURN CASE WHEN c.idx > 1 THEN 1 ELSE 2.5 END AS x",
        "MATCH (p:Pattern)<-[:IN_PATTERN]-(:Instance)-[:IN_PATTERN]->(q:Pattern) RETURN p.idx AS p, q.idx AS q",
    ],
)
def test_the_lint_refuses_what_is_not_portable(text: str) -> None:
    assert unportable(text)


WHOLE = """// purpose: p
// on two lines
// splits: train
// parameters: $run = key of a run; $n INT64 = how many
// columns: a INT64, b DOUBLE,
// c BOOL
// cost: none
RETURN 1 AS a"""


def test_a_header_is_read() -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.float64()), ("c", pa.bool_())])
    query = parse("x", WHOLE)
    meaning = "$run = key of a run; $n INT64 = how many"
    assert query == NamedQuery(
        "x", "RETURN 1 AS a", {"run": "STRING", "n": "INT64"}, schema, "train", "p on two lines", meaning, "none"
    )
    assert (query.parameters, query.columns) == (("run", "n"), ("a", "b", "c"))
    assert parse("x", WHOLE.replace("$run = key of a run; $n INT64 = how many", "none")).parameters == ()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("// cost: none\n", "", "x.cypher: got no // cost"),
        ("splits: train", "splits: test", "got splits: test, expected one of train, all, none"),
        ("a INT64,", "a,", "got the column a, expected a name and one of STRING, INT64, DOUBLE, BOOL"),
        ("b DOUBLE", "b FLOAT", "got the column b FLOAT"),
        ("$n INT64", "$n WHOLE", r"got the parameter \$n of kind WHOLE, expected one of STRING, "),
    ],
)
def test_a_header_that_is_not_whole_is_refused(old: str, new: str, words: str) -> None:
    assert old in WHOLE
    with pytest.raises(StoreError, match=words):
        parse("x", WHOLE.replace(old, new))
