"""The documents say what the code does: what can be made or executed is, the rest is compared with the code.

`python -m tests.architecture.test_docs` writes the tables of docs/queries.md anew.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from csrms_dist import errors
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.encoders.checkpoint import read_weights
from csrms_dist.errors import CsrmsError, require
from csrms_dist.features.given_vectors import read_vectors
from csrms_dist.features.settings import FeaturesSettings
from csrms_dist.training.train_step import refuse_divergence
from graphstore.neo4j.store import Neo4jStore
from graphstore.queries import ANSWERS, named_queries
from graphstore.schema import SCHEMA, Column
from ray_jobs.commands import configuration_reference
from ray_jobs.commands.cli import _parser, main
from ray_jobs.commands.predict import predict
from ray_jobs.commands.query import query
from ray_jobs.on_ray import session
from ray_jobs.pipeline import run as run_stages
from ray_jobs.places import RAY_JOB, find_run, run_directory
from ray_jobs.settings import load_settings, settings_from
from tests.architecture import module_table
from tests.end_to_end.harness import Run

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md", ROOT / "benchmarks/README.md", *sorted(DOCS.glob("*.md"))]
QUERIES = DOCS / "queries.md"
REMAKE = "python -m tests.architecture.test_docs"


# ------------------------------------------------------------------------------------------------- what is generated


def query_table() -> Iterator[str]:
    kinds = {arrow: kind for kind, arrow in ANSWERS.items()}
    yield "| name | answers | of the splits | parameters | columns | cost |"
    yield "|---|---|---|---|---|---|"
    for name, item in named_queries().items():
        columns = ", ".join(f"`{field.name}` {kinds[field.type]}" for field in item.schema)
        yield f"| `{name}` | {item.purpose} | {item.splits} | {item.meaning} | {columns} | {item.cost} |"


def schema_tables() -> Iterator[str]:
    def shown(columns: tuple[Column, ...]) -> str:
        return ", ".join(f"{column.name} {column.kind}" for column in columns)

    yield "| node | properties |"
    yield "|---|---|"
    for node in SCHEMA.nodes:
        key, *others = node.columns
        yield f"| `{node.label}` | **{key.name} {key.kind}**, {shown(tuple(others))} |"
    yield ""
    yield "| edge | properties |"
    yield "|---|---|"
    for edge in SCHEMA.edges:
        yield f"| `(:{edge.source})-[:{edge.name}]->(:{edge.target})` | {shown(edge.columns)} |"


def with_tables(text: str) -> str:
    """docs/queries.md with its two made parts made anew."""
    for title, lines in (("named queries", query_table()), ("schema", schema_tables())):
        opening = f"<!-- {title}: made by `{REMAKE}` -->\n"
        head, found, tail = text.partition(opening)
        assert found, title
        text = f"{head}{opening}\n" + "\n".join(lines) + "\n\n<!-- end -->" + tail.partition("<!-- end -->")[2]
    return text


def test_the_configuration_page_is_fresh() -> None:
    page = "\n".join(configuration_reference.lines()) + "\n"
    assert (DOCS / "configuration.md").read_text() == page, f"stale; make it: {configuration_reference.COMMAND}"


def test_the_queries_page_is_fresh() -> None:
    assert QUERIES.read_text() == with_tables(QUERIES.read_text()), f"stale; make it: {REMAKE}"


# ------------------------------------------------------------------------------------------------------ all the pages


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def table_rows(text: str) -> list[list[str]]:
    """The cells of the body rows of the first table in `text`."""
    lines = text.strip().splitlines()
    body = lines[2 : next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in body]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_is_valid_and_commands_are_known(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, page.name, "exec")
    for block in blocks(page, "shell"):
        subprocess.run(["bash", "-n"], input=block, text=True, check=True, timeout=20)
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == "csrms":
                _parser().parse_args(words[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files_are_there(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" in target or (page.parent / target).exists(), target
    for path in re.findall(r"`((?:docs|tests|examples|csrms_dist|graphstore|ray_jobs)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_whole(page: Path) -> None:
    width = 0
    for line in page.read_text().splitlines():
        cells = len(re.split(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not cells or not width or cells == width, line
        width = cells


def test_every_deviation_names_a_test_that_is_there() -> None:
    parts = (DOCS / "deviations.md").read_text().split("\n## ")[1:-1]
    rows = [row for part in parts for row in table_rows(part[part.index("\n|") :])]
    assert len(rows) > 40
    assert len({row[0] for row in rows}) == len(rows), "one row a topic"
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)`", row[-1])
        assert named, row[0]
        assert [path for path in named if not (ROOT / path).is_file()] == [], row[0]


def test_the_table_of_modules_is_fresh() -> None:
    text = module_table.PAGE.read_text()
    assert text == module_table.with_tables(text), f"stale; make it: {module_table.REMAKE}"


@pytest.mark.parametrize("path", sorted(path for name in module_table.PACKAGES for path in (ROOT / name).rglob("*.py")))
def test_a_module_says_what_it_is(path: Path) -> None:
    said = module_table.first_sentence(path)
    assert said, f"{path.relative_to(ROOT)} has no docstring"
    assert not said.startswith("What "), f"{path.relative_to(ROOT)}: say what the thing is"


@pytest.mark.parametrize("path", sorted(path for name in module_table.PACKAGES for path in (ROOT / name).rglob("*.py")))
def test_a_file_is_one_idea(path: Path) -> None:
    """Below 400 lines; what is longer stands here with its reason."""
    assert len(path.read_text().splitlines()) <= LONG.get(str(path.relative_to(ROOT)), 400)


LONG: dict[str, int] = {}
"""Files above 400 lines, each for a reason that is said beside it."""


# ------------------------------------------------------------------------------------------------- a run to look into


@pytest.fixture(scope="module")
def folder(finished: Run, bare: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the session's finished run as runs/digits, and the metrics of one without a control."""
    place = finished.copy(tmp_path_factory.mktemp("docs")).folder
    (place / "bare.json").write_text(json.dumps(bare.json("metrics.json")))
    return place


