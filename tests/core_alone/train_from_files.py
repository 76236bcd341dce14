"""Trains from a run's files in an environment with the base install alone; executed there, by its interpreter.

    python -I train_from_files.py RUN RECIPE.json OUT

Imports every module of the library, trains the stage `train` anew, and writes to OUT the reports (history.json),
the edges of the batches that RECIPE.json names (edges.npz) and what it ran with (facts.json).
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import csrms_dist
from csrms_dist.encoders.settings import EncoderSettings
from csrms_dist.methods.csrms.settings import CSRMSSettings
from csrms_dist.sampling import ReferenceSampler, load_candidates
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.training.alone import train_alone
from csrms_dist.training.recipe import Recipe
from csrms_dist.training.settings import PretrainSettings, TrainSettings

ABSENT = ("ray", "dgl", "ladybug", "neo4j")
SECTIONS = {
    "encoder": EncoderSettings,
    "pretrain": PretrainSettings,
    "sampling": SamplingSettings,
    "method": CSRMSSettings,
    "train": TrainSettings,
}


def importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def edges_of(sampler: Any, batches: list[tuple[int, list[int]]]) -> dict[str, np.ndarray[Any, Any]]:
    """The edges that a sampler draws for (epoch, rows), by batch and edge type."""
    found = {}
    for number, (epoch, rows) in enumerate(batches):
        subgraph = sampler.sample(np.array(rows, dtype=np.int64), epoch)
        for name, edges in subgraph.edges.items():
            found[f"{number}.{name}.anchor"] = edges.anchor
            found[f"{number}.{name}.neighbour"] = edges.neighbour
    return found


def main(run: Path, given: dict[str, Any], out: Path) -> None:
    modules = [
        found.name
        for found in pkgutil.walk_packages(csrms_dist.__path__, "csrms_dist.")
        if importlib.import_module(found.name)
    ]
    # One thread, as Ray's workers have.
    torch.set_num_threads(1)
    recipe = Recipe(given["seed"], **{name: kind.from_mapping(given[name]) for name, kind in SECTIONS.items()})
    history = train_alone("train", run, recipe)["history"]
    sizes = given["sizes"]
    sampler = ReferenceSampler(load_candidates(run / "candidates", sizes), sizes, recipe.seed)
    np.savez(out / "edges.npz", **edges_of(sampler, given["batches"]))
    facts = {
        "python": sys.version_info[:2],
        "library": csrms_dist.__file__,
        "modules": modules,
        "loaded": sorted({name.partition(".")[0] for name in sys.modules} & set(ABSENT)),
        "importable": [name for name in ABSENT if importable(name)],
    }
    (out / "history.json").write_text(json.dumps(history))
    (out / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3]))
