"""The same command again: what is done is skipped, and a changed setting redoes what depends on it and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.errors import RunDirectoryError
from ray_jobs import RunResult, pipeline, run
from tests.end_to_end.harness import CONFIG, ROOM, SMALL, STAGES, Run, contents, csrms, prepare

pytestmark = ROOM


def artefacts(of: Run) -> dict[str, tuple[str, int]]:
    """Digest and time of change of all that a run made, but for the record of its attempts."""
    return contents(of.directory, skip=("run.json", "log.jsonl", ".lock"))


def test_running_again_does_nothing_and_says_the_same(copied: Run) -> None:
    before = artefacts(copied)
    said = copied.run()
    assert (said.code, said.done, said.sentences) == (0, (), [])
    assert said.seconds < 20
    assert artefacts(copied) == before
    assert said.out == copied.said.out.replace(str(copied.said_in), str(copied.folder))
    assert copied.json("run.json")["attempts"] == 2
    assert set(copied.json("run.json")["stages"]) == set(STAGES)


def test_the_number_of_actors_redoes_nothing(copied: Run) -> None:
    before = artefacts(copied)
    said = copied.run("--set", "cluster.actors=3")
    assert (said.code, said.done) == (0, ())
    assert artefacts(copied) == before


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ("train.epochs=1", ("train", "control", "evaluate")),
        ("train.workers=2", ("train", "control", "evaluate")),
        ("method.weight_attract=0.3", ("train", "evaluate")),
        ("method.weight_plain=0.5", ("train", "control", "evaluate")),
        ("graph.dominance_threshold=0.7", ("graph", "train", "evaluate")),
        ("cluster.n_patterns=50", ("cluster", "graph", "train", "evaluate")),
        ("encoder.weights=start.pt", ("pretrain", "features", "cluster", "graph", "train", "control", "evaluate")),
        ("data.val_fraction=0.2", STAGES),
        ("evaluate.actors=3", ()),
        ("graph.keep_runs=1", ()),
    ],
)
def test_a_change_redoes_what_depends_on_it(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, redone: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "start.pt").touch()
    overrides = (*(word for word in SMALL if word != "--set"), change)
    work = pipeline.prepare(finished.folder / CONFIG, finished.directory, overrides, control=True)
    found = [
        stage.name for stage in work.stages if not pipeline.is_done(work.directory, stage, work.inputs[stage.name])
    ]
    assert tuple(found) == redone


@pytest.mark.slow
def test_other_epochs_redo_training_control_and_evaluation(copied: Run) -> None:
    before = artefacts(copied)
    said = copied.run("--set", "train.epochs=1")
    assert said.code == 0, said.err
    assert said.done == ("train", "control", "evaluate")
    redone = {*said.done, "metrics.json", "store"}  # the predictions are added to the graph
    after = artefacts(copied)
    kept = {name: state for name, state in after.items() if Path(name).parts[0] not in redone}
    assert kept == {name: state for name, state in before.items() if Path(name).parts[0] not in redone}
    assert copied.json("metrics.json")["epochs"] == {"pretrain": 2, "train": 1}


def test_another_bootstrap_redoes_the_evaluation_only(copied: Run) -> None:
    said = copied.run("--set", "evaluate.bootstrap_samples=200")
    assert (said.code, said.done) == (0, ("evaluate",))


def test_a_damaged_artefact_is_made_again(copied: Run) -> None:
    predictions = copied.path("evaluate") / "predictions.parquet"
    whole = predictions.read_bytes()
    predictions.write_bytes(whole[: len(whole) // 2])
    said = copied.run()
    assert (said.code, said.done) == (0, ("evaluate",))
    assert predictions.read_bytes() == whole


@pytest.mark.slow
def test_without_control_there_is_no_control_and_no_difference(copied: Run) -> None:
    metrics = copied.path("metrics.json").read_bytes()
    said = copied.run("--no-control")
    assert (said.code, said.done) == (0, ("evaluate",))
    without = copied.json("metrics.json")
    assert not {"control", "difference"} & set(without)
    assert set(without["passes"]) == {"method"}
    assert "plain control" not in said.out
    assert "interval" not in said.out
    assert not [name for name in _columns(copied) if name.startswith("control")]
    assert copied.run().done == ("evaluate",)
    assert copied.path("metrics.json").read_bytes() == metrics


def _columns(of: Run) -> list[str]:
    names: list[str] = pq.read_schema(of.path("evaluate") / "predictions.parquet").names
    return names


def test_one_stage_does_what_it_needs_and_no_more(tmp_path: Path) -> None:
    prepare(tmp_path)
    said = csrms("images", CONFIG, "--out", "here", folder=tmp_path)
    assert (said.code, said.done) == (0, ("images",))
    assert said.out == "images: done, here/images\n"
    assert csrms("images", CONFIG, "--out", "here", folder=tmp_path).out == "images: was done already, here/images\n"
    assert {path.name for path in (tmp_path / "here").iterdir()} == {".lock", "images", "log.jsonl", "run.json"}


@pytest.fixture
def answered(copied: Run) -> RunResult:
    overrides = tuple(word for word in SMALL if word != "--set")
    return run(copied.folder / CONFIG, copied.directory, overrides)


def test_from_python(copied: Run, answered: RunResult) -> None:
    assert answered.done == ()
    assert answered.metrics == copied.json("metrics.json")
    assert answered.run.path == copied.directory
    assert answered.settings.train.epochs == 5


def test_from_python_one_stage_of_settings(tmp_path: Path, answered: RunResult) -> None:
    result = run(answered.settings, tmp_path / "run", until="images")
    assert result.done == ("images",)
    assert result.metrics == {}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"] == answered.settings.as_mapping()


@pytest.mark.slow
def test_a_cleaned_run_answers_and_skips_as_before_and_makes_what_it_needs_again(copied: Run) -> None:
    first = copied.json("images/stamp.json")
    unfinished = copied.path(".checkpoints") / "0123"
    unfinished.mkdir(parents=True)
    (unfinished / "state.pt").write_bytes(bytes(2_000_000))
    before = artefacts(copied)
    asked = csrms("clean", "runs/digits", folder=copied.folder)
    assert asked.code == 0, asked.err
    assert "nothing was removed; add --yes to do it" in asked.out
    assert artefacts(copied) == before
    done = csrms("clean", "runs/digits", "--yes", folder=copied.folder)
    assert done.code == 0, done.err
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == [".checkpoints/0123", "candidates", "images"]
    freed = sum(path.stat().st_size for path in copied.directory.rglob("*") if path.is_file())
    total = float(done.out.splitlines()[0].split()[1])
    whole = sum(len((copied.said_in / "runs" / "digits" / name).read_bytes()) for name in before if "0123" not in name)
    assert total == pytest.approx((whole + 2_000_000 - freed) / 1e6, abs=0.1)
    assert {path.name for path in copied.path("images").iterdir()} == {"stamp.json"}
    assert csrms("clean", "runs/digits", "--yes", folder=copied.folder).out == "runs/digits: nothing to remove\n"

    assert csrms("query", "dominance", folder=copied.folder).code == 0
    again = copied.run()
    assert (again.code, again.done, again.out) == (0, (), done_text(copied))
    # What a stage that is not done reads is made again, and no more.
    evaluated = copied.run("--set", "evaluate.bootstrap_samples=200")
    assert (evaluated.code, evaluated.done) == (0, ("images", "evaluate")), evaluated.err
    assert copied.json("images/stamp.json") == first
    trained = copied.run("--set", "train.epochs=1", "--no-control", "--until", "train")
    assert (trained.code, trained.done) == (0, ("train",)), trained.err
    assert copied.path("candidates").is_dir()


def done_text(of: Run) -> str:
    return of.said.out.replace(str(of.said_in), str(of.folder))


def test_a_cleaned_stage_is_made_again_when_it_is_asked_for_and_a_busy_run_is_left_alone(copied: Run) -> None:
    with RunDirectory(copied.directory).lock():
        busy = csrms("clean", copied.directory, "--yes", folder=copied.folder)
    assert (busy.code, "another command is writing" in busy.err) == (4, True)
    RunDirectory(copied.directory).discard("images")
    with pytest.raises(RunDirectoryError, match="got an artefact that was cleaned away; run `csrms images CONFIG`"):
        RunDirectory(copied.directory).open("images")
    said = csrms("images", CONFIG, *SMALL, folder=copied.folder)
    assert (said.code, said.done) == (0, ("images",)), said.err
    assert RunDirectory(copied.directory).open("images")
