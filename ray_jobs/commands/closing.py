"""The closing account of `csrms run`: metrics, and what the graph database answers about look-alike classes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from csrms_dist.basics.words import counted
from csrms_dist.evaluation.report import LookAlike, accuracy_lines, method_of, pattern_lines
from csrms_dist.training.recipe import PRETRAIN
from ray_jobs.commands.query import query
from ray_jobs.pipeline import RunResult
from ray_jobs.places import store_of

PAIRS, PATTERNS_OF_A_PAIR = 3, 2
NEXT = "leave method.name out to have them, with this control beside the method (evaluate.control)"
EXAMPLE = (
    "MATCH (p:Pattern {run: $run})-[c:COVERS]->(k:Class) WHERE NOT p.dominated "
    "RETURN p.idx AS pattern, p.size AS size, k.name AS class, c.n AS images ORDER BY pattern, images DESC"
)


def look_alikes(result: RunResult) -> Iterator[LookAlike]:
    """The pairs of classes that look most alike, with the patterns that they share most."""
    for row in query(result.run, "confused_classes", limit=PAIRS).to_pylist():
        a, b = row["class"], row["other"]
        shared = query(result.run, "shared_patterns", {"a": a, "b": b}, limit=PATTERNS_OF_A_PAIR).to_pylist()
        patterns = [(item["pattern"], item["n_a"], item["n_b"]) for item in shared]
        yield LookAlike(a, b, row["lift"], row["images"], patterns)


def pattern_facts(result: RunResult) -> dict[str, Any]:
    """The figures of `pattern_lines`, also of a run without training."""
    graph, clusters = result.run.facts("graph"), result.run.facts("cluster")
    mixed = graph["patterns"] - graph["dominated"]
    hierarchy = {"dominated_patterns": graph["dominated"], "mixed_patterns": mixed, "outliers": clusters["outliers"]}
    refreshed = (result.metrics or {}).get("refreshed", ())
    return {**clusters, "patterns": graph["patterns"], "hierarchy": hierarchy, "refreshed": refreshed}


def _trained(result: RunResult) -> str:
    """What a run without labels has trained, as the end of a sentence."""
    stamp = result.run.stamp(PRETRAIN)
    if stamp is not None and stamp["facts"]["passes"]["backward"] > 0:
        return "the encoder was trained on the images alone"
    return "nothing was trained"


def closing_text(result: RunResult) -> str:
    """The account at the end of a run, for a person."""
    lines = []
    if result.settings.recipe.by_itself:
        if not result.metrics:
            return "There are no labels, so nothing was trained"
        return "\n".join([*accuracy_lines(result.metrics), f"A control by itself has no patterns and no graph; {NEXT}"])
    labelled = result.run.facts("graph")["classes"] > 0
    if result.metrics:
        lines += accuracy_lines(result.metrics)
    if labelled:
        pairs, facts = list(look_alikes(result)), pattern_facts(result)
        lines += pattern_lines(facts, pairs)
        asked = ["confused_classes"] if pairs else ["patterns", "dominance", "hardest --limit 20"]
        if facts["hierarchy"]["mixed_patterns"]:
            asked.append(f"--cypher {shlex.quote(EXAMPLE)}")
    else:
        facts = result.run.facts("cluster")
        lines.append(
            f"Patterns: {facts['patterns']} found by {method_of(facts)}; {counted(facts['outliers'], 'outlier')}; "
            f"there are no labels, so {_trained(result)}"
        )
        asked = ["patterns", "members --param pattern=0", "outliers --limit 20"]
    with store_of(result.run) as store:
        lines.append(f"Graph database: {store.location}")
    lines.append("Ask it, for example")
    where = f"--run {shlex.quote(result.run.uri)}"
    lines += [f"  csrms query {question} {where}" for question in asked]
    return "\n".join(lines)
