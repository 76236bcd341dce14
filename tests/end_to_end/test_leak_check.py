"""The leak check, through the command line: the paper's reading gives the label away, the structural one does not."""

from __future__ import annotations

import pytest

from tests.end_to_end.harness import ROOM, Run, csrms

pytestmark = ROOM


@pytest.mark.slow
def test_the_papers_reading_answers_blank_images(copied: Run) -> None:
    said = csrms(
        "run", "examples/digits.yaml", "--set", "pretrain.epochs=2", "--set", "method.reading=paper",
        "--set", "train.epochs=10", "--no-control", folder=copied.folder,
    )  # fmt: skip
    assert said.code == 0, said.err
    assert said.done[-2:] == ("train", "evaluate")
    metrics = copied.json("metrics.json")
    assert metrics["reading"] == "paper"
    assert metrics["leak_check"]["blank_image_accuracy"] > 0.9
    assert metrics["leak_check"]["p_value"] < 1e-9
    assert "its graph gives the label away" in said.out


def test_the_structural_reading_does_not(finished: Run) -> None:
    leak = finished.json("metrics.json")["leak_check"]
    assert leak["one_answer"]
    assert leak["blank_image_accuracy"] == pytest.approx(leak["chance"])
    assert "nothing leaks through its graph" in finished.said.out
