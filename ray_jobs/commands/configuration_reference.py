"""docs/configuration.md, made from the settings tables.

python -m ray_jobs.commands.configuration_reference > docs/configuration.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import Field, fields
from typing import Any

from csrms_dist.basics.settings import Settings, default_of, describe
from csrms_dist.methods.known import CONTROLS, DEFAULT, METHODS, method, settings_class
from csrms_dist.methods.settings import MethodSettings
from ray_jobs.settings import SECTIONS, RunSettings
from ray_jobs.stages.table import SCHEDULE_KEYS

COMMAND = "python -m ray_jobs.commands.configuration_reference > docs/configuration.md"

INTRODUCTION = f"""\
# Configuration

This page is made from the settings tables of the code. To make it anew:

```shell
{COMMAND}
```

A run is described by one YAML file. A key that is left out has its default; an unknown key and an illegal value are
errors that name the nearest key or the legal values. `examples/digits.yaml` is a whole example.

Any key can be changed on the command line, as often as needed; it wins over the file:

```shell
csrms run examples/digits.yaml --set train.epochs=5 --set cluster.actors=3
```

The text after `=` is read as YAML, so write `1.0e-3` and not `1e-3`, which YAML reads as text. A key of the top level
has no section: `--set seed=1`.

A change redoes the stages that the section decides, and the stages that read what those write. What decides no
result ({", ".join(f"`{key}`" for key in SCHEDULE_KEYS)}, of any section) may change
at any time. Where a run lies
(`--out`, else `runs/<name>`) and whether it has a control (`--no-control`) are options of the command, not keys.
"""

RULES = """\
## Rules that join several keys

