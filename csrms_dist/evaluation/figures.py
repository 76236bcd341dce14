"""The figures of a run: what metrics.json holds, from its artefacts and its answers (docs/metrics.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from csrms_dist.basics.arrays import F32, I64
from csrms_dist.evaluation.by_pattern import by_pattern, patterns_of_test
from csrms_dist.evaluation.classifier import Classifier, Predictions
from csrms_dist.evaluation.leak_check import GRAPH, blank_answers, judged, leak_figures
from csrms_dist.evaluation.scores import Scores, cannot_answer
from csrms_dist.evaluation.settings import EvaluateSettings
from csrms_dist.hierarchy.difficulty import LEVEL_NAMES, difficulty_levels
from csrms_dist.hierarchy.dominance import fallback_classes
from csrms_dist.methods.settings import MethodSettings
from csrms_dist.metrics.classification import imbalance
from csrms_dist.metrics.resolution import learnt_nothing
from csrms_dist.run_contents import RunContents
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.training.budget import Passes
from csrms_dist.training.recipe import CONTROL, PRETRAIN, TRAIN
from csrms_dist.training.structure import structure_of

SCHEMA = 3
PLAIN = "plain"
TEST, VAL = "test", "val"
SEPARATION = ("distance_", "smoothed_distance_", "effective_rank")
"""What the keys of `losses.separation` begin with."""

Answers = Mapping[tuple[str, str], Predictions]
"""(model's stage, split) -> its predictions for the images of the split."""


@dataclass(frozen=True)
class Asked:
    """The settings that decide the figures.

    seed: of the run. patterns: whether it has any. frozen: the encoder was not trained.
    adapter: what stood on it, 'none' or 'mlp'.
    control_is_plain_head: it was not trained twice. epochs: of `train`. difficulty_threshold: rho_1 of eq. 7.
    """

    seed: int
    patterns: bool
    frozen: bool
    adapter: str
    control_is_plain_head: bool
    epochs: int
    difficulty_threshold: float
    evaluate: EvaluateSettings
    method: MethodSettings
    sampling: SamplingSettings


def rows_of(run: RunContents) -> dict[str, I64]:
    """The images that are answered, by split: rows of the test images, and of the training images for `val`."""
    return {TEST: np.arange(len(run.test_images)), VAL: run.train_images.indices("val")}


def leak_of(run: RunContents, asked: Asked, answers: Answers) -> dict[str, Any] | None:
    """The leak check of a method with a graph head, which reads labels of validation images; None of another."""
    if GRAPH not in answers[TRAIN, VAL].heads:
        return None
    table, val = run.train_images, rows_of(run)[VAL]
    several, check = table.label_space.multi_label, None
    if len(val):
        labels, classifier = table.membership[val], Classifier(run.artefact(TRAIN))
        graph = structure_of(run, asked.method, asked.sampling, asked.seed).hierarchy
        scores = blank_answers(classifier, labels, graph, run.bank, asked.sampling, asked.seed)
        check = judged(scores, labels, several, asked.seed)
    trained = run.facts(TRAIN)["history"][-1]["graph_accuracy"]
    return leak_figures(check, several) | {"graph_head_training_accuracy": trained}


def figures(run: RunContents, asked: Asked, answers: Answers) -> dict[str, Any]:
    """metrics.json of a run: the labels of the test images are read here, after all answers.

    answers: of `train` and, where it was trained, `control`, for the splits `test` and `val`; classes that training
    never saw are set to probability 0 in them.
    """
    leak = leak_of(run, asked, answers)
    facts = run.facts("images")
    train, test, val = run.train_images, run.test_images, rows_of(run)[VAL]
    unseen = np.array(facts["test_only"], np.int64)
    for found in answers.values():
        cannot_answer(found, unseen)
    scores = Scores(test.label_space, unseen, asked.evaluate.more_metrics)
    labels = {TEST: test.membership, VAL: train.membership[val]}
    names = train.label_space.class_names
    made_with = (PRETRAIN, "features", TRAIN) if asked.patterns or asked.frozen else (PRETRAIN, TRAIN)
    metrics: dict[str, Any] = {
        "schema": SCHEMA,
        "dataset": {
            "name": train.name,
            "content_hash": train.content_hash,
            "classes": train.label_space.n_classes,
            "multi_label": train.label_space.multi_label,
            "test_only_classes": [names[k] for k in unseen],
            "rejected": facts["rejected"],
            "imbalance": imbalance(train.membership[train.indices("train")]),
            **{split: facts[split] for split in ("train", "val", "test")},
        },
        "seed": asked.seed,
        "frozen_encoder": asked.frozen,
        "adapter": asked.adapter,
        **(_of_patterns(run, asked, names) if asked.patterns else {}),
        **{split: scores.of(answers[TRAIN, split], labels[split]) for split in (TEST, VAL)},
        "constant_heads": [
            head for head, values in answers[TRAIN, TEST].heads.items() if learnt_nothing(values, labels[TEST])
        ],
        "classes": scores.by_class(answers[TRAIN, TEST].plain, labels[TEST]),
        "passes": {"method": _passes(run, made_with)},
        "epochs": {"pretrain": len(run.facts(PRETRAIN)["history"]), "train": asked.epochs},
        **asked.method.reported(),
    }
    if leak is not None:
        metrics["leak_check"] = leak
    if made_anew := run.facts(TRAIN).get("refreshed"):
        metrics["refreshed"] = made_anew
    heads = {split: _with_control(answers, split, asked.control_is_plain_head) for split in (TEST, VAL)}
    metrics["more"] = {split: scores.more_of(heads[split], labels[split]) for split in (TEST, VAL)}
    if asked.patterns:
        metrics["by_pattern"] = by_pattern(heads[TEST], labels[TEST], patterns_of_test(run), run.hierarchy.n_patterns)
    trained = [role for role in (TRAIN, CONTROL) if role == TRAIN or (CONTROL, TEST) in answers]
    metrics["separation"] = {role: separation_of(run.facts(role)["history"]) for role in trained}
    plain = answers[TRAIN, TEST].plain

    def gained(a: F32, b: F32) -> dict[str, float]:
        return asdict(scores.difference(a, b, labels[TEST], asked.evaluate.bootstrap_samples, asked.seed))

    if asked.control_is_plain_head:
        metrics["control"] = {split: metrics[split]["plain"] for split in (TEST, VAL)} | {"same_as_plain_head": True}
        metrics["passes"]["control"] = metrics["passes"]["method"]
        others = {head: values for head, values in answers[TRAIN, TEST].heads.items() if head != PLAIN}
        metrics["against_plain_head"] = {head: gained(values, plain) for head, values in others.items()}
    elif (CONTROL, TEST) in answers:
        metrics["control"] = {
            split: scores.of_head(answers[CONTROL, split].plain, labels[split]) for split in (TEST, VAL)
        }
        if asked.evaluate.control != PLAIN:
            metrics["control"]["name"] = asked.evaluate.control
        metrics["passes"]["control"] = _passes(run, (PRETRAIN, CONTROL))
        metrics["difference"] = gained(plain, answers[CONTROL, TEST].plain)
    return metrics


def _of_patterns(run: RunContents, asked: Asked, names: Sequence[str]) -> dict[str, Any]:
    """The figures of the class-pattern-instance hierarchy."""
    clusters, graph = run.facts("cluster"), run.hierarchy
    levels = difficulty_levels(graph, asked.difficulty_threshold)
    return {
        "patterns": graph.n_patterns,
        "vigilance": clusters["vigilance"],
        "hierarchy": {
            "dominated_patterns": int(graph.dominated.sum()),
            "mixed_patterns": int((~graph.dominated).sum()),
            "outliers": clusters["outliers"],
            **dict(zip(LEVEL_NAMES, levels.shares, strict=True)),
            "terciles": levels.terciles,
            "fallback_classes": [names[k] for k in fallback_classes(graph)],
        },
    }


def separation_of(history: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """What relation losses are meant to change, in the first and in the last epoch of a training."""
    return {
        place: {name: value for name, value in report.items() if name.startswith(SEPARATION)}
        for place, report in (("first", history[0]), ("last", history[-1]))
    }


def _with_control(answers: Answers, split: str, control_is_plain_head: bool) -> dict[str, F32]:
    """The scores of the method's heads by name, and of `control` where it was trained by itself."""
    control = answers.get((CONTROL, split))
    own = {} if control is None or control_is_plain_head else {CONTROL: control.plain}
    return {**answers[TRAIN, split].heads, **own}


def _passes(run: RunContents, stages: Sequence[str]) -> dict[str, int]:
    total = Passes()
    for stage in stages:
        total += Passes(**run.facts(stage)["passes"])
    return {"backward": total.backward, "forward": total.forward}
