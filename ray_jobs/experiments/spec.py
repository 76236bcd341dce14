"""The spec of an experiment: one YAML file (docs/experiments.md), read and checked before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csrms_dist.artefacts.fingerprints import fingerprint
from csrms_dist.basics.lookup import nearest
from csrms_dist.errors import ConfigError
from ray_jobs.settings import RunSettings, read_yaml, settings_from
from ray_jobs.yaml_text import YamlError, values_of

TRAINED, KNN = "trained", "knn"
ANSWERS = (TRAINED, KNN)
HEADS = ("plain", "graph", "mean")
_TOP = (
    "name", "about", "base", "data", "backbones", "rows", "not_built", "lr", "lr_seed", "seeds", "baseline", "claim",
    "columns", "sizes", "unrun",
)  # fmt: skip
_OF_ROW = ("seeds", "head", "answers", "against", "only")


@dataclass(frozen=True)
class Row:
    """One recipe by its name in the table.

    against: the row that it is compared with, its own name for a baseline. sections: what it changes. seeds: how many
    of the spec's, None for all. head: whose answers count. answers: 'trained', or 'knn' for nearest neighbours on the
    features of stage 0. only: data sets that it is for; empty: all.
    """

    name: str
    against: str
    sections: Mapping[str, Any]
    seeds: int | None = None
    head: str = "plain"
    answers: str = TRAINED
    only: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """A name for its folder, apart from those of all other rows."""
        return f"{re.sub('[^a-z0-9]+', '-', self.name.lower()).strip('-')}-{fingerprint(self.name)[:4]}"


@dataclass(frozen=True)
class Claim:
    """row: the recipe of which something is claimed. over: those that it has to beat."""

    row: str
    over: tuple[str, ...]


@dataclass(frozen=True)
class Spec:
    """An experiment of one size.

    data: sections by data set. not_built: why there is no such row, by the row's name. lr: the grid, equal for all.
    lr_seed: of the runs that choose from it, which never see the test set. claims: one, or one a backbone. columns:
    figures that the tables show beside the standard ones. unrun: nobody has run this size.
    """

    name: str
    about: str
    size: str
    base: Mapping[str, Any]
    data: Mapping[str, Mapping[str, Any]]
    rows: tuple[Row, ...]
    not_built: Mapping[str, str]
    lr: tuple[float, ...]
    lr_seed: int
    seeds: tuple[int, ...]
    claims: tuple[Claim, ...]
    columns: tuple[str, ...] = ()
    unrun: bool = False

    def rows_of(self, data: str) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if not row.only or data in row.only)

    def seeds_of(self, row: Row) -> tuple[int, ...]:
        return self.seeds if row.seeds is None else self.seeds[: row.seeds]

    def settings(self, data: str, row: Row, seed: int, lr: float | None) -> RunSettings:
        """The settings of one run. lr goes to every training, to stage 0 too unless it trains nothing."""
        values = merged(merged(self.base, self.data[data]), row.sections)
        values |= {"seed": seed, "name": row.folder}
        if lr is not None:
            frozen = bool(values.get("encoder", {}).get("frozen", False))
            for section in ("train",) if frozen else ("pretrain", "train"):
                values[section] = {**values.get(section, {}), "lr": lr}
        try:
            return settings_from(values)
        except ConfigError as error:
            raise ConfigError(f"the row {row.name!r} on {data}: {error}") from error

    def check(self) -> None:
        """Raise ConfigError for the first row that no run could be made of."""
        for where, sections in [
            ("base", self.base),
            *self.data.items(),
            *((row.name, row.sections) for row in self.rows),
        ]:
            _refuse_taken(where, sections)
        for row in self.rows:
            for data in row.only:
                if data not in self.data:
                    raise ConfigError(
                        f"the row {row.name!r}: only", got=repr(data), expected=f"one of {', '.join(self.data)}"
                    )
        for data in self.data:
            for row in self.rows_of(data):
                settings = self.settings(data, row, self.lr_seed, self.lr[0])
                settings.check_own()
                if settings.data.val_fraction == 0:
                    raise ConfigError(
                        f"data.val_fraction of {data}", got="0", expected="more, because the lr is chosen there",
                        remedy="raise it",
                    )  # fmt: skip
                if settings.features.path:
                    raise ConfigError(
                        f"the data set {data}", got="features.path", expected="images, because rows are trained",
                        remedy="leave features.path out",
                    )  # fmt: skip

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)


def _refuse_taken(where: str, sections: Mapping[str, Any]) -> None:
    """Raise ConfigError for a key that the experiment sets itself."""
    for key, of in (("seed", "seeds"), ("name", "the row's name"), ("train.lr", "lr"), ("pretrain.lr", "lr")):
        section, _, inner = key.rpartition(".")
        values = sections.get(section) if section else sections
        if isinstance(values, Mapping) and inner in values:
            raise ConfigError(
                f"{key} of {where!r}", got=repr(values[inner]), expected=f"no such key here: it comes from {of}",
                remedy="leave it out",
            )  # fmt: skip


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two nested mappings; where both say something, `above` wins."""
    found = deepcopy(dict(below))
    for key, value in above.items():
        inner = found.get(key)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        found[key] = merged(inner, value) if both else deepcopy(value)  # type: ignore[arg-type]
    return found


