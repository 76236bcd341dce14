"""The plan of given vectors, what it refuses, and how its tables look."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csrms_dist.methods.stages import GIVEN_VECTORS
from csrms_dist.training.budget import Passes
from ray_jobs.plan.estimates import Estimate, estimates
from ray_jobs.plan.plan import survey
from ray_jobs.plan.text import Planned, plan_text, size
from ray_jobs.settings import settings_from
from tests.end_to_end.harness import STAGES
from tests.unit.ray_jobs.conftest import Cli

CONFIG = "examples/digits.yaml"


def write(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
    return path


def vectors(path: Path, **labels: object) -> Path:
    rows = np.random.default_rng(0).random((300, 7)).tolist()
    return write(path, id=[f"{n:04d}" for n in range(300)], vector=rows, **labels)


def stages(out: str) -> list[str]:
    """The stages of a printed plan."""
    table = out.partition("\nto do ")[0].splitlines()[2:]
    return [line.split()[0] for line in table]


def test_vectors_are_counted_without_reading_them(cli: Cli, tmp_path: Path) -> None:
    path = vectors(tmp_path / "v.parquet", labels=[[n % 3, 4] for n in range(300)])
    facts, _ = survey(settings_from({"features": {"path": str(path)}}))
    assert (facts.train, facts.dimension, facts.n_classes, facts.labels) == (300, 7, 5, 2.0)
    said = cli("plan", CONFIG, "--set", f"features.path={path}", "--out", "planned")
    assert said.code == 0, said.err
    assert stages(said.out) == ["features", "cluster", "graph"]
    assert not (tmp_path / "planned").exists()


def test_vectors_without_labels_have_a_graph(cli: Cli, tmp_path: Path) -> None:
    path = vectors(tmp_path / "v.parquet")
    said = cli("plan", CONFIG, "--set", f"features.path={path}", "--out", "planned")
    assert said.code == 0
    assert stages(said.out) == ["features", "cluster", "graph"]


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("features.path=nowhere.parquet", 3, "features.path: got nowhere.parquet, which is not a file"),
        ("features.path=broken.parquet", 3, "broken.parquet: got "),
        (
            "features.path=columns.parquet",
            3,
            "columns.parquet: got the columns name, expected a column 'id'",
        ),
        ("features.path=empty.parquet", 3, "empty.parquet: got no rows, expected at least one row"),
        ("train.epoch=3", 2, "unknown key train.epoch; the nearest valid key is train.epochs"),
        ("encoder.name=lenet", 2, "encoder.name: got 'lenet'"),
    ],
)
def test_what_cannot_run_cannot_be_planned(cli: Cli, tmp_path: Path, text: str, code: int, said: str) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing else")
    write(tmp_path / "columns.parquet", name=["a"])
    write(tmp_path / "empty.parquet", id=pa.array([], pa.string()), vector=pa.array([], pa.list_(pa.float32())))
    found = cli("plan", CONFIG, "--set", text, "--out", "planned")
    assert found.code == code
    assert found.err.startswith(f"csrms plan: {said}")
    assert found.err.count("\n") == 1
    assert not (tmp_path / "planned").exists()


def test_a_control_that_is_the_plain_head_is_not_in_the_plan(cli: Cli, tmp_path: Path) -> None:
    said = cli("plan", CONFIG, "--set", "encoder.frozen=true", "--set", "encoder.adapter=none", "--out", "planned")
    assert said.code == 0, said.err
    assert stages(said.out) == [stage for stage in STAGES if stage != "control"]
    assert (
        "control is not run: with a frozen encoder and no adapter it is the same training as the plain head" in said.out
    )


def test_the_last_line_adds_up_what_is_left() -> None:
    made = Estimate(1000, Passes(900, 300), 90.0, 500.0, 100.0, 7.0)
    more = Estimate(2000, Passes(), 30.0, 800.0, 0.02)
    planned = [Planned("images", more, True), Planned("train", made, False)]
    text = plan_text([*planned, Planned("control", more, False)], "runs/x", 4)
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert rows[0] == "Plan of runs/x on 4 cores"
    assert rows[2] == "images done 2,000 - 800 MB 20 kB 30 s"
    assert rows[3] == "train 1,000 1,000 500 MB 100 MB 90 s"
    assert rows[5] == "to do 1,000 800 MB 100 MB 2 min 00 s"
    assert "up to 7.0 MB more" in text
    assert len({len(line) for line in text.splitlines()[1:6]}) == 1


@pytest.mark.parametrize(("mb", "text"), [(0.048, "48 kB"), (4.93, "4.9 MB"), (419.6, "420 MB"), (12345, "12.3 GB")])
def test_sizes_are_short(mb: float, text: str) -> None:
    assert size(mb) == text


def test_other_numbers_of_images_are_a_column_each(cli: Cli, tmp_path: Path) -> None:
    path = vectors(tmp_path / "v.parquet", labels=[[n % 3, 4] for n in range(300)])
    said = cli("plan", CONFIG, "--set", f"features.path={path}", "--out", "planned", "--images", "300", "1M", "20k")
    assert said.code == 0, said.err
    lines = [line.split("  ") for line in said.out.splitlines()]
    assert lines[0][0].startswith("What so many images like those of planned would take on ")
    heads = [line for line in said.out.splitlines() if "1,000,000" in line]
    assert [line.split() for line in heads] == [
        [name, "300", "1,000,000", "20,000"] for name in ("time", "memory", "disk")
    ]
    assert [line[0].strip() for line in lines[1:6]] == ["time", "features", "cluster", "graph", "in all"]
    settings = settings_from({"features": {"path": str(path)}})
    (facts, rates), cores = survey(settings), os.cpu_count() or 1
    expected = estimates(GIVEN_VECTORS, facts.scaled(10**6), rates, settings, cores)
    disk = next(line for line in said.out.splitlines()[11:] if line.startswith("features")).split()
    assert " ".join(disk[3:5]) == size(expected["features"].disk_mb)
    assert not (tmp_path / "planned").exists()


@pytest.mark.parametrize("text", ["0", "-1", "1.5M", "many", "1T"])
def test_a_number_of_images_is_a_whole_one(cli: Cli, text: str) -> None:
    said = cli("plan", CONFIG, f"--images={text}")
    assert said.code == 2
    assert said.sentences == [f"csrms plan: --images: got '{text}', expected whole numbers such as 250000, 500k or 10M"]
