"""Every named query equals the arrays, on every store; other runs and data sets in it must not be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.dominance import largest_dominated_pattern
from csrms_dist.hierarchy.graph import ROLE_NAMES, HierarchyGraph
from csrms_dist.hierarchy.look_alikes import look_alikes
from csrms_dist.hierarchy.pattern_counts import pattern_shares, top_shares
from csrms_dist.hierarchy.relations import r_id, r_is, r_mc
from csrms_dist.labels import label_lists
from graphstore.queries import named_queries
from graphstore.store import GraphStore, HeldOut
from tests.contract.hierarchies import ask, figures, held_out, hierarchy, publication

Row = dict[str, Any]
DOMINATES = ROLE_NAMES.index("dominates")


@dataclass(frozen=True)
class Library:
    """A store with the run that is asked about, another run of its data set, and another data set."""

    store: GraphStore
    graph: HierarchyGraph
    others: HeldOut
    other_graph: HierarchyGraph
    run: str
    other: str

    @property
    def counts(self) -> Any:
        return self.graph.counts.toarray()

    @property
    def shares(self) -> Any:
        return pattern_shares(self.graph.counts, self.graph.sizes).toarray()

    @property
    def roles(self) -> Any:
        return self.graph.role.toarray()

    @property
    def labels(self) -> list[set[int]]:
        return [set(row) for row in label_lists(self.graph.membership)]

    def ask(self, name: str, **params: Any) -> list[Row]:
        return ask(self.store, name, run=self.run, **params)

    @property
    def everyone(self) -> list[tuple[Row, int, float, set[int]]]:
        """(how an answer names it, with its split; pattern; score; labels) of the instances of all splits."""
        train = [self.named(row) | {"split": "train"} for row in range(self.graph.n_rows)]
        beside = [
            {"key": f"{self.run.rpartition(':')[0]}/{idx:012d}", "idx": idx, "source_id": name, "split": split}
            for idx, name, split in zip(self.others.instance.tolist(), self.others.ids, self.others.split, strict=True)
        ]
        patterns = [*self.graph.pattern.tolist(), *self.others.pattern.tolist()]
        scores = [*self.graph.score.tolist(), *self.others.score.tolist()]
        labels = [*self.labels, *(set(row) for row in label_lists(self.others.membership))]
        return list(zip([*train, *beside], patterns, scores, labels, strict=True))

    def difficulty(self, pattern: int, labels: set[int]) -> np.float32:
        return np.float32(1 - max((self.shares[pattern, c] for c in labels), default=0.0))

    def key(self, row: int) -> str:
        return self.store.resolve_instance(f"img-{self.graph.instance[row]}", self.run)

    def named(self, row: int) -> Row:
        """How an answer names an instance."""
        return {"key": self.key(row), "idx": self.graph.instance[row], "source_id": f"img-{self.graph.instance[row]}"}


@pytest.fixture(scope="module", params=[False, True], ids=["single", "multi"])
def library(request: pytest.FixtureRequest, filled: GraphStore) -> Library:
    multi = request.param
    graph = hierarchy(7, multi=multi)
    # The same classes and ids in other data sets, whose instances have other indices, patterns and labels.
    plants = hierarchy(11, n=80, multi=multi)
    filled.publish(publication(plants, f"plants {multi}", dataset="plants" + " with labels" * multi))
    rng = np.random.default_rng(1)
    moved = np.where(rng.random(graph.n_rows) < 0.5, graph.pattern, rng.integers(0, 5, graph.n_rows))
    other_graph = build_hierarchy(
        np.unique(moved, return_inverse=True)[1], -graph.score, graph.membership, graph.instance,
        dominance_threshold=0.5, n_positives=3, multi_label=multi,
    )  # fmt: skip
    name = "beasts" + " with labels" * multi
    # Instances of the other splits, in both: only what is said of single instances may see them.
    others = held_out(graph, m=60)
    placed = held_out(other_graph, 1, 60)
    other = filled.publish(publication(other_graph, f"other {multi}", dataset=name, created_ms=5, held_out=placed))
    run = filled.publish(
        publication(
            graph, f"run {multi}", dataset=name, vigilance=0.5, held_out=others, figures=figures(graph.membership)
        )
    )
    return Library(filled, graph, others, other_graph, run, other)


def equal_rows(found: Sequence[Row], expected: Sequence[Row]) -> None:
    """The same rows in the same order; numbers with a fraction up to rounding."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, value in other.items():
            if isinstance(value, float | np.floating):
                assert one[name] == pytest.approx(float(value), abs=2e-9), name
            else:
                assert one[name] == value, name