def load_spec(path: str | Path, size: str | None = None, overrides: Sequence[str] = ()) -> Spec:
    """Read a spec. size: one of its `sizes`, by default the first. overrides: 'key.key=value', into the spec of that
    size. Raises ConfigError, also for what no run could be made of."""
    path = Path(path)
    values = read_yaml(path)
    sizes = values.pop("sizes", None) or {}
    if size is None:
        size = next(iter(sizes), "")
    elif size not in sizes:
        raise ConfigError("--size", got=repr(size), expected=f"one of {', '.join(map(repr, sizes)) or 'none'}")
    chosen = sizes.get(size) or {}
    if "data" in chosen:
        values.pop("data", None)
    values = merged(values, chosen)
    for override in overrides:
        _apply(values, override)
    spec = _spec(path, size, values)
    if spec.name in ("", "..") or Path(spec.name).name != spec.name:
        raise ConfigError("name", got=repr(spec.name), expected="a folder's name", remedy="use --out for a path")
    spec.check()
    return spec


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *outer, last = key.split(".")
    if not equals or not last:
        raise ConfigError("--set", got=f"'{override}'", expected="key.key=value")
    for name in outer:
        inner = values.setdefault(name, {})
        if not isinstance(inner, dict):
            raise ConfigError("--set", got=f"'{override}'", expected=f"a key below {name}, which has none")
        values = inner
    try:
        values[last] = values_of(text)
    except YamlError as error:
        raise ConfigError("--set", got=f"'{override}'", expected="a value of YAML after =") from error


def _spec(path: Path, size: str, values: Mapping[str, Any]) -> Spec:
    for key in values:
        if key not in _TOP:
            raise ConfigError(
                f"{path}: unknown key {key}", remedy=f"the nearest valid key is {nearest(str(key), _TOP)}"
            )
    lr = _numbers(values, "lr", "(0, 10]", "[0.01, 0.03, 0.1]")
    seeds = _numbers(values, "seeds", "[0, 4294967295]", "[1, 2, 3, 4]", whole=True)
    backbones = _mapping(values, "backbones") or {"": {}}
    rows = tuple(_rows(values.get("rows"), values.get("baseline"), backbones))
    names = [row.name for row in rows]
    given, baseline = list(map(str, values["rows"])), values.get("baseline")
    if baseline is not None and str(baseline) not in given:
        raise _no_row("baseline", baseline, given)
    for row in rows:
        if row.against not in names:
            raise _no_row(f"the row {row.name!r}: against", row.against, names)
        if row.seeds is not None and row.seeds > len(seeds):
            raise ConfigError(f"the row {row.name!r}: seeds", got=str(row.seeds), expected=f"at most {len(seeds)}")
    data = _mapping(values, "data")
    if not data:
        raise ConfigError("data", got="nothing", expected="data sets by name, each with the sections of its runs")
    claims = tuple(claim for one in backbones for claim in _claim(values.get("claim"), one, names))
    columns = values.get("columns", [])
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise ConfigError("columns", got=repr(columns), expected="a list of names of figures, such as [patterns]")
    lr_seed = values.get("lr_seed", 0)
    if not isinstance(lr_seed, int) or lr_seed in seeds:
        raise ConfigError(
            "lr_seed", got=repr(lr_seed), expected=f"a whole number apart from seeds {list(map(int, seeds))}",
            remedy="the seed that chooses the lr must not be one that is compared",
        )  # fmt: skip
    return Spec(
        name=str(values.get("name", path.stem)),
        about=str(values.get("about", "")),
        size=size,
        base=_mapping(values, "base"),
        data={str(name): dict(sections or {}) for name, sections in data.items()},
        rows=rows,
        not_built={str(name): str(why) for name, why in _mapping(values, "not_built").items()},
        lr=tuple(sorted(lr)),
        lr_seed=lr_seed,
        seeds=tuple(int(seed) for seed in seeds),
        claims=claims,
        columns=tuple(columns),
        unrun=bool(values.get("unrun", False)),
    )


