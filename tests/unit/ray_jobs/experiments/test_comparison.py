"""Verdicts in words, on made outcomes where they must say one thing and where they must say its opposite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ray_jobs.experiments.cells import ANSWERS, FINAL, SEARCH
from ray_jobs.experiments.comparison import Table, tables, verdict
from ray_jobs.experiments.report import results_table, tables_text
from ray_jobs.experiments.spec import Spec, load_spec

IMAGES = 400
SPEC = """
name: made
lr: [0.01, 0.1, 1]
seeds: [1, 2, 3, 4]
data: {digits: {}}
rows: {base: {method: {name: plain}}, ours: {}, other: {}}
claim: {row: ours, over: [base, other]}
"""


class Made:
    """Outcomes of rows whose accuracies are given by seed."""

    def __init__(self, folder: Path, text: str = SPEC) -> None:
        self.folder = folder
        (folder / "spec.yaml").write_text(text)
        self.spec: Spec = load_spec(folder / "spec.yaml")
        self.final: list[dict[str, Any]] = []

    def row(self, name: str, accuracies: Sequence[float], *, lr: float = 0.1, **more: Any) -> Made:
        for seed, accuracy in enumerate(accuracies, 1):
            place = self.folder / f"{name}-{seed}"
            place.mkdir()
            draw = np.random.default_rng(0)  # the same images are hard for every row
            right = draw.random(IMAGES) < accuracy
            np.savez(place / ANSWERS, right=right)
            self.final.append(
                {
                    "data": "digits", "row": name, "kind": FINAL, "seed": seed, "lr": lr, "head": "plain",
                    "score": float(right.mean()), "figures": {"accuracy": float(right.mean()), "top_5": 1.0},
                    "passes": 100.0, "reads": 1, "failed": "", "run": str(place), "several": False, "test": IMAGES,
                    "val": 40, "constant": False,
                    "seconds": 1.0, "warnings": [],
                }
                | more
            )  # fmt: skip
        return self

    def table(self) -> Table:
        (found,) = tables(self.spec, [], self.final)
        return found

    def says(self, name: str) -> str:
        return next(verdict(line) for line in self.table().lines if line.row.name == name)


LOW, HIGH, MIXED = (0.60, 0.61, 0.62, 0.60), (0.80, 0.82, 0.81, 0.80), (0.70, 0.52, 0.69, 0.53)


def test_better_worse_and_not_told_apart(tmp_path: Path) -> None:
    made = Made(tmp_path).row("base", LOW).row("ours", HIGH).row("other", MIXED)
    assert made.says("base") == "a baseline"
    assert made.says("ours") == "better"
    assert made.says("other") == "not told apart"


def test_worse(tmp_path: Path) -> None:
    made = Made(tmp_path).row("base", HIGH).row("ours", LOW).row("other", HIGH)
    assert made.says("ours") == "worse"
    assert made.says("other") == "not told apart"


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_few_seeds_show_nothing(tmp_path: Path, seeds: int) -> None:
    made = Made(tmp_path).row("base", LOW[:seeds]).row("ours", HIGH[:seeds])
    assert made.says("ours") == f"{seeds} seed{'s' * (seeds > 1)}: shows nothing"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"passes": 150.0}, "1.50 x the encoder passes of base"),
        ({"passes": 50.0}, "0.50 x the encoder passes of base"),
        ({"lr": 0.01}, "its lr is the smallest of the grid"),
        ({"lr": 1.0}, "its lr is the largest of the grid"),
        ({"reads": 3}, "its test set was read 3 times"),
        ({"constant": True}, "it answers nearly the same for every image"),
    ],
)
def test_remarks_take_the_claim_away(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    made = Made(tmp_path).row("base", LOW).row("ours", HIGH, **more).row("other", LOW)
    assert made.says("ours") == f"better in these runs, which is no claim: {said}"
    (claim,) = made.table().claims
    assert claim.endswith("remarks stand against ours: the bar is not passed, so no claim is made that it helps.")


def test_remarks_of_the_baseline_take_it_away_too(tmp_path: Path) -> None:
    made = Made(tmp_path).row("base", LOW, lr=1.0).row("ours", HIGH).row("other", LOW)
    assert made.says("ours") == ("better in these runs, which is no claim: of base: its lr is the largest of the grid")
    assert "remarks stand against base" in made.table().claims[0]


def test_equal_validation_scores_are_said(tmp_path: Path) -> None:
    made = Made(tmp_path).row("base", LOW).row("ours", HIGH).row("other", LOW)
    search = [
        {"data": "digits", "row": "ours", "kind": SEARCH, "lr": lr, "score": score, "failed": ""}
        for lr, score in ((0.01, 0.5), (0.1, 0.5), (1, 0.4))
    ]
    (table,) = tables(made.spec, search, made.final)
    (line,) = (line for line in table.lines if line.row.name == "ours")
    assert verdict(line).endswith("2 lr have the same validation score")


def test_a_grid_of_one_value_is_no_choice(tmp_path: Path) -> None:
    made = Made(tmp_path, SPEC.replace("[0.01, 0.1, 1]", "[0.1]")).row("base", LOW).row("ours", HIGH)
    assert "the grid has one lr" in made.says("ours")


def test_the_claim_is_carried_or_not(tmp_path: Path) -> None:
    carried = Made(tmp_path).row("base", LOW).row("ours", HIGH).row("other", LOW)
    assert list(carried.table().claims) == [
        "ours is better than base, other on digits: the bar is passed, and the claim that it helps is carried here."
    ]


def test_one_that_is_not_beaten_is_enough_against_it(tmp_path: Path) -> None:
    made = Made(tmp_path).row("base", LOW).row("ours", HIGH).row("other", HIGH)
    assert list(made.table().claims) == [
        "ours is better than base and not told apart from other on digits: "
        "the bar is not passed, so no claim is made that it helps."
    ]


def test_a_row_that_failed_says_why(tmp_path: Path) -> None:
    made = Made(tmp_path).row("base", LOW)
    failed = {"data": "digits", "row": "ours", "seed": 1, "failed": "the loss is not finite", "warnings": []}
    made.final.append(failed)
    assert made.says("ours") == "no score: the loss is not finite"
    assert made.says("other") == "no score: it was not run"
    assert made.table().claims == [
        "ours is not compared with base, other on digits, and remarks stand against ours, other: "
        "the bar is not passed, so no claim is made that it helps."
    ]
    (nothing,) = tables(made.spec, [], [failed])
    assert "## digits: no run has a score\n" in tables_text(made.spec, [nothing])
    assert f"## digits: {IMAGES} test images, 40 validation images\n" in tables_text(made.spec, [made.table()])
    assert [verdict(line) for line in nothing.lines] == [
        "no score: it was not run", "no score: the loss is not finite", "no score: it was not run"
    ]  # fmt: skip


def test_few_seeds_carry_no_claim(tmp_path: Path) -> None:
    made = Made(tmp_path).row("base", LOW[:2]).row("ours", HIGH[:2]).row("other", LOW[:2])
    assert made.table().claims == [
        "ours is not shown to differ, with 2 seeds, from base, other on digits: "
        "the bar is not passed, so no claim is made that it helps."
    ]


def test_rows_that_are_not_for_the_data_are_left_out(tmp_path: Path) -> None:
    made = Made(
        tmp_path, SPEC.replace("other: {}", "other: {only: [pairs]}").replace("digits: {}", "digits: {}, pairs: {}")
    )
    made.row("base", LOW).row("ours", HIGH)
    assert [line.row.name for line in made.table().lines] == ["base", "ours"]
    assert "ours is better than base on digits: the bar is passed" in made.table().claims[0]


def test_tables_and_results_as_text(tmp_path: Path) -> None:
    made = Made(tmp_path).row("base", LOW).row("ours", HIGH).row("other", MIXED)
    text = tables_text(made.spec, [made.table()])
    (line,) = (line for line in text.splitlines() if line.startswith("| ours "))
    assert line.count("|") == next(row for row in text.splitlines() if row.startswith("| row ")).count("|")
    assert "(least 0.125)" in line
    search = {"data": "digits", "row": "ours", "kind": SEARCH, "seed": 0, "lr": 0.1, "score": 0.5}
    table = results_table([search, *made.final])
    assert table.num_rows == 13
    assert table["accuracy"].to_pylist()[:2] == [None, made.final[0]["score"]]
