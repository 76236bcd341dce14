"""The clusters are the same bytes whatever the number of Ray actors, for both kinds of ART."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.end_to_end.harness import ROOM, digests, execute

pytestmark = ROOM

ALGORITHMS = ("spherical", "fuzzy", "kmeans")
ACTORS = (1, 2, 3)
# One Ray session for all runs: starting it takes longer than they do.
SCRIPT = f"""
import json, sys
from ray_jobs import run
from ray_jobs.on_ray.session import ray_session, shared_session

with shared_session(), ray_session(max({ACTORS}) + 1):
    for algorithm in {ALGORITHMS}:
        for actors in {ACTORS}:
            overrides = (f"cluster.algorithm={{algorithm}}", f"cluster.actors={{actors}}")
            result = run(sys.argv[1], f"{{algorithm}}-{{actors}}", overrides, until="cluster")
            print(json.dumps([algorithm, actors, result.done, result.run.facts("cluster")]))
"""


def write_vectors(path: Path, n_rows: int = 900, dimension: int = 8, n_blobs: int = 12) -> None:
    rng = np.random.default_rng(0)
    blob = rng.integers(n_blobs, size=n_rows)
    vectors = rng.normal(size=(n_blobs, dimension))[blob] * 2 + rng.normal(size=(n_rows, dimension)) * 0.6
    columns = {
        "id": [f"row-{n}" for n in range(n_rows)],
        "vector": pa.array(list(vectors.astype(np.float32))),
        "label": blob % 4,
    }
    pq.write_table(pa.table(columns), path)


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs named <algorithm>-<actors>. Fewer rows are learnt than there are, so that all phases run."""
    folder = tmp_path_factory.mktemp("actors")
    write_vectors(folder / "vectors.parquet")
    settings = {"features": {"path": "vectors.parquet"}, "cluster": {"shards": 5, "learn_rows": 400, "n_patterns": 25}}
    (folder / "vectors.yaml").write_text(json.dumps(settings))
    (folder / "runs.py").write_text(SCRIPT)
    said = execute([sys.executable, "runs.py", "vectors.yaml"], folder)
    assert said.code == 0, said.err
    ran = [json.loads(line) for line in said.out.splitlines()]
    assert [(algorithm, actors) for algorithm, actors, _, _ in ran] == [(a, n) for a in ALGORITHMS for n in ACTORS]
    for _, _, done, facts in ran:
        assert done == ["features", "cluster"]
        assert 5 <= facts["patterns"] <= 100
    return folder


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_clusters_do_not_depend_on_the_actors(clustered: Path, algorithm: str) -> None:
    one, two, three = (digests(clustered / f"{algorithm}-{actors}" / "cluster") for actors in ACTORS)
    assert len(one) >= 4
    assert one == two == three


def test_the_fingerprint_does_not_depend_on_the_actors(clustered: Path) -> None:
    def fingerprint(name: str) -> Any:
        return json.loads((clustered / name / "cluster" / "stamp.json").read_text())["fingerprint"]

    assert len({fingerprint(f"spherical-{actors}") for actors in ACTORS}) == 1
    assert fingerprint("spherical-1") != fingerprint("fuzzy-1")


def test_both_kinds_of_art_find_something_else(clustered: Path) -> None:
    assert digests(clustered / "spherical-1" / "cluster") != digests(clustered / "fuzzy-1" / "cluster")
