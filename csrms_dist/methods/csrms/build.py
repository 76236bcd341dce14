"""From a hierarchy to CSRMS ready to be trained, and from its trained state to what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from csrms_dist.artefacts.files import link_or_copy
from csrms_dist.artefacts.names import REFRESHED
from csrms_dist.basics.lookup import chosen
from csrms_dist.errors import ConfigError
from csrms_dist.hierarchy.difficulty import difficulty_levels
from csrms_dist.hierarchy.graph import HierarchyGraph
from csrms_dist.losses.classification import Classification
from csrms_dist.losses.term import Term
from csrms_dist.methods.csrms.curriculum import CURRICULA
from csrms_dist.methods.csrms.curriculum.weights import AnchorWeights
from csrms_dist.methods.csrms.encoding import ENCODINGS
from csrms_dist.methods.csrms.method import CSRMS
from csrms_dist.methods.csrms.model import PROTOTYPES, CSRMSModel
from csrms_dist.methods.csrms.readings.reading import Reading
from csrms_dist.methods.csrms.refresh import Refresh, Refreshing, Renewed, keep_refreshed
from csrms_dist.methods.csrms.relations import Relations
from csrms_dist.methods.csrms.settings import CSRMSSettings
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.protocol import Built, Structure, Task
from csrms_dist.models.alignment.label_prototypes import LabelPrototypes
from csrms_dist.models.feature_bank import BANK, FeatureBank, generation_file
from csrms_dist.sampling.candidates import Candidates
from csrms_dist.sampling.protocol import ClassAwareSampling, Sampler
from csrms_dist.sampling.subgraph import NEGATIVE, POSITIVE


def build(model: PlainModel, structure: Structure, task: Task) -> Built:
    """CSRMS on a hierarchy, and the sampler of the edges that its terms and its reading look at."""
    settings, sampling = task.settings, task.sampling
    if not isinstance(model, CSRMSModel) or not isinstance(settings, CSRMSSettings):
        raise TypeError("CSRMS is built of its own model and its own settings")
    bank = FeatureBank(structure.vectors, task.work, rank=task.rank, fixed=task.frozen, device=task.device)
    sizes = {POSITIVE: sampling.n_positives, NEGATIVE: sampling.n_negatives}
    used = {kind: sizes[kind] for kind in settings.edge_types()}
    terms = make_terms(settings, model.reading, task.label_smoothing, task.labels_per_image, task.loss)

    def relations_of(graph: HierarchyGraph) -> Relations:
        found = model.relations(graph, bank)
        if any(term.label_prototypes for term in terms.values()):
            found.aim(LabelPrototypes(graph))
        return found

    relations = relations_of(structure.hierarchy)
    anchors = anchor_weights(settings, structure.hierarchy, task.graph.difficulty_threshold)
    everything = settings.curriculum_on == "everything"
    encoding = chosen(ENCODINGS, settings.encoding, "method.encoding")()
    method = CSRMS(
        model, relations, terms, settings.weights(), used, task.labels_per_image, anchors, everything, encoding
    )

    def sampler_of(graph: HierarchyGraph, candidates: Mapping[str, Candidates]) -> Sampler:
        sampler = task.sampler_type(candidates, used, task.seed, graph)
        return ClassAwareSampling(sampler) if model.reading.class_aware else sampler

    sampler = sampler_of(structure.hierarchy, structure.candidates(tuple(used))) if used else None
    if not settings.refresh:
        return Built(method, sampler)
    if bank.fixed:
        raise ConfigError(
            "method.refresh", got=f"{settings.refresh} with features that training does not change",
            expected="0, because the patterns would be the same again", remedy="set it to 0, or train the encoder",
        )  # fmt: skip
    renewed = Renewed(sampler) if sampler is not None else None
    refresh = Refresh(
        settings.refresh, structure.ids, structure.hierarchy, task.cluster, sampling, tuple(used), task.rank, task.work
    )

    def renew(graph: HierarchyGraph, candidates: Mapping[str, Candidates]) -> None:
        method.relations = relations_of(graph)
        method.anchors = anchor_weights(settings, graph, task.graph.difficulty_threshold)
        if renewed is not None:
            renewed.current = sampler_of(graph, candidates)

    method.refreshing = Refreshing(refresh, renew)
    return Built(method, renewed)


def anchor_weights(
    settings: CSRMSSettings, hierarchy: HierarchyGraph, difficulty_threshold: float
) -> AnchorWeights | None:
    """The curriculum that the settings name, on this hierarchy."""
    if settings.curriculum == "none":
        return None
    curriculum = chosen(CURRICULA, settings.curriculum, "method.curriculum")
    return AnchorWeights(difficulty_levels(hierarchy, difficulty_threshold, settings.difficulty).level, curriculum)


def make_terms(
    settings: CSRMSSettings,
    reading: Reading,
    label_smoothing: float,
    labels_per_image: float | None,
    loss: str = "auto",
) -> dict[str, Term]:
    """The loss terms whose weight is above 0, in the forms that were chosen, else in the reading's."""
    made: dict[str, Term] = {}
    chosen_forms = settings.forms()
    for name, kind in settings.term_classes().items():
        options = dict(reading.forms.get(name, {}))
        if name in chosen_forms:
            options["form"] = chosen_forms[name]
        if issubclass(kind, Classification):
            options |= {"label_smoothing": label_smoothing, "labels_per_image": labels_per_image, "loss": loss}
        made[name] = kind(**options)
    return made


def keep(folder: Path, state: dict[str, Any], work: Path) -> None:
    """Write prototypes.npy (J, D) of a trained state and the feature bank (N, D) that they are means of; of an
    alignment that looks up something beside them, that too (`CSRMSModel.load_beside`).

    A bank that was never written to is the feature table, and no copy of it is made.
    """
    np.save(folder / PROTOTYPES, state["prototypes"].cpu().numpy())
    for name, values in state["beside"].items():
        np.save(folder / f"{name}.npy", values.cpu().numpy())
    bank = generation_file(work, state["bank"]["generation"])
    if bank.exists():
        link_or_copy(bank, folder / BANK)
    keep_refreshed(work, folder / REFRESHED)
