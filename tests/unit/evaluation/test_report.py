"""The closing account says what was found, also when it is nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from csrms_dist.evaluation.report import (
    LookAlike,
    accuracy_lines,
    difference_line,
    leak_line,
    method_of,
    pattern_lines,
    percent,
)
from csrms_dist.metrics.chance import LEVEL, binomial_tails


@pytest.mark.parametrize(
    ("value", "low", "high", "numbers", "verdict"),
    [
        (0.0123, 0.001, 0.02, "+1.23 points, 95 % interval [+0.10, +2.00]", "better"),
        (-0.0123, -0.02, -0.001, "-1.23 points, 95 % interval [-2.00, -0.10]", "worse"),
        (0.0123, -0.001, 0.03, "+1.23 points, 95 % interval [-0.10, +3.00]", "within noise"),
        (-0.0123, -0.03, 0.001, "-1.23 points, 95 % interval [-3.00, +0.10]", "within noise"),
        (0.01, 0.0, 0.02, "+1.00 points, 95 % interval [+0.00, +2.00]", "within noise"),
        (0.0, 0.0, 0.0, "+0.00 points, 95 % interval [+0.00, +0.00]", "within noise"),
    ],
)
def test_the_verdict_is_the_intervals(value: float, low: float, high: float, numbers: str, verdict: str) -> None:
    line = difference_line({"value": value, "low": low, "high": high})
    assert line.startswith(f"{numbers}: ")
    assert [word for word in ("better", "worse", "within noise") if word in line] == [verdict]


def metrics(**changes: Any) -> dict[str, Any]:
    return {
        "dataset": {"test": 1360, "classes": 10, "multi_label": False, "rejected": 0, "test_only_classes": []},
        "frozen_encoder": False,
        "adapter": "none",
        "constant_heads": [],
        "reading": "structural",
        "seed": 3,
        "patterns": 120,
        "vigilance": 0.91234,
        "hierarchy": {"dominated_patterns": 110, "mixed_patterns": 10, "outliers": 4},
        "test": {"plain": 0.9743, "graph": 0.95, "mean": 0.97},
        "passes": {"method": {"backward": 30000, "forward": 3000}, "control": {"backward": 31000, "forward": 0}},
        "leak_check": {
            "images": 143,
            "one_answer": True,
            "blank_image_accuracy": 0.1,
            "chance": 0.1,
            "p_value": 0.5,
            "told": 0.0,
            "shows_from": 0.1,
        },
        "more": {"test": {"plain": {"top_5": None, "worst_classes": None}}},
        **changes,
    }


def test_method_and_control_stand_side_by_side() -> None:
    difference = {"value": -0.001, "low": -0.01, "high": 0.008}
    lines = accuracy_lines(metrics(control={"test": 0.9753}, difference=difference))
    assert lines[:-1] == [
        "Accuracy on 1,360 test images (structural reading, seed 3)",
        "  plain control             97.53 %   31,000 encoder passes",
        "  method, plain head        97.43 %   31,000 encoder passes",
        "  method, graph head        95.00 %",
        "  method, mean of the two   97.00 %",
        "  plain head minus control  -0.10 points, 95 % interval [-1.00, +0.80]: within noise",
    ]
    assert lines[-1].startswith("  leak check                10.00 % of 143 blank images by the graph head, ")


def test_several_labels_are_reported_by_their_own_measures() -> None:
    figures = {"mAP": 0.5, "P@1": 0.4, "R@1": 0.2, "P@5": 0.3, "R@5": 0.6}
    found = metrics(test=dict.fromkeys(("plain", "graph", "mean"), figures), control={"test": figures})
    found["dataset"] |= {"multi_label": True, "rejected": 3, "test_only_classes": ["owl"]}
    lines = accuracy_lines(found | {"frozen_encoder": True})
    assert lines[0] == "mAP, P@1, P@5, R@5 on 1,360 test images (structural reading, seed 3, frozen encoder)"
    adapted = accuracy_lines(found | {"frozen_encoder": True, "adapter": "mlp"})[0]
    assert adapted.endswith("(structural reading, seed 3, frozen encoder with adapter mlp)")
    assert lines[1].startswith("  plain control             50.00 %  40.00 %  30.00 %  60.00 %   31,000 encoder passes")
    assert "  set aside                 3 unreadable images (images/rejected.parquet)" in lines
    assert any(line.endswith("only in the test set: owl") for line in lines)


def test_a_control_that_is_the_plain_head_is_not_compared_with_it() -> None:
    gained = {"graph": {"value": 0.02, "low": 0.01, "high": 0.03}, "mean": {"value": 0.0, "low": -0.01, "high": 0.01}}
    control = {"test": 0.9743, "same_as_plain_head": True}
    lines = accuracy_lines(metrics(frozen_encoder=True, control=control, against_plain_head=gained))
    assert lines[1:-1] == [
        "  plain control             not run: with a frozen encoder and no adapter it is the same training as the "
        "plain head, so that comparing them says nothing",
        "  method, plain head        97.43 %   31,000 encoder passes",
        "  method, graph head        95.00 %",
        "  method, mean of the two   97.00 %",
        "  graph minus plain head    +2.00 points, 95 % interval [+1.00, +3.00]: better on these images, with this one "
        "seed",
        "  mean minus plain head     +0.00 points, 95 % interval [-1.00, +1.00]: within noise",
    ]
    trained = "\n".join(accuracy_lines(metrics(frozen_encoder=True, control={"test": 0.9, "name": "mine:CONTROL"})))
    assert "not run" not in trained


def test_a_head_that_answers_the_same_for_every_image_is_named() -> None:
    said = "the graph head answers nearly the same for every image: it has learnt next to nothing"
    assert any(line.endswith(said) for line in accuracy_lines(metrics(constant_heads=["graph"])))
    assert "the plain head answers" in "\n".join(accuracy_lines(metrics(constant_heads=["plain", "graph", "mean"])))
    assert not any("learnt nothing" in line for line in accuracy_lines(metrics()))


def test_without_a_control_nothing_is_compared() -> None:
    text = "\n".join(accuracy_lines(metrics()))
    assert "control" not in text
    assert "interval" not in text


def leak(hits: int, images: int, chance: float, one_answer: bool = False, **changes: Any) -> dict[str, Any]:
    """The figures of a check whose answers are right for `hits` of the images, made as a run makes them."""
    tails = binomial_tails(images, chance)
    enough = np.flatnonzero(tails <= LEVEL)
    told, shows_from = ((score - chance) / max(1 - chance, 1e-9) for score in (hits / images, [*enough, 0][0] / images))
    return {
        "images": images, "one_answer": one_answer, "blank_image_accuracy": hits / images, "chance": chance,
        "p_value": float(tails[hits]), "told": told, "shows_from": shows_from if len(enough) else None, **changes,
    }  # fmt: skip


GIVES, NONE, UNCLEAR, NOTHING = "gives the label away", "no leak to be seen", "cannot tell", "nothing leaks"


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        (leak(2100, 5000, 0.01), GIVES),  # 42 % where chance is 1 %
        (leak(50, 5000, 0.01), NONE),  # exactly chance
        (leak(60, 5000, 0.01), NONE),  # what luck does
        (leak(650, 50000, 0.01), GIVES),  # slightly above, with many images
        (leak(130, 10000, 0.01), GIVES),
        (leak(13, 1000, 0.01), NONE),  # as far above, with fewer
        (leak(0, 5000, 0.01), NONE),  # worse than chance
        (leak(5000, 5000, 0.01), GIVES),  # all right
        (leak(5, 5, 0.2), GIVES),  # all right, even of few
        (leak(2, 5, 0.2), UNCLEAR),
        (leak(2, 2, 0.5), UNCLEAR),  # all right of too few
        (leak(1, 1, 1.0), UNCLEAR),  # a single image
        (leak(5000, 5000, 1.0), UNCLEAR),  # a single class
        (leak(14, 143, 14 / 143, one_answer=True), NOTHING),  # no label shows in one answer for all
        (leak(14, 143, 14 / 143), NONE),
        (
            {"images": 0, "chance": None, "p_value": None, "one_answer": None, "told": None, "shows_from": None},
            "not measured",
        ),
    ],
)
def test_the_leak_verdict(figures: dict[str, Any], verdict: str) -> None:
    line = accuracy_lines(metrics(leak_check=figures))[-1]
    assert [words for words in (GIVES, NONE, UNCLEAR, NOTHING, "not measured") if words in line] == [verdict]


def test_the_leak_verdict_says_how_much_and_how_sure() -> None:
    line = leak_line(leak(2100, 5000, 0.01), "paper reading")
    assert line == (
        "42.00 % of 5,000 blank images by the graph head, by chance 1.00 %: its graph gives the label away (paper "
        "reading), as if it told 41.41 % of the labels; luck does that at most once in 10,000 checks"
    )
    assert "at most once in 163 checks" in leak_line(leak(130, 10000, 0.01, p_value=0.0061), "paper reading")
    assert leak_line(leak(50, 5000, 0.01), "x reading").endswith("(x reading); one of 0.36 % of the labels would be")
    assert leak_line(leak(2, 5, 0.2), "x reading").endswith("few images show a leak only from 75.00 % of the labels on")
    assert leak_line(leak(2, 2, 0.5), "x reading").endswith("show no leak at all")


def test_the_leak_verdict_of_several_labels_is_on_the_ranking() -> None:
    given = leak(0, 2400, 0.09, blank_image_mAP=0.6, p_value=0.001, told=0.56, shows_from=0.03)
    assert leak_line(given, "paper reading").startswith(
        "mAP 60.00 % on 2,400 blank images by the graph head, by chance 9.00 %: its graph gives the label away"
    )
    assert NONE in leak_line(given | {"p_value": 0.4, "blank_image_mAP": 0.1}, "paper reading")
    assert UNCLEAR in leak_line(given | {"p_value": 0.4, "blank_image_mAP": 0.1, "shows_from": 0.5}, "paper reading")
    assert UNCLEAR in leak_line(given | {"p_value": 0.4, "blank_image_mAP": 0.1, "shows_from": None}, "paper reading")
    assert NOTHING in leak_line(given | {"p_value": 1.0, "one_answer": True}, "structural reading")


def test_top_5_and_the_worst_classes_stand_below_the_accuracies() -> None:
    further = {"plain": {"top_5": 0.9876, "worst_classes": 0.5}, "control": {"top_5": 0.98, "worst_classes": 0.45}}
    given = metrics(control={"test": 0.9753}, more={"test": further})
    assert accuracy_lines(given)[5:-1] == [
        "  top 5                     plain control 98.00 %, plain head 98.76 %",
        "  worst class               plain control 45.00 %, plain head 50.00 %",
    ]
    many = given | {"dataset": given["dataset"] | {"classes": 11}, "control": {"test": 0.9, "name": "mine:CONTROL"}}
    said = "  worst tenth of classes    mine:CONTROL control 45.00 %, plain head 50.00 %"
    assert said in accuracy_lines(many)
    alone = metrics(more={"test": {"plain": {"top_5": None, "worst_classes": 0.5}}})
    assert "  worst class               plain head 50.00 %" in accuracy_lines(alone)
    assert not any("top 5" in line for line in accuracy_lines(alone)), "five classes or fewer"


def test_the_worst_classes_of_several_labels_are_those_of_least_map() -> None:
    figures = {"mAP": 0.5, "P@1": 0.4, "R@1": 0.2, "P@5": 0.3, "R@5": 0.6}
    found = metrics(test={"plain": figures}, more={"test": {"plain": {"worst_classes_mAP": 0.125}}})
    found["dataset"] |= {"multi_label": True, "classes": 81}
    assert "  worst tenth of classes    plain head mAP 12.50 %" in accuracy_lines(found)


def test_k_means_has_no_vigilance_to_name() -> None:
    assert pattern_lines(metrics(vigilance=-1.0), [])[0].startswith("Patterns: 120 found by k-means, 110 dominated")


def test_classes_that_look_alike_name_the_patterns_they_share() -> None:
    pairs = [LookAlike("3", "8", 0.4213, 5, [(7, 12, 3), (9, 2, 5)]), LookAlike("1", "7", 12, 1, [(2, 1, 1)])]
    assert pattern_lines(metrics(), pairs) == [
        "Patterns: 120 found by ART at vigilance 0.912, 110 dominated by one class, 10 mixed; 4 outliers",
        "Class pairs that look most alike, surest first: how often they meet in a pattern, where 1 x is by chance",
        "  3 ~ 8   0.42 x, 5 images of each   pattern 7 (12 of 3, 3 of 8), pattern 9 (2 of 3, 5 of 8)",
        "  1 ~ 7   12.00 x, 1 image of each   pattern 2 (1 of 1, 1 of 7)",
    ]
    assert pattern_lines(metrics(), pairs[:1])[1:] == [
        "No classes meet in patterns more often than by chance, which is 1 x; those that come nearest, surest first",
        "  3 ~ 8   0.42 x, 5 images of each   pattern 7 (12 of 3, 3 of 8), pattern 9 (2 of 3, 5 of 8)",
    ]
    assert pattern_lines(metrics(), [])[-1] == "  no two classes share a pattern"


def test_percent() -> None:
    assert [percent(value) for value in (0, 0.9743, 1)] == ["0.00 %", "97.43 %", "100.00 %"]


def test_a_control_of_the_users_own_is_not_called_plain() -> None:
    [usual] = [
        line for line in accuracy_lines(metrics(control={"test": 0.9})) if " control " in line and "minus" not in line
    ]
    assert usual.startswith("  plain control             90.00 %")
    lines = accuracy_lines(metrics(control={"test": 0.9, "name": "mine:CONTROL"}))
    [own] = [line for line in lines if " control " in line and "minus" not in line]
    assert own.startswith("  mine:CONTROL control      90.00 %")
    assert not any("plain control" in line for line in lines)


def test_another_method_has_its_name_its_heads_and_no_leak_check() -> None:
    given = {key: value for key, value in metrics(test={"plain": 0.9}).items() if key not in ("reading", "leak_check")}
    lines = accuracy_lines(given | {"method": "mine:METHOD"})
    assert lines[0] == "Accuracy on 1,360 test images (method mine:METHOD, seed 3)"
    assert not any(word in line for line in lines for word in ("graph head", "mean of the two", "leak check"))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({"vigilance": 0.5}, "ART at vigilance 0.500"),
        ({"vigilance": 0.5, "grain": None, "sought": 0, "looked_for": 0}, "ART at vigilance 0.500"),
        ({"vigilance": 0.5, "sought": 120}, "ART at vigilance 0.500 (searched for about 120 patterns)"),
        (
            {"vigilance": 0.5, "sought": 100, "looked_for": 1},
            "ART at vigilance 0.500 (searched for about 100 patterns, as the data has no grain of its own)",
        ),
        (
            {"vigilance": 0.5, "sought": 100, "looked_for": 9},
            "ART at vigilance 0.500 (searched for about 100 patterns, as the data has no grain of 9 patterns or more)",
        ),
        (
            {"vigilance": 0.68, "grain": [20, 0.4326, 0.9174], "sought": 0, "looked_for": 1},
            "ART at vigilance 0.680 (the data's own grain: 20 patterns from vigilance 0.43 to 0.92)",
        ),
        (
            {"vigilance": 0.5, "sought": 100, "cut": True},
            "ART at vigilance 0.500, cut by k-means, as no vigilance gives about 100 patterns",
        ),
        ({"vigilance": -1.0, "sought": 0}, "k-means"),
        (
            {"vigilance": -1.0, "grain": [20, 0.4326, 0.9174]},
            "k-means (the data's own grain: 20 patterns from vigilance 0.43 to 0.92)",
        ),
    ],
)
def test_where_the_vigilance_comes_from_is_said(found: dict[str, Any], text: str) -> None:
    assert method_of(found) == text
