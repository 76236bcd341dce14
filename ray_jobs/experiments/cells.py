"""One cell of an experiment: an ordinary run, and what is noted of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from csrms_dist.artefacts.files import write_whole
from csrms_dist.artefacts.names import PREDICTIONS
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.arrays import F32
from csrms_dist.basics.progress import muted
from csrms_dist.errors import ConfigError, CsrmsError, DataError
from csrms_dist.evaluation.figures import TEST, VAL, rows_of
from csrms_dist.evaluation.knn import knn_scores
from csrms_dist.evaluation.scores import Scores
from csrms_dist.metrics.classification import top_hits
from csrms_dist.run_contents import RunContents
from csrms_dist.training.budget import Passes
from csrms_dist.training.recipe import TRAIN
from ray_jobs.experiments.shared_stages import SharedStages
from ray_jobs.experiments.spec import KNN
from ray_jobs.pipeline import RunResult, Work, prepare, run
from ray_jobs.settings import RunSettings
from ray_jobs.stages.evaluate import close_models, predict_rows

SEARCH, FINAL = "search", "final"
ANSWERS = "answers.npz"
DIVERGED = re.compile(r"lower (the learning rate|pretrain\.lr)")
"""The remedy of a training whose numbers are no longer finite."""


@dataclass(frozen=True)
class Cell:
    """data, row: names. kind: SEARCH for a run that helps to choose the lr and never sees the test set, else FINAL.
    place: the folder of its run. note: the file of its outcome. shared: the folder of shared stages.
    """

    data: str
    row: str
    kind: str
    seed: int
    lr: float | None
    head: str
    answers: str
    settings: RunSettings
    place: str
    note: str
    shared: str

    @property
    def until(self) -> str | None:
        """The stage at which its run ends: before the test set is read, where it may not be."""
        if self.answers == KNN:
            return "features"
        return TRAIN if self.kind == SEARCH else None

    @property
    def name(self) -> str:
        """For a person."""
        return f"{self.row!r} on {self.data}"

    def prepared(self) -> Work:
        """Its run's stages and their fingerprints. Raises what `pipeline.prepare` raises."""
        try:
            return prepare(self.settings, self.place, (), control=False, until=self.until)
        except CsrmsError as error:
            raise _of(self.name, error) from error

    def fingerprint(self, work: Work) -> str:
        """Equal for equal results."""
        return work.inputs[work.stages[-1].name] + f" {self.kind} {self.head} {self.answers}"

    def outcome(self) -> dict[str, Any] | None:
        """What was noted of it, perhaps with other settings."""
        try:
            noted: dict[str, Any] = json.loads(Path(self.note).read_text())
        except (FileNotFoundError, ValueError):  # a damaged note is none
            return None
        return noted | {"run": self.place}  # the folder of the experiment may have moved

    def is_done(self, work: Work) -> bool:
        """Whether its outcome is noted, with these inputs, and the answers that are compared are there."""
        noted = self.outcome()
        kept = self.kind == SEARCH or (Path(self.place) / ANSWERS).exists()
        return (
            noted is not None
            and noted["done"]
            and noted["fingerprint"] == self.fingerprint(work)
            and (kept or bool(noted["failed"]))
        )


def complete(cell: Cell) -> dict[str, Any]:
    """Run a cell and note its outcome; what was done before, with the same inputs, is not done again.

    A training that diverged is an outcome: `failed` says so. Raises every other error.
    """
    said: list[str] = []
    with muted(said):
        work = cell.prepared()
        fingerprint, noted = cell.fingerprint(work), cell.outcome()
        if noted is not None and cell.is_done(work):
            return noted
        same = noted is not None and noted["fingerprint"] == fingerprint
        started = time.monotonic()
        read_before = noted["reads"] if noted is not None else 0
        outcome: dict[str, Any] = {
            "data": cell.data, "row": cell.row, "kind": cell.kind, "seed": cell.seed, "lr": cell.lr, "head": cell.head,
            "fingerprint": fingerprint, "failed": "", "done": False,
            "reads": 0 if cell.kind == SEARCH else read_before + (not same),
        }  # fmt: skip
        _write(cell, outcome)  # before the test set is read: whoever stops this run may have seen its answers
        try:
            outcome |= _run(cell, work)
        except DataError as error:
            if not DIVERGED.search(error.remedy):
                raise _of(cell.name, error) from error
            outcome["failed"] = str(error)
        except CsrmsError as error:
            raise _of(cell.name, error) from error
        finally:
            close_models()
    outcome |= {"seconds": time.monotonic() - started, "warnings": list(dict.fromkeys(said)), "done": True}
    _write(cell, outcome)
    return outcome | {"run": cell.place}


def _write(cell: Cell, outcome: Mapping[str, Any]) -> None:
    path = Path(cell.note)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(outcome, indent=1, sort_keys=True) + "\n").encode())


def _run(cell: Cell, work: Work) -> dict[str, Any]:
    shared = SharedStages(Path(cell.shared))
    work.directory.path.mkdir(parents=True, exist_ok=True)
    shared.adopt(work)
    result = run(cell.settings, cell.place, control=False, until=cell.until)
    shared.offer(cell.prepared())  # once the images are there a run knows more
    if cell.answers == KNN:
        return _of_neighbours(cell, result)
    if cell.kind == SEARCH:
        return {"score": _validation_score(cell, result.run)}
    return _of_test(cell, result)