# -- the relations of eq. 1-3 -----------------------------------------------------------------------------------------


def test_relations_equal_the_oracle_for_every_instance(library: Library) -> None:
    graph = library.graph
    found = {"r_id": 0, "r_is": 0, "r_mc": 0}
    for row in range(graph.n_rows):
        key = library.key(row)
        for name, oracle in (("r_id", r_id), ("r_is", r_is), ("r_mc", r_mc)):
            rows, partners = library.ask(name, instance=key), graph.instance[oracle(graph, row)].tolist()
            idx = [r["idx"] for r in rows]
            assert (sorted(idx) if name == "r_id" else idx) == partners
            assert [r["source_id"] for r in rows] == [f"img-{i}" for i in idx]
            found[name] += len(rows)
    assert all(found.values())


def test_relations_of_classes_count_the_pairs_of_the_relations_of_instances(library: Library) -> None:
    graph, labels = library.graph, library.labels
    for name, oracle in (("r_is_pairs", r_is), ("r_mc_pairs", r_mc)):
        total = 0
        for a in range(graph.n_classes):
            for b in range(graph.n_classes):
                pairs = [
                    (x, int(y))
                    for x in range(graph.n_rows)
                    if a in labels[x]
                    for y in oracle(graph, x)
                    if b in labels[y]
                ]
                (row,) = library.ask(name, a=f"class {a}", b=f"class {b}")
                assert row == {"patterns": len({int(graph.pattern[x]) for x, _ in pairs}), "pairs": len(pairs)}
                total += len(pairs)
        assert total > 0
    rows = []
    for c in range(graph.n_classes):
        mine = [x for x in range(graph.n_rows) if c in labels[x] and graph.dominated[graph.pattern[x]]]
        pairs = sum(int(y in r_id(graph, x)) for x, y in combinations(mine, 2))
        patterns = len({int(graph.pattern[x]) for x in mine})
        rows.append({"idx": c, "class": f"class {c}", "instances": len(mine), "patterns": patterns, "pairs": pairs})
    equal_rows(library.ask("r_id_pairs"), sorted(rows, key=lambda r: (-r["pairs"], r["idx"])))


# -- classes and patterns ---------------------------------------------------------------------------------------------


def test_what_classes_are_to_patterns(library: Library) -> None:
    graph, counts, shares, roles = library.graph, library.counts, library.shares, library.roles
    dominance, largest = [], []
    for c in range(graph.n_classes):
        mine = np.flatnonzero(roles[:, c] == DOMINATES)
        one = {"idx": c, "class": f"class {c}"}
        most = {"largest": max(graph.sizes[mine], default=0), "most": max(counts[mine, c], default=0)}
        dominance.append(one | {"patterns": len(mine)} | most)
        if len(mine):
            k = largest_dominated_pattern(graph)[c]
            largest.append(one | {"pattern": k, "size": graph.sizes[k], "n": counts[k, c], "share": shares[k, c]})
        rows = [
            {
                "pattern": k, "size": graph.sizes[k], "dominated": graph.dominated[k], "n": counts[k, c],
                "share": shares[k, c], "of_class": counts[k, c] / counts[:, c].sum(), "role": ROLE_NAMES[roles[k, c]],
            }
            for k in np.flatnonzero(counts[:, c])
        ]  # fmt: skip
        rows.sort(key=lambda r: (-r["share"], -r["n"], r["pattern"]))
        equal_rows(library.ask("representativeness", **{"class": f"class {c}"}), rows)
    equal_rows(library.ask("dominance"), dominance)
    equal_rows(library.ask("largest_patterns"), largest)


def test_a_class_that_dominates_nothing_has_no_largest_pattern(filled: GraphStore) -> None:
    store, graph = filled, hierarchy(4, n=9, n_classes=6, n_patterns=2)
    run = store.publish(publication(graph, "birds", dataset="birds"))
    assert 0 < len(ask(store, "largest_patterns", run=run)) < 6
    assert [r["patterns"] > 0 for r in ask(store, "dominance", run=run)] == [
        bool((graph.role.toarray()[:, c] == DOMINATES).any()) for c in range(6)
    ]


