"""What the outcomes of an experiment say: rows, differences to the baseline, and the sentence that these allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.words import counted
from csrms_dist.labels import Membership
from csrms_dist.metrics.paired_seeds import SeedDifference, of_accuracies, of_mean_average_precisions
from csrms_dist.run_contents import RunContents
from ray_jobs.experiments.cells import ANSWERS
from ray_jobs.experiments.spec import Row, Spec

LEAST_SEEDS, ERRORS = 4, 2.0
"""The bar of a claim: so many paired seeds, and a mean difference of more than so many standard errors."""
SAME_PASSES = 0.005
"""Passes that differ by less than this share are equal: an epoch does not always end with a whole batch."""
SAMPLES = 2000

Outcome = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """One row of a table, of one data set.

    scores: by seed. lr: chosen. against: its difference to the baseline, None for that one itself and where no seed is
    common. remarks: what stands in the way of a claim, in words. failed: why there is no score.
    """

    row: Row
    lr: float | None
    scores: Mapping[int, float]
    figures: Mapping[str, Sequence[float]]
    passes: float
    against: SeedDifference | None = None
    remarks: tuple[str, ...] = ()
    failed: str = ""


@dataclass(frozen=True)
class Table:
    """data: its name. lines: in the order of the spec."""

    data: str
    metric: str
    images: int
    lines: Sequence[Line]
    claim: str = ""
    warnings: Sequence[str] = field(default_factory=tuple)

    def line(self, name: str) -> Line:
        return next(line for line in self.lines if line.row.name == name)


def tables(spec: Spec, searched: Iterable[Outcome], final: Iterable[Outcome]) -> list[Table]:
    """A table for each data set of which anything is done."""
    searched, final = list(searched), list(final)
    found = [_table(spec, data, searched, final) for data in spec.data]
    return [table for table in found if table is not None]


def _table(spec: Spec, data: str, searched: Sequence[Outcome], final: Sequence[Outcome]) -> Table | None:
    done = [some for some in final if some["data"] == data]
    scored = [some for some in done if not some["failed"]]
    if not scored:
        return None
    several = scored[0]["several"]
    by_row = {row.name: [some for some in done if some["row"] == row.name] for row in spec.rows}
    base = {some["seed"]: some for some in by_row[spec.baseline] if not some["failed"]}
    base_passes = next(iter(base.values()))["passes"] if base else float("nan")
    membership = _membership(scored[0]) if several else None
    lines = []
    for row in spec.rows:
        some = [outcome for outcome in by_row[row.name] if not outcome["failed"]]
        failed = [outcome["failed"] for outcome in by_row[row.name] if outcome["failed"]]
        tried = [outcome for outcome in searched if (outcome["data"], outcome["row"]) == (data, row.name)]
        if not some:
            why = failed or [outcome["failed"] for outcome in tried if outcome["failed"]] or ["it was not run"]
            lines.append(Line(row, None, {}, {}, float("nan"), failed=why[0]))
            continue
        remarks = tuple(_remarks(spec, some, tried, base_passes)) + tuple(f"a seed failed: {why}" for why in failed[:1])
        against = None if row.name == spec.baseline else difference(some, list(base.values()), membership)
        figures = {
            name: [outcome["figures"][name] for outcome in some if outcome["figures"].get(name) is not None]
            for name in some[0]["figures"]
        }
        scores = {outcome["seed"]: outcome["score"] for outcome in some}
        lines.append(Line(row, some[0]["lr"], scores, figures, some[0]["passes"], against, remarks))
    metric = "mAP" if several else "accuracy"
    said = list(dict.fromkeys(warning for outcome in done for warning in outcome["warnings"]))
    table = Table(data, metric, scored[0]["test"], lines, warnings=said)
    if spec.claim is None:
        return table
    claim = claim_sentence(spec, table, {name: by_row[name] for name in by_row}, membership)
    return Table(data, metric, scored[0]["test"], lines, claim, said)


def _remarks(spec: Spec, some: Sequence[Outcome], tried: Sequence[Outcome], base_passes: float) -> Iterable[str]:
    """What stands in the way of a claim about a row."""
    lr = some[0]["lr"]
    if lr is not None:
        if len(spec.lr) == 1:
            yield "its lr was not chosen: the grid has one value"
        elif lr == spec.lr[0] or lr == spec.lr[-1]:
            end = "smallest" if lr == spec.lr[0] else "largest"
            yield f"its best lr is the {end} of the grid: a better one may lie beyond"
    passes = some[0]["passes"]
    if not abs(passes / base_passes - 1) <= SAME_PASSES:
        yield f"{passes / base_passes:.2f} x the encoder passes of {spec.baseline}"
    reads = max(outcome["reads"] for outcome in some)
    if reads > 1:
        yield f"its test set was read {reads} times, with other settings before"


def _membership(outcome: Outcome) -> Membership:
    return RunContents(RunDirectory(outcome["run"])).test_images.membership


def difference(a: Sequence[Outcome], b: Sequence[Outcome], membership: Membership | None) -> SeedDifference | None:
    """Of two rows' outcomes on the seeds that both have; None where there is none. membership: of several labels."""
    by_seed = {outcome["seed"]: outcome for outcome in b if not outcome["failed"]}
    pairs = [(one, by_seed[one["seed"]]) for one in a if one["seed"] in by_seed and not one["failed"]]
    if not pairs:
        return None
    ours, theirs = [_kept(one) for one, _ in pairs], [_kept(other) for _, other in pairs]
    if membership is None:
        return of_accuracies(ours, theirs, SAMPLES, 0)
    return of_mean_average_precisions(ours, theirs, membership, SAMPLES, 0)


