"""The structure that a method is trained on: the run's own, or the same without what was found (`method.structure`)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from csrms_dist.basics.arrays import F32
from csrms_dist.basics.hashing import Texts
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.hierarchy.permuted import permuted
from csrms_dist.methods.protocol import Structure
from csrms_dist.methods.settings import MethodSettings
from csrms_dist.run_contents import RunContents
from csrms_dist.sampling.candidates import Candidates
from csrms_dist.sampling.settings import SamplingSettings


def structure_of(run: RunContents, method: MethodSettings, sampling: SamplingSettings, seed: int) -> Structure:
    """What the method is trained on by these settings. Whatever asks for a hierarchy to train with, or to make its
    candidates or its leak check, asks here."""
    return PermutedStructure(run, sampling, seed) if method.permutes_patterns() else run


class PermutedStructure:
    """A run's contents, a `Structure`, whose images lie in patterns by chance.

    Its candidates are those of the run, which were made of the same hierarchy.
    """

    def __init__(self, run: RunContents, sampling: SamplingSettings, seed: int) -> None:
        self._run, self._sampling, self._seed = run, sampling, seed

    @cached_property
    def hierarchy(self) -> HierarchyGraph:
        return permuted(self._run.hierarchy, self._run.ids, self._seed, self._sampling.n_positives)

    @property
    def ids(self) -> Texts:
        return self._run.ids

    @property
    def vectors(self) -> F32:
        return self._run.vectors

    def candidates(self, edge_types: tuple[str, ...]) -> dict[str, Candidates]:
        return self._run.candidates(edge_types)

    def artefact(self, stage: str) -> Path:
        return self._run.artefact(stage)
