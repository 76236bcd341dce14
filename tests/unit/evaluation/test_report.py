"""The closing account says what was found, also when it is nothing."""

from __future__ import annotations

from typing import Any

import pytest

from csrms_dist.evaluation.report import LookAlike, accuracy_lines, difference_line, method_of, pattern_lines, percent


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
        "dataset": {"test": 1360, "multi_label": False, "rejected": 0, "test_only_classes": []},
        "frozen_encoder": False,
        "reading": "structural",
        "seed": 3,
        "patterns": 120,
        "vigilance": 0.91234,
        "hierarchy": {"dominated_patterns": 110, "mixed_patterns": 10, "outliers": 4},
        "test": {"plain": 0.9743, "graph": 0.95, "mean": 0.97},
        "passes": {"method": {"backward": 30000, "forward": 3000}, "control": {"backward": 31000, "forward": 0}},
        "leak_check": {"blank_image_accuracy": 0.1, "largest_class_share": 0.1},
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
    assert lines[-1].startswith("  leak check                10.00 % of blank images")


def test_several_labels_are_reported_by_their_own_measures() -> None:
    figures = {"mAP": 0.5, "P@1": 0.4, "R@1": 0.2, "P@5": 0.3, "R@5": 0.6}
    found = metrics(test=dict.fromkeys(("plain", "graph", "mean"), figures), control={"test": figures})
    found["dataset"] |= {"multi_label": True, "rejected": 3, "test_only_classes": ["owl"]}
    lines = accuracy_lines(found | {"frozen_encoder": True})
    assert lines[0] == "mAP, P@1, P@5, R@5 on 1,360 test images (structural reading, seed 3, frozen encoder)"
    assert lines[1].startswith("  plain control             50.00 %  40.00 %  30.00 %  60.00 %   31,000 encoder passes")
    assert "  set aside                 3 unreadable images (images/rejected.parquet)" in lines
    assert any(line.endswith("only in the test set: owl") for line in lines)


def test_without_a_control_nothing_is_compared() -> None:
    text = "\n".join(accuracy_lines(metrics()))
    assert "control" not in text
    assert "interval" not in text


@pytest.mark.parametrize(
    ("leak", "verdict"),
    [(0.0, "nothing leaks"), (0.3, "nothing leaks"), (0.9, "its graph gives the label away"), (None, "not measured")],
)
def test_the_leak_verdict(leak: float | None, verdict: str) -> None:
    assert verdict in accuracy_lines(metrics(leak_check={"blank_image_accuracy": leak, "largest_class_share": 0.1}))[-1]


def test_k_means_has_no_vigilance_to_name() -> None:
    assert pattern_lines(metrics(vigilance=-1.0), [])[0].startswith("Patterns: 120 found by k-means, 110 dominated")


def test_classes_that_look_alike_name_the_patterns_they_share() -> None:
    pairs = [LookAlike("3", "8", 0.0421, [(7, 12, 3), (9, 2, 5)])]
    assert pattern_lines(metrics(), pairs) == [
        "Patterns: 120 found by ART at vigilance 0.912, 110 dominated by one class, 10 mixed; 4 outlying images",
        "Class pairs that look alike, and the patterns they share",
        "  3 ~ 8   0.0421   pattern 7 (12 of 3, 3 of 8), pattern 9 (2 of 3, 5 of 8)",
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
            "ART at vigilance 0.500 "
            "(searched for about 100 patterns, as the data has no grain of its own of 9 patterns or more)",
        ),
        (
            {"vigilance": 0.68, "grain": [20, 0.4326, 0.9174], "sought": 0, "looked_for": 1},
            "ART at vigilance 0.680 (the data's own grain: 20 patterns from vigilance 0.43 to 0.92)",
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
