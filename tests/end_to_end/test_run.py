"""`csrms run`, whole: what it prints, what it writes, and that both are true."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from csrms_dist.datasets.layouts.digits import digits
from csrms_dist.labels import single_labels
from tests.end_to_end.harness import ROOM, STAGES, Run, execute, flat

pytestmark = ROOM

N_TRAIN, N_VAL, N_TEST, N_CLASSES = 1295, 143, 359, 10
PRETRAIN_EPOCHS, TRAIN_EPOCHS = 2, 5
SHARE = (0.0, 1.0)
HEADS = ("plain", "graph", "mean", "control")
# Every key of metrics.json, with the interval of its values.
OF_BOTH = {"distance_between_classes": (0, 2), "distance_within_classes": (0, 2), "effective_rank": (1, 84)}
SEPARATION: dict[str, dict[str, Any]] = {
    "control": OF_BOTH,
    "train": {
        **OF_BOTH,
        "distance_negative": (0, 2),
        "smoothed_distance_between_classes": (0, 2),
        "smoothed_distance_within_classes": (0, 2),
    },
}
KEYS: dict[str, tuple[float, float] | type] = {
    "schema": (3, 3),
    "dataset.name": str,
    "dataset.content_hash": str,
    "dataset.classes": (N_CLASSES, N_CLASSES),
    "dataset.train": (N_TRAIN, N_TRAIN),
    "dataset.val": (N_VAL, N_VAL),
    "dataset.test": (N_TEST, N_TEST),
    "seed": (0, 0),
    "reading": str,
    "dataset.multi_label": bool,
    "dataset.rejected": (0, 0),
    "dataset.test_only_classes": list,
    "dataset.imbalance.counts": list,
    "dataset.imbalance.largest": (1, N_TRAIN),
    "dataset.imbalance.smallest": (1, N_TRAIN),
    "dataset.imbalance.ratio": (1, N_TRAIN),
    "frozen_encoder": bool,
    "adapter": str,
    "constant_heads": list,
    "by_pattern.images": list,
    "by_pattern.accuracy": list,
    "by_pattern.counted": (1, N_TRAIN),
    "by_pattern.counted_images": (5, N_TEST),
    **{f"by_pattern.{of}.{head}": SHARE for of in ("mean", "worst") for head in HEADS},
    **{
        f"more.{split}.{head}.{name}": (0, 20) if name == "nll" else SHARE
        for split in ("test", "val")
        for head in HEADS
        for name in ("top_5", "nll", "ece", "mean_of_classes", "worst_classes")
    },
    "classes.names": list,
    "classes.accuracy": list,
    "classes.confusion": list,
    "patterns": (N_CLASSES, N_TRAIN),
    "vigilance": SHARE,
    "hierarchy.dominated_patterns": (0, N_TRAIN),
    "hierarchy.mixed_patterns": (0, N_TRAIN),
    "hierarchy.outliers": (0, N_TRAIN),
    "hierarchy.easy": SHARE,
    "hierarchy.medium": SHARE,
    "hierarchy.hard": SHARE,
    "hierarchy.terciles": bool,
    "hierarchy.fallback_classes": list,
    "test.plain": SHARE,
    "test.graph": SHARE,
    "test.mean": SHARE,
    "val.plain": SHARE,
    "val.graph": SHARE,
    "val.mean": SHARE,
    "control.test": SHARE,
    "control.val": SHARE,
    "difference.value": (-1.0, 1.0),
    "difference.low": (-1.0, 1.0),
    "difference.high": (-1.0, 1.0),
    "passes.method.backward": (1, 10**9),
    "passes.method.forward": (1, 10**9),
    "passes.control.backward": (1, 10**9),
    "passes.control.forward": (0, 10**9),
    "epochs.pretrain": (PRETRAIN_EPOCHS, PRETRAIN_EPOCHS),
    "epochs.train": (TRAIN_EPOCHS, TRAIN_EPOCHS),
    "weights.plain": (0, 100),
    "weights.graph": (0, 100),
    "weights.negative": (0, 100),
    "weights.inter_class": (0, 100),
    "weights.attract": (0, 100),
    "weights.align": (0, 100),
    "weights.info_nce": (0, 100),
    "weights.sup_con": (0, 100),
    "weights.triplet": (0, 100),
    "weights.jensen_shannon": (0, 100),
    "leak_check.blank_image_accuracy": SHARE,
    "leak_check.images": (N_VAL, N_VAL),
    "leak_check.one_answer": bool,
    "leak_check.chance": SHARE,
    "leak_check.p_value": (0.01, 1.0),
    "leak_check.visible": SHARE,
    "leak_check.best_constant": SHARE,
    "leak_check.told": SHARE,
    "leak_check.shows_from": SHARE,
    "leak_check.graph_head_training_accuracy": SHARE,
    **{
        f"separation.{role}.{place}.{name}": legal
        for role, names in SEPARATION.items()
        for name, legal in names.items()
        for place in ("first", "last")
    },
}


@pytest.fixture(scope="module")
def metrics(finished: Run) -> Any:
    return finished.json("metrics.json")


def test_ends_well_and_only_progress_goes_to_standard_error(finished: Run) -> None:
    assert finished.said.code == 0
    assert finished.said.done == STAGES
    assert finished.said.sentences == []


def test_accuracies_of_control_and_method_are_printed(finished: Run, metrics: Any) -> None:
    out = finished.said.out
    for label, value in {
        "plain control": metrics["control"]["test"],
        "method, plain head": metrics["test"]["plain"],
        "method, graph head": metrics["test"]["graph"],
        "method, mean of the two": metrics["test"]["mean"],
    }.items():
        assert re.search(rf"^  {label} +{100 * value:.2f} %", out, re.MULTILINE), label
    assert len(re.findall(r"encoder passes$", out, re.MULTILINE)) == 2


def test_within_noise_is_said_if_and_only_if_the_interval_covers_zero(finished: Run, metrics: Any) -> None:
    difference = metrics["difference"]
    line = next(line for line in finished.said.out.splitlines() if "95 % interval" in line)
    assert ("within noise" in line) == (difference["low"] <= 0 <= difference["high"])
    assert f"{100 * difference['value']:+.2f} points" in line
    assert f"[{100 * difference['low']:+.2f}, {100 * difference['high']:+.2f}]" in line


def test_patterns_look_alikes_and_the_database_are_printed(finished: Run, metrics: Any) -> None:
    out = finished.said.out
    assert f"Patterns: {metrics['patterns']} found" in out
    assert f"{metrics['hierarchy']['dominated_patterns']} dominated by one class" in out
    pairs = re.findall(
        r"^  (\S+) ~ (\S+)   (\d+\.\d\d) x, \d+ images? of each   pattern \d+ \(\d+ of \1, \d+ of \2\)",
        out,
        re.MULTILINE,
    )
    assert 1 <= len(pairs) <= 3
    assert len({frozenset(pair[:2]) for pair in pairs}) == len(pairs)
    assert all(float(pair[2]) > 0 for pair in pairs)
    assert f"Graph database: {finished.path('store')}" in out
    assert finished.path("store").is_dir()


def test_the_printed_queries_work_when_pasted(finished: Run) -> None:
    lines = [line.strip() for line in finished.said.out.splitlines() if line.strip().startswith("csrms query")]
    assert len(lines) == 2
    for line in lines:
        said = execute(["bash", "-c", line], finished.folder)
        assert said.code == 0, said.err
        assert said.err == ""
        assert len(said.out.splitlines()) > 1


def test_every_documented_metric_is_there_and_in_range(metrics: Any) -> None:
    found = dict(flat(metrics))
    assert set(found) == set(KEYS)
    for key, legal in KEYS.items():
        if isinstance(legal, type):
            assert isinstance(found[key], legal), key
        else:
            assert legal[0] <= found[key] <= legal[1], (key, found[key])
    assert metrics["difference"]["low"] <= metrics["difference"]["value"] <= metrics["difference"]["high"]
    assert metrics["difference"]["value"] == pytest.approx(metrics["test"]["plain"] - metrics["control"]["test"])
    hierarchy = metrics["hierarchy"]
    assert hierarchy["dominated_patterns"] + hierarchy["mixed_patterns"] == metrics["patterns"]
    assert hierarchy["easy"] + hierarchy["medium"] + hierarchy["hard"] == pytest.approx(1)


def test_classes_add_up_to_the_whole(metrics: Any) -> None:
    classes, dataset = metrics["classes"], metrics["dataset"]
    matrix = np.array(classes["confusion"])
    assert matrix.shape == (N_CLASSES, N_CLASSES)
    assert matrix.sum() == dataset["test"]
    assert np.trace(matrix) / matrix.sum() == pytest.approx(metrics["test"]["plain"])
    for k, accuracy in enumerate(classes["accuracy"]):
        assert accuracy == pytest.approx(matrix[k, k] / matrix[k].sum())
    assert sum(dataset["imbalance"]["counts"]) == dataset["train"]


def test_patterns_hold_every_test_image_and_add_up_to_the_whole(metrics: Any) -> None:
    patterns, images = metrics["by_pattern"], np.array(metrics["by_pattern"]["images"])
    assert len(images) == metrics["patterns"]
    assert images.sum() == metrics["dataset"]["test"]
    shares = np.array([0 if share is None else share for share in patterns["accuracy"]])
    assert (shares * images).sum() / images.sum() == pytest.approx(metrics["test"]["plain"])
    assert patterns["mean"]["plain"] == pytest.approx(shares[images >= 5].mean())


def test_further_figures_agree_with_those_by_class(metrics: Any) -> None:
    plain, accuracies = metrics["more"]["test"]["plain"], metrics["classes"]["accuracy"]
    assert plain["mean_of_classes"] == pytest.approx(np.mean(accuracies))
    assert plain["worst_classes"] == pytest.approx(min(accuracies))
    assert plain["top_5"] >= metrics["test"]["plain"]


def test_the_worst_class_is_printed(finished: Run, metrics: Any) -> None:
    found = metrics["more"]["test"]
    figures = [f"{100 * found[head]['worst_classes']:.2f} %" for head in ("control", "plain")]
    line = f"  worst class               plain control {figures[0]}, plain head {figures[1]}"
    assert line in finished.said.out.splitlines()


def test_the_images_do_not_leak_through_the_graph(metrics: Any) -> None:
    assert metrics["reading"] == "structural"
    assert metrics["leak_check"]["blank_image_accuracy"] < 0.3


def test_method_and_control_have_the_same_passes(metrics: Any) -> None:
    def total(passes: Any) -> float:
        return float(passes["backward"] + passes["forward"] / 3)

    method, control = metrics["passes"]["method"], metrics["passes"]["control"]
    assert method == {"backward": (PRETRAIN_EPOCHS + TRAIN_EPOCHS) * N_TRAIN, "forward": N_TRAIN}
    assert abs(total(method) - total(control)) < 1


def test_metrics_hold_no_time_no_path_and_no_attempt(metrics: Any) -> None:
    for key, value in flat(metrics):
        assert not re.search("second|time|attempt|path|uri|version", key)
        assert not isinstance(value, str) or "/" not in value


def test_run_json_says_how_the_run_was_made(finished: Run, metrics: Any) -> None:
    record = finished.json("run.json")
    assert record["attempts"] == 1
    assert record["seed"] == 0
    assert record["config"]["pretrain"]["epochs"] == PRETRAIN_EPOCHS
    assert record["config"]["train"]["epochs"] == TRAIN_EPOCHS
    assert {"python", "torch", "ray", "dgl", "ladybug", "csrms-dist"} <= set(record["versions"])
    assert "not installed" not in record["versions"].values()
    assert set(record["stages"]) == set(STAGES)
    assert all(stage["seconds"] > 0 for stage in record["stages"].values())
    spent = {name: stage["passes"] for name, stage in record["stages"].items() if "passes" in stage}
    assert set(spent) == {"pretrain", "features", "train", "control"}
    assert sum(spent[name]["backward"] for name in ("pretrain", "train")) == metrics["passes"]["method"]["backward"]


def test_predictions_have_the_users_ids_and_give_the_accuracies(finished: Run, metrics: Any) -> None:
    table = pq.read_table(finished.path("evaluate") / "predictions.parquet")
    _, test = digits(0.1)
    assert table["id"].to_pylist() == test.ids.to_pylist()
    truth = np.array(table["label"].to_pylist())
    assert truth.tolist() == [test.label_space.class_names[k] for k in single_labels(test.membership)]
    accuracies = {**metrics["test"], "control": metrics["control"]["test"]}
    assert set(table.column_names) == {
        "id", "label", *accuracies, *(f"{head}_probability" for head in accuracies)
    }  # fmt: skip
    for head, accuracy in accuracies.items():
        assert np.mean(np.array(table[head].to_pylist()) == truth) == pytest.approx(accuracy, abs=1e-12)
        probability = np.array(table[f"{head}_probability"])
        assert ((probability > 0.1) & (probability <= 1)).all()


def test_nothing_unfinished_is_left_below_the_run(finished: Run) -> None:
    hidden = [path.name for path in finished.directory.iterdir() if path.name.startswith(".")]
    assert set(hidden) <= {".lock", ".checkpoints"}
    assert not list(finished.directory.glob(".checkpoints/*"))
