"""The formulas of the plan: time, memory and disk of each stage from counts, measured rates and constants.

The constants were measured on finished runs (two cores of a 2.6 GHz AMD EPYC, Linux, Python 3.11; LeNet-5 on 1,797 and
on 60,000 images of 32 x 32); docs/plan.md says how far estimates made of them were off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from csrms_dist.art.outliers import PATTERN_ROWS, PATTERNS
from csrms_dist.art.patterns import two_level
from csrms_dist.art.two_level.vigilance import target_patterns
from csrms_dist.encoders.settings import NONE
from csrms_dist.methods.known import part
from csrms_dist.methods.protocol import Stage
from csrms_dist.methods.saved_model import ModelCard
from csrms_dist.models.adapter import WIDTH
from csrms_dist.training.budget import Passes, control_images
from csrms_dist.training.optimisers.make import kept_numbers
from ray_jobs.on_ray.session import uses_ray
from ray_jobs.settings import FEW_IMAGES, FEW_ROWS, RunSettings, hands, most

MB = 1_000_000

# Seconds that a stage takes beside its rows: modules that are imported, loops that are compiled; on Ray, processes that
# start and import, too, and once a run Ray itself.
START_S = {
    "images": 0.5, "pretrain": 1.0, "features": 0.2, "cluster": 0.5, "graph": 1.0, "train": 1.0, "control": 0.5,
    "evaluate": 0.3,
}  # fmt: skip
ON_RAY_S = {"pretrain": 7.0, "features": 3.8, "cluster": 4.5, "train": 8.0, "control": 7.5, "evaluate": 4.7}
SESSION_S = 4.0
EPOCH_S, REPORT_S = 0.02, 0.3  # a checkpoint, and on Ray a report

# Seconds of one core for a row, or for a row and what multiplies it.
PREPARE_S = 6.0e-8  # a value of a vector, scaled and written
LEARN_S = 1.0e-8  # a learnt row and a pattern, in each step of the search for the vigilance
SEARCH_STEPS = 6  # of the at most nine, in the mean
ASSIGN_S = 1.0e-9  # a row and a pattern, in each pass over all rows
NEAREST_S = 1.6e-10  # a row, one in whose pattern or next to it nearest ones are looked for, and a dimension
GRAPH_ROW_S = 3.0e-5
CANDIDATE_S = 1.5e-5
CANDIDATE_KEY_S = 1.0e-8  # an anchor and a row of its pattern: ranked
CANDIDATE_PAIR_S = 3.0e-11  # the same and a dimension: the distance
REFRESH_S = 2.0e-9  # a row and a dimension, in each epoch: the prototypes made anew
VECTOR_ROW_S = 5.0e-6
BOOTSTRAP_S = 1.0e-9  # a test image and a resample

# Private memory of a process that has loaded what a stage needs and works on a block of rows, in MB; bytes for a row
# beside its id: what streams from files takes none, labels and counts do.
BASE_MB = {
    "images": 470.0, "pretrain": 600.0, "features": 530.0, "cluster": 600.0, "graph": 640.0, "train": 660.0,
    "control": 660.0, "evaluate": 660.0,
}  # fmt: skip
MEMORY_ROW = 150
OPENED_ROW, OPENED_IDS = 140, 3  # of an opened layout, and how often its ids are in memory at its peak
# The engine that builds the embedded graph, a process of its own: an instance with its labels and pattern.
ENGINE_MB, ENGINE_ROW = 100.0, 320

# Bytes on disk.
TABLE_ROW = 5  # an image's split and the offset of its id
ROW_BYTES = 20  # a row of features/rows.arrow beside its id and labels
LABEL_BYTES = 4
CLUSTER_ROW = 15  # pattern, score, below the vigilance; distance, outlier, searched
PROJECTED = 100  # dimensions that are clustered at most
SNAPSHOT_BYTES, SNAPSHOT_ROW = 60_000, 37
STORE_BYTES, STORE_ROW = 4_750_000, 200
STRANGERS = 0.2  # share of a pattern's rows that are of another class, in the mean
CANDIDATE_BYTES, CANDIDATE_ROW = 9, 16  # a neighbour and its priority; an anchor's offsets in both edge types
PREDICTION_ROW = 25
FILES_BYTES = 3000  # stamp, card and headers of an artefact


@dataclass(frozen=True)
class Facts:
    """The amount of work.

    train, val, test, unlabelled: rows; of given vectors, test counts all that are not of training. n_classes: None
    without labels.
    id_bytes: mean length of an id. labels: labels of an image in the mean, 0 where there are none. stored_bytes: what
    the image table keeps of an image. dimension: D. parameters: values in the encoder's state. shape () and no
    parameters: vectors were given.
    """

    train: int
    val: int
    test: int
    n_classes: int | None
    labels: float
    id_bytes: float
    shape: tuple[int, ...]
    stored_bytes: float
    dimension: int
    parameters: int
    unlabelled: int = 0

    @property
    def held_out(self) -> int:
        """Images that are encoded and placed in patterns, and count nowhere."""
        return self.val + self.test + self.unlabelled

    @property
    def images(self) -> int:
        return self.train + self.held_out

    def scaled(self, images: int) -> Facts:
        """The same data set with so many images: the same shares of the splits, classes, sizes of files and ids."""
        share = images / max(self.images, 1)
        val, test, unlabelled = (round(share * n) for n in (self.val, self.test, self.unlabelled))
        return replace(self, train=images - val - test - unlabelled, val=val, test=test, unlabelled=unlabelled)


@dataclass(frozen=True)
class Rates:
    """Seconds of one core for an image, measured on this machine, and bytes of memory.

    read: from the layout into the image table, threads included. fetch: out of the table, ready
    for the encoder. forward: one pass without gradients. plain, method: one step of the plain classifier and of the
    method, encoder included. activation_bytes: what an image leaves in memory between forward and backward.
    """

    read: float
    fetch: float
    forward: float
    plain: float
    method: float
    activation_bytes: float


@dataclass(frozen=True)
class Estimate:
    """The estimate of one stage. rows: how many it works on. memory_mb: of the largest process. disk_mb: what stays.

    working_mb: what lies on disk beside that while the stage runs. on_ray: whether it needs Ray.
    """

    rows: int
    passes: Passes
    seconds: float
    memory_mb: float
    disk_mb: float
    working_mb: float = 0.0
    on_ray: bool = False


def estimates(
    stages: Iterable[Stage], facts: Facts, rates: Rates, settings: RunSettings, cores: int
) -> dict[str, Estimate]:
    """The estimate of each stage that has a formula, by name."""
    outlook = Outlook(facts, rates, settings, cores)
    return {stage.name: part(stage.estimate)(outlook) for stage in stages if stage.estimate}


class Outlook:
    """A run before it starts, and the sums that the formulas share."""

    def __init__(self, facts: Facts, rates: Rates, settings: RunSettings, cores: int) -> None:
        self.facts, self.rates, self.settings, self.cores = facts, rates, settings, cores
        self.frozen = settings.encoder.frozen
        # Of an adapter, where there is one: what it puts between the features and all that looks at them.
        self.adapted = settings.encoder.used_adapter != NONE
        self.width = WIDTH if self.adapted else facts.dimension
        self.patterns = min(
            target_patterns(settings.cluster.n_patterns, facts.train, facts.n_classes), max(facts.train, 1)
        )

    def spread(self, images: int, rate: float, hands: int) -> float:
        """Images through `hands` processes, each of which fetches them with threads of its own."""
        return images * max(rate / min(hands, self.cores), (rate + self.rates.fetch) / self.cores)

    def start(self, stage: str, hands: int) -> float:
        """Seconds until a stage of so many actors or workers begins."""
        return START_S[stage] + (ON_RAY_S[stage] if uses_ray(hands) else 0.0)

    def training(self, stage: str, images: int, epochs: int, rate: float, workers: int, images_read: bool) -> float:
        """Start, steps and checkpoints. The next batch is fetched while a step runs, as far as there are cores."""
        fetch = self.rates.fetch if images_read else 0.0
        steps = images * max(rate / min(workers, self.cores), (rate + fetch) / self.cores)
        return self.start(stage, workers) + steps + epochs * (EPOCH_S + (REPORT_S if uses_ray(workers) else 0.0))

    def weights(self) -> float:
        """Bytes of a saved model; stage 0's, which has no adapter, is a little less."""
        adapter = (self.facts.dimension + 1 + WIDTH + 1) * WIDTH if self.adapted else 0
        return 4.0 * (self.facts.parameters + adapter + (self.width + 1) * (self.facts.n_classes or 1))

    def moments(self, stage: str) -> int:
        """Numbers that a training keeps beside each weight."""
        return kept_numbers(self.settings.recipe.optimiser(stage))

    def checkpoints(self, stage: str) -> float:
        """MB of two checkpoints, the newest and the one that replaces it: weights and what the optimiser keeps."""
        return 2 * (1 + self.moments(stage)) * self.weights() / MB

    def memory(self, stage: str, rows: int) -> float:
        return BASE_MB[stage] + rows * (MEMORY_ROW + self.facts.id_bytes) / MB

    def training_mb(self, stage: str, batch_size: int, workers: int) -> float:
        """Weights, gradients, what the optimiser keeps, a copy for the checkpoint; a batch until its backward pass."""
        batch = -(-batch_size // workers) * self.rates.activation_bytes / MB
        return self.memory(stage, self.facts.train) + (3 + self.moments(stage)) * self.weights() / MB + batch

    def block_mb(self, batch_size: int) -> float:
        """A block without gradients: the layer with the largest input and output, a fifth of what backward keeps."""
        return self.weights() / MB + batch_size * self.rates.activation_bytes / MB / 5

    @staticmethod
    def disk(size: float) -> float:
        return (size + FILES_BYTES) / MB


def images(o: Outlook) -> Estimate:
    """Decode and write the image tables."""
    f = o.facts
    row = f.stored_bytes + f.id_bytes + LABEL_BYTES * (f.labels + 1) + TABLE_ROW
    seconds = START_S["images"] + f.images * o.rates.read
    memory = BASE_MB["images"] + f.images * (OPENED_ROW + OPENED_IDS * f.id_bytes) / MB
    return Estimate(f.images, Passes(), seconds, memory, o.disk(f.images * row))


def given_vectors(o: Outlook) -> Estimate:
    """Import the user's own vectors."""
    f = o.facts
    table = f.images * (4 * f.dimension + ROW_BYTES + f.id_bytes + LABEL_BYTES * f.labels)
    # The whole of a given table is read at once, beside its copy in our form.
    memory = BASE_MB["images"] + 2 * table / MB
    seconds = START_S["images"] + f.images * VECTOR_ROW_S + table / (200 * MB)
    return Estimate(f.images, Passes(), seconds, memory, o.disk(table))


def features(o: Outlook) -> Estimate:
    """One pass of the encoder over the training images, which comparisons count, and one over all others."""
    f = o.facts
    table = f.images * (4 * f.dimension + ROW_BYTES + f.id_bytes + LABEL_BYTES * f.labels)
    actors = hands(o.settings.features.actors, f.images, FEW_IMAGES, many=max(1, o.cores - 1))
    seconds = o.start("features", actors) + o.spread(f.images, o.rates.forward, actors)
    memory = o.memory("features", f.images) + o.block_mb(o.settings.features.batch_size)
    return Estimate(f.images, Passes(forward=f.train), seconds, memory, o.disk(table), on_ray=uses_ray(actors))


def cluster(o: Outlook) -> Estimate:
    """Prepare, learn, assign, find outliers; at last place the rows of the other splits, once and in one process."""
    f, cluster = o.facts, o.settings.cluster
    learnt, clustered = min(f.train, cluster.learn_rows), min(f.dimension, PROJECTED)
    recentre = two_level(cluster, f.train, f.n_classes).recentre
    steps = SEARCH_STEPS if cluster.vigilance == "auto" else 1
    assigned = f.train * o.patterns * (1 + recentre) * ASSIGN_S
    prepared = f.train * f.dimension * PREPARE_S
    among = PATTERNS * min(PATTERN_ROWS, f.train / max(1, o.patterns)) * f.dimension * NEAREST_S
    actors = hands(cluster.actors, f.train, FEW_ROWS)
    seconds = o.start("cluster", actors) + learnt * o.patterns * steps * LEARN_S
    seconds += (assigned + prepared + f.train * among) / min(actors, o.cores)
    projection = 4 * f.dimension * clustered if f.dimension > PROJECTED else 0
    seconds += f.held_out * (o.patterns * ASSIGN_S + f.dimension * PREPARE_S + among)
    disk = f.images * CLUSTER_ROW + clustered * o.patterns + projection
    memory = o.memory("cluster", f.train)
    # The prepared rows, one byte a value, lie on disk while it works.
    return Estimate(
        f.images, Passes(), seconds, memory, o.disk(disk), f.train * clustered / MB, on_ray=uses_ray(actors)
    )  # fmt: skip


def graph(o: Outlook) -> Estimate:
    """Publish and export."""
    f = o.facts
    store = STORE_BYTES + f.images * (STORE_ROW + 2 * f.id_bytes + 2 * LABEL_BYTES * f.labels)
    # The predictions of a trained run are added in a next generation, and readers of the one before keep it.
    generations = 2 if f.shape and f.n_classes else 1
    disk = generations * store + SNAPSHOT_BYTES + f.train * SNAPSHOT_ROW
    seconds = START_S["graph"] + f.images * GRAPH_ROW_S
    # The next generation is built beside the one that is read.
    memory = max(o.memory("graph", f.images), ENGINE_MB + f.images * ENGINE_ROW / MB)
    return Estimate(f.images, Passes(), seconds, memory, o.disk(disk), store / MB)


def pretrain(o: Outlook) -> Estimate:
    """Stage 0."""
    f, settings = o.facts, o.settings.pretrain
    taught = f.n_classes or settings.without_labels
    epochs = settings.epochs if taught and not o.frozen else 0
    disk = o.disk(o.weights())
    if epochs == 0:
        memory = o.memory("images", f.train) + o.weights() / MB
        return Estimate(f.train, Passes(), START_S["images"], memory, disk)
    images = epochs * (f.train + (f.unlabelled if settings.without_labels else 0))
    encoded, workers = settings.views * images, most(settings.workers)
    seconds = o.training("pretrain", encoded, epochs, o.rates.plain, workers, images_read=True)
    memory = o.training_mb("pretrain", settings.views * settings.batch_size, workers)
    return Estimate(
        images, Passes(backward=encoded), seconds, memory, disk, o.checkpoints("pretrain"), on_ray=uses_ray(workers)
    )  # fmt: skip


def train(o: Outlook) -> Estimate:
    """Candidates, and the method's training."""
    f, settings, sampling = o.facts, o.settings.train, o.settings.sampling
    images = settings.epochs * f.train
    if o.settings.recipe.by_itself and not o.frozen:
        images += control_images(Passes(forward=f.train), Passes())
    size_of_pattern = f.train / max(o.patterns, 1)
    # Positives come from the largest pattern of the class, negatives first from the strangers in the own pattern.
    rows = {"positive": size_of_pattern, "negative": size_of_pattern * STRANGERS}
    least = {"positive": sampling.n_positives, "negative": sampling.n_negatives}
    used = o.settings.recipe.edge_types
    kept = [min(max(rows[kind], least[kind]), sampling.pool) for kind in used]
    ranked = CANDIDATE_KEY_S + CANDIDATE_PAIR_S * f.dimension
    candidates = len(used) * f.train * (CANDIDATE_S + size_of_pattern * ranked)
    refreshing = settings.epochs * f.train * o.width * REFRESH_S
    seconds = candidates + refreshing
    workers = most(settings.workers)
    each = o.settings.method.encodings(sampling)  # at most
    seconds += each * o.training("train", images, settings.epochs, o.rates.method, workers, not o.frozen)
    bank = 0 if o.settings.encoder.fixed else 4 * f.train * o.width
    heads = 4 * (o.width * o.width + 2 * o.width * (f.n_classes or 1))
    disk = o.weights() + heads + bank + 4 * o.patterns * o.width
    disk += f.train * sum(some * CANDIDATE_BYTES + CANDIDATE_ROW / 2 for some in kept)
    memory = o.training_mb("train", each * settings.batch_size, workers)
    passes = Passes(backward=0 if o.frozen else each * images)
    working = o.checkpoints("train") + 4 * bank / MB
    return Estimate(images, passes, seconds, memory, o.disk(disk), working, on_ray=uses_ray(workers))


def control(o: Outlook) -> Estimate:
    """As many passes as the method's."""
    f, settings = o.facts, o.settings.train
    each = o.settings.method.encodings(o.settings.sampling)
    method = Passes(forward=f.train) + Passes(backward=each * settings.epochs * f.train)
    images = settings.epochs * f.train if o.frozen else control_images(method, Passes())
    passes = Passes(forward=f.train) if o.frozen else Passes(backward=images)
    epochs = -(-images // max(f.train, 1))
    workers = most(settings.workers)
    seconds = o.training("control", images, epochs, o.rates.plain, workers, not o.frozen)
    memory = o.training_mb("control", settings.batch_size, workers)
    return Estimate(
        images, passes, seconds, memory, o.disk(o.weights()), o.checkpoints("control"), on_ray=uses_ray(workers)
    )  # fmt: skip


def evaluate(o: Outlook) -> Estimate:
    """Answers to test and validation images, and their figures."""
    f = o.facts
    # Method and control answer the test and the validation images, and the leak check the latter once more.
    models = 1 if o.settings.recipe.control_is_plain_head else 2
    answers = models * (f.test + f.val) + f.val
    actors = hands(o.settings.evaluate.actors, answers, FEW_IMAGES)
    seconds = o.start("evaluate", actors) + o.spread(answers, o.rates.forward, actors)
    seconds += o.settings.evaluate.bootstrap_samples * f.test * BOOTSTRAP_S
    memory = o.memory("evaluate", f.test + f.val) + o.block_mb(ModelCard.batch_size)
    disk = f.test * (PREDICTION_ROW + f.id_bytes)
    return Estimate(answers, Passes(), seconds, memory, o.disk(disk), on_ray=uses_ray(actors))
