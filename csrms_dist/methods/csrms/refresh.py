"""Refresh: every few epochs patterns, hierarchy and candidates are made anew from the feature bank (CSRMS sec. 5.4.3).

Rank 0 makes them, in a folder that appears whole or not at all; every worker reads them there. So a training that is
resumed finds those of the epoch that it goes on from.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from csrms_dist.art.patterns import cluster
from csrms_dist.art.settings import ClusterSettings
from csrms_dist.artefacts.names import CLUSTER, REFRESHED_FACTS, SNAPSHOT
from csrms_dist.artefacts.work_folder import bring, share
from csrms_dist.basics.collective import Collective
from csrms_dist.basics.hashing import Texts
from csrms_dist.errors import RunDirectoryError
from csrms_dist.hierarchy import snapshot
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.hierarchy.renumbering import keep_numbers
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.sampling.candidates import Candidates, load_candidates
from csrms_dist.sampling.class_aware import ClassAwareSubgraph
from csrms_dist.sampling.protocol import Sampler
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.sampling.subgraph import BatchSubgraph
from csrms_dist.sampling.write import write_candidates

_CANDIDATES = "candidates"


class Renewed:
    """A sampler that another takes the place of, between two epochs."""

    def __init__(self, first: Sampler) -> None:
        self.current = first

    def sample(self, anchors: npt.NDArray[np.integer], epoch: int) -> BatchSubgraph:
        return self.current.sample(anchors, epoch)

    def class_aware(self, anchors: npt.NDArray[np.integer], epoch: int) -> ClassAwareSubgraph:
        return self.current.class_aware(anchors, epoch)


@dataclass
class Refresh:
    """Patterns, hierarchy and candidates of the feature bank's rows.

    every: epochs between two of them.
    ids: (N,) names of the rows.
    first: the hierarchy before any.
    cluster: settings; with classes known its number of patterns is aimed at anew.
    edge_types: whose candidates are needed.
    work: a folder that all workers see; None for this process alone.
    """

    every: int
    ids: Texts
    first: HierarchyGraph
    cluster: ClusterSettings
    sampling: SamplingSettings
    edge_types: tuple[str, ...]
    rank: int
    work: Path | None
    _own: tempfile.TemporaryDirectory[str] | None = field(default=None, init=False)

    def due(self, done: int) -> int:
        """The epochs after which the patterns of the next epoch were made, 0 for those of before training."""
        return done - done % self.every

    def folder(self, epoch: int) -> Path:
        """Where the patterns that were made after so many epochs lie."""
        if self.work is None and self._own is None:
            self._own = tempfile.TemporaryDirectory(prefix="refresh-")
        base = self.work if self.work is not None else Path(self._own.name if self._own else "")
        return base / f"refresh.{epoch}"

    def ready(
        self, epoch: int, bank: FeatureBank, collective: Collective
    ) -> tuple[HierarchyGraph, Mapping[str, Candidates]]:
        """Those that were made after so many epochs, made from the bank where they are not there yet."""
        folder = self.folder(epoch)
        if self.rank == 0 and not bring(folder):
            self._make(epoch, bank)
            share(folder)
        collective.barrier()
        bring(folder)
        candidates = load_candidates(folder / _CANDIDATES, self.edge_types) if self.edge_types else {}
        return snapshot.load(folder / SNAPSHOT), candidates

    def _make(self, epoch: int, bank: FeatureBank) -> None:
        folder = self.folder(epoch)
        staged = folder.with_name(f".{folder.name}")
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        vectors = staged / "vectors.npy"
        np.save(vectors, bank.on_host())
        n_classes = self.first.n_classes or None
        found = cluster(vectors, self.ids, self.cluster, n_classes, staged / "work")
        before = self._before(epoch).pattern
        number = keep_numbers(before, found.pattern)
        order = np.argsort(number.number)
        pattern = number.number[found.pattern]
        graph = build_hierarchy(
            pattern, found.score, self.first.membership, self.first.instance,
            dominance_threshold=self.first.dominance_threshold, n_positives=self.sampling.n_positives,
            multi_label=self.first.multi_label,
        )  # fmt: skip
        snapshot.save(graph, staged / SNAPSHOT)
        if self.edge_types:
            write_candidates(
                staged / _CANDIDATES, graph, np.load(vectors, mmap_mode="r"), self.sampling, edge_types=self.edge_types
            )
        (staged / CLUSTER).mkdir()
        np.save(staged / CLUSTER / "prototypes.npy", found.prototypes[order])
        facts = {
            "epoch": epoch,
            "patterns": graph.n_patterns,
            "vigilance": found.vigilance,
            "kept_patterns": int(number.kept.sum()),
            "moved_images": float((pattern != before).mean()),
        }
        (staged / REFRESHED_FACTS).write_text(json.dumps(facts, sort_keys=True) + "\n")
        vectors.unlink()
        staged.rename(folder)

    def _before(self, epoch: int) -> HierarchyGraph:
        earlier = epoch - self.every
        if not earlier:
            return self.first
        bring(self.folder(earlier))
        return snapshot.load(self.folder(earlier) / SNAPSHOT)


class Refreshing:
    """A refresh, and what puts what it makes in the place of what was there before."""

    def __init__(self, refresh: Refresh, renew: Callable[[HierarchyGraph, Mapping[str, Candidates]], None]) -> None:
        self._refresh, self._renew = refresh, renew
        self._since = 0

    def begin_epoch(self, done: int, bank: FeatureBank, collective: Collective) -> None:
        """After so many epochs: have the patterns of the next one."""
        due = self._refresh.due(done)
        if due != self._since:
            if due != done and not bring(self._refresh.folder(due)):
                raise RunDirectoryError(
                    str(self._refresh.folder(due)),
                    got="no such folder",
                    expected="the patterns that a checkpoint goes on with",
                    remedy="delete the folder .checkpoints of the run and start the command again",
                )
            self._renew(*self._refresh.ready(due, bank, collective))
            self._since = due


def keep_refreshed(work: Path, target: Path) -> None:
    """Copy what a training made in its work folder, but for the candidates, to target/<epochs>."""
    for folder in work.glob("refresh.*"):
        epoch = folder.name.rpartition(".")[2]
        shutil.copytree(folder, target / epoch, ignore=shutil.ignore_patterns(_CANDIDATES))
