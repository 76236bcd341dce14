"""The digits up to the hierarchy, without Ray: made once, shared by the tests of methods, training and inference."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csrms_dist.art import cluster
from csrms_dist.art.settings import ClusterSettings
from csrms_dist.datasets.image_table import ImageTable, write_image_table
from csrms_dist.datasets.layouts.digits import digits
from csrms_dist.encoders import Normaliser
from csrms_dist.evaluation.classifier import Classifier
from csrms_dist.features.extraction import encode_range
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.methods.csrms.build import keep
from csrms_dist.methods.csrms.method import CSRMS
from csrms_dist.methods.csrms.model import CSRMSModel
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.plain import PlainMethod
from csrms_dist.methods.saved_model import ModelCard, make_model, save_model
from csrms_dist.sampling import ReferenceSampler, build_candidates
from csrms_dist.training.batches import TrainingData
from csrms_dist.training.inputs import ImageInputs
from csrms_dist.training.loop import fit
from csrms_dist.training.settings import OptimiserSettings
from tests.unit.csrms_made import csrms_on, settings_of


@dataclass(frozen=True)
class DigitsRun:
    """What `csrms run` has before the stage `train`: images, stage-0 weights, features (N, 84), hierarchy."""

    table: ImageTable
    test: ImageTable
    data: TrainingData
    card: ModelCard
    stage_0: dict[str, torch.Tensor]
    features: np.ndarray
    graph: HierarchyGraph

    def plain(self) -> PlainMethod:
        model = make_model(self.card, 0)
        assert isinstance(model, PlainModel)
        model.load_state_dict(self.stage_0)
        return PlainMethod(model)

    def csrms(self, reading: str, **settings: Any) -> tuple[CSRMS, ReferenceSampler]:
        """The method, from the stage-0 weights, and its sampler."""
        chosen, sampling = settings_of(reading, **settings)
        model = make_model(self.card_of(reading), 0)
        assert isinstance(model, CSRMSModel)
        model.load_state_dict(self.stage_0, strict=False)
        method = csrms_on(model, self.graph, self.features.copy(), chosen, sampling)
        sizes = {"positive": sampling.n_positives, "negative": sampling.n_negatives}
        return method, ReferenceSampler(build_candidates(self.graph, self.features, sampling), sizes, 0)

    def card_of(self, reading: str) -> ModelCard:
        chosen, sampling = settings_of(reading)
        return dataclasses.replace(self.card, method="csrms", options=chosen.model_options(sampling))

    def save(self, folder: Path, method: CSRMS, reading: str) -> np.ndarray:
        """Save a trained method as the stage `train` does; returns its feature bank."""
        folder.mkdir(parents=True)
        save_model(folder, self.card_of(reading), method.module.state_dict())
        keep(folder, method.state_dict(), folder)
        return np.asarray(method.relations.bank.current)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """What the jobs use; equal bytes need equal thread counts."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> DigitsRun:
    folder = tmp_path_factory.mktemp("digits")
    for name, source in zip(("train", "test"), digits(0.2), strict=True):
        write_image_table(folder / f"{name}.arrow", source)
    table, test = ImageTable(folder / "train.arrow"), ImageTable(folder / "test.arrow")
    mean, std = table.channel_statistics()
    indices, normalise = table.indices("train")[::2], Normaliser(mean, std)
    membership = table.membership[indices]
    data = TrainingData(ImageInputs(table, indices, normalise), membership)
    card = ModelCard("lenet5", table.shape, tuple(mean), tuple(std), table.label_space.class_names)
    model = make_model(card, 0)
    assert isinstance(model, PlainModel)
    fit(PlainMethod(model), data, OptimiserSettings(epochs=4, batch_size=32), n_images=4 * len(indices), seed=0)
    save_model(folder, card, model.state_dict())
    features = encode_range(Classifier(folder).encoder, normalise, table, indices, 256)
    np.save(folder / "vectors.npy", features)
    ids = [table.ids[int(i)].as_py() for i in indices]
    work = folder / "work"
    work.mkdir()
    clustering = cluster(folder / "vectors.npy", ids, ClusterSettings(n_patterns=40, shards=2), 10, work)
    graph = build_hierarchy(
        clustering.pattern,
        clustering.score,
        membership,
        indices,
        dominance_threshold=0.6,
        n_positives=10,
        multi_label=False,
    )
    return DigitsRun(table, test, data, card, model.state_dict(), features, graph)
