"""Specs: how sizes, backbones and overrides join, and what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from csrms_dist.errors import ConfigError
from ray_jobs.experiments.spec import Spec, load_spec

SPEC = """
name: small
lr: [0.1, 0.01]
seeds: [1, 2]
base: {train: {epochs: 3}}
data: {digits: {data: {dataset: digits}}}
rows:
  plain CE: {method: {name: plain}}
  structural: {seeds: 1, head: graph}
"""


def read(folder: Path, text: str = SPEC, size: str | None = None, *overrides: str) -> Spec:
    path = folder / "spec.yaml"
    path.write_text(text)
    return load_spec(path, size, overrides)


def test_a_spec_makes_settings(tmp_path: Path) -> None:
    spec = read(tmp_path)
    assert spec.lr == (0.01, 0.1)
    plain, structural = spec.rows
    assert (plain.against, structural.against) == ("plain CE", "plain CE")
    assert spec.seeds_of(plain) == (1, 2)
    assert spec.seeds_of(structural) == (1,)
    settings = spec.settings("digits", plain, 2, 0.01)
    assert (settings.seed, settings.train.epochs, settings.method.name) == (2, 3, "plain")
    assert (settings.train.lr, settings.pretrain.lr) == (0.01, 0.01)


def test_stage_0_of_a_frozen_encoder_takes_no_lr(tmp_path: Path) -> None:
    spec = read(tmp_path, SPEC.replace("base: {", "base: {encoder: {frozen: true}, "))
    one, other = (spec.settings("digits", spec.rows[0], 1, lr) for lr in spec.lr)
    assert one.pretrain == other.pretrain
    assert one.train != other.train


def test_backbones_stand_before_the_rows(tmp_path: Path) -> None:
    more = "backbones: {A: {encoder: {name: lenet5}}, B: {encoder: {name: resnet18}}}\n"
    claim = "claim: {row: structural, over: [plain CE]}\n"
    spec = read(tmp_path, SPEC + more + claim)
    assert [row.name for row in spec.rows] == ["A: plain CE", "A: structural", "B: plain CE", "B: structural"]
    assert spec.row("B: structural").against == "B: plain CE"
    assert spec.settings("digits", spec.row("B: plain CE"), 1, 0.1).encoder.name == "resnet18"
    assert [claim.row for claim in spec.claims] == ["A: structural", "B: structural"]


def test_a_size_changes_the_spec_and_replaces_its_data(tmp_path: Path) -> None:
    pairs = "data: {pairs: {data: {dataset: digit_pairs}}}"
    sizes = f"sizes: {{short: {{}}, long: {{seeds: [5], {pairs}, base: {{train: {{momentum: 0}}}}}}}}"
    assert read(tmp_path, SPEC + sizes).size == "short"
    spec = read(tmp_path, SPEC + sizes, "long")
    assert (spec.seeds, list(spec.data)) == ((5,), ["pairs"])
    assert spec.settings("pairs", spec.rows[0], 5, None).train.epochs == 3
    with pytest.raises(ConfigError, match=r"--size: got 'longer', expected one of 'short', 'long'"):
        read(tmp_path, SPEC + sizes, "longer")


def test_overrides_reach_into_the_spec(tmp_path: Path) -> None:
    spec = read(tmp_path, SPEC, None, "base.train.epochs=7", "seeds=[4]")
    assert spec.seeds == (4,)
    assert spec.settings("digits", spec.rows[0], 4, None).train.epochs == 7


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{name: plain}", "{name: plane}", r"the row 'plain CE' on digits: method.name: got 'plane'.*nearest is plain"),
        ("epochs: 3", "epoch: 3", r"unknown key train.epoch"),
        ("rows:", "row:", "unknown key row; the nearest valid key is rows"),
        ("seeds: [1, 2]", "seeds: [0, 1]", r"lr_seed: got 0, expected a whole number apart from seeds"),
        ("seeds: [1, 2]", "seeds: [1, 1]", "seeds: .*each number once"),
        ("seeds: [1, 2]", "seeds: [1.5]", r"seeds: .*expected a list of whole numbers in \[0, 4294967295\]"),
        ("lr: [0.1, 0.01]", "lr: 0.1", r"lr: got 0.1, expected a list of numbers in \(0, 10\]"),
        ("lr: [0.1, 0.01]", "lr: [100]", r"lr: got \[100\], expected a list of numbers in \(0, 10\]"),
        ("lr: [0.1, 0.01]", "lr: [1e-3]", "YAML reads 1e-3 as text"),
        ("seeds: 1,", "seeds: 3,", "the row 'structural': seeds: got 3, expected at most 2"),
        ("{seeds: 1, head: graph}", "{train: {lr: 1}}", "train.lr of 'structural': got 1, expected no such key here"),
        ("base: {", "base: {seed: 3, ", "seed of 'base': got 3, expected no such key here: it comes from seeds"),
        ("name: small", "claim: {row: structural, over: []}", "claim: over: got .., expected other rows"),
        ("name: small", "claim: {row: structural, over: [structural]}", "claim: over: .*expected other rows"),
        ("name: small", "name: ../up", "name: got '../up', expected a folder's name"),
        ("seeds: 1,", "only: [],", r"the row 'structural': only: got \[\], expected a list of data sets"),
        ("seeds: 1,", "seeds: 0,", "the row 'structural': seeds"),
        ("head: graph", "head: graf", "the row 'structural': head: got 'graf', expected one of plain, graph, mean"),
        ("name: small", "baseline: plain", "baseline: got 'plain', expected a row; the nearest is 'plain CE'"),
        ("name: small", "claim: {row: structural, over: [mixup]}", "claim: got 'mixup', expected a row"),
        ("dataset: digits", "dataset: digits, val_fraction: 0", "data.val_fraction of digits: got 0"),
    ],
)
def test_what_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in SPEC
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, SPEC.replace(old, new, 1))


def test_every_spec_that_ships_can_be_read() -> None:
    found = sorted(Path("examples/experiments").glob("*.yaml"))
    assert len(found) >= 5
    for path in found:
        for size in ("minutes", "hours", "gpus"):
            spec = load_spec(path, size)
            assert spec.unrun or size != "gpus"