@pytest.fixture()
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def typed_keys(value: Any, prefix: str = "") -> dict[str, type]:
    if not isinstance(value, dict):
        return {prefix: type(value)}
    return {key: kind for name in value for key, kind in typed_keys(value[name], f"{prefix}.{name}").items()}


def example(marker: str) -> dict[str, Any]:
    text = (DOCS / "metrics.md").read_text().partition(f"<!-- {marker} -->")[2]
    found: dict[str, Any] = json.loads(text.partition("```json\n")[2].partition("```")[0])
    return found


def test_the_example_of_metrics_has_the_keys_that_a_run_writes(folder: Path) -> None:
    metrics = json.loads((folder / "runs/digits/metrics.json").read_text())
    assert typed_keys(example("metrics")) == typed_keys(metrics)
    bare = json.loads((folder / "bare.json").read_text())
    missing = {"control.test", "control.val", "difference.value", "difference.low", "difference.high"}
    missing |= {
        "passes.control.backward",
        "passes.control.forward",
        "by_pattern.mean.control",
        "by_pattern.worst.control",
    }
    missing |= {
        f"separation.control.{place}.{name}"
        for place in ("first", "last")
        for name in metrics["separation"]["control"][place]
    }
    missing |= {
        f"more.{split}.control.{name}" for split in ("test", "val") for name in metrics["more"][split]["control"]
    }
    assert typed_keys(metrics).keys() - typed_keys(bare).keys() == {f".{key}" for key in missing}


def test_every_key_of_metrics_is_explained_once() -> None:
    head = "| key | type, range | meaning |"
    explained = []
    for cell, *_ in table_rows(head + (DOCS / "metrics.md").read_text().partition(head)[2]):
        names = re.findall(r"`([\w.*]+)`", cell)
        parent = names[0].rpartition(".")[0]
        explained += [f"{parent}{name}" if name.startswith(".") else name for name in names]
    keys = {key.removeprefix(".") for key in typed_keys(example("metrics"))}
    # `passes.method` stands for its two counts, `weights.*` for every term, other stars for splits and heads.
    stars = {
        r"^(weights|by_pattern\.mean|by_pattern\.worst)\..*": r"\1.*",
        r"^more\.\w+\.\w+\.": "more.*.*.",
        r"^separation\..*": "separation.*.*.*",
    }
    keys = {key.rpartition(".")[0] if key.startswith("passes.") else key for key in keys}
    for pattern, written in stars.items():
        keys = {re.sub(pattern, written, key) for key in keys}
    assert sorted(explained) == sorted(keys)


