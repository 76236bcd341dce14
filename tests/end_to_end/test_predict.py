"""`csrms predict`: images that nobody labelled, from a folder or from Parquet, some of them broken."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.datasets.layouts.digits import digits
from csrms_dist.errors import RunDirectoryError
from csrms_dist.run_contents import RunContents
from ray_jobs.commands.cli import main
from ray_jobs.commands.predict import predict
from tests.end_to_end.harness import CLI, ROOM, Run, csrms

pytestmark = ROOM

N = 12


@pytest.fixture(scope="module")
def images() -> dict[str, bytes]:
    """The first test images of the digits, as PNG, by id."""
    _, test = digits(0.1)
    encoded = {}
    for name, pixels in zip(test.ids[:N].to_pylist(), test.images, strict=False):
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(pixels)).save(buffer, "PNG")
        encoded[name] = buffer.getvalue()
    return encoded


@pytest.fixture(scope="module")
def known(finished: Run) -> dict[str, tuple[str, float]]:
    """What the run itself answered on its test set: class and probability of the plain head."""
    rows = pq.read_table(finished.path("evaluate") / "predictions.parquet").to_pylist()
    return {row["id"]: (row["plain"], row["plain_probability"]) for row in rows}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command in this process leaves no signal handler and no number of threads behind."""
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_a_folder_with_a_truncated_image(
    finished: Run, images: dict[str, bytes], known: dict[str, tuple[str, float]], tmp_path: Path
) -> None:
    for number, (name, data) in enumerate(images.items()):
        folder = tmp_path / "pictures" / ("even" if number % 2 == 0 else "odd")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").write_bytes(data)
    first = next(iter(images.values()))
    (tmp_path / "pictures" / "broken.png").write_bytes(first[: len(first) * 2 // 3])
    (tmp_path / "pictures" / "notes.txt").write_text("not an image")
    said = csrms(
        "predict", tmp_path / "pictures", "--run", finished.directory, "--format", "json", folder=tmp_path
    )  # fmt: skip
    assert said.code == 0, said.err
    [set_aside] = [line for line in said.err.splitlines() if "set aside" in line]
    assert set_aside.startswith("csrms predict: broken.png was set aside: ")
    assert len(set_aside) > len("csrms predict: broken.png was set aside: ")
    rows = json.loads(said.out)
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    [broken] = [row for row in rows if row["problem"] is not None]
    rows.remove(broken)
    assert (broken["id"], broken["problem"]) == ("broken.png", set_aside.rpartition("set aside: ")[2])
    assert {name for name, value in broken.items() if value is not None} == {"id", "problem"}
    assert {row["id"] for row in rows} == {
        f"{'even' if number % 2 == 0 else 'odd'}/{name}.png" for number, name in enumerate(images)
    }
    for row in rows:
        answer, probability = known[Path(row["id"]).stem]
        assert row["class"] == answer
        assert row["probability"] == pytest.approx(probability, abs=1e-6)
    n_patterns = finished.json("metrics.json")["patterns"]
    assert all(0 <= row["nearest_pattern"] < n_patterns for row in rows)
    assert set(rows[0]) == {
        "id", "class", "probability", "plain", "plain_probability", "graph", "graph_probability", "mean",
        "mean_probability", "nearest_pattern", "resemblance", "distance", "outlier", "problem",
    }  # fmt: skip
    assert all(type(row["outlier"]) is bool and 0 < row["distance"] <= 2 for row in rows)


def test_training_images_lie_where_the_graph_has_them(finished: Run, tmp_path: Path) -> None:
    contents = RunContents(RunDirectory(finished.directory))
    rows, images, known = contents.features.instance[:40], contents.train_images, contents.outliers
    for row in rows:
        Image.fromarray(images.pixels(np.array([row]))[0]).save(tmp_path / f"{row:04d}.png")
    found = pa.concat_tables(predict(contents.directory, tmp_path))
    assert found["problem"].null_count == len(found) == 40
    assert found["nearest_pattern"].to_pylist() == contents.clusters.pattern[:40].tolist()
    assert found["resemblance"].to_pylist() == pytest.approx(contents.clusters.score[:40].tolist(), abs=1e-6)
    assert found["distance"].to_pylist() == pytest.approx(known.distance[:40].tolist(), abs=1e-6)
    assert found["outlier"].to_pylist() == known.outlier[:40].tolist()


@pytest.mark.parametrize("layout", ["bytes", "bytes without ids", "struct of bytes"])
def test_parquet_of_image_bytes(
    finished: Run, images: dict[str, bytes], known: dict[str, tuple[str, float]], tmp_path: Path, layout: str
) -> None:
    values = [{"bytes": data, "path": ""} if "struct" in layout else data for data in images.values()]
    columns = {"id": pa.array(list(images)), "image": pa.array(values), "label": pa.array([0] * N)}
    if "without" in layout:
        del columns["id"]
    pq.write_table(pa.table(columns), tmp_path / "images.parquet")
    out = tmp_path / "answers.parquet"
    code = main(
        ["predict", str(tmp_path / "images.parquet"), "--run", str(finished.directory), "--out", str(out)]
    )  # fmt: skip
    assert code == 0
    rows = pq.read_table(out).to_pylist()
    assert [row["id"] for row in rows] == (
        [f"row {n}" for n in range(N)] if "without" in layout else list(images)
    )  # fmt: skip
    assert [row["class"] for row in rows] == [known[name][0] for name in images]


@pytest.mark.slow
def test_a_pipe_is_answered_while_it_is_open(
    finished: Run, images: dict[str, bytes], known: dict[str, tuple[str, float]], tmp_path: Path
) -> None:
    name = next(iter(images))
    (tmp_path / "a.png").write_bytes(images[name])
    words = [*CLI, "predict", "-", "--run", str(finished.directory)]
    with subprocess.Popen(words, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        for path in ("a.png", "gone.png", "a.png"):
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
            row = json.loads(process.stdout.readline())
            assert row["id"] == path
            assert (row["class"], row["problem"]) == (
                (None, "no such file or directory") if path == "gone.png" else (known[name][0], None)
            )
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait(60) == 0


def test_a_head_that_is_not_there(finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    assert main(["predict", str(tmp_path / "a.png"), "--run", str(finished.directory), "--head", "grap"]) == 2
    [sentence] = capsys.readouterr().err.splitlines()
    assert sentence == "csrms predict: --head: got 'grap', expected a head of this model: plain, graph, mean"


def test_one_image_of_another_size(finished: Run, images: dict[str, bytes], tmp_path: Path) -> None:
    with Image.open(io.BytesIO(next(iter(images.values())))) as image:
        image.convert("L").resize((64, 48)).save(tmp_path / "large.jpg")
    said = csrms("predict", "large.jpg", "--run", finished.directory, "--format", "csv", folder=tmp_path)
    assert said.code == 0, said.err
    assert len(said.out.splitlines()) == 2
    assert said.out.splitlines()[1].startswith('"large.jpg"')


def test_several_paths_keep_their_names_apart(
    finished: Run, images: dict[str, bytes], known: dict[str, tuple[str, float]], tmp_path: Path
) -> None:
    (first, a), (second, b), (third, c) = list(images.items())[:3]
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    (tmp_path / "one" / "same.png").write_bytes(a)
    (tmp_path / "two" / "same.png").write_bytes(b)
    pq.write_table(pa.table({"id": [third], "image": [c]}), tmp_path / "more.parquet")
    words = ("predict", "one", "two/same.png", "more.parquet", "--run", finished.directory, "--format", "json")
    said = csrms(*words, folder=tmp_path)
    assert said.code == 0, said.err
    rows = json.loads(said.out)
    assert [next(iter(row.items())) for row in rows] == [
        ("id", "one/same.png"), ("id", "two/same.png"), ("id", f"more.parquet/{third}")
    ]  # fmt: skip
    assert [row["class"] for row in rows] == [known[name][0] for name in (first, second, third)]


@pytest.mark.parametrize("what", ["empty folder", "nothing there", "only broken", "no column image", "no parquet"])
def test_nothing_to_predict_is_one_sentence(
    finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    place = tmp_path / "place"
    if what == "empty folder":
        place.mkdir()
    elif what == "only broken":
        place.mkdir()
        (place / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    elif what in ("no column image", "no parquet"):
        place = tmp_path / "place.parquet"
        place.write_bytes(b"PAR1")
        if what == "no column image":
            pq.write_table(pa.table({"picture": [b""]}), place)
    assert main(["predict", str(place), "--run", str(finished.directory)]) == 3
    [sentence] = capsys.readouterr().err.splitlines()
    assert sentence.startswith(f"csrms predict: {place}")
    assert ("got 1 unreadable image, the first a.png: " in sentence) == (what == "only broken")
    assert " at 0x" not in sentence


def test_one_path_that_is_not_there_is_said_before_the_others_are_read(
    finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    assert main(["predict", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--run", str(finished.directory)]) == 3
    assert capsys.readouterr().err == (
        f"csrms predict: {tmp_path}/b.png: got nothing there, expected an image, a folder of images or a Parquet file\n"
    )


def test_a_run_that_trains_nothing_has_no_model(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "mine")
    with run.writing("features", "f", {"labelled": False}):
        pass
    with pytest.raises(RunDirectoryError, match="got a run on given vectors, which trains nothing, expected one on"):
        next(predict(run, tmp_path))
    with run.writing("images", "f"):
        pass
    with pytest.raises(RunDirectoryError, match="got a run without labels, which trains nothing"):
        next(predict(run, tmp_path))
    with run.writing("features", "f", {"labelled": True}):
        pass
    with pytest.raises(RunDirectoryError, match="has no artefact 'train'; run `csrms train CONFIG`"):
        next(predict(run, tmp_path))


def test_without_a_run_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "."]) == 4
    assert capsys.readouterr().err == (
        "csrms predict: runs/: got no run in it, expected a run; name one, or make one with csrms run CONFIG\n"
    )
    assert not list(tmp_path.iterdir())
