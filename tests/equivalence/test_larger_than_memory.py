"""Images that take more than a process may have are written and read: tables are streams and maps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROWS, SIDE, LIMIT_MB = 30_000, 64, 100
SCRIPT = f"""
import json, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from csrms_dist.datasets.image_source import Selected, in_memory
from csrms_dist.datasets.image_table import ImageTable, write_image_table
from csrms_dist.labels import LabelSpace
from ray_jobs.memory import watched


def image(row):
    return np.full(({SIDE}, {SIDE}, 3), row % 251, np.uint8)


def read(rows):
    return (image(row) for row in rows.tolist())


def source(n):
    space = LabelSpace(("a", "b"))
    membership = space.membership([row % 2 for row in range(n)])
    made = in_memory("made", space, list(map(str, range(n))), membership, ["train"] * n, [])
    return replace(made, images=Selected(read, np.arange(n)))


write_image_table(Path("few.arrow"), source(600), shard_images=256)
ImageTable(Path("few.arrow")).pixels(np.arange(9))
with watched() as before:
    pass
with watched() as peak:
    write_image_table(Path("many.arrow"), source({ROWS}), shard_images=4096)
    table = ImageTable(Path("many.arrow"))
    rows = np.random.default_rng(0).permutation({ROWS})
    for some in np.array_split(rows, 100):
        pixels = table.pixels(some)
        assert (pixels == (some % 251)[:, None, None, None]).all()
print(json.dumps([len(table.shards), peak.mb - before.mb]))
"""


def test_a_table_takes_no_memory_of_its_size(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    (tmp_path / "script.py").write_text(SCRIPT)
    said = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env={"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    shards, grown = json.loads(said.stdout)
    size = sum(path.stat().st_size for path in tmp_path.glob("many-*.arrow")) / 1e6
    assert (shards, size > 3 * LIMIT_MB) == (8, True)
    assert grown < LIMIT_MB