def test_the_example_of_run_json_has_the_keys_that_a_run_writes(folder: Path) -> None:
    record, shown = json.loads((folder / "runs/digits/run.json").read_text()), example("run")
    assert shown.keys() == record.keys()
    assert (
        record["stages"]["graph"].keys() == shown["stages"]["images"].keys() == {"seconds", "peak_mb", "peak_process"}
    )
    assert shown["config"].keys() <= record["config"].keys()
    assert shown["versions"].keys() <= record["versions"].keys()


def test_the_columns_of_the_predictions_are_those_that_a_run_writes(folder: Path) -> None:
    schema = pq.read_schema(folder / "runs/digits/evaluate/predictions.parquet")
    rows = table_rows((DOCS / "metrics.md").read_text().partition("<!-- predictions -->")[2])
    assert [(name, str(kind)) for name, kind in zip(schema.names, schema.types, strict=True)] == [
        (row[0].strip("`"), row[1]) for row in rows
    ]


def test_the_columns_of_predict_are_those_that_it_answers(folder: Path) -> None:
    Image.new("RGB", (8, 8)).save(folder / "blank.png")
    [found] = predict(RunDirectory(folder / "runs/digits"), folder / "blank.png")
    rows = table_rows((DOCS / "metrics.md").read_text().partition("<!-- predict -->")[2])
    assert [(field.name, str(field.type)) for field in found.schema] == [(row[0].strip("`"), row[1]) for row in rows]


@pytest.mark.parametrize("page", ["metrics.md", "queries.md", "neo4j.md", "errors.md"])
def test_the_python_in_the_pages_runs(page: str, inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = blocks(DOCS / page, "python")
    assert found
    for block in found:
        exec(compile(block, page, "exec"), {})  # noqa: S102
    assert capsys.readouterr().out


def test_the_commands_of_the_queries_page_run(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [shlex.split(line, comments=True) for block in blocks(QUERIES, "shell") for line in block.splitlines()]
    assert len(lines) > 3
    for words in lines:
        assert main(words[1:]) == 0, capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------------- errors


def test_exit_codes_are_those_of_the_errors() -> None:
    text = (DOCS / "errors.md").read_text()
    rows = table_rows(text.partition("## Exit codes\n\n")[2])
    told = {row[1].strip("`"): int(row[0]) for row in rows if row[1] != "-"}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CsrmsError)]
    assert told == {kind.__name__: kind.exit_code for kind in kinds}


def parquet(name: str, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), name)
    return Path(name)


def written(name: str, content: bytes) -> Path:
    Path(name).write_bytes(content)
    return Path(name)


def asked(name: str = "", run: str = "runs/digits", cypher: str = "", **parameters: Any) -> Any:
    return query(find_run(run), name, parameters, cypher=cypher)


def new_run() -> RunDirectory:
    run = RunDirectory("runs/new")
    run.write_json("run.json", {})
    return run


def writes_twice() -> None:
    with new_run().lock(), RunDirectory("runs/new").lock():
        pass


def without_runs() -> None:
    with pytest.MonkeyPatch.context() as patch:
        Path("empty").mkdir(exist_ok=True)
        patch.chdir("empty")
        find_run(None)


def among_the_images() -> None:
    (Path("photos") / "cat").mkdir(parents=True, exist_ok=True)
    run_stages(settings_from({"data": {"dataset": "folders", "path": "photos"}}), "photos/run")


def in_a_ray_job() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(RAY_JOB, "{}")
        run_directory("runs/digits")


def late() -> None:
    """Ray's start, which takes longer than Ray waits."""
    __import__("ray")  # brings psutil

    def init(**options: Any) -> None:
        raise TimeoutError("The current node timed out during startup.")

    ray = SimpleNamespace(init=init, shutdown=lambda: None, is_initialized=lambda: False)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setattr(session, "require", lambda name: ray if name == "ray" else require(name))
        with session.ray_session(2):
            pass


def command(*words: str) -> None:
    """What the command line raises for these words."""
    main([*words, "--debug"])


GIVEN_VECTORS = {"features": {"path": "v.parquet"}}

