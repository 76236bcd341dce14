"""A few seconds of trial before anything runs: how fast images are read and encoded here, and what they hold.

Steps run on one thread, as the trainer does, on blank images and random features; what is counted is the time of the
processor, so that other work on the machine does not count.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from csrms_dist.art.two_level.vigilance import target_patterns
from csrms_dist.basics.arrays import F32, I64
from csrms_dist.basics.collective import Collective
from csrms_dist.datasets.decoding import Stored
from csrms_dist.datasets.image_source import ImageSource, Selected
from csrms_dist.datasets.image_table import ImageTable, write_image_table
from csrms_dist.encoders import Encoder, Normaliser, make_encoder
from csrms_dist.encoders.given import GivenFeatures
from csrms_dist.hierarchy.build import build_hierarchy
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.labels import LabelSpace
from csrms_dist.methods.known import part
from csrms_dist.methods.protocol import Batch, Built, Task
from csrms_dist.methods.saved_model import ModelCard, make_model
from csrms_dist.sampling import Candidates, ReferenceSampler, build_candidates
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.training.gradients import Summed
from csrms_dist.training.inputs import ImageInputs
from csrms_dist.training.optimisers.make import make_optimiser
from csrms_dist.training.placement import CPU
from csrms_dist.training.recipe import CONTROL, PRETRAIN, TRAIN
from csrms_dist.training.settings import OptimiserSettings
from csrms_dist.training.train_step import Stepper
from ray_jobs.plan.estimates import Facts, Rates
from ray_jobs.settings import RunSettings

SAMPLE = 512
FEW = 16
RUNS = 4
TRIAL_S = 1.0  # about how long one trial may take
REPEATS = 3
ROWS_PER_PATTERN = 8


@dataclasses.dataclass(frozen=True)
class Sample:
    """A part of the images, written as an image table. seconds: of reading and writing one of them."""

    table: ImageTable
    stored_bytes: float
    seconds: float


@contextmanager
def sampled(source: ImageSource) -> Iterator[Sample]:
    """Write some images of a source, evenly spread, as an image table in a folder of its own.

    Raises the errors of `write_image_table`: an unreadable data set is found here, not after a long wait.
    """
    with tempfile.TemporaryDirectory(prefix="csrms-plan-") as folder:
        first = _part(source, min(FEW, len(source)))
        write_image_table(Path(folder) / "warm.arrow", first)  # loads what is loaded once
        begun = time.process_time()
        write_image_table(Path(folder) / "few.arrow", first)
        each = (time.process_time() - begun) / len(first)
        size = int(min(len(source), SAMPLE, max(FEW, TRIAL_S / max(each, 1e-9))))
        path = Path(folder) / "some.arrow"
        begun = time.process_time()
        write_image_table(path, _part(source, size))
        seconds = time.process_time() - begun
        table = ImageTable(path)
        yield Sample(table, path.stat().st_size / len(table), seconds / size)


def _part(source: ImageSource, size: int) -> ImageSource:
    """`size` images of a source: a few runs, evenly spread, where they can be read in any order, else its first.

    Runs, because files are read by groups of rows: images spread one by one would make a whole data set be read.
    """
    if isinstance(source.images, Selected):
        runs = np.array_split(np.arange(size), min(RUNS, size))
        gap = (len(source) - size) / max(len(runs) - 1, 1)
        rows = np.concatenate([run + int(number * gap) for number, run in enumerate(runs)])
        images: Iterable[Stored] = Selected(source.images.read, source.images.rows[rows])
    else:
        rows = np.arange(size)
        images = list(islice(iter(source.images), size))
    return dataclasses.replace(
        source, ids=source.ids.take(rows), membership=source.membership[rows], split=source.split[rows], images=images
    )


def encoder_facts(settings: RunSettings, shape: tuple[int, int, int]) -> tuple[Encoder, int]:
    """The encoder with initial weights, and the number of values in its state."""
    encoder = make_encoder(settings.encoder.name, shape, settings.seed)
    return encoder, sum(value.numel() for value in encoder.state_dict().values())


def measure(facts: Facts, encoder: Encoder, sample: Sample, settings: RunSettings) -> Rates:
    """Rates on this machine. The torch random state and number of threads are as before afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            return _measure(facts, encoder, sample, settings)
    finally:
        torch.set_num_threads(threads)


def _measure(facts: Facts, encoder: Encoder, sample: Sample, settings: RunSettings) -> Rates:
    some = np.arange(min(len(sample.table), FEW if not sample.table.decoded else SAMPLE))
    kinds = {settings.pretrain.augmentation, settings.train.augmentation}
    # Of the slower one: a plan that is a little long is better than one that is too short.
    fetch = max(_seconds(partial(_inputs(sample.table, kind), some, 0)) for kind in sorted(kinds)) / len(some)
    height, width = facts.shape[:2]
    images = torch.zeros(_batch_size(encoder, (3, height, width), settings.train.batch_size), 3, height, width)
    encoder.eval()
    with torch.inference_mode():
        forward = _seconds(lambda: encoder(images)) / len(images)
    encoder.train()
    classes, size = facts.n_classes or 1, settings.train.batch_size
    features = torch.rand(size, facts.dimension)
    given = GivenFeatures(facts.dimension)
    _, heads_step = _step(_built(CONTROL, facts, settings, given), features, classes)
    # What the method does beside the encoder and the plain head does not depend on the encoder, but for its dimension.
    tried = TRAIN if settings.recipe.spec(TRAIN)[1].trial else CONTROL
    _, method_step = _step(_built(tried, facts, settings, given), features, classes)
    kept, step = 4.0 * facts.dimension, heads_step
    if not settings.encoder.frozen:
        kept, step = _step(_built(CONTROL, facts, settings, encoder), images, classes)
    added = max(method_step - heads_step, 0.0)
    return Rates(sample.seconds, fetch, forward, step, step + added, kept)


