"""Every entry of every dict as a recipe, and a small run with the oddities that data have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from csrms_dist.artefacts.names import CANDIDATES, SNAPSHOT, TRAIN_IMAGES
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.collective import Collective
from csrms_dist.datasets.augmentation import AUGMENTATIONS
from csrms_dist.datasets.image_source import in_memory
from csrms_dist.datasets.image_table import ImageTable, write_image_table
from csrms_dist.features.feature_table import FeatureTable
from csrms_dist.hierarchy import snapshot
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.labels import LabelSpace
from csrms_dist.losses.terms import TERMS
from csrms_dist.methods.csrms.curriculum import CURRICULA
from csrms_dist.methods.csrms.encoding import ENCODINGS
from csrms_dist.methods.csrms.readings import READINGS
from csrms_dist.methods.saved_model import save_model
from csrms_dist.models.alignment import ALIGNMENTS
from csrms_dist.models.smoothing import ADJACENCIES, NORMALISATIONS, SMOOTHERS
from csrms_dist.run_contents import RunContents
from csrms_dist.sampling import write_candidates
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.sampling.strategies import NEGATIVES, POSITIVES
from csrms_dist.training.from_run import assemble, initial_model, model_card
from csrms_dist.training.loop import fit
from csrms_dist.training.optimisers import OPTIMISERS
from csrms_dist.training.orders import ORDERS
from csrms_dist.training.recipe import Recipe
from csrms_dist.training.schedules import SCHEDULES
from csrms_dist.training.settings import TrainSettings
from csrms_dist.training.structure import structure_of
from tests.unit.csrms_made import settings_of

N, D, J = 200, 84, 12
BATCH = 33  # six batches and a rest of two rows

Chosen = Mapping[str, Mapping[str, Any]]


def entries() -> Iterator[tuple[str, Chosen]]:
    """(name, settings by section): each entry of each dict, with the defaults around it."""
    for name in READINGS:
        yield f"reading {name}", {"method": {"reading": name}}
    for key, known in (
        ("smoother", SMOOTHERS),
        ("adjacency", ADJACENCIES),
        ("normalisation", NORMALISATIONS),
        ("alignment", ALIGNMENTS),
        ("curriculum", CURRICULA),
        ("encoding", ENCODINGS),
    ):
        for name in known:
            yield f"{key} {name}", {"method": {key: name, "weight_attract": 0.1}}
    for name, entry in TERMS.items():
        yield f"term {name}", {"method": {f"weight_{name}": 0.3}}
        for form in entry.forms:
            yield f"term {name}, {form}", {"method": {f"weight_{name}": 0.3, f"form_{name}": form}}
    for key, known in (("positives", POSITIVES), ("negatives", NEGATIVES)):
        for name in known:
            yield f"{key} {name}", {"sampling": {key: name}, "method": {"weight_attract": 0.1}}
    yield "distance euclidean", {"sampling": {"distance": "euclidean"}, "method": {"weight_attract": 0.1}}
    for key, known in (
        ("batches", ORDERS), ("schedule", SCHEDULES), ("optimiser", OPTIMISERS), ("augmentation", AUGMENTATIONS)
    ):  # fmt: skip
        for name in known:
            yield f"{key} {name}", {"train": {key: name}}
    yield "random erasing", {"train": {"random_erasing": 0.5}}
    yield "patterns by chance", {"method": {"structure": "permuted", "weight_attract": 0.1}}
    yield "refresh", {"method": {"refresh": 1}, "train": {"epochs": 2}}
    yield "difficulty terciles", {"method": {"curriculum": "cosine", "difficulty": "terciles"}}
    yield "difficulty released", {"method": {"curriculum": "released", "difficulty": "released"}}
    yield "curriculum on everything", {"method": {"curriculum": "cosine", "curriculum_on": "everything"}}
    yield "batches of one", {"train": {"batch_size": 1}}
    yield "one batch", {"train": {"batch_size": N}}


ENTRIES = dict(entries())
SEVERAL_ALONE = {"asymmetric loss": {"train": {"loss": "asymmetric"}}}


def prepare(folder: Path, several: bool) -> None:
    """What `train` needs, of 200 images in 12 patterns: of class d there is one image, of class e none; the last
    pattern is one image; of class a a whole batch; with several labels every seventh image has none."""
    draw = np.random.default_rng(0)
    pattern = np.concatenate([np.arange(N - 1) % (J - 1), [J - 1]])
    label = np.where(draw.random(N) < 0.8, pattern % 3, draw.integers(3, size=N))
    label[:40], label[N - 1] = 0, 3
    labels: Any = label.tolist()
    if several:
        labels = [[] if n % 7 == 3 else sorted({int(k), n % 3}) for n, k in enumerate(label)]
    space = LabelSpace(tuple("abcde"), several)
    membership = space.membership(labels)
    graph = build_hierarchy(
        pattern, np.ones(N), membership, np.arange(N), dominance_threshold=0.5, n_positives=5, multi_label=several
    )
    features = (draw.normal(size=(J, D))[pattern] + 0.5 * draw.normal(size=(N, D))).astype(np.float32)
    run = RunDirectory(folder)
    images = draw.integers(0, 256, (N, 32, 32, 3), dtype=np.uint8)
    ids = [f"{n:03d}" for n in range(N)]
    source = in_memory("made", space, ids, membership, ["train"] * N, list(images))
    with run.writing("images", "made", {"mean": [0.5] * 3, "std": [0.3] * 3, "train": N}) as place:
        write_image_table(place / TRAIN_IMAGES, source)
    contents = RunContents(run)
    with run.writing("pretrain", "made") as place:
        save_model(place, model_card(contents, Recipe()), initial_model(contents, Recipe()).state_dict())
    with run.writing("features", "made", {"dimension": D}) as place:
        table = ImageTable(run.open("images") / TRAIN_IMAGES)
        FeatureTable(features, np.arange(N), np.zeros(N, np.int32), table.ids, membership, space).save(place)
    with run.writing("graph", "made") as place:
        snapshot.save(graph, place / SNAPSHOT)


def recipe_of(chosen: Chosen) -> Recipe:
    reading = chosen.get("method", {}).get("reading", "structural")
    rest = {key: value for key, value in chosen.get("method", {}).items() if key != "reading"}
    method, sampling = settings_of(reading, **rest)
    if given := chosen.get("sampling"):
        sampling = SamplingSettings(**{**vars(sampling), **given})
    train = TrainSettings(**{"epochs": 1, "batch_size": BATCH, "lr": 0.005, **chosen.get("train", {})})
    return Recipe(method=method, sampling=sampling, train=train)


def candidates(folder: Path, recipe: Recipe) -> None:
    """Those of the recipe, in the place of another's."""
    run = RunDirectory(folder)
    found = structure_of(RunContents(run), recipe.method, recipe.sampling, recipe.seed)
    with run.writing(CANDIDATES, "made") as place:
        write_candidates(place, found.hierarchy, found.vectors, recipe.sampling, edge_types=recipe.edge_types)


def trained(folder: Path, recipe: Recipe, collective: Collective, work: Path | None = None) -> list[dict[str, float]]:
    """The reports of a training of `train` as one of these workers."""
    torch.use_deterministic_algorithms(True)
    training = assemble("train", RunContents(RunDirectory(folder)), recipe, collective, work=work)
    history = fit(
        training.method, training.data, training.optimiser, n_images=recipe.train.epochs * len(training.data),
        seed=recipe.seed, collective=collective, sampler=training.sampler, placement=training.placement,
        order=training.order,
    )  # fmt: skip
    assert all(bool(torch.isfinite(value).all()) for value in training.method.module.state_dict().values())
    return history
