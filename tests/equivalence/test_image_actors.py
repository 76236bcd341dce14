"""The image tables are the same bytes whoever decodes: this process, three Ray actors, two of which one is killed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from csrms_dist.datasets.image_table import ImageTable
from tests.end_to_end.harness import ROOM, digests, execute
from tests.unit.datasets import making

pytestmark = [ROOM, pytest.mark.slow]

# A manifest whose reader ends its process, once, in the middle of a shard: what a kill for memory does.
DYING = """
import os
from dataclasses import dataclass, replace
from pathlib import Path

from csrms_dist.datasets.image_source import Selected, narrowed
from csrms_dist.datasets.layouts import manifest

LIVES = Path("lives").absolute()


@dataclass(frozen=True)
class Dying:
    read: object
    lives: Path

    def __call__(self, rows):
        for number, image in enumerate(self.read(rows)):
            if number == 3 and self.lives.exists():
                self.lives.unlink(missing_ok=True)
                os._exit(9)
            yield image

    def uris(self, rows):
        return self.read.uris(rows)

    def narrowed(self, rows):
        part = narrowed(self.read, rows)
        return Selected(Dying(part.read, self.lives), part.rows)


def find(settings):
    found = manifest.LAYOUT.find(replace(settings, dataset="manifest"))
    sides = {name: replace(rows, images=Dying(rows.images, LIVES)) for name, rows in found.sides.items()}
    return replace(found, sides=sides)


DYING = replace(manifest.LAYOUT, find=find)
"""
SCRIPT = """
import json
from pathlib import Path
from ray_jobs import run
from ray_jobs.on_ray.session import shared_session

with shared_session():
    for name, actors, dataset in (("one", 1, "manifest"), ("three", 3, "manifest"), ("killed", 2, "dying:DYING")):
        if name == "killed":
            Path("lives").write_text("")
        overrides = (f"data.actors={actors}", f"data.dataset={dataset}")
        result = run("images.yaml", name, overrides, until="images")
        print(json.dumps([name, result.done, Path("lives").exists()]))
"""


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("actors")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        making.image_files(*(f"pics/{name}/{n}.png" for name in "abc" for n in range(20)))
        Path("pics/b/7.png").write_bytes(b"broken")
        (folder / "dying.py").write_text(DYING)
        (folder / "runs.py").write_text(SCRIPT)
        settings = {"dataset": "manifest", "path": "m.parquet", "shard_images": 7, "image_size": 8}
        (folder / "images.yaml").write_text(json.dumps({"data": settings}))
        listed = execute(
            [sys.executable, "-m", "ray_jobs.commands.cli", "manifest", "pics", "--out", "m.parquet"], folder
        )
        assert listed.code == 0, listed.err
        said = execute([sys.executable, "runs.py"], folder)
    assert said.code == 0, said.err
    assert [json.loads(line) for line in said.out.splitlines()] == [
        [name, ["images"], False] for name in ("one", "three", "killed")
    ]
    return folder


def test_tables_do_not_depend_on_the_actors_or_on_their_death(decoded: Path) -> None:
    one, three, killed = (digests(decoded / name / "images") for name in ("one", "three", "killed"))
    assert sum(name.endswith(".arrow") and "-" in name for name in one) >= 9
    assert one == three == killed
    assert not list((decoded / "killed/.checkpoints").iterdir())


def test_each_image_is_there_or_set_aside(decoded: Path) -> None:
    train, test = (ImageTable(decoded / f"three/images/{name}.arrow") for name in ("train", "test"))
    assert len(train) + len(test) == 59
    assert "b/7.png" not in train.ids.to_pylist() + test.ids.to_pylist()