def _inputs(table: ImageTable, augmentation: str) -> ImageInputs:
    return ImageInputs(table, np.arange(len(table)), Normaliser([0.5] * 3, [0.5] * 3), augmentation)


def _seconds(work: Callable[[], object]) -> float:
    """The least processor time of a few tries, as many as a trial may take, after one that is not counted."""
    begun = time.process_time()
    work()
    found: list[float] = []
    while not found or (len(found) < REPEATS and time.process_time() - begun < TRIAL_S):
        before = time.process_time()
        work()
        found.append(time.process_time() - before)
    return min(found)


def _batch_size(encoder: Encoder, shape: tuple[int, int, int], wanted: int) -> int:
    """The training's batch size, or less where a step would take longer than a trial may."""
    few = torch.zeros(min(FEW, wanted), *shape)
    encoder.eval()
    with torch.inference_mode():
        each = _seconds(lambda: encoder(few)) / len(few)
    # Forward and backward take about three times as long.
    return int(max(min(wanted, TRIAL_S / 3 / max(each, 1e-9)), len(few)))


def _step(built: Built, inputs: Tensor, classes: int) -> tuple[float, float]:
    """(bytes that an image keeps for backward, seconds an image) of a training step. Sampling is not counted."""
    method, rows = built.method, np.arange(len(inputs))
    membership = torch.zeros(len(inputs), classes)
    membership[:, 0] = 1
    subgraph = built.sampler.sample(rows, 0) if built.sampler is not None else None
    more = method.more_rows(rows, rows, subgraph)
    more_inputs = None if more is None else torch.rand(len(more), *inputs.shape[1:])
    batch = Batch(rows, inputs, membership, rows, subgraph, more, more_inputs)
    settings = OptimiserSettings(lr=1e-3)
    optimiser = make_optimiser(method.module.parameters(), settings)
    step = Stepper(method.module, Summed(method, Collective()), optimiser, settings)
    method.module.train()
    held: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {parameter.untyped_storage().data_ptr() for parameter in method.module.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step(batch, 0, [len(inputs)])
    activations = sum(size for place, size in held.items() if place not in weights)
    seconds = _seconds(lambda: step(batch, 0, [len(inputs)]))
    return activations / len(inputs), seconds / len(inputs)


@dataclasses.dataclass(frozen=True)
class MadeUp:
    """A hierarchy and features that no run has made, for a trial: a `Structure`."""

    hierarchy: HierarchyGraph
    vectors: F32
    sampling: SamplingSettings
    anchors: I64

    def candidates(self, edge_types: tuple[str, ...]) -> dict[str, Candidates]:
        found = build_candidates(self.hierarchy, self.vectors, self.sampling, self.anchors)
        return {kind: found[kind] for kind in edge_types}

    @property
    def ids(self) -> list[str]:
        return [str(row) for row in range(self.hierarchy.n_rows)]

    def artefact(self, stage: str) -> Path:
        raise NotImplementedError(f"a method that looks at {stage} has no trial (MethodSpec.trial)")


def _built(role: str, facts: Facts, settings: RunSettings, encoder: Encoder) -> Built:
    """The method, or its control, on a made-up hierarchy with as many patterns and classes as the run will have."""
    classes, recipe = facts.n_classes or 1, settings.recipe
    patterns = target_patterns(settings.cluster.n_patterns, facts.train, classes)
    graph = _made_up(max(ROWS_PER_PATTERN * patterns, 2 * settings.train.batch_size), patterns, classes, settings)
    name, spec = recipe.spec(role) if recipe.spec(role)[1].trial else recipe.spec(PRETRAIN)
    card = ModelCard(
        encoder=settings.encoder.name, image_shape=(facts.shape[0], facts.shape[1], facts.shape[2]), mean=(), std=(),
        class_names=tuple(map(str, range(classes))), method=name,
        options=settings.method.model_options(settings.sampling) if role == TRAIN else {},
        adapter=recipe.adapter(role),
    )  # fmt: skip
    task = Task(
        role=role, settings=settings.method, sampling=settings.sampling, seed=settings.seed, n_rows=graph.n_rows,
        label_smoothing=0.0,
        labels_per_image=None, cluster=recipe.cluster, graph=recipe.graph, frozen=False, rank=0,
        work=None, device=CPU.device, sampler_type=ReferenceSampler,
    )  # fmt: skip
    model = make_model(card, settings.seed, encoder)
    vectors = np.random.default_rng(settings.seed).random((graph.n_rows, model.encoder.dimension), np.float32)
    structure = MadeUp(graph, vectors, settings.sampling, np.arange(settings.train.batch_size))
    built: Built = part(spec.build)(model, structure, task)
    return built


def _made_up(rows: int, patterns: int, classes: int, settings: RunSettings) -> HierarchyGraph:
    """Patterns of equal size, most rows of each of one class."""
    pattern = np.arange(rows) % patterns
    labels = np.where(np.arange(rows) % 5 < 4, pattern % classes, np.arange(rows) % classes)
    return build_hierarchy(
        pattern, np.ones(rows), LabelSpace(tuple(map(str, range(classes)))).membership(labels.tolist()),
        np.arange(rows), dominance_threshold=settings.graph.dominance_threshold,
        n_positives=settings.sampling.n_positives, multi_label=False,
    )  # fmt: skip
