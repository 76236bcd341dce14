"""One worker and two real processes train the same: samples, losses, gradients, weights.

The workers run this file as a module, so that they are processes as any other: gloo, a rendezvous by file.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csrms_dist.basics.collective import Collective
from csrms_dist.basics.lookup import resolve
from csrms_dist.datasets.image_source import in_memory
from csrms_dist.datasets.image_table import ImageTable, write_image_table
from csrms_dist.encoders import Normaliser
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.labels import LabelSpace
from csrms_dist.losses.inter_class import InterClass
from csrms_dist.losses.term import Reducer
from csrms_dist.methods.contrastive import ContrastiveMethod, Projected
from csrms_dist.methods.csrms.build import anchor_weights, make_terms
from csrms_dist.methods.csrms.encoding import ENCODINGS
from csrms_dist.methods.csrms.method import CSRMS
from csrms_dist.methods.csrms.model import CSRMSModel
from csrms_dist.methods.csrms.settings import CSRMSSettings
from csrms_dist.methods.plain import PlainMethod
from csrms_dist.methods.protocol import Batch, BatchOutcome
from csrms_dist.methods.saved_model import ModelCard, make_model
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.sampling import ReferenceSampler, build_candidates
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.training.batches import TrainingData
from csrms_dist.training.inputs import ImageInputs
from csrms_dist.training.loop import fit
from csrms_dist.training.orders import ORDERS
from csrms_dist.training.orders.ground import Ground
from csrms_dist.training.placement import Placement
from csrms_dist.training.settings import OptimiserSettings
from tests.equivalence.processes import two_processes, work
from tests.unit.standins import PassingOn

K, EPOCHS = 5, 5
# Four batches of 33 (17 and 16 rows) and one of a single row: uneven slices, and a batch smaller than two workers.
N, BATCH = 133, 33
ALL_TERMS = {"weight_attract": 0.1}
SCENARIOS: dict[str, dict[str, Any]] = {
    "all terms": {"batch_size": BATCH, "n_images": EPOCHS * N, "weights": ALL_TERMS},
    "ends within an epoch": {"batch_size": BATCH, "n_images": N + 50, "weights": ALL_TERMS},
    "fewer rows than workers": {"batch_size": 1, "n_images": 9, "weights": ALL_TERMS},
    "paper": {"batch_size": BATCH, "n_images": 2 * N, "reading": "paper", "lr": 0.001},
    "an unused head": {
        "batch_size": BATCH,
        "n_images": 2 * N,
        "weights": {"weight_graph": 0.0, "weight_inter_class": 0.0},
    },
    "plain": {"batch_size": BATCH, "n_images": 2 * N, "reading": "plain"},
    "contrastive": {"batch_size": BATCH, "n_images": 2 * N, "reading": "contrastive", "augmentation": "contrastive"},
    "reference": {"batch_size": BATCH, "n_images": N, "reading": "reference", "lr": 0.001},
    "neighbours encoded once": {"batch_size": BATCH, "n_images": N, "weights": {"encoding": "unique", **ALL_TERMS}},
    "neighbours encoded anew": {"batch_size": BATCH, "n_images": N, "weights": {"encoding": "full"}},
    "curriculum": {
        "batch_size": BATCH,
        "n_images": 4 * N,
        "weights": {"curriculum": "cosine", "curriculum_on": "everything"},
    },
    "balanced classes": {"batch_size": BATCH, "n_images": N, "order": "class_balanced"},
    "sub-graphs": {"batch_size": BATCH, "n_images": N, "order": "subgraph"},
    "look-alikes": {"batch_size": BATCH, "n_images": N, "order": "look_alikes"},
    "groups, clipped, averaged": {
        "batch_size": 17,
        "n_images": 2 * N,
        "optimiser": {"accumulate": 3, "clip": 0.5, "ema": 0.9},
    },
    "overlapped": {
        "batch_size": BATCH,
        "n_images": 2 * N + 1,
        "weights": ALL_TERMS,
        "overlapped": True,
        "optimiser": {"accumulate": 2, "optimiser": "adamw"},
        "lr": 0.001,
    },
    "overlapped, fewer rows than workers": {"batch_size": 1, "n_images": 9, "overlapped": True},
    "overlapped, an unused head": {
        "batch_size": BATCH,
        "n_images": N,
        "weights": {"weight_graph": 0.0, "weight_inter_class": 0.0},
        "overlapped": True,
    },
}


def prepare(folder: Path) -> None:
    """Images of five classes in ten patterns, most of one class; pattern 10 is one image."""
    rng = np.random.default_rng(0)
    pattern = np.concatenate([np.arange(N - 1) % 10, [10]])
    labels = np.where(rng.random(N) < 0.85, pattern % K, rng.integers(0, K, N))
    centres = rng.normal(size=(11, 8, 8, 3)).repeat(4, axis=1).repeat(4, axis=2)
    images = np.clip(128 + 40 * (centres[pattern] + 0.5 * rng.normal(size=(N, 32, 32, 3))), 0, 255).astype(np.uint8)
    space = LabelSpace(tuple("abcde"))
    ids = [f"{i}" for i in range(N)]
    source = in_memory("made", space, ids, space.membership(labels.tolist()), ["train"] * N, images, (32, 32, 3))
    write_image_table(folder / "train.arrow", source)
    np.save(folder / "pattern.npy", pattern)
    np.save(folder / "features.npy", rng.normal(size=(11, 84))[pattern] + 0.3 * rng.normal(size=(N, 84)))


class Recorded(PassingOn):
    """A method that notes which rows came, on which step, with which neighbours."""

    def __init__(self, method: PlainMethod | ContrastiveMethod | CSRMS) -> None:
        super().__init__(method)
        self.step = 0
        self.samples: dict[str, list[int]] = {}

    def batch(self, batch: Batch, collective: Collective) -> BatchOutcome:
        for b, row in enumerate(batch.rows.tolist()):
            self.samples[f"{self.step} {row}"] = [int(1000 * batch.inputs[b].sum())]
            if self.more_view and batch.more_inputs is not None:
                self.samples[f"{self.step} {row} view"] = [int(1000 * batch.more_inputs[b].sum())]
            edges = batch.subgraph.edges if batch.subgraph is not None else {}
            for kind, some in edges.items():
                self.samples[f"{self.step} {row} {kind}"] = some.neighbour[some.anchor == b].tolist()
        self.step += 1
        return super().batch(batch, collective)


def train(folder: Path, scenario: dict[str, Any], collective: Collective) -> dict[str, Any]:
    table = ImageTable(folder / "train.arrow")
    indices = table.indices("train")
    features = np.load(folder / "features.npy").astype(np.float32)
    mean, std = table.channel_statistics()
    reading = scenario.get("reading", "structural")
    card = ModelCard("lenet5", table.shape, tuple(mean), tuple(std), table.label_space.class_names)
    sampler, graph = None, None
    if reading == "plain":
        model = make_model(card, 0)
        method: PlainMethod | ContrastiveMethod | CSRMS = PlainMethod(model, label_smoothing=0.1)
    elif reading == "contrastive":
        method = ContrastiveMethod(Projected(make_model(card, 0).encoder, 0))
        model = method.module
    else:
        graph = build_hierarchy(
            np.load(folder / "pattern.npy"),
            np.ones(N),
            table.membership,
            indices,
            dominance_threshold=0.6,
            n_positives=4,
            multi_label=False,
        )
        sizes = {"positive": 4, "negative": 4}
        sampling = SamplingSettings(n_positives=4, n_negatives=4)
        sampler = ReferenceSampler(build_candidates(graph, features, sampling), sizes, 0)
        settings = CSRMSSettings(reading=reading, prototypes=4, **scenario.get("weights", {}))
        model = make_model(replace(card, method="csrms", options=settings.model_options(sampling)), 0)
        assert isinstance(model, CSRMSModel)
        relations = model.relations(graph, FeatureBank(features))
        terms = make_terms(settings, model.reading, 0.1, None)
        used = {kind: sizes[kind] for kind in settings.edge_types()}
        anchors = anchor_weights(settings, graph, 0.9)
        encoding = resolve(ENCODINGS[settings.encoding])()
        method = CSRMS(model, relations, terms, settings.weights(), used, None, anchors, anchors is not None, encoding)
    recorded = Recorded(method)
    optimiser = OptimiserSettings(
        batch_size=scenario["batch_size"], lr=scenario.get("lr", 0.02), weight_decay=0.01,
        augmentation=scenario.get("augmentation", "crop_flip"), **scenario.get("optimiser", {}),
    )  # fmt: skip
    data = TrainingData(
        ImageInputs(table, indices, Normaliser(mean, std), optimiser.augmentation), table.membership[indices]
    )
    ground = Ground(scenario["batch_size"], data.membership, 0, sampler, lambda: graph)
    order = resolve(ORDERS[scenario.get("order", "uniform")])(ground)
    history = fit(
        recorded,
        data,
        optimiser,
        n_images=scenario["n_images"],
        seed=0,
        collective=collective,
        sampler=sampler,
        order=order,
        placement=Placement(overlapped=scenario.get("overlapped", False)),
    )
    return {
        "history": history,
        "samples": recorded.samples,
        "weights": {name: value.clone() for name, value in model.state_dict().items()},
        "method": method.state_dict(),
    }


def inter_class(collective: Collective) -> dict[str, Any]:
    """Loss and gradient of the inter-class term on a batch of uneven slices; the gathered rows."""
    generator = torch.Generator().manual_seed(0)
    images, weight = torch.randn(11, 6, generator=generator), torch.randn(6, 4, generator=generator)
    membership = torch.nn.functional.one_hot(torch.arange(11) % 3, K)
    found: dict[str, Any] = {}
    mine = slice(collective.rank, None, collective.world)
    for summed in (True, False):
        parameter = weight.clone().requires_grad_()
        features = torch.tanh(images[mine] @ parameter)
        term = InterClass()
        if summed:
            value = term(features, membership[mine], Reducer(11, collective))
        else:
            value = collective.share(term(features, membership[mine]))
        value.backward()
        collective.sum_gradients([parameter])
        name = "summed" if summed else "by halves"
        found[name] = {"loss": collective.all_sum(value.detach()), "gradient": parameter.grad}
    found["rows"] = [collective.gather_rows(images[:n][mine], n) for n in (11, 10, 1)]
    return found


def everything(folder: Path, collective: Collective) -> dict[str, Any]:
    torch.set_num_threads(1)
    found: dict[str, Any] = {name: train(folder, scenario, collective) for name, scenario in SCENARIOS.items()}
    return {**found, "inter_class": inter_class(collective)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(one worker, two workers)."""
    folder = tmp_path_factory.mktemp("workers")
    prepare(folder)
    with two_processes("tests.equivalence.test_training_workers", folder, 240) as found:
        alone = everything(folder, Collective())
        return alone, found()


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_epoch_losses_to_four_decimals(runs: Any, name: str) -> None:
    alone, pair = runs
    expected = alone[name]["history"]
    assert len(expected) == math.ceil(SCENARIOS[name]["n_images"] / N)
    for two in pair:
        for one_epoch, two_epoch in zip(expected, two[name]["history"], strict=True):
            one_epoch, two_epoch = dict(one_epoch), dict(two_epoch)
            if "unique" in str(SCENARIOS[name]):  # an image that two workers draw is encoded by both
                assert one_epoch.pop("encoded") < two_epoch.pop("encoded")
            assert one_epoch == pytest.approx(two_epoch, abs=5e-5)
    if name == "all terms":
        assert {"plain", "graph", "negative", "inter_class", "attract"} <= set(expected[0])
        assert all(expected[0][term] > 0.01 for term in ("plain", "graph", "negative", "inter_class", "attract"))
        assert expected[-1]["loss"] < expected[0]["loss"]


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_samples(runs: Any, name: str) -> None:
    """Rows, augmented pixels and neighbours, each row on one worker; of uneven batches too."""
    alone, (first, second) = runs
    assert not set(first[name]["samples"]) & set(second[name]["samples"])
    assert {**first[name]["samples"], **second[name]["samples"]} == alone[name]["samples"]
    rows = [key for key in alone[name]["samples"] if key.count(" ") == 1]
    assert len(rows) == SCENARIOS[name]["n_images"]


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_weights_and_the_same_bank(runs: Any, name: str) -> None:
    alone, (first, second) = runs
    for key, value in alone[name]["weights"].items():
        assert torch.equal(first[name]["weights"][key], second[name]["weights"][key]), key
        torch.testing.assert_close(first[name]["weights"][key], value, rtol=1e-3, atol=1e-4)
    if alone[name]["method"]:
        banks = [run[name]["method"]["bank"]["features"] for run in (alone, first, second)]
        assert torch.equal(banks[1], banks[2])
        torch.testing.assert_close(banks[1], banks[0], rtol=1e-3, atol=1e-3)
        states = [run[name]["method"]["terms"] for run in (alone, first, second)]
        assert {"negative", "inter_class"} & set(states[0])
        for term in (term for term, state in states[0].items() if state):
            scales = [state[term]["value"] for state in states]
            assert torch.equal(scales[1], scales[2])
            torch.testing.assert_close(scales[1], scales[0], rtol=1e-4, atol=1e-4)


