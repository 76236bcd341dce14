"""The table of sizes in deploy/README.md, from the formulas of `csrms plan`: `python -m tests.deploy.sizing` prints it.

What a machine decides, seconds of the encoder, is not in it: the formulas that are used here read no rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ray_jobs.plan import estimates
from ray_jobs.plan.estimates import MB, Estimate, Facts, Outlook, Rates
from ray_jobs.settings import RunSettings, load_settings

CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes" / "overlays" / "gpu" / "config.yaml"
SIZES = (1_000_000, 10_000_000, 100_000_000)
CLASSES, LABELS, ID_BYTES, IMAGE_BYTES = 1000, 1.0, 32, 100_000
SIDE, DIMENSION, PARAMETERS = 224, 512, 11_200_000  # timm's resnet18, nearly
NO_RATES = Rates(read=0, fetch=0, forward=0, plain=0, method=0, activation_bytes=0)

Row = tuple[str, Callable[[Outlook], str], str]


def outlook(images: int, settings: RunSettings) -> Outlook:
    """A run on so many training images; those of validation and test, which are few, are left out."""
    facts = Facts(
        train=images, val=0, test=0, n_classes=CLASSES, labels=LABELS, id_bytes=ID_BYTES,
        shape=(SIDE, SIDE, 3), stored_bytes=IMAGE_BYTES, dimension=DIMENSION, parameters=PARAMETERS,
    )  # fmt: skip
    return Outlook(facts, NO_RATES, settings, cores=8)


def size(megabytes: float) -> str:
    """Two digits: 1 GB = 10^9 bytes.

    >>> size(102.4), size(2_150.0), size(10_003_000.0)
    ('0.10 GB', '2.1 GB', '10 TB')
    """
    for unit, divisor in (("TB", 1e6), ("GB", 1e3)):
        value = megabytes / divisor
        if value >= 1 or unit == "GB":
            return f"{value:.0f} {unit}" if value >= 9.95 else f"{value:.{1 if value >= 0.995 else 2}f} {unit}"
    raise AssertionError


def disk(stage: Callable[[Outlook], Estimate]) -> Callable[[Outlook], str]:
    return lambda o: size(stage(o).disk_mb)


def memory(*stages: Callable[[Outlook], Estimate]) -> Callable[[Outlook], str]:
    return lambda o: size(max(stage(o).memory_mb for stage in stages))


def without_engine(o: Outlook) -> str:
    return size(max(estimates.cluster(o).memory_mb, o.memory("graph", o.facts.images)))


def bank(o: Outlook) -> str:
    return size(4 * o.facts.train * o.width / MB)


def core_hours(o: Outlook) -> str:
    """The stage cluster, as one process on one core does it."""
    settings = replace(o.settings, cluster=replace(o.settings.cluster, actors=1))
    return f"{estimates.cluster(Outlook(o.facts, o.rates, settings, cores=1)).seconds / 3600:.2g}"


def passes(o: Outlook) -> str:
    stages = (estimates.pretrain, estimates.features, estimates.train, estimates.control)
    return f"{sum(stage(o).passes.total for stage in stages) / 1e9:.2g} x 10^9"


ROWS: tuple[Row, ...] = (
    ("image tables", disk(estimates.images), "N (100 kB + id + label)"),
    ("feature table", disk(estimates.features), "N (4 D + id + label + 20)"),
    ("clusters", disk(estimates.cluster), "15 N"),
    ("while it clusters", lambda o: size(estimates.cluster(o).working_mb), "100 N at most: int8 rows"),
    ("graph, embedded", disk(estimates.graph), "2 N (200 + 2 ids + labels) + 37 N"),
    ("model, bank, candidates", disk(estimates.train), "N (4 D + 16 + 9 a candidate, 80 at most)"),
    ("while it trains", lambda o: size(estimates.train(o).working_mb), "4 generations of the bank, and checkpoints"),
    ("bank, float32", bank, "4 N D; half in bfloat16"),
    ("largest process of the head", memory(estimates.cluster, estimates.graph), "100 MB + 320 N"),
    ("the same, with Neo4j", without_engine, "640 MB + N (150 + id)"),
    ("a training worker, without batch and bank", memory(estimates.train), "660 MB + N (150 + id) + 4 x weights"),
    ("clustering, core-hours", core_hours, "N (5 J + 60 D + 1.3 D min(1,000, N / J)) ns, J = 12,000 patterns"),
    ("encoder passes", passes, "N (90 + 30, and 30 of the control)"),
)  # fmt: skip


def table() -> list[str]:
    """The lines of the table."""
    settings = load_settings(CONFIG)
    runs = [outlook(images, settings) for images in SIZES]
    head = ["N training images", *(f"{images // 10**6} million" for images in SIZES), "is"]
    body = [[name, *(of(run) for run in runs), why] for name, of, why in ROWS]
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body)]


if __name__ == "__main__":
    print("\n".join(table()))
