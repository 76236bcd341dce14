"""Rows of an experiment, their differences to the baseline, and the sentence that the outcomes allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.words import counted
from csrms_dist.labels import Membership
from csrms_dist.metrics.paired_seeds import SeedDifference, of_accuracies, of_mean_average_precisions
from csrms_dist.run_contents import RunContents
from ray_jobs.experiments.cells import ANSWERS
from ray_jobs.experiments.spec import Claim, Row, Spec

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
    claims: Sequence[str] = ()
    warnings: Sequence[str] = ()


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
    membership = _membership(scored[0]) if several else None
    lines = []
    for row in spec.rows_of(data):
        some = [outcome for outcome in by_row[row.name] if not outcome["failed"]]
        failed = [outcome["failed"] for outcome in by_row[row.name] if outcome["failed"]]
        tried = [outcome for outcome in searched if (outcome["data"], outcome["row"]) == (data, row.name)]
        if not some:
            why = failed or [outcome["failed"] for outcome in tried if outcome["failed"]] or ["it was not run"]
            lines.append(Line(row, None, {}, {}, float("nan"), failed=why[0]))
            continue
        base = by_row[row.against]
        remarks = tuple(_remarks(spec, row, some, base)) + tuple(f"a seed failed: {why}" for why in failed[:1])
        against = None if row.name == row.against else difference(some, base, membership)
        figures = {
            name: [outcome["figures"][name] for outcome in some if outcome["figures"].get(name) is not None]
            for name in some[0]["figures"]
        }
        scores = {outcome["seed"]: outcome["score"] for outcome in some}
        lines.append(Line(row, some[0]["lr"], scores, figures, some[0]["passes"], against, remarks))
    metric = "mAP" if several else "accuracy"
    said = list(dict.fromkeys(warning for outcome in done for warning in outcome["warnings"]))
    claims = [claim_sentence(claim, data, lines, by_row, membership) for claim in spec.claims]
    return Table(data, metric, scored[0]["test"], lines, claims, said)


def _remarks(spec: Spec, row: Row, some: Sequence[Outcome], base: Sequence[Outcome]) -> Iterable[str]:
    """What stands in the way of a claim about a row."""
    lr = some[0]["lr"]
    if lr is not None:
        if len(spec.lr) == 1:
            yield "the grid has one lr"
        elif lr == spec.lr[0] or lr == spec.lr[-1]:
            end = "smallest" if lr == spec.lr[0] else "largest"
            yield f"its lr is the {end} of the grid"
    passes = some[0]["passes"]
    for other in [outcome["passes"] for outcome in base if not outcome["failed"]][:1]:
        if abs(passes - other) > SAME_PASSES * other:
            yield f"{passes / other if other else float('inf'):.2f} x the encoder passes of {row.against}"
    reads = max(outcome["reads"] for outcome in some)
    if reads > 1:
        yield f"its test set was read {reads} times"


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


def verdict(line: Line) -> str:
    """The words that a row's difference to its baseline allows."""
    found = line.against
    if line.failed:
        return f"no score: {line.failed}"
    if line.row.name == line.row.against:
        return "; ".join(("a baseline", *line.remarks))
    if found is None:
        return "; ".join((f"no seed in common with {line.row.against}", *line.remarks))
    if found.seeds < LEAST_SEEDS:
        return "; ".join((f"{counted(found.seeds, 'seed')}: shows nothing", *line.remarks))
    apart = {1: "better", -1: "worse", 0: "not told apart"}[told_apart(found)]
    if line.remarks and apart != "not told apart":
        return f"{apart} in these runs, which is no claim: {'; '.join(line.remarks)}"
    return "; ".join((apart, *line.remarks))


def claim_sentence(
    claim: Claim,
    data: str,
    lines: Sequence[Line],
    outcomes: Mapping[str, Sequence[Outcome]],
    membership: Membership | None,
) -> str:
    """Whether the claimed row beats each of those that it has to beat, and what that allows to be said."""
    there = [line.row.name for line in lines]
    found = {
        other: told_apart(difference(outcomes[claim.row], outcomes[other], membership))
        for other in claim.over
        if other in there
    }
    words = {1: "better than", 0: "not told apart from", -1: "worse than"}
    groups = {way: [other for other, apart in found.items() if apart == way] for way in words}
    said = " and ".join(f"{words[way]} {', '.join(others)}" for way, others in groups.items() if others)
    sentence = f"{claim.row} is {said} on {data}"
    marked = [line.row.name for line in lines if line.row.name in (claim.row, *claim.over) and line.remarks]
    if not groups[0] and not groups[-1] and not marked:
        return f"{sentence}: the bar is passed, and the claim that it helps is carried here."
    why = f", and remarks stand against {', '.join(marked)}" if marked else ""
    return f"{sentence}{why}: the bar is not passed, so no claim is made that it helps."
