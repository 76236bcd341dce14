"""From a run directory's artefacts to a training: model, method, data and sampler of a role.

A role is a training stage: `pretrain` (stage 0), `train` (the method) or `control`. Nothing here knows a cluster or a
database: with the artefacts of a run at hand, `train_alone` trains in this process with the plain sampler, and draws
the samples that Ray's workers would draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.collective import Collective
from csrms_dist.datasets.image_table import ImageTable
from csrms_dist.encoders import Normaliser, load_initial_weights, normalisation
from csrms_dist.encoders.given import GivenFeatures
from csrms_dist.encoders.settings import EncoderSettings
from csrms_dist.features.feature_table import FeatureTable
from csrms_dist.hierarchy import snapshot
from csrms_dist.losses.classification import prior_logits
from csrms_dist.methods.csrms.method import CSRMS, CSRMSModel
from csrms_dist.methods.csrms.settings import MethodSettings
from csrms_dist.methods.plain import PlainMethod, PlainModel
from csrms_dist.methods.protocol import Method
from csrms_dist.methods.saved_model import ModelCard, make_model, read_weights
from csrms_dist.models.feature_bank import FeatureBank
from csrms_dist.sampling import NEGATIVE, POSITIVE, Candidates, ReferenceSampler, load_candidates
from csrms_dist.sampling.protocol import Sampler
from csrms_dist.sampling.settings import SamplingSettings
from csrms_dist.training.inputs import FeatureInputs, ImageInputs
from csrms_dist.training.loop import TrainingData
from csrms_dist.training.settings import OptimiserSettings, PretrainSettings, TrainSettings

SamplerType = Callable[[Mapping[str, Candidates], Mapping[str, int], int], Sampler]


@dataclass(frozen=True)
class Recipe:
    """What decides a training beside the artefacts."""

    seed: int = 0
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    pretrain: PretrainSettings = field(default_factory=PretrainSettings)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    method: MethodSettings = field(default_factory=MethodSettings)
    train: TrainSettings = field(default_factory=TrainSettings)


@dataclass(frozen=True)
class Training:
    """Everything that `training.loop.fit` needs."""

    method: Method
    data: TrainingData
    optimiser: OptimiserSettings
    sampler: Sampler | None


def model_card(run: RunDirectory, recipe: Recipe, *, reading: str = "") -> ModelCard:
    """The card of a model for this run's images."""
    facts = run.facts("images")
    table = ImageTable(run.open("images") / "train.arrow")
    mean, std = normalisation(recipe.encoder, facts["mean"], facts["std"])
    return ModelCard(
        encoder=recipe.encoder.name,
        image_shape=table.shape,
        mean=tuple(mean),
        std=tuple(std),
        class_names=table.label_space.class_names,
        reading=reading,
        prototypes=recipe.method.prototypes,
        n_positives=recipe.sampling.n_positives,
        multi_label=table.label_space.multi_label,
    )


def initial_model(run: RunDirectory, recipe: Recipe) -> PlainModel:
    """Stage 0's model before its training: the encoder's initial weights are the seed's, a file's or pretrained."""
    model = make_model(model_card(run, recipe), recipe.seed)
    if not isinstance(model, PlainModel):
        raise TypeError("a card without a reading makes a plain model")
    load_initial_weights(model.encoder, recipe.encoder)
    _start_at_prior(model.plain_head, run)
    return model


def _start_at_prior(head: nn.Linear, run: RunDirectory) -> None:
    """With several labels a fresh head starts at the frequency of each class in training."""
    table = ImageTable(run.open("images") / "train.arrow")
    if table.label_space.multi_label:
        membership = table.membership[table.indices("train")]
        counts = torch.from_numpy(np.bincount(membership.indices, minlength=membership.shape[1]))
        with torch.no_grad():
            head.bias.copy_(prior_logits(counts, membership.shape[0]))


