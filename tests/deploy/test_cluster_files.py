"""The image, the containers and the manifests name the versions, settings and options that there are.

Whether each is a valid file of its kind, `deploy/checks` judges, where there is Go.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ray_jobs.commands.cli import _parser
from ray_jobs.settings import load_settings
from tests.deploy import sizing

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {
    canonicalize_name(pin.name): pin
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if (pin := Requirement(line)) and (pin.marker is None or pin.marker.evaluate())
}
BYTES = {"gb": 1024**3, "g": 1024**3, "Gi": 1024**3, "M": 10**6, "G": 10**9}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def amount(text: str) -> int:
    """Bytes, as compose and Kubernetes write them."""
    number, unit = re.fullmatch(r"(\d+)(\w*)", text).groups()  # type: ignore[union-attr]
    return int(number) * (BYTES[unit] if unit else 1)


JOB: dict[str, Any] = read(KUBERNETES / "base" / "rayjob.yaml")["spec"]
CLUSTER: dict[str, Any] = JOB["rayClusterSpec"]
SIZES = {patch["path"]: patch["value"] for patch in read(KUBERNETES / "overlays" / "gpu" / "sizes.yaml")}
GROUPS = {
    "head": CLUSTER["headGroupSpec"],
    "cpu": CLUSTER["workerGroupSpecs"][0],
    "gpu": read(KUBERNETES / "overlays" / "gpu" / "gpu-workers.yaml")[0]["value"],
}
SERVICES: dict[str, dict[str, Any]] = read(DEPLOY / "compose.ray.yaml")["services"]


# ----------------------------------------------------------------------------------------------------------- versions


def test_python_of_the_image_is_one_that_the_project_is_for() -> None:
    (python,) = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]
    assert re.findall(r"^FROM (\S+) AS (\w+)$", DOCKERFILE, re.MULTILINE) == [
        ("python:${PYTHON}-slim-bookworm", "cpu"), ("cpu", "cuda"),
    ]  # fmt: skip


def needed(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> Iterator[str]:
    """Every package that `name` with its extras wants, as those that are installed say."""
    if (name, extras) in seen:
        return
    seen.add((name, extras))
    yield name
    for text in metadata.requires(name) or ():
        wanted = Requirement(text)
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in (*extras, "")):
            yield from needed(canonicalize_name(wanted.name), frozenset(wanted.extras), seen)


def test_every_package_of_the_image_is_pinned() -> None:
    installs = re.findall(r"pip install (.+)$", DOCKERFILE, re.MULTILINE)
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in install for install in installs)
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", installs[0])
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    assert "full" in extras.split(",")
    # Of the files of this checkout: what is installed may be of another.
    texts = [
        *PROJECT["dependencies"],
        *(t for extra in extras.split(",") for t in PROJECT["optional-dependencies"][extra]),
    ]
    seen: set[tuple[str, frozenset[str]]] = set()
    for text in texts:
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate():
            for name in needed(canonicalize_name(wanted.name), frozenset(wanted.extras), seen):
                assert name in PINS or name in ("setuptools", "pip"), f"{name} is in the image at any version"


def test_ray_is_the_same_everywhere() -> None:
    (version,) = [spec.version for spec in PINS["ray"].specifier]
    assert CLUSTER["rayVersion"] == version
    # KubeRay asks such a Ray how it is by HTTP, which needs no wget in the image, and can hand it a token.
    assert Version(version) >= Version("2.53")


def images(value: Any) -> Iterator[str]:
    """Every image that a document names."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from [inner] if key in ("image", "newName") and isinstance(inner, str) else images(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from images(inner)


def test_images_are_of_no_registry_in_particular() -> None:
    named = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    for path in [*DEPLOY.glob("*.yaml"), *KUBERNETES.rglob("*.yaml")]:
        named.update(images(read(path)))
    assert {"csrms-dist", "csrms-dist:cpu"} < named
    assert not [name for name in named if "/" in name]


