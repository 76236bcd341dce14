"""A reading of one's own that asks for class-aware sub-graphs, through `build` and the training loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from csrms_dist.art.settings import ClusterSettings
from csrms_dist.hierarchy.settings import GraphSettings
from csrms_dist.methods.csrms.build import build
from csrms_dist.methods.csrms.readings.structural import StructuralReading
from csrms_dist.methods.csrms.relations import Relations
from csrms_dist.methods.csrms.settings import CSRMSSettings
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.protocol import Batch, Task
from csrms_dist.methods.saved_model import make_model
from csrms_dist.models.graph_head import GraphContext
from csrms_dist.sampling import Candidates, ClassAwareSubgraph, ReferenceSampler, build_candidates
from csrms_dist.sampling.dgl_sampler import DglSampler
from csrms_dist.sampling.protocol import SamplerType
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.training.loop import fit
from csrms_dist.training.placement import CPU
from csrms_dist.training.settings import OptimiserSettings
from tests.unit.conftest import DigitsRun

SAMPLING = SamplingSettings(n_positives=2, n_negatives=3, pool=8)


class PatternsOfNegatives(StructuralReading):
    """What enters the graph head: the prototypes of the patterns in which the drawn negatives lie."""

    edge_types: ClassVar[tuple[str, ...]] = ("negative",)
    class_aware: ClassVar[bool] = True
    seen: ClassVar[list[ClassAwareSubgraph]] = []

    def context(self, features: Tensor, batch: Batch, relations: Relations, draw: Any) -> GraphContext:
        found = batch.subgraph
        assert isinstance(found, ClassAwareSubgraph)
        self.seen.append(found)
        pattern = np.zeros(relations.bank.current.shape[0], np.int64)
        pattern[found.instances] = found.patterns[found.local["in_pattern"].target]
        rows, mask = found.dense("negative", 3)
        return GraphContext(relations.patterns.means[torch.from_numpy(pattern[rows])], torch.from_numpy(mask))


@dataclass(frozen=True)
class Ground:
    """A `Structure` in memory."""

    run: DigitsRun

    @property
    def hierarchy(self) -> Any:
        return self.run.graph

    @property
    def vectors(self) -> Any:
        return self.run.features.copy()

    @property
    def ids(self) -> list[str]:
        return [str(row) for row in range(self.run.graph.n_rows)]

    def candidates(self, edge_types: tuple[str, ...]) -> dict[str, Candidates]:
        found = build_candidates(self.run.graph, self.run.features, SAMPLING)
        return {kind: found[kind] for kind in edge_types}

    def artefact(self, stage: str) -> Path:
        raise NotImplementedError(stage)


@pytest.mark.parametrize("kind", [ReferenceSampler, DglSampler])
def test_a_reading_may_look_at_patterns_of_what_is_drawn(digits_run: DigitsRun, kind: SamplerType) -> None:
    name = f"{__name__}:PatternsOfNegatives"
    settings = CSRMSSettings(reading=name)
    card = digits_run.card_of("structural")
    model = make_model(card.__class__(**{**vars(card), "options": settings.model_options(SAMPLING)}), 0)
    assert isinstance(model, PlainModel)
    task = Task(
        role="train", settings=settings, sampling=SAMPLING, seed=0, n_rows=len(digits_run.data),
        label_smoothing=0.0, labels_per_image=None, cluster=ClusterSettings(),
        graph=GraphSettings(), frozen=False, rank=0, work=None, device=CPU.device,
        sampler_type=kind,
    )  # fmt: skip
    built = build(model, Ground(digits_run), task)
    PatternsOfNegatives.seen.clear()
    [report] = fit(
        built.method, digits_run.data, OptimiserSettings(batch_size=32, lr=0.01, epochs=1), n_images=96, seed=0,
        sampler=built.sampler,
    )  # fmt: skip
    assert np.isfinite(report["loss"])
    assert [len(found) for found in PatternsOfNegatives.seen] == [32, 32, 32]
    for found in PatternsOfNegatives.seen:
        assert set(found.patterns) == set(digits_run.graph.pattern[found.instances])
