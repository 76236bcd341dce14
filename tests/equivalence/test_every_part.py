"""Every entry of every dict trains, with one label an image and with several; and two processes train as one does."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from csrms_dist.basics.collective import Collective
from tests.equivalence.parts import ENTRIES, SEVERAL_ALONE, candidates, prepare, recipe_of, trained
from tests.equivalence.processes import two_processes, work

CASES = [(name, several) for several in (False, True) for name in (*ENTRIES, *(SEVERAL_ALONE if several else ()))]
LABELS_COUNT = ("reading", "alignment", "term", "positives", "negatives", "curriculum", "asymmetric", "batches")
"""What looks at labels: the others with several of them are behind the marker."""


def _marked(name: str, several: bool) -> Any:
    slow = several and not name.startswith(LABELS_COUNT)
    return pytest.param(name, several, marks=[pytest.mark.slow] if slow else [])


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


@pytest.mark.parametrize(("name", "several"), [_marked(*case) for case in CASES], ids=str)
def test_an_entry_trains_an_epoch(folders: Any, name: str, several: bool, tmp_path: Path) -> None:
    recipe = recipe_of((ENTRIES | SEVERAL_ALONE)[name])
    if recipe.edge_types:
        candidates(folders[several], recipe)
    history = trained(folders[several], recipe, Collective(), tmp_path)
    assert len(history) == recipe.train.epochs
    assert all(math.isfinite(value) for report in history for value in report.values())
    named = {term for term, weight in recipe.method.weights().items() if weight > 0}
    assert named <= set(history[0])


def everything(folder: Path, collective: Collective) -> dict[str, list[dict[str, float]]]:
    """The history of every case."""
    torch.set_num_threads(1)
    found = {}
    for name, several in CASES:
        run, recipe = folder / str(several), recipe_of((ENTRIES | SEVERAL_ALONE)[name])
        if collective.rank == 0 and recipe.edge_types:
            candidates(run, recipe)
        collective.barrier()
        work_folder = folder / f"work {collective.world}" / f"{name} {several}"
        work_folder.mkdir(parents=True, exist_ok=True)
        found[f"{name} {several}"] = trained(run, recipe, collective, work_folder)
        collective.barrier()
    return found


@pytest.mark.slow
def test_two_processes_train_every_entry_as_one_does(tmp_path: Path) -> None:
    for several in (False, True):
        prepare(tmp_path / str(several), several)
    with two_processes("tests.equivalence.test_every_part", tmp_path, 1500) as found:
        first, second = found()
        alone = everything(tmp_path, Collective())
    assert first == second
    differing = []
    for case, expected in alone.items():
        for one, two in zip(expected, first[case], strict=True):
            for report in (one, two):
                report.pop("encoded", None)  # an image that both draw is encoded by both
            if one != pytest.approx(two, abs=5e-5):
                differing.append((case, one, two))
    assert not differing


if __name__ == "__main__":
    place = Path(sys.argv[1])
    work(place, int(sys.argv[2]), int(sys.argv[3]), lambda collective: everything(place, collective))
