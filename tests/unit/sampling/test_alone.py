"""The sampler used alone: the loop that the README shows, as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from csrms_dist.errors import ConfigError
from csrms_dist.hierarchy.build import hierarchy_of
from csrms_dist.sampling import POSITIVES, build_candidates, positive_candidates
from csrms_dist.sampling.settings import SamplingSettings

README = Path(__file__).resolve().parents[3] / "README.md"


def test_the_loop_of_the_readme_learns() -> None:
    """Its last ten lines are the loop; the losses of an epoch fall."""
    [code] = [
        block for block in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if "triplet" in block
    ]
    losses: list[float] = []
    code = code.replace("range(3)", "range(10)").replace(
        "optimiser.step()", "optimiser.step(); losses.append(loss.item())"
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(code, {"losses": losses})  # noqa: S102
    per_epoch = np.array(losses).reshape(10, -1).mean(axis=1)
    assert per_epoch[-1] < 0.5 * per_epoch[0]


def test_a_hierarchy_of_patterns_and_labels_alone_has_the_settings_of_a_run() -> None:
    graph = hierarchy_of([0, 1, 0, 1], [[0, 2], [1], [], [2]])
    assert graph.multi_label
    assert graph.membership.toarray().tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert (graph.score == 1).all()
    assert not hierarchy_of(np.array([0, 1, 0]), np.array([0, 1, 1])).multi_label
    many = hierarchy_of([0] * 16 + [1] * 9, [0] * 9 + [1] * 7 + [1] * 5 + [2] * 4)
    default = SamplingSettings().n_positives
    same = hierarchy_of([0] * 16 + [1] * 9, [0] * 9 + [1] * 7 + [1] * 5 + [2] * 4, n_positives=default)
    assert many.role.toarray().tolist() == same.role.toarray().tolist()


def test_labels_that_are_no_class_indices_are_refused() -> None:
    for labels, said in ((["cat", "dog"], "'cat'"), ([0, 1.5], "1.5"), ([0, -1], "-1"), ([0, 10**12], "0..K-1")):
        with pytest.raises(ValueError, match=said):
            hierarchy_of([0, 0], labels)


OWN = '''
import numpy as np
from csrms_dist.sampling.strategies.strategy import Piece

def next_row(graph, features, queries, n, pool):
    """Every anchor's positive is the row after it."""
    rows = np.flatnonzero(queries.rows + 1 < graph.n_rows)
    yield Piece(rows, queries.rows[rows] + 1, 1)
'''


def test_a_strategy_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_strategy.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    graph, features = hierarchy_of([0, 0, 1], [0, 1, 0]), np.eye(3, dtype=np.float32)
    settings = SamplingSettings(positives="own_strategy:next_row")
    found = build_candidates(graph, features, settings)["positive"]
    assert [found.of(row).tolist() for row in range(3)] == [[1], [2], []]
    with pytest.raises(ConfigError, match=r"sampling\.positives.*nearest is own_strategy:next_row"):
        positive_candidates(graph, features, features, graph.membership, np.arange(3), "own_strategy:nextrow", 1, 1)
    with pytest.raises(ConfigError, match="module:name of your own"):
        SamplingSettings(positives="next_row")


RANKED = """
from csrms_dist.sampling.distances import Target
from csrms_dist.sampling.strategies.strategy import piece_of

def nearest(graph, features, queries, n, pool):
    target = Target(features, np.arange(graph.n_rows), queries.lookups.distance)
    keys = target.nearest(queries.vectors)
    target.exclude(keys, queries.rows)
    keys.sort(axis=1)
    assert queries.means().shape == (graph.n_patterns, features.shape[1])
    yield piece_of(np.arange(len(queries.rows)), target.rows, keys[:, :n], 1)
"""


def test_a_strategy_of_one_s_own_ranks_by_the_distance_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_ranking.py").write_text(f"import numpy as np\n{RANKED}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    graph = hierarchy_of([0, 0, 1], [0, 0, 0])
    features = np.array([[1, 0], [5, 0], [0, 1]], np.float32)
    for distance, nearest in (("cosine", 1), ("euclidean", 2)):
        settings = SamplingSettings(positives="own_ranking:nearest", n_positives=1, distance=distance)
        assert build_candidates(graph, features, settings)["positive"].of(0).tolist() == [nearest]


def test_the_settings_and_the_names_of_strategies_need_no_numpy() -> None:
    code = (
        "import sys; from csrms_dist.sampling.settings import SamplingSettings; SamplingSettings()\n"
        "from csrms_dist.sampling import POSITIVES\n"
        f"assert list(POSITIVES) == {list(POSITIVES)}\n"
        "found = {'numpy', 'scipy', 'torch', 'pyarrow', 'numba'} & set(sys.modules)\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
