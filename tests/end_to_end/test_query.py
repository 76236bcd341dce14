"""`csrms query` against a finished run: named queries by the user's own ids, free Cypher, limits and refusals."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from csrms_dist.art.surroundings import Surroundings
from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.words import counted
from csrms_dist.errors import StoreError
from csrms_dist.hierarchy import snapshot
from csrms_dist.hierarchy.support import N_AROUND, support
from csrms_dist.run_contents import RunContents
from graphstore.embedded.store import EmbeddedStore
from graphstore.queries import named_queries
from ray_jobs.commands.catalogue import FILLED
from ray_jobs.commands.cli import main
from ray_jobs.commands.query import published_run
from ray_jobs.stages.predictions import is_held
from tests.end_to_end.harness import CLI, CONFIG, ROOM, SMALL, Run, csrms

pytestmark = ROOM

Ask = Callable[..., "Answer"]


class Answer:
    """Exit code and both streams of a command that ran in this process."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def rows(self) -> list[dict[str, object]]:
        assert self.code == 0, self.err
        rows: list[dict[str, object]] = json.loads(self.out)
        return rows


@pytest.fixture
def ask(finished: Run, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Ask:
    monkeypatch.chdir(finished.folder)
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(*arguments: str, command: str = "query", screen: bool = True) -> Answer:
        """screen: as on a terminal; otherwise standard output is a pipe."""
        monkeypatch.setattr("sys.stdout.isatty", lambda: screen)
        if (arguments or command == "runs") and "--run" not in arguments:
            arguments = (*arguments, "--run", "runs/digits")
        code = main([command, *arguments])
        captured = capfdbinary.readouterr()
        return Answer(code, captured.out.decode(), captured.err.decode())

    return run


def rows_of(finished: Run) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(finished.path("features") / "rows.arrow"))).read_all()


def expected(finished: Run, relation: str, anchor: int) -> list[str]:
    """R_ID, R_IS and R_MC by their definitions, as loops over the artefacts."""
    graph = snapshot.load(finished.path("graph") / "snapshot")
    rows = rows_of(finished)
    ids, labels = rows["id"].to_pylist(), [row[0] for row in rows["labels"].to_pylist()]
    pattern = np.load(finished.path("cluster") / "pattern.npy")
    found = []
    for other in range(len(ids)):
        same_label, same_pattern = labels[other] == labels[anchor], pattern[other] == pattern[anchor]
        both = bool(graph.dominated[pattern[anchor]]) and bool(graph.dominated[pattern[other]])
        neither = not graph.dominated[pattern[anchor]]
        holds = {
            "r_id": same_label and both and not same_pattern,
            "r_is": not same_label and same_pattern and both,
            "r_mc": not same_label and same_pattern and neither,
        }
        if other != anchor and holds[relation]:
            found.append(ids[other])
    return found


@pytest.mark.parametrize("relation", ["r_id", "r_is", "r_mc"])
def test_relations_of_an_image_by_its_own_id(finished: Run, ask: Ask, relation: str) -> None:
    ids = rows_of(finished)["id"].to_pylist()
    anchor = next(number for number in range(len(ids)) if expected(finished, relation, number))
    answer = ask(relation, "--param", f"id={ids[anchor]}", "--format", "json")
    assert ids[anchor].startswith("digit-")
    assert sorted(str(row["source_id"]) for row in answer.rows) == sorted(expected(finished, relation, anchor))


def test_an_image_in_its_pattern(finished: Run, ask: Ask) -> None:
    rows = rows_of(finished)
    number = 7
    [row] = ask("instance", "--param", f"id={rows['id'][number]}", "--format", "json").rows
    assert row["source_id"] == rows["id"][number].as_py()
    assert row["class"] == str(rows["labels"][number].as_py()[0])
    assert row["pattern"] == int(np.load(finished.path("cluster") / "pattern.npy")[number])


def test_outliers_are_as_many_as_the_account_says_and_come_first(ask: Ask, finished: Run) -> None:
    rows = ask("outliers", "--format", "json").rows
    every = [row["outlier"] for row in rows]
    assert every == sorted(every, reverse=True)
    assert {row["split"] for row in rows} == {"train", "val", "test"}
    flagged = [row["outlier"] for row in rows if row["split"] == "train"]
    assert sum(flagged) == finished.json("metrics.json")["hierarchy"]["outliers"]
    assert f"; {counted(sum(flagged), 'outlier')}" in finished.said.out
    assert all(0 < row["distance"] <= 2 for row in rows)


