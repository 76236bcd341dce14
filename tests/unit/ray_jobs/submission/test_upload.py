"""What goes along with a job: the configuration and the user's modules, and no data, no caches, no secrets."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from csrms_dist.errors import ConfigError
from ray_jobs.settings import RunSettings, settings_from
from ray_jobs.submission import upload
from ray_jobs.submission.upload import upload_of

SMALL = "name: small\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder as it may look after some work."""
    folder = tmp_path / "project"
    for name in (
        "my.yaml", "my_term.py", "parts/smoother.py", "parts/names.txt", "notes/table.csv", ".env", ".git/config",
        ".venv/lib/torch.py", "data/train.parquet", "runs/mine/run.json", "parts/__pycache__/smoother.pyc",
        "vectors.npy", "photos/cat.gif", "other/weights.pt",
    ):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(SMALL)
    monkeypatch.chdir(folder)
    return folder


def settings(**sections: dict[str, object]) -> RunSettings:
    return settings_from({"data": {"dataset": "folders", "path": "/shared/photos"}, **sections})


def test_little_goes_along() -> None:
    found = upload_of("my.yaml", settings())
    assert sorted(found.sizes) == [
        "my.yaml", "my_term.py", "notes/table.csv", "parts/names.txt", "parts/smoother.py", "photos/cat.gif",
    ]  # fmt: skip
    assert found.n_bytes == len(SMALL) * 6
    assert found.config == "my.yaml"


def test_the_data_of_the_configuration_stays_behind_whatever_its_name(project: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        upload_of("my.yaml", settings(data={"dataset": "folders", "path": "photos"}))
    assert str(raised.value) == (
        f"data.path: got photos, which stays behind in {project}, expected an absolute path that all nodes have; name "
        "it in full, or take it along with the line !/photos in .csrmsignore"
    )
    (project / ".csrmsignore").write_text("!/photos\n")
    assert "photos/cat.gif" in upload_of("my.yaml", settings(data={"dataset": "folders", "path": "./photos/"})).sizes
    named_in_full = settings(data={"dataset": "folders", "path": str(project / "photos")})
    (project / ".csrmsignore").unlink()
    assert "photos/cat.gif" not in upload_of("my.yaml", named_in_full).sizes


def test_weights_are_data_too(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"encoder\.weights: got other/weights\.pt, which stays behind"):
        upload_of("my.yaml", settings(encoder={"weights": "other/weights.pt"}))
    (project / ".csrmsignore").write_text("!*.pt\n!/other/weights.pt\n")
    assert "other/weights.pt" in upload_of("my.yaml", settings(encoder={"weights": "other/weights.pt"})).sizes
    assert upload_of("my.yaml", settings(encoder={"name": "efficientnet_lite0", "weights": "pretrained"})).sizes


def test_a_name_with_gits_signs_is_meant_as_it_is(project: Path) -> None:
    for name in ("a [1]*", "a 1x"):
        (project / name).mkdir()
        (project / name / "list.txt").write_text("x")
    found = upload_of("my.yaml", settings(data={"dataset": "folders", "path": str(project / "a [1]*")})).sizes
    assert [path for path in found if path.startswith("a ")] == ["a 1x/list.txt"]


def test_the_users_lists_are_read_ours_last(project: Path) -> None:
    (project / ".gitignore").write_text("*.txt\nnotes/\nmy.yaml\n")
    (project / ".csrmsignore").write_text("!names.txt\n!data/\nphotos/\n")
    assert sorted(upload_of("my.yaml", settings()).sizes) == [
        "my.yaml", "my_term.py", "parts/names.txt", "parts/smoother.py"
    ]  # fmt: skip


def test_a_configuration_elsewhere_takes_its_own_folder_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    found = upload_of("../project/parts/../my.yaml", settings())
    assert (found.root, found.config) == (tmp_path / "project", "my.yaml")
    assert "my_term.py" in found.sizes


def test_too_much_is_refused_and_the_largest_are_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, n_bytes in (("big.bin", 30_000_000), ("notes/large.csv", 25_000_000)):
        with (project / name).open("wb") as file:
            file.truncate(n_bytes)
    with pytest.raises(ConfigError) as raised:
        upload_of("my.yaml", settings())
    assert str(raised.value) == (
        f"what goes along from {project}: got 55.0 MB in 8 files, the largest big.bin 30.0 MB, notes/large.csv "
        "25.0 MB, my.yaml 0.0 MB, expected at most 50.0 MB; leave out in .csrmsignore what the run does not need, and "
        "put data on storage that all nodes reach"
    )
    monkeypatch.setattr(upload, "LIMIT_FILES", 4)
    with pytest.raises(ConfigError, match=r"got more than 4 files, most of them below \./"):
        upload_of("my.yaml", settings())


def test_the_same_files_are_the_same_archive(project: Path, tmp_path: Path) -> None:
    (project / "parts" / "tool.sh").touch(0o755)
    found = upload_of("my.yaml", settings())
    found.write(tmp_path / "a.zip")
    (project / "my_term.py").touch()
    upload_of("my.yaml", settings()).write(tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == sorted(found.sizes)
        assert archive.read("parts/smoother.py").decode() == SMALL
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
    assert (modes["parts/tool.sh"], modes["my.yaml"]) == (0o755, 0o644)