MADE: list[Callable[[], Any]] = [
    lambda: load_settings("missing.yaml"),
    lambda: load_settings(written("twice.yaml", b"train:\n  epochs: 3\ntrain:\n  lr: 0.1\n")),
    lambda: load_settings(written("empty.yaml", b"")),
    lambda: settings_from({"train": 5}),
    lambda: settings_from({"cluster": {"vigilence": 0.5}}),
    lambda: settings_from({"cluster": {"vigilance": 1.5}}),
    lambda: settings_from({"data": {"dataset": "folder"}}),
    lambda: settings_from({"train": {"lr": "1e-3"}}),
    lambda: settings_from({"cluster": {"vigilance": 0.5, "n_patterns": 50}}),
    lambda: settings_from({"sampling": {"pool": 5}}),
    lambda: load_settings(None, ["train.epochs"]),
    lambda: run_stages(settings_from(GIVEN_VECTORS), until="train"),
    lambda: command("query", "dominance", "--cypher", "RETURN 1 AS one"),
    lambda: command("query", "dominance", "--param", "run", "--run", "runs/digits"),
    lambda: command("query", "dominance", "--limit", "0"),
    lambda: command("query", "dominance", "--out", "answer.txt", "--run", "runs/digits"),
    lambda: run_stages(settings_from({"features": {"path": "vectors.parquet"}})),
    lambda: read_vectors(parquet("v.parquet", id=["a"], x=[1])),
    lambda: read_vectors(written("v.npy", b"no array")),
    lambda: FeaturesSettings("v.parquet", "v.parquet").check_paths(),
    lambda: read_vectors(parquet("v.parquet", id=["a", "a"], vector=[[1.0], [2.0]])),
    lambda: read_vectors(parquet("v.parquet", id=["a", "b"], vector=[[1.0], [float("nan")]])),
    lambda: read_vectors(parquet("v.parquet", id=["a", "b"], vector=[[1.0, 2.0], [3.0]])),
    lambda: read_vectors(parquet("v.parquet", id=["a"], vector=[[1.0]], label=[0.5])),
    lambda: read_vectors(parquet("v.parquet", id=["a"], vector=[[1.0]], split=["test"])),
    lambda: torch.save(torch.nn.Linear(2, 2), "w.pth") or read_weights(Path("w.pth")),
    lambda: list(predict(RunDirectory("runs/digits"), "nowhere.png")),
    lambda: refuse_divergence(float("nan"), 3),
    lambda: find_run("nowhere"),
    without_runs,
    lambda: list(predict(new_run(), "v.parquet")),
    writes_twice,
    lambda: RunDirectory(parquet("v.parquet", id=["a"]).name).write_json("run.json", {}),
    lambda: among_the_images(),
    in_a_ray_job,
    lambda: RunDirectory("s3://me:secret@bucket/run"),
    lambda: new_run() and asked("dominance", run="runs/new"),
    lambda: asked("confused_clases"),
    lambda: asked(cypher="MATCH (p:Pattern) DELETE p"),
    lambda: asked(cypher="hello"),
    lambda: asked("shared_patterns"),
    lambda: asked("r_is"),
    lambda: asked("dominance", c=1),
    lambda: asked("members", patern=3),
    lambda: asked("representativeness", **{"class": "cat"}),
    lambda: asked("pattern_neighbours", pattern="first"),
    lambda: asked("pattern_neighbours", pattern=999),
    lambda: asked("instance", id="digit-9999"),
    lambda: asked(cypher="MATCH (p:Pattern {run: $run}) RETURN p"),
    lambda: Neo4jStore("bolt://graph.example.org", "me", "hush"),
    lambda: Neo4jStore("bolt://me:hush@localhost", "me", "hush"),
    lambda: from_environment(NEO4J_URI="bolt://127.0.0.1:1"),
    lambda: runs_of(from_environment(NEO4J_URI="bolt://127.0.0.1:1", NEO4J_PASSWORD="hush")),  # noqa: S106
    late,
    lambda: require("nothing_like_it"),
]


def from_environment(**variables: str) -> Neo4jStore:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return Neo4jStore.from_environment()


def runs_of(store: Neo4jStore) -> None:
    with store:
        store.runs()


def test_the_sentences_are_those_that_are_said(inside: Path) -> None:
    text = (DOCS / "errors.md").read_text()
    told = [row[1] for part in text.split("<!-- sentences -->\n")[1:] for row in table_rows(part)]
    by_hand = [cell for cell in told if cell.startswith("*by hand* ")]
    said = []
    for make in MADE:
        with pytest.raises(CsrmsError) as caught:
            make()
        said.append(f"`{str(caught.value).replace(str(inside), '/...')}`")
    assert said == [cell for cell in told if cell not in by_hand]
    assert len(by_hand) < 5


if __name__ == "__main__":
    QUERIES.write_text(with_tables(QUERIES.read_text()))