def test_what_a_run_stores_of_labels_is_what_its_arrays_give(ask: Ask, finished: Run) -> None:
    contents = RunContents(RunDirectory(finished.directory))
    graph, vectors = contents.hierarchy, contents.vectors
    around = Surroundings(contents.clusters).of_rows(vectors, N_AROUND)
    found = support(around, graph.pattern, graph.membership, graph.counts, graph.sizes)
    order = np.lexsort((graph.instance, graph.score, -graph.difficulty, found.support))[:20]
    rows = ask("hardest", "--limit", "20", "--format", "json").rows
    assert [row["idx"] for row in rows] == graph.instance[order].tolist()
    assert [row["support"] for row in rows] == pytest.approx(found.support[order].tolist())
    names = contents.train_images.label_space.class_names
    suspects = ask("label_suspects", "--limit", "10000", "--format", "json").rows
    assert {row["idx"]: (row["label"], row["suggested"]) for row in suspects if row["split"] == "train"} == {
        int(graph.instance[row]): (names[found.doubted[row]], names[found.suggested[row]])
        for row in np.flatnonzero(found.suggested_share > found.support)
    }


@pytest.mark.parametrize("name", sorted(named_queries()))
def test_every_named_query_answers(ask: Ask, finished: Run, name: str) -> None:
    [live] = ask("runs", "--format", "json").rows
    given = {"instance": f"id={rows_of(finished)['id'][0]}", "a": "a=1", "b": "b=8", "class": "class=3"}
    given |= {"pattern": "pattern=0", "other": f"other={live['key']}"}
    wanted = [given[parameter] for parameter in named_queries()[name].parameters if parameter not in (*FILLED, "top")]
    answer = ask(name, "--format", "csv", *(word for pair in wanted for word in ("--param", pair)))
    assert answer.code == 0, answer.err
    assert tuple(next(csv.reader(io.StringIO(answer.out)))) == named_queries()[name].columns


def test_the_predictions_of_the_run_are_in_its_graph(finished: Run, ask: Ask) -> None:
    answers = pq.read_table(finished.path("evaluate/predictions.parquet"))
    pairs = Counter(zip(answers["label"].to_pylist(), answers["plain"].to_pylist(), strict=True))
    found = ask("confusions", "--format", "json").rows
    assert {(row["class"], row["other"]): row["n"] for row in found} == {
        (a, b): n for (a, b), n in pairs.items() if a != b
    }
    key = finished.facts("evaluate")["addition"]
    assert ask("confusions", "--param", f"addition={key}", "--format", "json").rows == found
    other = ask("mistakes", "--param", "addition=x")
    assert (other.code, f"got 'x', expected one of {key}" in other.err) == (2, True)


def test_an_addition_that_is_gone_is_not_held(finished: Run, tmp_path: Path) -> None:
    assert is_held(RunDirectory(finished.directory))
    folder = RunDirectory(tmp_path / "run")
    shutil.copytree(finished.path("store"), tmp_path / "run" / "store")
    for key, held in ((finished.facts("evaluate")["addition"], True), ("", True), ("digits@0:1:predictions:2", False)):
        with folder.writing("evaluate", "inputs", {"addition": key}):
            pass
        assert is_held(folder) is held
    with folder.writing("evaluate", "inputs", {}):  # of an older version
        pass
    assert not is_held(folder)


def test_the_catalogue_names_every_query(ask: Ask) -> None:
    names = [line.split()[0] for line in ask().out.splitlines() if not line.startswith(" ")]
    assert names == sorted(named_queries())


def test_limit_cuts_the_answer_and_says_so(ask: Ask) -> None:
    answer = ask("dominance", "--limit", "3", "--format", "json")
    assert len(answer.rows) == 3
    assert answer.err == "csrms query: 3 of 10 rows; --out FILE writes all\n"
    assert ask("dominance", "--limit", "10", "--format", "json").err == ""


