"""The settings of the core: frozen, validated once, legal values in one table.

Each field is declared with `setting(default, legal, doc)`; `legal` is the text that both the check and the error
message use: an interval such as "[0, 1]" or "(0, inf)", or the allowed words. The store's and the cluster's own
settings live with them and use the same table.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any, Self, TypeVar

from csrms_dist.errors import ConfigError

T = TypeVar("T")


def setting(default: T, legal: str = "", *, words: Sequence[str] = (), doc: str = "") -> T:
    """Declare one setting: its default, its legal interval and/or words, and one line of documentation."""
    return field(default=default, metadata={"legal": legal, "words": tuple(words), "doc": doc})


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _within(value: Any, legal: str) -> bool:
    """Whether a number lies in an interval; NaN lies in none."""
    low, high = (float(part) for part in legal[1:-1].split(","))
    above = value >= low if legal[0] == "[" else value > low
    below = value <= high if legal[-1] == "]" else value < high
    return bool(above and below)


def describe(spec: dataclasses.Field[Any]) -> str:
    """The legal values of a field as text: 'a whole number in [1, 64]', "a number in [0, 1] or 'auto'"."""
    legal, words = spec.metadata["legal"], spec.metadata["words"]
    parts = []
    if legal:
        parts.append(("a whole number in " if "int" in str(spec.type) else "a number in ") + legal)
    elif "bool" in str(spec.type):
        parts.append("true or false")
    elif not words:
        parts.append("text")
    if words:
        listed = [f"'{word}'" for word in words]
        parts.append(listed[0] if len(listed) == 1 else "one of " + ", ".join(listed))
    return " or ".join(parts)


def check_value(settings: type[Settings], name: str, value: Any, prefix: str = "") -> Any:
    """Return `value` in the field's type, or raise ConfigError naming the legal values."""
    spec = next(spec for spec in fields(settings) if spec.name == name)
    legal, words, kind = spec.metadata["legal"], spec.metadata["words"], str(spec.type)
    if isinstance(value, str) and value in words:
        return value
    if legal and _is_number(value) and _within(value, legal):
        with contextlib.suppress(OverflowError):
            number = float(value) if "float" in kind else int(value)
            if "float" in kind or number == value:
                return number
    elif not legal and not words and (isinstance(value, bool) if "bool" in kind else isinstance(value, str)):
        return value
    remedy = "change it in the configuration"
    if legal and isinstance(value, str):
        with contextlib.suppress(ValueError):
            float(value)
            remedy = "write it without quotes and with a point, as in 1.0e-3, because YAML reads this as text"
    raise ConfigError(prefix + name, got=repr(value), expected=describe(spec), remedy=remedy)


def nearest(name: str, valid: Sequence[str]) -> str:
    """The valid name that is closest to `name`, for error messages."""
    matches = difflib.get_close_matches(name, valid, n=1, cutoff=0.0)
    return matches[0] if matches else ""