def test_which_classes_look_alike_and_why(library: Library) -> None:
    graph, counts, shares, roles = library.graph, library.counts, library.shares, library.roles
    alike = look_alikes(graph)
    both_ways = set(zip(alike.source.tolist(), alike.target.tolist(), strict=True))
    rows = [
        {"class": f"class {a}", "other": f"class {b}", "lift": alike.lift[e], "images": alike.images[e],
         "bound": alike.bound[e], "weight": alike.weight[e], "reverse": alike.reverse[e]}
        for e, (a, b) in enumerate(zip(alike.source.tolist(), alike.target.tolist(), strict=True))
        if a < b or (b, a) not in both_ways
    ]  # fmt: skip
    rows.sort(key=lambda r: (-r["bound"], -r["lift"], r["class"], r["other"]))
    assert len(rows) == 6
    equal_rows(library.ask("confused_classes"), rows)
    both = [k for k in range(graph.n_patterns) if counts[k, 0] and counts[k, 2]]
    shared = [
        {
            "pattern": k, "size": graph.sizes[k], "dominated": graph.dominated[k],
            "n_a": counts[k, 0], "share_a": shares[k, 0], "role_a": ROLE_NAMES[roles[k, 0]],
            "n_b": counts[k, 2], "share_b": shares[k, 2], "role_b": ROLE_NAMES[roles[k, 2]],
            "in_common": min(counts[k, 0], counts[k, 2]),
        }
        for k in sorted(both, key=lambda k: (-min(counts[k, 0], counts[k, 2]), k))
    ]  # fmt: skip
    assert shared
    equal_rows(library.ask("shared_patterns", a="class 0", b="class 2"), shared)
    assert library.ask("shared_patterns", a="class 0", b="class 0") == []


def test_mixed_patterns_by_entropy(library: Library) -> None:
    graph, counts = library.graph, library.counts
    rows = []
    for k in np.flatnonzero(~graph.dominated):
        part = counts[k][counts[k] > 0] / max(counts[k].sum(), 1)
        entropy = round(float(-(part * np.log2(part)).sum()), 9) + 0.0
        top = top_shares(graph.counts, graph.sizes)[k]
        rows.append({"pattern": k, "size": graph.sizes[k], "top_share": top, "classes": len(part), "entropy": entropy})
    assert rows
    equal_rows(library.ask("mixed_patterns"), sorted(rows, key=lambda r: (-r["entropy"], -r["size"], r["pattern"])))


def test_a_pattern_without_labels_and_one_of_equal_parts_have_their_entropies(filled: GraphStore) -> None:
    graph = hierarchy(0, n=12, n_classes=3, n_patterns=3, multi=True)
    labels = np.zeros((12, 3), np.uint8)
    labels[4:6, 0] = labels[6:8, 1] = 1
    labels[8, 2] = 1
    pattern = np.repeat(np.arange(3), 4)  # no label at all; two classes in halves; one class that does not dominate
    parts = {"dominance_threshold": 0.6, "n_positives": 3, "multi_label": True}
    graph = build_hierarchy(pattern, graph.score, labels, graph.instance, **parts)
    run = filled.publish(publication(graph, "stones", dataset="stones"))
    found = {r["pattern"]: (r["classes"], r["entropy"]) for r in ask(filled, "mixed_patterns", run=run)}
    assert found == {0: (0, 0.0), 1: (2, 1.0), 2: (1, 0.0)}


def test_neighbours_of_every_pattern(library: Library) -> None:
    graph, counts, shares = library.graph, library.counts, library.shares
    found = 0
    for k in range(graph.n_patterns):
        rows = []
        for other in range(graph.n_patterns):
            common = np.flatnonzero((counts[k] > 0) & (counts[other] > 0))
            if other != k and len(common):
                overlap = round(float(np.minimum(shares[k, common], shares[other, common]).sum()), 9)
                facts = {"size": graph.sizes[other], "dominated": graph.dominated[other]}
                rows.append({"pattern": other} | facts | {"classes": len(common), "overlap": overlap})
        rows.sort(key=lambda r: (-r["overlap"], -r["size"], r["pattern"]))
        equal_rows(library.ask("pattern_neighbours", pattern=k), rows)
        found += len(rows)
    assert found


