"""The layers are law: the contracts of .importlinter hold, statically and when the modules are really imported."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from csrms_dist.datasets.augmentation import AUGMENTATIONS
from csrms_dist.losses.terms import TERMS
from csrms_dist.methods.csrms.readings import READINGS
from csrms_dist.methods.known import CONTROLS, METHODS
from csrms_dist.methods.stage_0 import OBJECTIVES
from csrms_dist.models.alignment import ALIGNMENTS
from csrms_dist.models.smoothing import ADJACENCIES, SMOOTHERS
from csrms_dist.sampling.strategies import NEGATIVES, POSITIVES
from csrms_dist.training.optimisers import OPTIMISERS
from csrms_dist.training.schedules import SCHEDULES

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("csrms_dist", "graphstore", "ray_jobs")
LIBRARY_FILES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*")
    if path.suffix in {".py", ".cypher", ".json", ".yaml", ".toml"}
)

OF_EXTRAS = {"csrms_dist.sampling.dgl_sampler", "csrms_dist.interop.dgl_graph", "csrms_dist.interop.pyg",
             "csrms_dist.assignment.fused"}  # fmt: skip
"""What speaks a library that the base install lacks; torch brings Triton on Linux alone."""

IMPORT_ALL = """
import importlib, json, pkgutil, sys
names = set()
for package in sys.argv[1].split(","):
    module = importlib.import_module(package)
    names.add(package)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), package + "."):
        if found.name not in sys.argv[2].split(","):
            importlib.import_module(found.name)
            names.add(found.name)
print(json.dumps({"names": sorted(names), "loaded": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def contracts() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    return parser


def loaded_after_importing(packages: str) -> tuple[set[str], set[str]]:
    """The names of these packages' modules, imported in a fresh interpreter, and all top-level names then loaded."""
    environment = {**os.environ, "PYTHONWARNINGS": "default"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, packages, ",".join(OF_EXTRAS)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    return set(result["names"]), set(result["loaded"])


def test_the_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", ".importlinter", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert " 0 broken." in done.stdout


@pytest.mark.parametrize(
    ("contract", "places"),
    [
        ("methods", [*METHODS.values(), CONTROLS["plain"], *OBJECTIVES.values()]),
        ("controls", [*METHODS.values(), *(place for name, place in CONTROLS.items() if name != "plain")]),
        ("schedules", SCHEDULES.values()),
        ("optimisers", OPTIMISERS.values()),
        ("augmentations", AUGMENTATIONS.values()),
        ("losses", [entry.place for entry in TERMS.values()]),
        ("readings", READINGS.values()),
        ("smoothers", SMOOTHERS.values()),
        ("adjacencies", ADJACENCIES.values()),
        ("alignments", [place for name, place in ALIGNMENTS.items() if name != "none"]),
        ("strategies", [*POSITIVES.values(), *NEGATIVES.values()]),
    ],
)
def test_every_variant_is_a_peer(contract: str, places: Iterable[str]) -> None:
    listed = set(contracts()[f"importlinter:contract:{contract}"]["modules"].split())
    assert listed == {place.partition(":")[0] for place in places}, "a new variant belongs in its contract"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_lacks_its_init(package: str) -> None:
    # import-linter and pkgutil pass over a folder without one, and with it over all its modules.
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_the_core_loads_no_cluster_and_no_database() -> None:
    names, loaded = loaded_after_importing("csrms_dist")
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "csrms_dist").rglob("*.py")
    }
    assert names == files - OF_EXTRAS
    assert loaded & {"ray", "dgl", "torch_geometric", "neo4j", "ladybug", "graphstore", "ray_jobs"} == set()


def test_labels_features_and_hierarchy_load_no_torch() -> None:
    source = contracts()["importlinter:contract:pure"]["source_modules"].split()
    names, loaded = loaded_after_importing(",".join(source))
    assert names >= set(source) >= {"csrms_dist.labels", "csrms_dist.features.feature_table", "csrms_dist.hierarchy"}
    assert loaded & {"torch", "dgl"} == set()


def test_the_library_names_no_folder_of_a_developer_s_machine() -> None:
    private = {f"{ROOT}/", f"{Path.home()}/", "/home/", "/Users/", ":\\Users"} - {"/", "//"}
    found = [
        f"{path.relative_to(ROOT)}: {place}"
        for path in LIBRARY_FILES
        for place in sorted(private)
        if place in path.read_text(encoding="utf-8")
    ]
    assert len(LIBRARY_FILES) > 20
    assert found == []


@pytest.mark.parametrize("room", ["models", "methods", "losses", "training", "evaluation", "features"])
def test_a_tensor_becomes_an_array_on_the_host_alone(room: str) -> None:
    """It may lie on another device: `.numpy()` follows `.cpu()`."""
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (ROOT / "csrms_dist" / room).rglob("*.py")
        for line in path.read_text().splitlines()
        if ".numpy()" in line.replace(".cpu().numpy()", "")
    ]
    assert found == []
