"""The ground of a training with an adapter: a run, and its features as the adapter has them when training begins.

Patterns and candidates stay those of the frozen features. The bank, the prototypes and the relation terms lie where the
heads do, so the first generation of the bank is what the adapter makes of the feature table with its initial weights.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from csrms_dist.artefacts.files import disk_errors
from csrms_dist.artefacts.work_folder import bring, share
from csrms_dist.basics.arrays import F32
from csrms_dist.basics.collective import Collective
from csrms_dist.basics.hashing import Texts
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.methods.protocol import Structure
from csrms_dist.models.adapter import AdaptedEncoder, adapted_table
from csrms_dist.models.feature_bank import generation_file
from csrms_dist.sampling.candidates import Candidates


class AdaptedStructure:
    """A run's contents, or what of them is trained on, whose features are those of the adapter.

    encoder: with its initial weights. work: where they are written, by rank 0, as generation 0 of the bank; None: kept
    in the memory of every rank.
    """

    def __init__(self, run: Structure, encoder: AdaptedEncoder, work: Path | None, collective: Collective) -> None:
        self._run, self._encoder, self._work, self._collective = run, encoder, work, collective

    @property
    def hierarchy(self) -> HierarchyGraph:
        return self._run.hierarchy

    @property
    def ids(self) -> Texts:
        return self._run.ids

    def candidates(self, edge_types: tuple[str, ...]) -> dict[str, Candidates]:
        return self._run.candidates(edge_types)

    def artefact(self, stage: str) -> Path:
        return self._run.artefact(stage)

    @cached_property
    def vectors(self) -> F32:
        """(N, 256). Made when a method asks, which every rank of its training does; a resumed one makes them again."""
        if self._work is None:
            return adapted_table(self._encoder, self._run.vectors, None)
        path = generation_file(self._work, 0)
        if self._collective.rank == 0:
            with disk_errors(str(self._work)):
                self._work.mkdir(parents=True, exist_ok=True)
                adapted_table(self._encoder, self._run.vectors, path)
            share(path)
        self._collective.barrier()
        bring(path)
        found: F32 = np.load(path, mmap_mode="r")
        return found