# -- instances --------------------------------------------------------------------------------------------------------


def test_an_instance_in_its_pattern(library: Library) -> None:
    graph = library.graph
    for row, labels in enumerate(library.labels):
        k = graph.pattern[row]
        place = {"pattern": k, "size": graph.sizes[k], "dominated": graph.dominated[k]}
        fit = {"score": graph.score[row], "difficulty": graph.difficulty[row]}
        one = {"source_id": f"img-{graph.instance[row]}", "split": "train", "uri": f"images/{graph.instance[row]}.png"}
        rows = [
            one | {"class": f"class {c}", "share": library.shares[k, c], "role": ROLE_NAMES[library.roles[k, c]]}
            for c in sorted(labels, key=lambda c: (-library.shares[k, c], c))
        ] or [one | {"class": None, "share": None, "role": None}]
        found = library.ask("instance", instance=library.key(row))
        equal_rows([dict(sorted(r.items())) for r in found], [dict(sorted((r | place | fit).items())) for r in rows])


def measured(library: Library) -> list[Row]:
    """Every instance of every split with all that is stored of it and its pattern."""
    given = [vars(figures(library.graph.membership)), vars(library.others.figures)]
    stored = {name: np.concatenate([some[name] for some in given]) for name in given[0]}
    return [
        name
        | {"pattern": k, "score": score, "difficulty": library.difficulty(k, own)}
        | {figure: values[row] for figure, values in stored.items()}
        for row, (name, k, score, own) in enumerate(library.everyone)
    ]


def chosen(rows: Sequence[Row], *names: str) -> list[Row]:
    return [{name: row[name] for name in ("key", "idx", "source_id", *names)} for row in rows]


def test_outliers_and_hardest(library: Library) -> None:
    rows = measured(library)
    for top in (9, 1000):
        far = sorted(rows, key=lambda r: (not r["outlier"], -r["distance"], r["idx"]))
        equal_rows(
            library.ask("outliers", top=top), chosen(far[:top], "split", "outlier", "distance", "pattern", "score")
        )
        hard = sorted(
            (r for r in rows if r["doubted"] >= 0 and r["split"] == "train"),
            key=lambda r: (r["support"], -r["difficulty"], r["score"], r["idx"]),
        )
        equal_rows(library.ask("hardest", top=top), chosen(hard[:top], "pattern", "support", "difficulty", "score"))


def test_labels_that_their_surroundings_contradict(library: Library) -> None:
    rows = [
        row | {"label": f"class {row['doubted']}", "suggested": f"class {row['suggested']}"}
        for row in measured(library)
        if row["doubted"] >= 0 and row["suggested"] >= 0 and row["suggested_share"] > row["support"]
    ]
    rows.sort(key=lambda r: (r["support"], -r["difficulty"], r["score"], r["idx"]))
    names = ("split", "pattern", "label", "support", "suggested", "suggested_share", "difficulty", "score")
    assert {row["split"] for row in rows} == {"train", "val", "test"}
    assert 3 < len(rows) < len(library.everyone)
    equal_rows(library.ask("label_suspects", top=1000), chosen(rows, *names))
    equal_rows(library.ask("label_suspects", top=3), chosen(rows[:3], *names))


def test_the_members_of_a_pattern_are_of_all_splits(library: Library) -> None:
    splits = set()
    for k in range(library.graph.n_patterns):
        rows = [
            name | {"uri": f"images/{name['idx']}.png", "score": score}
            for name, pattern, score, _ in library.everyone
            if pattern == k
        ]
        rows.sort(key=lambda r: (-r["score"], r["idx"]))
        equal_rows(library.ask("members", pattern=k, top=1000), rows)
        equal_rows(library.ask("members", pattern=k, top=2), rows[:2])
        splits |= {row["split"] for row in rows}
    assert splits == {"train", "val", "test", "unlabelled"}


def test_patterns_by_size(library: Library) -> None:
    graph = library.graph
    top = top_shares(graph.counts, graph.sizes)
    rows = [
        {"pattern": k, "size": graph.sizes[k], "dominated": graph.dominated[k], "top_share": top[k]}
        for k in sorted(range(graph.n_patterns), key=lambda k: (-graph.sizes[k], k))
    ]
    equal_rows(library.ask("patterns"), rows)


