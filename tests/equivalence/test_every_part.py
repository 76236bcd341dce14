"""Every entry of every dict trains, with one label an image and with several; and two processes train as one does."""

from __future__ import annotations

import datetime
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from csrms_dist.basics.collective import Collective
from tests.equivalence.parts import ENTRIES, SEVERAL_ALONE, candidates, prepare, recipe_of, trained

ROOT = Path(__file__).resolve().parents[2]
CASES = [(name, several) for several in (False, True) for name in (*ENTRIES, *(SEVERAL_ALONE if several else ()))]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run with one label an image and one with several; the threads and algorithms of torch are put back."""
    found = {several: tmp_path_factory.mktemp("several" if several else "single") for several in (False, True)}
    for several, folder in found.items():
        prepare(folder, several)
    threads, exact = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    yield found
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(exact)


@pytest.mark.parametrize(("name", "several"), CASES, ids=lambda value: str(value))
def test_an_entry_trains_an_epoch(folders: Any, name: str, several: bool, tmp_path: Path) -> None:
    recipe = recipe_of((ENTRIES | SEVERAL_ALONE)[name])
    if recipe.edge_types:
        candidates(folders[several], recipe)
    history = trained(folders[several], recipe, Collective(), tmp_path)
    assert len(history) == recipe.train.epochs
    assert all(math.isfinite(value) for report in history for value in report.values())
    named = {term for term, weight in recipe.method.weights().items() if weight > 0}
    assert named <= set(history[0])


def worker(folder: Path, rank: int, world: int) -> None:
    """Train every case; what is printed is the history of each."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world,
        timeout=datetime.timedelta(seconds=600),
    )  # fmt: skip
    collective, found = Collective(rank, world), {}
    for name, several in CASES:
        run, recipe = folder / str(several), recipe_of((ENTRIES | SEVERAL_ALONE)[name])
        if rank == 0 and recipe.edge_types:
            candidates(run, recipe)
        collective.barrier()
        work = folder / "work" / f"{name} {several}"
        work.mkdir(parents=True, exist_ok=True)
        found[f"{name} {several}"] = trained(run, recipe, collective, work)
        collective.barrier()
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_train_every_entry_as_one_does(tmp_path: Path) -> None:
    for several in (False, True):
        prepare(tmp_path / str(several), several)
    command = [sys.executable, "-m", "tests.equivalence.test_every_part", str(tmp_path)]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen([*command, str(rank), "2"], cwd=ROOT, stderr=subprocess.PIPE, env=environment, text=True)
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=1500)[1] for process in workers]
    finally:
        for process in workers:
            process.kill()
    assert [process.returncode for process in workers] == [0, 0], "\n".join(errors)[-4000:]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second
    differing = []
    for name, several in CASES:
        recipe = recipe_of((ENTRIES | SEVERAL_ALONE)[name])
        if recipe.edge_types:
            candidates(tmp_path / str(several), recipe)
        alone = trained(tmp_path / str(several), recipe, Collective(), tmp_path / "alone" / f"{name} {several}")
        for one, two in zip(alone, first[f"{name} {several}"], strict=True):
            for report in (one, two):
                report.pop("encoded", None)  # an image that both draw is encoded by both
            if one != pytest.approx(two, abs=5e-5):
                differing.append((name, several, one, two))
    assert not differing


if __name__ == "__main__":
    worker(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