def test_a_screen_says_what_it_leaves_out_and_a_file_gets_everything(ask: Ask, finished: Run, tmp_path: Path) -> None:
    for name, n in (("hardest", 1295), ("outliers", 1797)):
        shown = ask(name, "--format", "json")
        assert len(shown.rows) == 100
        assert shown.err == f"csrms query: 100 of {n:,} rows; --out FILE writes all\n"
        said = ask(name, "--out", str(tmp_path / f"{name}.csv"))
        assert (said.out, said.err) == (f"{tmp_path}/{name}.csv: {n:,} rows\n", "")
        with (tmp_path / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len({row["source_id"] for row in rows}) == n
        assert [row["source_id"] for row in rows[:100]] == [row["source_id"] for row in shown.rows]


def test_no_number_of_rows_is_too_many_for_a_file(ask: Ask, tmp_path: Path) -> None:
    cypher = ("--cypher", "UNWIND range(1, 12000) AS n RETURN n AS n ORDER BY n")
    shown = ask(*cypher, "--format", "json")
    assert len(shown.rows) == 10_000
    assert shown.err == "csrms query: 10,000 of more than 10,000 rows; --out FILE writes all\n"
    few = ask(*cypher, "--format", "json", "--limit", "2")
    assert [row["n"] for row in few.rows] == [1, 2]
    assert few.err == "csrms query: 2 of more than 10,000 rows; --out FILE writes all\n"
    file = tmp_path / "all.parquet"
    assert ask(*cypher, "--out", str(file)).err == ""
    assert pq.read_table(file)["n"].to_pylist() == list(range(1, 12_001))
    assert ask(*cypher, "--out", str(file), "--limit", "11000").err == (
        "csrms query: 11,000 of more than 11,000 rows; leave --limit out for all\n"
    )
    assert pq.read_metadata(file).num_rows == 11_000


def test_a_query_for_the_first_ones_gives_as_many_as_the_limit(ask: Ask) -> None:
    whole = ask("hardest", "--format", "json")
    assert len(whole.rows) == 100
    for words in (("--limit", "3"), ("--param", "top=3"), ("--param", "top:=3")):
        answer = ask("hardest", *words, "--format", "json")
        assert answer.rows == whole.rows[:3]
        assert ("3 of 1,295 rows" in answer.err) == ("--limit" in words)


def test_a_list_is_text_in_csv(ask: Ask) -> None:
    text = "MATCH (p:Pattern {run: $run}) WHERE p.idx < 3 RETURN count(p.key) AS n, collect(p.idx) AS list"
    [row] = csv.DictReader(io.StringIO(ask("--cypher", text, "--format", "csv").out))
    assert (row["n"], sorted(json.loads(row["list"]))) == ("3", [0, 1, 2])


def test_maps_are_text_in_csv_and_dates_in_json(ask: Ask) -> None:
    text = "RETURN date('2020-01-31') AS day, {a: 1, days: [date('2020-02-01')]} AS map"
    [row] = csv.DictReader(io.StringIO(ask("--cypher", text, "--format", "csv").out))
    assert (row["day"], json.loads(row["map"])) == ("2020-01-31", {"a": 1, "days": ["2020-02-01"]})
    assert ask("--cypher", text, "--format", "json").rows == [
        {"day": "2020-01-31", "map": {"a": 1, "days": ["2020-02-01"]}}
    ]


def test_parquet_goes_to_a_pipe_but_to_no_terminal(ask: Ask, finished: Run, tmp_path: Path) -> None:
    with (tmp_path / "rows.parquet").open("wb") as file:
        subprocess.run([*CLI, "query", "outliers", "--format", "parquet"], cwd=finished.folder, stdout=file, check=True)
    assert (
        pq.read_table(tmp_path / "rows.parquet").to_pylist() == ask("outliers", "--format", "json", screen=False).rows
    )
    parent, child = os.openpty()
    try:
        said = subprocess.run(
            [*CLI, "query", "outliers", "--format", "parquet"],
            cwd=finished.folder, stdout=child, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    finally:
        os.close(parent)
        os.close(child)
    assert said.returncode == 2
    assert said.stderr == (
        "csrms query: --format parquet: got a terminal, expected a file or a pipe; add --out FILE.parquet\n"
    )


def test_free_cypher_with_a_typed_parameter(ask: Ask, finished: Run) -> None:
    text = "MATCH (p:Pattern {run: $run}) WHERE p.idx < $n RETURN count(p.key) AS n"
    assert ask("--cypher", text, "--param", "n:=5", "--format", "json").rows == [{"n": 5}]
    count = ask("--cypher", "MATCH (i:Instance) RETURN count(i.key) AS n", "--format", "json").rows
    assert count == [{"n": len(rows_of(finished)) + finished.facts("features")["held_out"]}]


@pytest.mark.parametrize(
    "text",
    [
        "MATCH (p:Pattern) DELETE p",
        "MATCH (p:Pattern) SET p.size = 0 RETURN p.size",
        "CREATE (:Class {key: 'x'})",
        "COPY (MATCH (p:Pattern) RETURN p.key) TO 'stolen.csv'",
    ],
)
def test_a_write_is_refused(ask: Ask, finished: Run, text: str) -> None:
    answer = ask("--cypher", text)
    assert answer.code == 5
    assert answer.err.startswith("csrms query: the graph is read-only")
    assert len(answer.err.splitlines()) == 1
    assert not (finished.folder / "stolen.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "fragment"),
    [
        (("confused_clases",), 2, "; the nearest is confused_classes"),
        (("r_is", "--param", "id=digit-9999"), 2, "got 'digit-9999', expected an id of digits@"),
        (("r_is", "--param", "id=9999"), 2, ", such as 'digit-"),
        (("members", "--param", "pattern=999"), 2, "parameter pattern: got 999, expected a whole number in [0, "),
        (
            ("pattern_neighbours", "--param", "pattern=-1"),
            2,
            "parameter pattern: got -1, expected a whole number in [0,",
        ),
        (
            ("members", "--param", "patern=3"),
            2,
            "unknown parameter patern: expected pattern or top or run; the nearest is",
        ),
        (("changed_instances",), 2, "parameter other: got no value, expected values for other; add"),
        (("outliers", "--format", "json", "--out", "q.csv"), 2, "--format json: got --out 'q.csv' beside it"),
        (("--cypher", "hello"), 5, "syntax error in the query: got 'hello' as its first word, expected MATCH, "),
        (("r_is",), 2, "parameter id: got no value"),
        (("shared_patterns", "--param", "a=1"), 2, "parameter b: got no value"),
        (("shared_patterns", "--param", "a=1", "--param", "b=cat"), 2, "parameter b: got 'cat', expected one of '0', "),
        (("outliers", "--param", "colour=red"), 2, "unknown parameter colour: expected top or run"),
        (("outliers", "--param", "top=few"), 2, "parameter top: got 'few', expected a whole number"),
        (("moved_patterns", "--param", "other=run"), 2, "parameter other: got 'run', expected one of digits@"),
        (("dominance", "--param", "run=none"), 2, "parameter run: got 'none', expected one of digits@"),
        (("--cypher", "MATCH (p:Pattern {idx: $n}) RETURN p.key AS key"), 2, "parameter n: got no value"),
        (("--cypher", "MATCH (p:Pattern RETURN p.key"), 5, "syntax error"),
        (("--cypher", "MATCH (p:Patern) RETURN p.key"), 5, "Patern"),
        (("--cypher", "MATCH (p:Pattern) RETURN p"), 5, "properties"),
        (("--cypher", ""), 0, ""),
        (("outliers", "--cypher", "RETURN 1 AS one"), 2, "one of them"),
        (("outliers", "--limit", "0"), 2, "[1, 10000]"),
        (("outliers", "--param", "novalue"), 2, "name=text"),
        (("outliers", "--param", "n:=oops"), 2, "--param n: got 'oops', expected a JSON value"),
        (("outliers", "--out", "rows.xlsx"), 2, ".parquet, .csv, .json or .jsonl"),
        (("outliers", "--out", "run.yaml/rows.csv"), 4, "run.yaml"),
        (("outliers", "--run", "nowhere"), 4, "nowhere"),
    ],
)
def test_a_bad_question_gets_one_sentence(
    ask: Ask, finished: Run, arguments: tuple[str, ...], code: int, fragment: str
) -> None:
    (finished.folder / "run.yaml").touch()
    answer = ask(*arguments)
    assert answer.code == code, answer.err
    assert fragment in answer.err
    assert "Traceback" not in answer.err
    assert len(answer.err.splitlines()) == (code != 0)


def test_answers_go_to_a_file_by_its_ending(ask: Ask, finished: Run, tmp_path: Path) -> None:
    rows = ask("outliers", "--format", "json").rows
    for ending in ("parquet", "csv", "json"):
        answer = ask("outliers", "--limit", "100", "--out", str(tmp_path / f"rows.{ending}"))
        assert answer.out == f"{tmp_path}/rows.{ending}: {len(rows)} rows\n"
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == rows
    assert json.loads((tmp_path / "rows.json").read_text()) == rows
    with (tmp_path / "rows.csv").open() as file:
        assert [row["source_id"] for row in csv.DictReader(file)] == [row["source_id"] for row in rows]
    assert len(list(tmp_path.iterdir())) == 3


def test_the_run_that_was_written_last_is_asked(finished: Run) -> None:
    said = csrms("query", "confused_classes", "--limit", "1", folder=finished.folder)
    assert said.code == 0
    assert said.out.split()[:3] == ["class", "other", "lift"]
    assert said.err.splitlines()[0] == "csrms query: of runs/digits, the run that was written last"
    assert csrms("runs", folder=finished.folder).err == "csrms runs: of runs/digits, the run that was written last\n"


def test_a_pipe_gets_every_row_as_a_file_does(ask: Ask) -> None:
    for words in (("--format", "csv"), ("--format", "json")):
        piped = ask("outliers", *words, screen=False)
        assert (piped.err, len(piped.rows if "json" in words else piped.out.splitlines()[1:])) == ("", 1797)
    assert len(ask("outliers", "--format", "json", "--limit", "20", screen=False).rows) == 20
    assert len(ask("outliers", screen=False).out.splitlines()) == 101  # a table is for people


def test_a_run_without_a_graph_lists_no_runs(ask: Ask, tmp_path: Path) -> None:
    RunDirectory(tmp_path / "new").write_json("run.json", {})
    for words, command in (((), "runs"), (("dominance",), "query")):
        said = ask(*words, "--run", str(tmp_path / "new"), command=command)
        assert (said.code, said.out) == (5, "")
        assert said.err.startswith(f"csrms {command}: {tmp_path}/new: got no graph that it published; run `csrms graph")


def test_no_other_run_answers_for_the_one_that_was_published(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, key = RunDirectory(tmp_path / "run"), finished.facts("graph")["run"]
    with EmbeddedStore(finished.path("store")) as store:
        with pytest.raises(StoreError, match="got no graph that it published; run `csrms graph CONFIG`, which goes on"):
            published_run(folder, store)
        with folder.writing("graph", "inputs", {"run": "digits@00000000:gone"}):
            pass
        with pytest.raises(StoreError, match=f"gone, which .* does not hold, expected one of {key}; set NEO4J_URI if"):
            published_run(folder, store)
        (tmp_path / "run" / "store").mkdir()
        with pytest.raises(StoreError, match="; run `csrms graph CONFIG` again, or name another"):
            published_run(folder, store)
        with monkeypatch.context() as patch:
            patch.setenv("NEO4J_URI", "bolt://127.0.0.1:1")
            with pytest.raises(StoreError, match=f"; unset NEO4J_URI to ask the embedded store in {tmp_path}/run"):
                published_run(folder, store)
        with folder.writing("graph", "inputs", {"run": key}):
            pass
        assert published_run(folder, store) == key


def test_the_runs_of_a_database(finished: Run, ask: Ask) -> None:
    (run,) = ask("--format", "json", command="runs").rows
    assert run["run"] == finished.facts("graph")["run"]
    assert (run["live"], run["status"], run["patterns"]) == (True, "ready", finished.facts("graph")["patterns"])
    assert f"{run['run']}:{run['additions']}" == finished.facts("evaluate")["addition"]
    assert ask("--go-live", str(run["run"]), "--format", "json", command="runs").rows == [run]
    said = ask("--retire", str(run["run"]), command="runs")
    assert (said.code, "make another one live" in said.err) == (5, True)
    for option in ("--retire", "--go-live"):
        said = ask(option, "x", command="runs")
        assert said.code == 2
        assert said.err.startswith(f"csrms runs: {option}: got 'x', expected one of digits@")


def test_a_bundle_with_and_without_a_store(copied: Run) -> None:
    stored = csrms("runs", "--bundle", "stored", folder=copied.folder)
    assert (stored.code, "make neo4j-import BUNDLE=stored" in stored.out) == (0, True), stored.err
    shutil.rmtree(copied.path("store"))
    shutil.rmtree(copied.path("graph"))
    made = csrms("graph", CONFIG, *SMALL, "--bundle", "made", folder=copied.folder)
    assert (made.code, made.done, "make neo4j-import BUNDLE=made" in made.out) == (0, (), True), made.err
    assert not copied.path("store").exists()
    assert not copied.path("graph").exists()
    stores, runs = (
        {path.name: path.read_bytes() for path in (copied.folder / name).iterdir() if path.name != "bundle.json"}
        for name in ("stored", "made")
    )
    added = ("Addition", "Instance.PREDICTED", "Class.CONFUSED_WITH")
    assert {name for name in stores if not name.startswith(added)} == set(runs)  # the store's has the predictions too
    assert [name for name in runs if stores[name] != runs[name]] == ["Run.csv"]  # which holds the time
    again = csrms("graph", CONFIG, *SMALL, "--bundle", "made", folder=copied.folder)
    assert (again.code, "expected a new or empty folder" in again.err) == (4, True)