def _rows(values: Any, baseline: Any, backbones: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of each backbone, which stands before their names."""
    if not isinstance(values, Mapping) or not values:
        raise ConfigError("rows", got=repr(values), expected="recipes by name, each with the sections that it changes")
    first = str(next(iter(values))) if baseline is None else str(baseline)
    for backbone, own in backbones.items():
        if not isinstance(own, Mapping):
            raise ConfigError(f"the backbone {backbone!r}", got=repr(own), expected="sections of a run's settings")
        yield from _of_backbone(values, first, str(backbone), own)


def _named(backbone: str, name: str) -> str:
    return f"{backbone}: {name}" if backbone else name


def _of_backbone(values: Mapping[Any, Any], baseline: str, backbone: str, own: Mapping[str, Any]) -> Iterator[Row]:
    for name, sections in values.items():
        sections = {} if sections is None else sections
        if not isinstance(sections, Mapping):
            raise ConfigError(f"the row {name!r}", got=repr(sections), expected="sections of a run's settings")
        head, answers, seeds = sections.get("head", "plain"), sections.get("answers", TRAINED), sections.get("seeds")
        for what, word, words in (("head", head, HEADS), ("answers", answers, ANSWERS)):
            if word not in words:
                raise ConfigError(f"the row {name!r}: {what}", got=repr(word), expected=f"one of {', '.join(words)}")
        if seeds is not None and (not isinstance(seeds, int) or seeds < 1):
            raise ConfigError(f"the row {name!r}: seeds", got=repr(seeds), expected="how many of the seeds, 1 or more")
        rest = {key: value for key, value in sections.items() if key not in _OF_ROW}
        against = _named(backbone, str(sections.get("against", baseline)))
        only = sections.get("only")
        if only is not None and (not isinstance(only, list) or not only):
            raise ConfigError(f"the row {name!r}: only", got=repr(only), expected="a list of data sets")
        yield Row(
            _named(backbone, str(name)), against, merged(own, rest), seeds, head, answers, tuple(map(str, only or ()))
        )  # fmt: skip


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key) or {}
    if not isinstance(found, Mapping):
        raise ConfigError(key, got=repr(found), expected="a mapping")
    return found


def _numbers(
    values: Mapping[str, Any], key: str, legal: str, example: str, *, whole: bool = False
) -> tuple[float, ...]:
    found, kind = values.get(key), "whole numbers" if whole else "numbers"
    numbers = found if isinstance(found, list) else []
    low, high = (float(part) for part in legal[1:-1].split(","))
    right = [
        isinstance(n, int if whole else int | float) and not isinstance(n, bool) and low <= n <= high
        and (legal[0] == "[" or n > low)
        for n in numbers
    ]  # fmt: skip
    if not numbers or not all(right):
        remedy = f"as in `{key}: {example}`"
        if any(isinstance(n, str) for n in numbers):
            remedy += "; YAML reads 1e-3 as text, 0.001 as a number"
        raise ConfigError(key, got=repr(found), expected=f"a list of {kind} in {legal}", remedy=remedy)
    if len(set(numbers)) < len(numbers):
        raise ConfigError(key, got=repr(found), expected="each number once")
    return tuple(float(n) for n in numbers)


def _claim(values: Any, backbone: str, names: Sequence[str]) -> Iterator[Claim]:
    if values is None:
        return
    if not isinstance(values, Mapping) or not isinstance(values.get("over"), list) or "row" not in values:
        raise ConfigError("claim", got=repr(values), expected="{row: NAME, over: [NAME, ...]}")
    if not values["over"] or values["row"] in values["over"]:
        raise ConfigError(
            "claim: over", got=repr(values["over"]), expected="other rows than the claimed one, at least one"
        )
    claim = Claim(_named(backbone, values["row"]), tuple(_named(backbone, name) for name in values["over"]))
    for name in (claim.row, *claim.over):
        if name not in names:
            raise _no_row("claim", name, names)
    yield claim


def _no_row(what: str, name: Any, names: Sequence[str]) -> ConfigError:
    return ConfigError(what, got=repr(name), expected="a row", remedy=f"the nearest is {nearest(str(name), names)!r}")
