"""The section `cluster`, and the algorithms that it names."""

from __future__ import annotations

from dataclasses import dataclass

from csrms_dist.basics.lookup import chosen
from csrms_dist.basics.settings import Settings, setting
from csrms_dist.errors import ConfigError

#: The algorithms: the `Algorithm` of each name.
ALGORITHMS = {
    "spherical": "csrms_dist.art.spherical.learner:Spherical",
    "fuzzy": "csrms_dist.art.fuzzy.learner:Fuzzy",
    "kmeans": "csrms_dist.art.spherical.learner:KMeans",
}

#: How vigilances of Fuzzy ART adapt: which rules of `fuzzy.kernels` change them after a row.
ADAPTATIONS = {
    "am": "csrms_dist.art.fuzzy.kernels:RESET",
    "cm": "csrms_dist.art.fuzzy.kernels:RAISE",
    "hi": "csrms_dist.art.fuzzy.kernels:RESET_AND_RAISE",
}


@dataclass(frozen=True)
class ClusterSettings(Settings):
    algorithm: str = setting(
        "spherical",
        words=tuple(ALGORITHMS),
        own="csrms_dist.art.algorithm:KIND",
        doc="spherical or Fuzzy ART; kmeans on the sphere",
    )
    n_patterns: int | str = setting(
        "auto", "[1, 1000000]", words=("auto",), doc="patterns aimed at; auto: where the data has no grain of its own"
    )
    vigilance: float | str = setting(
        "auto", "[0, 1]", words=("auto",), doc="rho; auto: the data's own grain, else searched for n_patterns"
    )
    shards: int = setting(4, "[1, 65536]", doc="virtual shards; part of the result, unlike the number of actors")
    learn_rows: int = setting(20000, "[1, 1000000]", doc="R, the rows learnt in all; the others are assigned")
    recentre: int | str = setting(
        "auto", "[0, 100]", words=("auto",), doc="passes that move each pattern to its rows' mean; auto: 4, fuzzy 0"
    )
    min_size: int = setting(3, "[1, 1000000]", doc="smaller patterns are dissolved; fuzzy: only where re-centred")
    choice: float = setting(0.01, "(0, 10]", doc="alpha of Fuzzy ART")
    learning_rate: float = setting(0.5, "(0, 1]", doc="beta of Fuzzy ART in the shards; the merge uses 1")
    adaptation: str = setting(
        "none", words=("none", *ADAPTATIONS), doc="how fuzzy vigilances adapt while shards learn (Meng et al. 2015)"
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
        if self.vigilance != "auto" and chosen(ALGORITHMS, self.algorithm, "cluster.algorithm")().kmeans(self):
            raise ConfigError(
                f"cluster.vigilance with cluster.algorithm {self.algorithm}",
                got=str(self.vigilance),
                expected="auto, because k-means has no vigilance",
                remedy="set cluster.n_patterns",
            )