def test_one_worker_had_nothing_in_some_batches(runs: Any) -> None:
    """What the scenario is for: with batches of one row the second worker never sees an image."""
    assert runs[1][1]["fewer rows than workers"]["samples"] == {}
    assert len(runs[1][0]["fewer rows than workers"]["samples"]) > 0


def test_the_gradient_of_the_inter_class_term_is_that_of_the_whole_batch(runs: Any) -> None:
    alone, pair = runs
    expected = alone["inter_class"]["summed"]
    for two in pair:
        found = two["inter_class"]["summed"]
        torch.testing.assert_close(found["loss"], expected["loss"], rtol=0, atol=1e-6)
        torch.testing.assert_close(found["gradient"], expected["gradient"], rtol=0, atol=1e-6)
        # Computed on each half by itself it is another loss: the comparison above can fail.
        halves = two["inter_class"]["by halves"]
        assert abs(float(halves["loss"] - expected["loss"])) > 1e-3
        assert float((halves["gradient"] - expected["gradient"]).norm() / expected["gradient"].norm()) > 0.05


def test_gathered_rows_are_in_the_order_of_the_batch(runs: Any) -> None:
    alone, pair = runs
    for two in pair:
        for expected, found in zip(alone["inter_class"]["rows"], two["inter_class"]["rows"], strict=True):
            assert torch.equal(expected, found)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    work(place, int(sys.argv[2]), int(sys.argv[3]), lambda collective: everything(place, collective))