@dataclass(frozen=True)
class Settings:
    """Base of every section: checks each field against the table when it is made."""

    def __post_init__(self) -> None:
        for spec in fields(self):
            if "legal" in spec.metadata:
                value = check_value(type(self), spec.name, getattr(self, spec.name), f"{self.section()}.")
                object.__setattr__(self, spec.name, value)

    @classmethod
    def section(cls) -> str:
        """The name of this section in the YAML file."""
        return cls.__name__.removesuffix("Settings").lower()

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Build the section from a YAML mapping; an unknown key names the nearest valid one."""
        valid = [spec.name for spec in fields(cls)]
        for key in values:
            if key not in valid:
                raise ConfigError(
                    f"unknown key {cls.section()}.{key}",
                    remedy=f"the nearest valid key is {cls.section()}.{nearest(str(key), valid)}",
                )
        return cls(**values)


DATASETS = ("digits", "digit_pairs", "cifar", "folders", "parquet", "csv")


@dataclass(frozen=True)
class DataSettings(Settings):
    dataset: str = setting("digits", words=DATASETS, doc="which images, or in which layout `data.path` holds them")
    path: str = setting("", doc="the folder or file of the images; digits and digit_pairs need none")
    test_path: str = setting("", doc="the test images, where they lie apart; empty: found beside the training images")
    test_fraction: float = setting(0.2, "[0, 0.9]", doc="share of each class held out as test set where none is given")
    image_size: int | str = setting(
        "auto", "[8, 4096]", words=("auto",), doc="images become squares of this side; auto: the first one's own shape"
    )
    label_column: str = setting("auto", words=("auto", "label", "labels"), doc="auto: `labels` before `label`")
    on_duplicate_id: str = setting("error", words=("error", "suffix"), doc="suffix: a repeated id gets #2, #3, ...")
    val_fraction: float = setting(0.1, "[0, 0.5]", doc="share of each class held out of training, by a hash of the id")


@dataclass(frozen=True)
class EncoderSettings(Settings):
    name: str = setting(
        "lenet5", doc="lenet5, resnet18 (CIFAR's), efficientnet_lite0, timm:<model> or module:Class of your own"
    )
    weights: str = setting("", doc="a weights file, or pretrained; empty: initial weights from the seed")
    frozen: bool = setting(False, doc="true: the encoder stays as it is, heads are trained on the feature table alone")


@dataclass(frozen=True)
class OptimiserSettings(Settings):
    """Shared by every training stage: SGD with Nesterov momentum, cosine schedule with a linear warm-up."""

    epochs: int = setting(10, "[1, 100000]", doc="passes over the training images")
    batch_size: int = setting(128, "[1, 65536]", doc="images in a global batch, over all workers")
    lr: float = setting(0.05, "(0, 10]", doc="largest learning rate")
    momentum: float = setting(0.9, "[0, 1)", doc="Nesterov momentum")
    weight_decay: float = setting(5e-4, "[0, 1]", doc="L2 penalty")
    warmup_epochs: float = setting(1.0, "[0, 1000]", doc="epochs of linear warm-up")
    label_smoothing: float = setting(0.0, "[0, 1)", doc="uniform label smoothing")
    augmentation: str = setting("none", words=("none", "crop_flip"), doc="crop_flip suits natural images, not digits")


@dataclass(frozen=True)
class PretrainSettings(OptimiserSettings):
    """Stage 0: classification training of the encoder that makes the features to cluster."""

    epochs: int = setting(10, "[0, 100000]", doc="passes over the training images; 0 leaves the encoder as it is")


@dataclass(frozen=True)
class FeaturesSettings(Settings):
    path: str = setting("", doc="your own vectors: Parquet of id, vector and label or labels; empty: the encoder's")
    batch_size: int = setting(32, "[1, 65536]", doc="images in one encoder call, a fixed range of the dense index")


@dataclass(frozen=True)
class ClusterSettings(Settings):
    algorithm: str = setting(
        "spherical", words=("spherical", "fuzzy", "kmeans"), doc="spherical or Fuzzy ART; kmeans on the sphere"
    )
    n_patterns: int | str = setting("auto", "[1, 1000000]", words=("auto",), doc="patterns aimed at")
    vigilance: float | str = setting("auto", "[0, 1]", words=("auto",), doc="rho; auto: bisected for n_patterns")
    shards: int = setting(4, "[1, 65536]", doc="virtual shards; part of the result, unlike the number of actors")
    learn_rows: int = setting(20000, "[1, 1000000]", doc="R, the rows learnt in all; the others are assigned")
    recentre: int | str = setting(
        "auto", "[0, 100]", words=("auto",), doc="passes that move each pattern to its rows' mean; auto: 4, fuzzy 0"
    )
    min_size: int = setting(3, "[1, 1000000]", doc="smaller patterns are dissolved; fuzzy: only where re-centred")
    choice: float = setting(0.01, "(0, 10]", doc="alpha of Fuzzy ART")
    learning_rate: float = setting(0.5, "(0, 1]", doc="beta of Fuzzy ART in the shards; the merge uses 1")
    adaptation: str = setting(
        "none", words=("none", "am", "cm", "hi"), doc="how fuzzy vigilances adapt while shards learn (Meng et al. 2015)"
    )
    scaling: str = setting(
        "min_max", words=("min_max", "clipped_min_max"), doc="of fuzzy rows; clipped: at the quantiles 1 and 99 %"
    )
    kmeans_start: str = setting("art", words=("art", "random"), doc="from which prototypes kmeans starts")
    shard_tightening: float = setting(0.2, "[0, 1]", doc="lambda_s: shards learn at rho + lambda_s (1 - rho)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vigilance != "auto" and self.n_patterns != "auto":
            raise ConfigError(
                "cluster.vigilance and cluster.n_patterns",
                got=f"{self.vigilance} and {self.n_patterns}",
                expected="at most one of them, because each decides the other",
                remedy="set one of them to auto",
            )
        if self.vigilance != "auto" and self.algorithm == "kmeans":
            raise ConfigError(
                "cluster.vigilance with cluster.algorithm kmeans",
                got=str(self.vigilance),
                expected="auto, because k-means has no vigilance",
                remedy="set cluster.n_patterns",
            )


@dataclass(frozen=True)
class GraphSettings(Settings):
    dominance_threshold: float = setting(0.6, "[0, 1)", doc="rho_2: a class with a larger share dominates a pattern")
    difficulty_threshold: float = setting(0.9, "[0, 1)", doc="rho_1 of eq. 7")


POSITIVE_STRATEGIES = ("dominant_far_half", "dominant_far")
NEGATIVE_STRATEGIES = ("same_then_nearest", "nearest_dominated")


@dataclass(frozen=True)
class SamplingSettings(Settings):
    positives: str = setting("dominant_far_half", words=POSITIVE_STRATEGIES, doc="dominant_far is eq. 5 verbatim")
    negatives: str = setting("same_then_nearest", words=NEGATIVE_STRATEGIES, doc="nearest_dominated is eq. 6 verbatim")
    n_positives: int = setting(10, "[1, 1000]", doc="n, positives of an anchor")
    n_negatives: int = setting(10, "[1, 1000]", doc="m, negatives of an anchor")
    pool: int = setting(40, "[1, 100000]", doc="candidates kept for each anchor, from which every epoch draws anew")


@dataclass(frozen=True)
class MethodSettings(Settings):
    reading: str = setting("structural", words=("structural", "paper"), doc="structural is leak-free; paper: verbatim")
    prototypes: int = setting(8, "[1, 1000]", doc="nearest pattern prototypes that enter the graph head (structural)")
    weight_plain: float = setting(1.0, "[0, 100]", doc="weight of the plain head's cross-entropy")
    weight_graph: float = setting(0.5, "[0, 100]", doc="weight of the graph head's cross-entropy")
    weight_negative: float = setting(0.17, "[0, 100]", doc="weight of the negative-sampling term (eq. 14)")
    weight_inter_class: float = setting(0.17, "[0, 100]", doc="weight of the inter-class term (eq. 16)")
    weight_attract: float = setting(0.0, "[0, 100]", doc="weight of the attraction to positives; 0 leaves it out")


@dataclass(frozen=True)
class TrainSettings(OptimiserSettings):
    epochs: int = setting(20, "[1, 100000]", doc="passes over the training images after stage 0")


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    bootstrap_samples: int = setting(10000, "[100, 10000000]", doc="resamples of the paired 95 % interval")
