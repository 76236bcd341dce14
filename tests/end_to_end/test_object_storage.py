"""A run in an S3 bucket, from vectors to answers, and the same asked where nothing of it is."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.errors import RunDirectoryError
from ray_jobs.commands.cli import main
from tests.contract.s3_server import S3Server
from tests.end_to_end.test_given_vectors import CONFIG, vectors


@pytest.fixture
def here(tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    for key, value in (s3.variables() | {"CSRMS_CACHE": str(tmp_path / "one")}).items():
        monkeypatch.setenv(key, value)
    return tmp_path


def test_one_command_and_then_questions_from_elsewhere(
    here: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids, rows, label = vectors()
    pq.write_table(pa.table({"id": ids, "vector": pa.array(list(rows)), "label": label}), here / "vectors.parquet")
    settings = {"name": "given", "features": {"path": str(here / "vectors.parquet")}, "cluster": {"n_patterns": 6}}
    (here / CONFIG).write_text(json.dumps(settings))
    uri = f"s3://{s3.bucket('runs')}/{uuid.uuid4().hex}"
    assert main(["run", CONFIG, "--out", uri]) == 0
    assert f"--run {uri}" in capsys.readouterr().out
    assert main(["run", CONFIG, "--out", uri]) == 0
    assert "cluster   done" not in capsys.readouterr().err

    monkeypatch.setenv("CSRMS_CACHE", str(here / "two"))
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert main(["query", "patterns", "--run", uri, "--format", "json"]) == 0
    assert sum(row["size"] for row in json.loads(capsys.readouterr().out)) == len(ids)
    assert main(["runs", "--run", uri, "--format", "json"]) == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert listed["live"]
    assert main(["clean", uri]) == 0
    assert "nothing to remove" in capsys.readouterr().out
    assert list((here / "elsewhere").iterdir()) == []
    assert RunDirectory(uri).names(".checkpoints") == []


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("run", CONFIG, "--out", "s3://no-bucket-of-ours/x"), 4),
        (("query", "patterns", "--run", "s3://no-bucket-of-ours/x"), 4),
    ],
)
def test_a_place_that_cannot_be_written_is_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], code: int
) -> None:
    ids, rows, _ = vectors()
    pq.write_table(pa.table({"id": ids, "vector": pa.array(list(rows))}), here / "vectors.parquet")
    (here / CONFIG).write_text(json.dumps({"name": "given", "features": {"path": "vectors.parquet"}}))
    assert main(list(command)) == code
    assert capsys.readouterr().err == (
        f"csrms {command[0]}: s3://no-bucket-of-ours/x: got a bucket that is not there, expected one that was made "
        "before; make it, or choose another\n"
    )
    with pytest.raises(RunDirectoryError):
        RunDirectory("s3://no-bucket-of-ours/x").check()
