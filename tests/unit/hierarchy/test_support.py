"""Support: the shares around a row by plain loops, and what it finds that difficulty does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from csrms_dist.art.patterns import cluster
from csrms_dist.art.settings import ClusterSettings
from csrms_dist.art.surroundings import Surroundings
from csrms_dist.hierarchy import support as module
from csrms_dist.hierarchy.build import hierarchy_of
from csrms_dist.hierarchy.support import N_AROUND, NO_CLASS, SHARPNESS, Support, support


def share(case: Any, row: int, label: int, near: list[int], cosine: list[float], counted: bool) -> float:
    """The share of a class around a row, by plain loops."""
    weight = [max(c, 0.0) ** SHARPNESS for c in cosine]
    weight = weight if any(weight) else [1.0] * len(near)
    most, all_rows = 0.0, 0.0
    for k, w in zip(near, weight, strict=True):
        own = counted and case.pattern[row] == k
        most += w * (case.count(k, label) - (own and label in case.labels[row]))
        all_rows += w * (case.size(k) - own)
    return most / all_rows if all_rows > 1e-12 else 0.0


@given(data=st.data())
def test_support_equals_plain_loops(hierarchies: Any, data: st.DataObject) -> None:
    case = data.draw(hierarchies)
    graph, n, n_patterns = case.graph, len(case.pattern), case.graph.n_patterns
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    around = [rng.permutation(n_patterns)[:3].tolist() for _ in range(n)]
    cosines = [np.round(rng.uniform(-1, 1, len(near)), 2).tolist() for near in around]
    counted, cut = data.draw(st.booleans()), data.draw(st.integers(0, n))
    blocks = [(np.array(around[p]), np.array(cosines[p])) for p in (slice(0, cut), slice(cut, n)) if around[p]]
    found = support(blocks, graph.pattern, graph.membership, graph.counts, graph.sizes, counted=counted)
    for row in range(n):
        full = [round(share(case, row, c, around[row], cosines[row], counted), 9) + 0.0 for c in range(case.n_classes)]
        own = case.labels[row]
        others = {c: s for c, s in enumerate(full) if c not in own and s > 0}
        assert found.support[row] == pytest.approx(min((full[c] for c in own), default=0.0), abs=1e-6)
        assert found.suggested_share[row] == pytest.approx(max(others.values(), default=0.0), abs=1e-6)
        for which, among in ((found.doubted, {c: -full[c] for c in own}), (found.suggested, others)):
            near_best = [c for c, s in among.items() if s > max(among.values()) - 1e-6]
            assert int(which[row]) in (near_best or [NO_CLASS])


def test_without_classes_nothing_is_supported_or_suggested() -> None:
    graph = hierarchy_of([0, 0, 1], [[0], [0], []])
    blocks = [(np.array([[0], [0], [1]]), np.ones((3, 1)))]
    found = support(blocks, graph.pattern, graph.membership[:, :0], graph.counts[:, :0], graph.sizes)
    assert not found.support.any()
    assert (found.suggested == NO_CLASS).all()
    labelled = support(blocks, graph.pattern, graph.membership, graph.counts, graph.sizes)
    assert labelled.doubted.tolist() == [0, 0, NO_CLASS]
    assert labelled.support.tolist() == [1, 1, 0]


def test_of_held_out_rows_nothing_is_left_out() -> None:
    graph = hierarchy_of([0, 0, 0, 0], [0, 0, 0, 1])
    blocks = [(np.zeros((1, 1), np.int64), np.ones((1, 1)))]
    label = graph.membership[:1]
    among = support(blocks, graph.pattern[:1], label, graph.counts, graph.sizes)
    beside = support(blocks, graph.pattern[:1], label, graph.counts, graph.sizes, counted=False)
    assert among.support.tolist() == pytest.approx([2 / 3])
    assert beside.support.tolist() == pytest.approx([3 / 4])


def average_precision(order: np.ndarray, wrong: np.ndarray) -> float:
    hits = wrong[order]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def test_wrong_labels_of_digits_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the labels is drawn anew: support finds them, and better than difficulty does."""
    digits = load_digits()
    rng = np.random.default_rng(0)
    wrong = rng.random(len(digits.target)) < 0.1
    labels = np.where(wrong, (digits.target + rng.integers(1, 10, len(wrong))) % 10, digits.target)
    np.save(tmp_path / "vectors.npy", digits.data.astype(np.float32))
    ids = [str(n) for n in range(len(labels))]
    clustering = cluster(tmp_path / "vectors.npy", ids, ClusterSettings(), 10, tmp_path / "work")
    graph = hierarchy_of(clustering.pattern, labels.tolist())

    def found() -> Support:
        around = Surroundings(clustering).of_rows(digits.data, N_AROUND)
        return support(around, graph.pattern, graph.membership, graph.counts, graph.sizes)

    figures = found()
    by_support = average_precision(np.lexsort((clustering.score, -graph.difficulty, figures.support)), wrong)
    by_difficulty = average_precision(np.lexsort((clustering.score, -graph.difficulty)), wrong)
    assert by_support > 0.97
    assert by_support > by_difficulty + 0.03
    assert (figures.suggested[wrong] == digits.target[wrong]).mean() > 0.9
    suspects = figures.suggested_share > figures.support
    assert suspects[wrong].mean() > 0.98
    assert suspects[~wrong].mean() < 0.1
    monkeypatch.setattr(module, "_CELLS", 990)  # the blocks are no part of the result
    assert found().support.tobytes() == figures.support.tobytes()
