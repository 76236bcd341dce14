"""The library stands alone: Python 3.12, the base install, a run's files; no Ray, no DGL, no database.

`make test-core-alone`. Builds an environment, which takes minutes and several gigabytes, and removes it afterwards.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csrms_dist.features.feature_table import FeatureTable
from csrms_dist.sampling import load_candidates
from csrms_dist.sampling.dgl_sampler import DglSampler
from csrms_dist.training.loop import global_batches
from ray_jobs.settings import load_settings
from tests.core_alone.train_from_files import ABSENT, SECTIONS, edges_of
from tests.end_to_end.harness import CONFIG, ROOT, csrms, prepare

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

WANTED = (3, 12)
EPOCHS = 2
# An attraction, so that positives are drawn too.
SETTINGS = ("pretrain.epochs=2", f"train.epochs={EPOCHS}", "train.lr=0.01", "method.weight_attract=0.1")
NEEDED = ("images", "pretrain", "features", "graph/snapshot", "candidates")


def python312() -> str:
    """An interpreter that is Python 3.12: $PYTHON312, or python3.12 on the PATH."""
    path = os.environ.get("PYTHON312") or shutil.which("python3.12")
    said = "no python3.12 on the PATH"
    if path:
        asked = [path, "-c", "import sys; print(*sys.version_info[:2])"]
        try:
            done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
            said = f"{path}, which says '{(done.stdout or done.stderr).strip()[:200]}'"
        except OSError as error:
            said = f"{path}, which says '{error}'"
        else:
            if done.returncode == 0 and tuple(map(int, done.stdout.split())) == WANTED:
                return path
    pytest.fail(f"got {said}, expected Python 3.12; install it or set PYTHON312=/path/to/python3.12")


def execute(*command: str | Path, folder: Path, timeout_s: float) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder, env=kept, capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The interpreter of an environment with the base install, from a copy of the sources: building leaves traces."""
    python = python312()
    folder = tmp_path_factory.mktemp("core")
    sources = folder / "sources"
    for package in ("csrms_dist", "graphstore", "ray_jobs"):
        shutil.copytree(ROOT / package, sources / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    try:
        execute(python, "-m", "venv", folder / "venv", folder=folder, timeout_s=300)
        inside = folder / "venv" / "bin" / "python"
        pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", ROOT / "constraints.txt")
        execute(inside, *pip, sources, folder=folder, timeout_s=1800)
        yield inside
    finally:
        shutil.rmtree(folder / "venv", ignore_errors=True)


@dataclass(frozen=True)
class Full:
    """A run of the full environment: its files that training needs, its epochs, and a recipe for the core."""

    files: Path
    history: list[dict[str, float]]
    given: dict[str, Any]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Full:
    folder = tmp_path_factory.mktemp("full")
    prepare(folder)
    chosen = [word for setting in SETTINGS for word in ("--set", setting)]
    said = csrms("run", CONFIG, *chosen, "--no-control", folder=folder)
    assert said.code == 0, said.err
    run = folder / "runs" / "digits"
    files = folder / "files"
    for name in NEEDED:
        shutil.copytree(run / name, files / name)
    shutil.copy(run / "graph" / "stamp.json", files / "graph")
    recipe = load_settings(folder / CONFIG, SETTINGS).recipe
    n_rows = len(FeatureTable.load(run / "features").vectors)
    batches = [
        (epoch, rows.tolist())
        for epoch in range(EPOCHS)
        for rows in global_batches(n_rows, recipe.train.batch_size, EPOCHS * n_rows, recipe.seed, epoch)
    ]
    given = {
        "seed": recipe.seed,
        "sizes": {"positive": recipe.sampling.n_positives, "negative": recipe.sampling.n_negatives},
        "batches": batches,
    }
    for name, kind in SECTIONS.items():
        own = {spec.name for spec in dataclasses.fields(kind)}
        given[name] = {k: v for k, v in dataclasses.asdict(getattr(recipe, name)).items() if k in own}
    history = json.loads((run / "train" / "stamp.json").read_text())["facts"]["history"]
    return Full(files, history, given)


def test_the_core_alone_trains_from_files_on_the_samples_of_dgl(full: Full, core: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps(full.given))
    script = Path(__file__).with_name("train_from_files.py")
    execute(core, "-I", script, full.files, tmp_path / "recipe.json", tmp_path, folder=tmp_path, timeout_s=600)

    facts = json.loads((tmp_path / "facts.json").read_text())
    assert tuple(facts["python"]) == WANTED
    assert Path(facts["library"]).is_relative_to(core.parents[1]), "not the sources that pytest runs on"
    written = {path.relative_to(ROOT).with_suffix("") for path in (ROOT / "csrms_dist").rglob("*.py")}
    modules = {".".join(path.parts).removesuffix(".__init__") for path in written} - {"csrms_dist"}
    assert set(facts["modules"]) == modules, "every module can be imported"
    assert facts["loaded"] == []
    assert facts["importable"] == [], f"the base install brings none of {ABSENT}"

    sizes, seed = full.given["sizes"], full.given["seed"]
    expected = edges_of(
        DglSampler(load_candidates(full.files / "candidates", sizes), sizes, seed), full.given["batches"]
    )
    with np.load(tmp_path / "edges.npz") as found:
        assert set(found) == set(expected)
        for name, array in expected.items():
            assert np.array_equal(found[name], array), name
    assert sum(len(array) for array in expected.values()) > 10_000

    history = json.loads((tmp_path / "history.json").read_text())
    assert len(history) == len(full.history) == EPOCHS
    for mine, theirs in zip(history, full.history, strict=True):
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            assert mine[name] == pytest.approx(value, abs=5e-5), name