def trained_model(run: RunDirectory, recipe: Recipe, reading: str) -> PlainModel | CSRMSModel:
    """The method's or (reading '') the control's model with stage 0's weights.

    With `encoder.frozen` its encoder is `GivenFeatures`, and only heads are trained.
    """
    card, weights = model_card(run, recipe, reading=reading), read_weights(run.open("pretrain"))
    encoder = None
    if recipe.encoder.frozen:
        encoder = GivenFeatures(int(run.facts("features")["dimension"]))
        weights = {name: value for name, value in weights.items() if not name.startswith("encoder.")}
    model = make_model(card, recipe.seed, encoder)
    model.load_state_dict(weights, strict=not reading)
    if isinstance(model, CSRMSModel):
        _start_at_prior(model.graph_head.classifier, run)
    return model


def whole_state(run: RunDirectory, recipe: Recipe, trained: dict[str, Tensor]) -> dict[str, Tensor]:
    """A trained model's weights; with `encoder.frozen` stage 0's encoder is added to the trained heads."""
    if not recipe.encoder.frozen:
        return trained
    weights = read_weights(run.open("pretrain"))
    return trained | {name: value for name, value in weights.items() if name.startswith("encoder.")}


def training_data(run: RunDirectory, recipe: Recipe, optimiser: OptimiserSettings, *, images: bool) -> TrainingData:
    """The rows of the train split: their images, or the feature table's vectors."""
    if not images:
        features = FeatureTable.load(run.open("features"))
        return TrainingData(FeatureInputs(features.vectors), features.membership)
    card = model_card(run, recipe)
    table = ImageTable(run.open("images") / "train.arrow")
    indices = table.indices("train")
    normalise = Normaliser(card.mean, card.std)
    inputs = ImageInputs(table, indices, normalise, optimiser.augmentation, recipe.seed)
    return TrainingData(inputs, table.membership[indices])


def assemble(
    role: str,
    run: RunDirectory,
    recipe: Recipe,
    collective: Collective,
    *,
    work: Path | None = None,
    sampler_type: SamplerType = ReferenceSampler,
) -> Training:
    """The training of a role from the artefacts that its stage requires.

    work: a folder for the feature bank's generations, equal for all workers; None keeps the bank in memory.
    """
    optimiser = recipe.pretrain if role == "pretrain" else recipe.train
    frozen = recipe.encoder.frozen and role != "pretrain"
    data = training_data(run, recipe, optimiser, images=not frozen)
    if role != "train":
        first = role == "pretrain"
        model = initial_model(run, recipe) if first else trained_model(run, recipe, "")
        several = ImageTable(run.open("images") / "train.arrow").label_space.multi_label
        labels_per_image = data.membership.nnz / len(data) if several else None
        weight = 1.0 if first else recipe.method.weight_plain
        if not isinstance(model, PlainModel):
            raise TypeError("a card without a reading makes a plain model")
        plain = PlainMethod(
            model, weight=weight, label_smoothing=optimiser.label_smoothing, labels_per_image=labels_per_image
        )
        return Training(plain, data, optimiser, None)
    model = trained_model(run, recipe, recipe.method.reading)
    if not isinstance(model, CSRMSModel):
        raise TypeError("a card with a reading makes a CSRMS model")
    bank = FeatureBank(
        FeatureTable.load(run.open("features")).vectors, work, rank=collective.rank, fixed=recipe.encoder.frozen
    )
    method = CSRMS(
        model,
        snapshot.load(run.open("graph") / "snapshot"),
        bank,
        recipe.method,
        n_positives=recipe.sampling.n_positives,
        n_negatives=recipe.sampling.n_negatives,
        label_smoothing=recipe.train.label_smoothing,
    )
    sizes = {POSITIVE: recipe.sampling.n_positives, NEGATIVE: recipe.sampling.n_negatives}
    used = {kind: sizes[kind] for kind in method.edge_types}
    sampler = sampler_type(load_candidates(run.open("candidates"), used), used, recipe.seed) if used else None
    return Training(method, data, optimiser, sampler)