- `cluster.vigilance` and `cluster.n_patterns`: at most one of them, because each decides the other. With both `auto`
  the target is max(K, min(12 K, N // 20)) patterns for N rows of K classes; without labels min(N // 20, 1000).
- `sampling.pool` is at least `sampling.n_positives` and `sampling.n_negatives`.
- `cluster.shard_tightening` is of spherical ART alone; `cluster.choice`, `cluster.learning_rate`, `cluster.adaptation`
  and `cluster.scaling` are of Fuzzy ART alone, which tightens by .35 in the shards and by .1 in the merge.
- `cluster.min_size` is of Fuzzy ART only where `cluster.recentre` is above 0, which gives up that boxes cover rows.
- `cluster.algorithm: kmeans` takes `cluster.n_patterns`, not `cluster.vigilance`; `cluster.kmeans_start` is its own.
- `method.prototypes` is of the reading `structural` and of `method.alignment: soft` alone.
- `method.adjacency` and `method.normalisation` are of our smoothers: `identity` looks at no neighbour, and one of your
  own decides its links itself. `method.alignment: paper` and `reference` tell the graph head the label in training.
- `method.adjacency: self` and `method.structure: permuted` are controls of the graph; the second takes no
  `method.refresh`.
- `pretrain.loss` and `train.loss`: `asymmetric` takes images with several labels. Plain head, graph head and control
  have that of `train`; stage 0 has its own.
- `method.weight_info_nce`, `weight_sup_con` and `weight_triplet` above 0 need the package pytorch-metric-learning, of
  the extra `full`; so do the controls `sup_con` and `triplet`, and `pretrain.objective: contrastive`. The control
  `cutmix` takes no frozen encoder.
- `pretrain.objective: contrastive` needs two views of an image that differ, so `pretrain.augmentation` (or
  `random_erasing`), batches of two or more, and an encoder that is not frozen. It takes neither `pretrain.loss` nor
  `pretrain.label_smoothing`; `pretrain.temperature` is its own.
- `decay` and `decay_every` are of `schedule: step` alone, `momentum` is of `optimiser: sgd` alone.
- With `encoder.frozen` nothing is augmented: `train.augmentation` and `train.random_erasing` do nothing, which is said.
- The weights of `method` cannot all be 0, and the control needs `method.weight_plain` above 0.
- `features.path` leaves out everything that needs images: the run has the stages `features`, `cluster` and, if the
  vectors have labels, `graph`.
- `train.workers` is the number of workers of `train` and `control`; stage 0 has its own, because everything after it
  follows from its weights. `train.checkpoint_minutes`, `checkpoints_kept` and `stall_seconds` are of stage 0 too.
- `encoder.name: lenet5` takes images of 32 x 32 x 3.
"""

RECIPES = """\
## Recipes: what a reading changes

`method.reading` brings defaults of its own. They lie beneath the file and `--set`: what you set wins.
"""


def lines() -> Iterator[str]:
    """The page, line by line."""
    yield from INTRODUCTION.splitlines()
    yield ""
    yield "## Top level"
    yield ""
    yield f"`seed` decides {_stages('seed')}; `name` decides none."
    yield ""
    yield from _table(RunSettings)
    for name, kind in SECTIONS.items():
        if name != "method":
            yield from _section(name, kind, DEFAULT)
    for chosen in METHODS:
        yield from _section("method", settings_class(chosen), chosen, f"method of {chosen}")
    yield from _of_controls()
    yield ""
    yield from RULES.splitlines()
    yield ""
    yield from RECIPES.splitlines()
    yield ""
    yield from _recipes()


def _section(name: str, kind: type[Settings], method_name: str, title: str = "") -> Iterator[str]:
    yield ""
    yield f"## {title or name}"
    yield ""
    yield f"Decides {_stages(name, method_name)}."
    yield ""
    yield from _table(kind)


def _of_controls() -> Iterator[str]:
    """The keys that controls have of their own, in one table."""
    yield ""
    yield "## method of a control by itself"
    yield ""
    yield f"Beside `method.name`, of each control ([controls.md](controls.md)). Decides {_stages('method', 'plain')}."
    yield ""
    yield "| control | key | default | legal values | meaning |"
    yield "|---|---|---|---|---|"
    shared = {spec.name for spec in fields(MethodSettings)}
    for name in CONTROLS:
        for spec in fields(settings_class(name)):
            if spec.name not in shared:
                doc = spec.metadata["doc"]
                yield f"| `{name}` | `{spec.name}` | {_default(spec)} | {describe(spec)} | {doc} |"


def _table(kind: type[Settings]) -> Iterator[str]:
    yield "| key | default | legal values | meaning |"
    yield "|---|---|---|---|"
    for spec in fields(kind):
        if "legal" in spec.metadata:
            yield f"| `{spec.name}` | {_default(spec)} | {describe(spec)} | {spec.metadata['doc']} |"


def _default(spec: Field[Any]) -> str:
    return f"`{value(default_of(spec))}`"


def value(default: Any) -> str:
    """A setting's value as YAML has it."""
    if default == "":
        return '""'
    return str(default).lower() if isinstance(default, bool) else str(default)


def _stages(section: str, method_name: str = DEFAULT) -> str:
    """The stages whose fingerprint carries the section, as text."""
    found = []
    for stage in method(method_name).stages:
        keys = [key for key in stage.settings if key.partition(".")[0] == section]
        if section in keys:
            found.append(f"`{stage.name}`")
        else:
            found += [f"`{stage.name}` (by {' and '.join(f'`{key}`' for key in keys)} alone)"] * bool(keys)
    return ("the stage " if len(found) == 1 else "the stages ") + ", ".join(found)


def _recipes() -> Iterator[str]:
    yield "| brought by | key | value |"
    yield "|---|---|---|"
    for name in METHODS:
        for brought_by, recipe in settings_class(name).recipes().items():
            if not recipe:
                yield f"| `{brought_by}` | | the defaults above |"
            for section, keys in recipe.items():
                for key, given in keys.items():
                    yield f"| `{brought_by}` | `{section}.{key}` | `{_rounded(given)}` |"


def _rounded(given: Any) -> str:
    return f"{given:.4g}" if isinstance(given, float) else value(given)


def main() -> None:
    """Print the page."""
    sys.stdout.write("\n".join(lines()) + "\n")


if __name__ == "__main__":
    main()