def test_relations_of_an_instance_of_another_split_are_with_training_instances(library: Library) -> None:
    graph, found = library.graph, {"r_id": 0, "r_is": 0, "r_mc": 0}
    for name, k, _, own in library.everyone[graph.n_rows :]:
        together, ruled = graph.pattern == k, graph.dominated[graph.pattern]
        sharing = np.array([bool(own & other) for other in library.labels])
        expected = {
            "r_id": sharing & ruled & ~together & graph.dominated[k],
            "r_is": ~sharing & together & graph.dominated[k],
            "r_mc": ~sharing & together & ~graph.dominated[k],
        }
        for query, rows in expected.items():
            asked = [] if name["split"] == "unlabelled" else graph.instance[rows].tolist()
            assert sorted(r["idx"] for r in library.ask(query, instance=name["key"])) == asked
            found[query] += len(asked)
    assert all(found.values())


# -- between runs -----------------------------------------------------------------------------------------------------


def test_what_changed_between_two_runs(library: Library) -> None:
    new, old = library.graph, library.other_graph
    pairs, n = np.unique(np.stack([old.pattern, new.pattern]), axis=1, return_counts=True)
    rows = [
        {"other_pattern": q, "other_size": old.sizes[q], "other_dominated": old.dominated[q],
         "pattern": p, "size": new.sizes[p], "dominated": new.dominated[p], "n": count}
        for (q, p), count in zip(pairs.T, n, strict=True)
    ]  # fmt: skip
    rows.sort(key=lambda r: (-r["n"], r["other_pattern"], r["pattern"]))
    equal_rows(library.ask("moved_patterns", other=library.other), rows)
    changed = [
        library.named(row)
        | {"other_pattern": q, "other_dominated": old.dominated[q], "other_difficulty": old.difficulty[row],
           "pattern": p, "dominated": new.dominated[p], "difficulty": new.difficulty[row],
           "change": abs(float(new.difficulty[row]) - float(old.difficulty[row]))}
        for row, (q, p) in enumerate(zip(old.pattern, new.pattern, strict=True))
        if old.dominated[q] != new.dominated[p]
    ]  # fmt: skip
    changed.sort(key=lambda r: (-r["change"], r["idx"]))
    assert changed
    equal_rows(library.ask("changed_instances", other=library.other, top=1000), changed)
    equal_rows(library.ask("changed_instances", other=library.other, top=2), changed[:2])


def test_nothing_changes_between_a_run_and_itself(library: Library) -> None:
    rows = library.ask("moved_patterns", other=library.run)
    assert sorted((r["other_pattern"], r["pattern"], r["n"]) for r in rows) == [
        (k, k, size) for k, size in enumerate(library.graph.sizes)
    ]
    assert library.ask("changed_instances", other=library.run, top=10) == []


# -- answers ----------------------------------------------------------------------------------------------------------


def test_answers_have_the_schema_of_the_header_even_when_they_are_empty(library: Library) -> None:
    row = next(x for x in range(library.graph.n_rows) if len(r_id(library.graph, x)))
    given = {"run": library.run, "other": library.other, "instance": library.key(row), "pattern": 0, "top": 5}
    given |= {"addition": "", "a": "class 0", "b": "class 2", "class": "class 1"}
    nothing = given | {"run": "no run", "other": "no run", "instance": "nobody"}
    empty = 0
    for name, query in named_queries().items():
        for values in (given, nothing):
            answer = library.store.query(query, {parameter: values[parameter] for parameter in query.parameters})
            assert answer.schema.remove_metadata() == query.schema, name
            empty += answer.num_rows == 0
    counting = {"r_is_pairs", "r_mc_pairs"}  # one row, whatever is asked
    assert len(named_queries()) - len(counting) <= empty


def test_the_runs_of_a_data_set_are_listed(library: Library) -> None:
    facts = {"status": "ready", "created_ms": 1_700_000_000_000}
    new = {"key": library.run, "live": True, "vigilance": 0.5, "patterns": library.graph.n_patterns} | facts
    old = {"key": library.other, "live": False, "vigilance": 0.75, "patterns": library.other_graph.n_patterns}
    rows = [dict(sorted(row.items())) for row in library.ask("runs")]
    equal_rows(rows, [dict(sorted(row.items())) for row in (new, old | facts | {"created_ms": 5})])