def _kept(outcome: Outcome) -> Any:
    with np.load(Path(outcome["run"]) / ANSWERS) as answers:
        (name,) = answers.files
        return answers[name]


def told_apart(found: SeedDifference | None) -> int:
    """1 where a is shown to be better than b, -1 where it is shown to be worse, 0 where nothing is shown."""
    if found is None or found.seeds < LEAST_SEEDS:
        return 0
    if found.low <= 0 <= found.high or abs(found.mean) <= ERRORS * found.error:
        return 0
    return 1 if found.mean > 0 else -1


def verdict(spec: Spec, line: Line) -> str:
    """The words that a row's difference to the baseline allows."""
    found = line.against
    if line.failed:
        return f"no score: {line.failed}"
    if line.row.name == spec.baseline:
        return "; ".join(("the baseline", *line.remarks))
    if found is None:
        return "; ".join(("no seed in common with the baseline", *line.remarks))
    if found.seeds < LEAST_SEEDS:
        return "; ".join((f"{counted(found.seeds, 'seed')}: shows nothing", *line.remarks))
    apart = {1: "better", -1: "worse", 0: "not told apart"}[told_apart(found)]
    if line.remarks and apart != "not told apart":
        return f"{apart} in these runs, which is no claim: {'; '.join(line.remarks)}"
    return "; ".join((apart, *line.remarks))


def claim_sentence(
    spec: Spec, table: Table, outcomes: Mapping[str, Sequence[Outcome]], membership: Membership | None
) -> str:
    """Whether the claimed row beats each of those that it has to beat, and what that allows to be said."""
    if spec.claim is None:
        return ""
    name, found = spec.claim.row, {}
    for other in spec.claim.over:
        found[other] = difference(outcomes[name], outcomes[other], membership)
    words = {1: "better than", 0: "not told apart from", -1: "worse than"}
    groups = {way: [other for other, some in found.items() if told_apart(some) == way] for way in words}
    parts = [f"{words[way]} {', '.join(others)}" for way, others in groups.items() if others]
    marked = [line.row.name for line in table.lines if line.row.name in (name, *spec.claim.over) and line.remarks]
    carried = not groups[0] and not groups[-1] and not marked
    sentence = f"{name} is {' and '.join(parts)} on {table.data}"
    if carried:
        return f"{sentence}: the bar is passed, and the claim that it helps carries here."
    why = f", and remarks stand against {', '.join(marked)}" if marked else ""
    return f"{sentence}{why}: the bar is not passed, so no claim is made that it helps."