# ------------------------------------------------------------------------------------------------- settings, commands


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_the_command_of_a_job_is_one_of_ours(overlay: str) -> None:
    folder = KUBERNETES / "overlays" / overlay
    kustomization = read(folder / "kustomization.yaml")
    (generator,) = kustomization["configMapGenerator"]
    patches = [
        yaml.safe_load(p["patch"]) if "patch" in p else read(folder / p["path"]) for p in kustomization["patches"]
    ]
    (entrypoint,) = [p["value"] for patch in patches for p in patch if p["path"] == "/spec/entrypoint"]
    for words in (shlex.split(entrypoint), shlex.split(JOB["entrypoint"])):
        assert words[0] == "csrms"
        assert "$" not in " ".join(words)
        arguments = _parser().parse_args(words[1:])
        assert arguments.command == "run"
        (mount,) = [
            m for m in GROUPS["head"]["template"]["spec"]["containers"][0]["volumeMounts"] if m["name"] == "config"
        ]
        assert str(arguments.config) in {f"{mount['mountPath']}/{name}" for name in generator["files"]}
        assert "://" in str(arguments.out)
    assert generator["name"] == "csrms-config"
    load_settings(folder / "config.yaml")


def ray_start(words: list[str]) -> dict[str, Any]:
    """What `ray start` understands by these words; it raises for an option that it does not have."""
    scripts = pytest.importorskip("ray.scripts.scripts")
    return dict(scripts.start.make_context("ray start", words).params)


def test_ray_takes_the_options_of_the_manifests() -> None:
    for group in GROUPS.values():
        words = [f"--{name}={value}" for name, value in group["rayStartParams"].items()]
        assert ray_start(words)["object_store_memory"] == int(group["rayStartParams"]["object-store-memory"])
    with pytest.raises(Exception, match="No such option"):
        ray_start(["--object-stored-memory=1"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_room_for_its_object_store(name: str) -> None:
    service = SERVICES[name]
    command = shlex.split(service["command"])
    assert command[:2] == ["ray", "start"]
    options = ray_start(command[2:])
    assert options["block"]
    assert options["object_store_memory"] < amount(service["shm_size"]) < amount(service["mem_limit"])


@pytest.mark.parametrize("name", GROUPS)
def test_a_pod_has_room_for_its_object_store(name: str) -> None:
    pod = GROUPS[name]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    store = int(GROUPS[name]["rayStartParams"]["object-store-memory"])
    limits = container["resources"]["limits"]
    assert container["resources"]["requests"] == limits
    assert store < amount(volumes["shared-memory"]["emptyDir"]["sizeLimit"]) < amount(limits["memory"])
    assert amount(volumes["scratch"]["emptyDir"]["sizeLimit"]) <= amount(limits["ephemeral-storage"])


def test_the_patch_of_sizes_hits_what_it_means() -> None:
    path = "/spec/rayClusterSpec/headGroupSpec/template/spec/volumes/2/emptyDir/sizeLimit"
    assert GROUPS["head"]["template"]["spec"]["volumes"][2]["name"] == "scratch"
    assert path in SIZES
    assert GROUPS["cpu"]["template"]["spec"]["volumes"][1]["name"] == "scratch"
    assert path.replace("headGroupSpec", "workerGroupSpecs/0").replace("/2/", "/1/") in SIZES
    for place in ("headGroupSpec", "workerGroupSpecs/0"):
        resources = SIZES[f"/spec/rayClusterSpec/{place}/template/spec/containers/0/resources"]
        assert resources["requests"] == resources["limits"]


def test_groups_of_workers_differ_in_their_sizes_alone() -> None:
    cpu, gpu = GROUPS["cpu"]["template"]["spec"], GROUPS["gpu"]["template"]["spec"]
    assert set(gpu) - set(cpu) == {"tolerations"}
    for key in ("restartPolicy", "automountServiceAccountToken", "securityContext"):
        assert cpu[key] == gpu[key]
    for key in ("name", "image", "env", "securityContext", "volumeMounts"):
        assert cpu["containers"][0][key] == gpu["containers"][0][key]
    assert gpu["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


# -------------------------------------------------------------------------------------------------------------- sizes


def test_the_table_of_sizes_is_what_the_plan_says() -> None:
    table = "\n".join(sizing.table())
    assert table in (DEPLOY / "README.md").read_text(), "stale; make it: python -m tests.deploy.sizing"


def test_a_column_of_the_table_is_ten_times_the_one_before_where_images_decide() -> None:
    small, large = (sizing.outlook(n, load_settings(sizing.CONFIG)) for n in sizing.SIZES[1:])
    for stage in (sizing.estimates.images, sizing.estimates.features, sizing.estimates.cluster):
        assert stage(large).disk_mb == pytest.approx(10 * stage(small).disk_mb, rel=0.02)