def make_shared(cell: Cell, place: str, until: str) -> None:
    """Make the stages of a cell's run up to one that others have too, in a place of its own, and share them."""
    settings, stages = cell.settings, SharedStages(Path(cell.shared))
    try:
        with muted([]):
            work = prepare(settings, place, (), control=False, until=until)
            work.directory.path.mkdir(parents=True, exist_ok=True)
            stages.adopt(work)
            run(settings, place, control=False, until=until)
            stages.offer(prepare(settings, place, (), control=False, until=until))
    except CsrmsError as error:
        raise _of(cell.name, error) from error


def _of(name: str, error: CsrmsError) -> CsrmsError:
    """The same error, which says where."""
    return type(error)(f"{name}: {error.what}", got=error.got, expected=error.expected, remedy=error.remedy)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _headline(found: Any) -> float:
    return float(found["mAP"] if isinstance(found, Mapping) else found)


def _head(cell: Cell, heads: Mapping[str, Any]) -> Any:
    if cell.head not in heads:
        raise ConfigError(
            f"the row {cell.row!r}: head", got=repr(cell.head), expected=f"one of {', '.join(heads)}, which it has"
        )
    return heads[cell.head]


def _scores(contents: RunContents) -> Scores:
    unseen = np.array(contents.facts("images")["test_only"], np.int64)
    return Scores(contents.test_images.label_space, unseen)


def _answers(cell: Cell, split: str) -> F32:
    """(N, K) scores of the head for the images of a split; no label is read."""
    contents = RunContents(RunDirectory(cell.place))
    rows = rows_of(contents)[split]
    settings = cell.settings
    found = predict_rows(
        str(contents.directory.path), TRAIN, split, rows, settings.encoder.frozen, settings.train.device
    )
    scores: F32 = _head(cell, found.heads)
    return scores


def _validation_score(cell: Cell, directory: RunDirectory) -> float:
    contents = RunContents(directory)
    _refuse_no_validation(cell, contents)
    membership = contents.train_images.membership[rows_of(contents)[VAL]]
    return _headline(_scores(contents).of_head(_answers(cell, VAL), membership))


def _refuse_no_validation(cell: Cell, contents: RunContents) -> None:
    if contents.facts("images")["val"] == 0:
        raise ConfigError(
            "data.val_fraction", got=f"{cell.settings.data.val_fraction:g}, which is no image",
            expected="validation images to choose the lr by", remedy="raise it",
        )  # fmt: skip


def _of_test(cell: Cell, result: RunResult) -> dict[str, Any]:
    metrics, contents = result.metrics, RunContents(result.run)
    score = _head(cell, metrics["test"])
    figures = {**(score if isinstance(score, Mapping) else {"accuracy": score}), **metrics["more"]["test"][cell.head]}
    figures |= {name: metrics[name] for name in ("patterns", "vigilance") if name in metrics}
    figures |= {name: value for name, value in metrics.get("hierarchy", {}).items() if isinstance(value, int | float)}
    figures |= {f"leak_{name}": value for name, value in metrics.get("leak_check", {}).items() if _is_number(value)}
    if metrics["dataset"]["multi_label"]:
        answers = {"scores": _answers(cell, TEST)}
    else:
        table = pq.read_table(result.run.open("evaluate") / PREDICTIONS, columns=["label", cell.head])
        answers = {"right": np.asarray(table["label"]) == np.asarray(table[cell.head])}
    _keep(cell, contents, answers)
    passes, constant = metrics["passes"]["method"], cell.head in metrics["constant_heads"]
    return {
        "score": _headline(score), "figures": figures, "passes": Passes(**passes).total, "constant": constant,
        **_facts(contents),
    }  # fmt: skip


def _of_neighbours(cell: Cell, result: RunResult) -> dict[str, Any]:
    """Nearest neighbours on the features of stage 0."""
    contents = RunContents(result.run)
    split = VAL if cell.kind == SEARCH else TEST
    if split == VAL:
        _refuse_no_validation(cell, contents)
    rows = rows_of(contents)[split]
    found = knn_scores(
        contents.held_out_vectors(rows, of_test=split == TEST), contents.vectors, contents.features.labels
    )
    table = contents.test_images if split == TEST else contents.train_images
    membership, scores = table.membership[rows], _scores(contents)
    score = scores.of_head(found, membership)
    if cell.kind == SEARCH:
        return {"score": _headline(score)}
    several = table.label_space.multi_label
    _keep(cell, contents, {"scores": found} if several else {"right": top_hits(found, membership)})
    more = scores.more_of({"knn": found}, membership)["knn"]
    figures = {**(score if isinstance(score, Mapping) else {"accuracy": score}), **more}
    total = Passes()
    for stage in ("pretrain", "features"):
        total += Passes(**contents.facts(stage)["passes"])
    facts = _facts(contents)
    return {"score": _headline(score), "figures": figures, "passes": total.total, "constant": False, **facts}


def _facts(contents: RunContents) -> dict[str, Any]:
    facts = contents.facts("images")
    counts = {split: facts[split] for split in ("train", "val", "test")}
    return {**counts, "several": contents.test_images.label_space.multi_label}


def _keep(cell: Cell, contents: RunContents, answers: Mapping[str, Any]) -> None:
    np.savez(Path(cell.place) / ANSWERS, **answers)
