"""The core trains from a run's artefacts without DGL, and ends with the bytes that the stage gives."""

from __future__ import annotations

from pathlib import Path

import torch

from csrms_dist.methods.saved_model import read_weights
from csrms_dist.training.alone import train_alone
from ray_jobs.settings import load_settings
from tests.end_to_end.harness import CONFIG, ROOT, SMALL, Run


def test_the_plain_sampler_gives_the_weights_of_the_stage(finished: Run, tmp_path: Path) -> None:
    recipe = load_settings(ROOT / CONFIG, SMALL[1::2]).recipe
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        state = train_alone("train", finished.directory, recipe, work=tmp_path)
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)
    assert state["history"] == finished.facts("train")["history"]
    expected = read_weights(finished.path("train"))
    assert set(state["model"]) == set(expected)
    for name, value in expected.items():
        assert torch.equal(state["model"][name], value), name
    # What was finished is not trained again.
    again = train_alone("train", finished.directory, recipe, work=tmp_path)
    assert again["history"] == state["history"]
