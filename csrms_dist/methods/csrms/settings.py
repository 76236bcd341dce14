"""The section `method` of CSRMS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass
from typing import TYPE_CHECKING, Any

from csrms_dist.basics.lookup import check, chosen, resolve
from csrms_dist.basics.settings import setting
from csrms_dist.errors import ConfigError
from csrms_dist.hierarchy.settings import DIFFICULTY_RULES
from csrms_dist.losses.terms import PLACES, TERMS
from csrms_dist.methods.csrms.curriculum import CURRICULA
from csrms_dist.methods.csrms.encoding import ENCODINGS
from csrms_dist.methods.csrms.readings import READINGS
from csrms_dist.methods.settings import MethodSettings
from csrms_dist.models.alignment import ALIGNMENTS
from csrms_dist.models.smoothing import ADJACENCIES, NORMALISATIONS, SMOOTHERS
from csrms_dist.sampling.settings import SamplingSettings

if TYPE_CHECKING:
    from csrms_dist.losses.term import Term


AUTO = "auto"
"""As the reading does."""

FOUND, PERMUTED = "found", "permuted"

GRAPH_HEAD = 3
"""Raised when a graph head answers otherwise from the same weights: models of an older one are refused."""


@dataclass(frozen=True)
class _BesideWeights(MethodSettings):
    """The keys that stand beside the weights of the loss terms."""

    reading: str = setting(
        "structural",
        words=READINGS,
        own="csrms_dist.methods.csrms.readings.reading:KIND",
        doc="structural is leak-free; paper: verbatim; reference: the released code",
    )
    prototypes: int = setting(8, "[1, 1000]", doc="nearest pattern prototypes that enter the graph head (structural)")
    smoother: str = setting(
        AUTO,
        words=(AUTO, *SMOOTHERS),
        own="csrms_dist.models.smoothing.smoother:KIND",
        doc="how the graph head smooths; auto: as the reading does",
    )
    adjacency: str = setting(AUTO, words=(AUTO, *ADJACENCIES), doc="who is linked to whom in an anchor's graph")
    normalisation: str = setting(
        AUTO, words=(AUTO, *NORMALISATIONS), doc="weights of the links: D^-1 A, D^-1/2 A D^-1/2, or rows of length 1"
    )
    alignment: str = setting(
        AUTO,
        words=(AUTO, *ALIGNMENTS),
        doc="alignment with prototypes (eq. 11-12); paper and reference choose them by the label, which leaks",
    )
    encoding: str = setting(
        "bank",
        words=ENCODINGS,
        own="csrms_dist.methods.csrms.encoding.encoding:KIND",
        doc="features of neighbours: one epoch old, or encoded in the step, each image once or as often as it is drawn",
    )
    structure: str = setting(
        FOUND,
        words=(FOUND, PERMUTED),
        doc="permuted: images in patterns by chance, of the same sizes: the control without structure",
    )
    refresh: int = setting(
        0, "[0, 100000]", doc="after so many epochs, patterns and candidates anew from the trained features; 0 never"
    )
    curriculum: str = setting(
        "none",
        words=("none", *CURRICULA),
        own="csrms_dist.methods.csrms.curriculum.weights:KIND",
        doc="from easy anchors to hard ones in the relation terms (eq. 7-8)",
    )
    curriculum_on: str = setting(
        "relations", words=("relations", "everything"), doc="everything: it weighs the classification losses too"
    )
    difficulty: str = setting(
        "shares", words=DIFFICULTY_RULES, doc="of the curriculum; shares is eq. 7, with graph's rho_1"
    )
    terms: Mapping[str, float] = setting(
        {}, "[0, 100]", own="csrms_dist.losses.term:KIND", doc="loss terms of your own and their weights"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.refresh and self.structure == PERMUTED:
            raise ConfigError(
                "method.refresh", got=f"{self.refresh} with method.structure=permuted",
                expected="0, because patterns that are found anew have structure again", remedy="set it to 0",
            )  # fmt: skip

    @classmethod
    def recipes(cls) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
        return {f"reading: {name}": resolve(place).recipe for name, place in READINGS.items()}

    @classmethod
    def recipe(cls, given: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
        reading = given.get("reading", "structural")
        found: Mapping[str, Mapping[str, Any]] = {}
        if isinstance(reading, str) and (reading in READINGS or ":" in reading):
            if reading not in READINGS:
                check(reading, "method.reading", "csrms_dist.methods.csrms.readings.reading:KIND")
            found = chosen(READINGS, reading, "method.reading").recipe
        return found

    def weights(self) -> dict[str, float]:
        """The weight of each loss term, by name."""
        return {name: float(getattr(self, f"weight_{name}")) for name in TERMS} | dict(self.terms)

    def term_classes(self) -> dict[str, type[Term]]:
        """The classes of the terms whose weight is above 0, by name."""
        return {name: chosen(PLACES, name, "method.terms") for name, weight in self.weights().items() if weight > 0}

    def forms(self) -> dict[str, str]:
        """The form of each loss term for which one was chosen; the others have the reading's."""
        chosen_forms = {name: str(getattr(self, f"form_{name}")) for name, entry in TERMS.items() if entry.forms}
        return {name: form for name, form in chosen_forms.items() if form != "auto"}

    def packages(self) -> tuple[str, ...]:
        return tuple(sorted({name for term in self.term_classes().values() for name in term.packages}))

    def edge_types(self) -> tuple[str, ...]:
        from csrms_dist.sampling.subgraph import NEGATIVE, POSITIVE

        wanted = set(chosen(READINGS, self.reading, "method.reading").edge_types)
        for term in self.term_classes().values():
            wanted.update(term.edge_types)
        if strange := sorted(wanted - {POSITIVE, NEGATIVE}):
            raise ConfigError(
                "method.terms: edge types", got=", ".join(strange), expected=f"{POSITIVE} or {NEGATIVE}",
                remedy="correct its edge_types",
            )  # fmt: skip
        return tuple(kind for kind in (POSITIVE, NEGATIVE) if kind in wanted)

    def model_options(self, sampling: SamplingSettings) -> dict[str, Any]:
        return {
            "graph_head": GRAPH_HEAD,
            "reading": self.reading,
            "prototypes": self.prototypes,
            "smoother": self.smoother,
            "adjacency": self.adjacency,
            "normalisation": self.normalisation,
            "alignment": self.alignment,
            "n_positives": sampling.n_positives,
        }

    def encodings(self, sampling: SamplingSettings) -> int:
        sizes = {"positive": sampling.n_positives, "negative": sampling.n_negatives}
        return 1 if self.encoding == "bank" else 1 + sum(sizes[kind] for kind in self.edge_types())

    def control_weight(self) -> float:
        return self.weights()["plain"]

    def plain_head_alone(self, frozen: bool) -> bool:
        # On features that stay as they are most of our terms move the graph head alone; a user's own may do anything,
        # and a curriculum on everything weighs the plain head's loss too.
        beside = [name for name, entry in TERMS.items() if entry.moves_plain_head and name != "plain"]
        others = [*self.terms.values(), *(self.weights()[name] for name in beside)]
        weighed = self.curriculum != "none" and self.curriculum_on == "everything"
        return frozen and self.control_weight() > 0 and not weighed and not any(others)

    def check_control(self) -> None:
        if self.control_weight() == 0:
            raise ConfigError(
                "method.weight_plain",
                got="0",
                expected="more than 0, because the control trains with it",
                remedy="raise it or leave the control out with --no-control",
            )

    def permutes_patterns(self) -> bool:
        return self.structure == PERMUTED

    def reported(self) -> dict[str, Any]:
        permuted = {"structure": self.structure} if self.permutes_patterns() else {}
        return {"reading": self.reading, "weights": self.weights(), **permuted}


if TYPE_CHECKING:

    @dataclass(frozen=True)
    class CSRMSSettings(_BesideWeights):
        """The section `method` of CSRMS, with a weight for each entry of TERMS."""

        def __init__(self, **values: Any) -> None: ...

else:
    CSRMSSettings = make_dataclass(
        "CSRMSSettings",
        [
            (f"weight_{name}", "float", setting(entry.weight, "[0, 100]", doc=f"weight of {entry.doc}"))
            for name, entry in TERMS.items()
        ]
        + [
            (
                f"form_{name}",
                "str",
                setting("auto", words=("auto", *entry.forms), doc=f"of {entry.doc}; auto: the reading's"),
            )
            for name, entry in TERMS.items()
            if entry.forms
        ],
        bases=(_BesideWeights,),
        frozen=True,
        namespace={"__doc__": "The section `method` of CSRMS, with a weight for each entry of TERMS."},
    )
    CSRMSSettings.__module__ = __name__
