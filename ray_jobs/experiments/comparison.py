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
    common. remarks: what stands in the way of a claim, in words; of_baseline: the baseline's. failed: why there is no
    score.
    """

    row: Row
    lr: float | None
    scores: Mapping[int, float]
    figures: Mapping[str, Sequence[float]]
    against: SeedDifference | None = None
    remarks: tuple[str, ...] = ()
    of_baseline: tuple[str, ...] = ()
    failed: str = ""


@dataclass(frozen=True)
class Table:
    """Of one data set.

    data: its name. images: of validation and of test, 0 where no run has a score. lines: in the order of the spec.
    claims: sentences. warnings: of runs, each behind its row's name.
    """

    data: str
    metric: str
    images: tuple[int, int]
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
    tried = [some for some in searched if some["data"] == data]
    if not done and not tried:
        return None
    by_row = {row.name: [some for some in done if some["row"] == row.name] for row in spec.rows}
    scored = [some for some in done if not some["failed"]]
    several = bool(scored) and scored[0]["several"]
    membership = _membership(scored[0]) if several else None
    remarks = {row.name: tuple(_remarks(spec, row, by_row, tried)) for row in spec.rows_of(data)}
    lines = []
    for row in spec.rows_of(data):
        some = [outcome for outcome in by_row[row.name] if not outcome["failed"]]
        if not some:
            failed = [outcome for outcome in (*by_row[row.name], *tried) if outcome["row"] == row.name]
            why = [outcome["failed"] for outcome in failed if outcome["failed"]] or ["it was not run"]
            lines.append(Line(row, None, {}, {}, failed=why[0]))
            continue
        against: SeedDifference | None = None
        of_baseline: tuple[str, ...] = ()
        if row.name != row.against:
            against = difference(some, by_row[row.against], membership)
            of_baseline = tuple(f"of {row.against}: {remark}" for remark in remarks.get(row.against, ()))
        figures = {
            name: [outcome["figures"][name] for outcome in some if outcome["figures"].get(name) is not None]
            for name in some[0]["figures"]
        }
        scores = {outcome["seed"]: outcome["score"] for outcome in some}
        lines.append(Line(row, some[0]["lr"], scores, figures, against, remarks[row.name], of_baseline))
    said = [f"{outcome['row']}: {warning}" for outcome in done for warning in outcome["warnings"]]
    images = (scored[0]["val"], scored[0]["test"]) if scored else (0, 0)
    claims = [claim_sentence(claim, data, lines, by_row, membership) for claim in spec.claims]
    metric = "mAP" if several else "accuracy"
    return Table(data, metric, images, lines, [claim for claim in claims if claim], list(dict.fromkeys(said)))


def _remarks(spec: Spec, row: Row, by_row: Mapping[str, Sequence[Outcome]], tried: Sequence[Outcome]) -> Iterable[str]:
    """What stands in the way of a claim about a row."""
    some = [outcome for outcome in by_row[row.name] if not outcome["failed"]]
    failed = [outcome["failed"] for outcome in by_row[row.name] if outcome["failed"]]
    if not some:
        return
    lr = some[0]["lr"]
    if lr is not None and len(spec.lr) == 1:
        yield "the grid has one lr"
    elif lr is not None:
        if lr in (spec.lr[0], spec.lr[-1]):
            yield f"its lr is the {'smallest' if lr == spec.lr[0] else 'largest'} of the grid"
        found = [outcome["score"] for outcome in tried if outcome["row"] == row.name and not outcome["failed"]]
        if (equal := found.count(max(found, default=0.0))) > 1:
            yield f"{equal} lr have the same validation score"
    passes = some[0]["passes"]
    for other in [outcome["passes"] for outcome in by_row[row.against] if not outcome["failed"]][:1]:
        if abs(passes - other) > SAME_PASSES * other:
            yield f"{passes / other if other else float('inf'):.2f} x the encoder passes of {row.against}"
    if (reads := max(outcome["reads"] for outcome in some)) > 1:
        yield f"its test set was read {reads} times"
    if any(outcome["constant"] for outcome in some):
        yield "it answers nearly the same for every image"
    yield from (f"a seed failed: {why}" for why in failed[:1])


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
    remarks = (*line.remarks, *line.of_baseline)
    if found is None:
        return "; ".join((f"{line.row.against} has no score on these seeds", *remarks))
    if found.seeds < LEAST_SEEDS:
        return "; ".join((f"{counted(found.seeds, 'seed')}: shows nothing", *remarks))
    apart = {1: "better", -1: "worse", 0: "not told apart"}[told_apart(found)]
    if remarks and apart != "not told apart":
        return f"{apart} in these runs, which is no claim: {'; '.join(remarks)}"
    return "; ".join((apart, *remarks))


def claim_sentence(
    claim: Claim,
    data: str,
    lines: Sequence[Line],
    outcomes: Mapping[str, Sequence[Outcome]],
    membership: Membership | None,
) -> str:
    """Whether the claimed row beats each of those that it has to beat and that are for this data set, and what that
    allows to be said; '' where it is not for the data set itself."""
    by_name = {line.row.name: line for line in lines}
    if claim.row not in by_name:
        return ""
    over = [other for other in claim.over if other in by_name]
    found = {other: difference(outcomes[claim.row], outcomes[other], membership) for other in over}

    def word(some: SeedDifference | None) -> str:
        if some is None:
            return "not compared with"
        if some.seeds < LEAST_SEEDS:
            return f"not shown to differ, with {counted(some.seeds, 'seed')}, from"
        return {1: "better than", 0: "not told apart from", -1: "worse than"}[told_apart(some)]

    groups: dict[str, list[str]] = {}
    for other, some in found.items():
        groups.setdefault(word(some), []).append(other)
    said = " and ".join(f"{words} {', '.join(others)}" for words, others in groups.items())
    sentence = f"{claim.row} is {said or 'compared with nothing'} on {data}"
    marked = [name for name in (claim.row, *over) if by_name[name].remarks or by_name[name].failed]
    if list(groups) == ["better than"] and not marked:
        return f"{sentence}: the bar is passed, and the claim that it helps is carried here."
    why = f", and remarks stand against {', '.join(marked)}" if marked else ""
    return f"{sentence}{why}: the bar is not passed, so no claim is made that it helps."
