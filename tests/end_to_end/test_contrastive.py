"""Stage 0 without labels: from images alone to a graph of patterns, and beside labels at passes that stay equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from csrms_dist.methods.saved_model import read_card, read_weights
from csrms_dist.run_contents import RunContents
from csrms_dist.training.budget import Passes
from ray_jobs.commands.closing import closing_text
from ray_jobs.commands.query import query
from ray_jobs.pipeline import prepare, run
from ray_jobs.settings import load_settings
from tests.end_to_end.harness import CONFIG, ROOM, ROOT

pytestmark = ROOM

VIEWS = ("pretrain.objective=contrastive", "pretrain.augmentation=contrastive", "pretrain.epochs=1", "train.epochs=1")


def test_digits_without_a_label_become_a_graph_by_an_encoder_that_learnt_from_them(tmp_path: Path) -> None:
    result = run(load_settings(ROOT / CONFIG, (*VIEWS, "data.label_column=none")), tmp_path / "run")
    assert result.done == ("images", "pretrain", "features", "cluster", "graph")
    assert result.settings.encoder.name == "lenet5"
    assert result.settings.encoder.weights == ""
    contents = RunContents(result.run)
    assert len(contents.features) == 1797
    assert not contents.has_labels
    assert result.run.facts("pretrain")["passes"] == {"backward": 2 * 1797, "forward": 0}
    assert sum(query(result.run, "patterns")["size"].to_pylist()) == 1797
    assert "there are no labels, so the encoder was trained on the images alone" in closing_text(result)


def test_passes_are_equal_with_two_views_an_image_and_the_head_is_fresh(tmp_path: Path) -> None:
    settings = load_settings(ROOT / CONFIG, VIEWS)
    result = run(settings, tmp_path / "run", until="control")
    passes = {stage: Passes(**result.run.facts(stage)["passes"]) for stage in ("pretrain", "features", "control")}
    n = result.run.facts("images")["train"]
    (report,) = result.run.facts("pretrain")["history"]
    assert (report["images"], report["encoded"]) == (n, 2 * n)
    method = passes["pretrain"] + passes["features"] + Passes(backward=settings.train.epochs * n)
    assert method.total == pytest.approx(2 * n + n / 3 + n)
    assert (passes["pretrain"] + passes["control"]).total == pytest.approx(method.total, abs=0.5)
    stage_0 = RunContents(result.run).artefact("pretrain")
    assert read_card(stage_0).method == "plain"
    assert {name.partition(".")[0] for name in read_weights(stage_0)} == {"encoder", "plain_head"}


def test_what_augments_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("encoder.frozen=true", "train.augmentation=crop_flip", "train.random_erasing=0.25")
    for wanted, overrides, until in ((True, given, None), (False, given[1:], None), (False, given, "graph")):
        prepare(load_settings(ROOT / CONFIG, overrides), tmp_path, (), control=True, until=until)
        said = "train.augmentation crop_flip and train.random_erasing 0.25: nothing is augmented, for"
        assert (said in capsys.readouterr().err) is wanted
