"""From a run's contents to a training: model, method, data and sampler of a role.

A role is a training stage: `pretrain` (stage 0), `train` (the method) or `control`. Nothing here knows a method, a
cluster or a database.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from csrms_dist.basics.arrays import I64
from csrms_dist.basics.collective import Collective
from csrms_dist.encoders import Encoder, Normaliser, load_initial_weights, normalisation
from csrms_dist.encoders.given import GivenFeatures
from csrms_dist.labels import Membership, membership_from_csr
from csrms_dist.losses.classification import check_loss, prior_logits
from csrms_dist.methods.known import part
from csrms_dist.methods.model import PlainModel
from csrms_dist.methods.protocol import Method, Structure, Task
from csrms_dist.methods.saved_model import OF_ENCODER, ModelCard, make_model, read_weights
from csrms_dist.models.adapter import AdaptedEncoder
from csrms_dist.run_contents import RunContents
from csrms_dist.sampling.protocol import Sampler, SamplerType
from csrms_dist.sampling.reference_sampler import ReferenceSampler
from csrms_dist.sampling.subgraph import NEGATIVE, POSITIVE
from csrms_dist.training.adapted_structure import AdaptedStructure
from csrms_dist.training.batches import TrainingData
from csrms_dist.training.inputs import FeatureInputs, ImageInputs
from csrms_dist.training.orders.ground import Ground, Order
from csrms_dist.training.placement import CPU, Placement
from csrms_dist.training.recipe import PRETRAIN, TRAIN, Recipe
from csrms_dist.training.settings import OptimiserSettings
from csrms_dist.training.structure import structure_of


@dataclass(frozen=True)
class Training:
    """Everything that `training.loop.fit` needs."""

    method: Method
    data: TrainingData
    optimiser: OptimiserSettings
    sampler: Sampler | None
    placement: Placement
    order: Order


def model_card(run: RunContents, recipe: Recipe, role: str = PRETRAIN) -> ModelCard:
    """The card of a role's model for this run's images."""
    facts, table = run.facts("images"), run.train_images
    mean, std = normalisation(recipe.encoder, facts["mean"], facts["std"])
    return ModelCard(
        encoder=recipe.encoder.name,
        image_shape=table.shape,
        mean=tuple(mean),
        std=tuple(std),
        class_names=table.label_space.class_names,
        method=recipe.spec(role)[0],
        options=recipe.method.model_options(recipe.sampling) if role == TRAIN else {},
        multi_label=table.label_space.multi_label,
        adapter=recipe.adapter(role),
    )


def initial_model(run: RunContents, recipe: Recipe) -> PlainModel:
    """Stage 0's model before its training: the encoder's initial weights are the seed's, a file's or pretrained."""
    model = _fresh(run, recipe, PRETRAIN, None)
    load_initial_weights(model.encoder, recipe.encoder)
    return model


def _fresh(run: RunContents, recipe: Recipe, role: str, encoder: Encoder | None) -> PlainModel:
    """A role's model; with several labels its heads start at the frequency of each class in training."""
    model = make_model(model_card(run, recipe, role), recipe.seed, encoder)
    table = run.train_images
    if table.label_space.multi_label:
        membership = table.membership[table.indices("train")]
        counts = torch.from_numpy(np.bincount(membership.indices, minlength=membership.shape[1]))
        with torch.no_grad():
            for head in model.classifiers():
                head.bias.copy_(prior_logits(counts, membership.shape[0]))
    return model


def trained_model(run: RunContents, recipe: Recipe, role: str) -> PlainModel:
    """The method's or the control's model with stage 0's weights; what stage 0 has not trained is fresh.

    With `encoder.frozen` its encoder is `GivenFeatures`, and only heads are trained, or an adapter and heads of another
    width than stage 0's.
    """
    weights, encoder = read_weights(run.artefact(PRETRAIN)), None
    if recipe.encoder.frozen:
        encoder, weights = GivenFeatures(int(run.facts("features")["dimension"])), {}  # heads are the seed's
    model = _fresh(run, recipe, role, encoder)
    unknown = model.load_state_dict(weights, strict=False).unexpected_keys
    if unknown:
        raise ValueError(f"stage 0 has trained {', '.join(unknown)}, which the model of {role} has no place for")
    return model


def stage_0_state(run: RunContents, recipe: Recipe, trained: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of stage 0's plain model: what its objective has trained of it, the rest fresh."""
    fresh = _fresh(run, recipe, PRETRAIN, None).state_dict()
    return {name: trained.get(name, value) for name, value in fresh.items()}


def whole_state(run: RunContents, recipe: Recipe, trained: dict[str, Tensor]) -> dict[str, Tensor]:
    """A trained model's weights; with `encoder.frozen` stage 0's encoder is added to the trained heads."""
    if not recipe.encoder.frozen:
        return trained
    weights, prefix = read_weights(run.artefact(PRETRAIN)), model_card(run, recipe, TRAIN).base_prefix
    return trained | {
        prefix + name.removeprefix(OF_ENCODER): value for name, value in weights.items() if name.startswith(OF_ENCODER)
    }


def training_data(run: RunContents, recipe: Recipe, role: str) -> TrainingData:
    """The images of a role's rows, or the vectors of a frozen encoder; without any label where a role reads none."""
    if recipe.encoder.frozen and role != PRETRAIN:
        features = run.features_by_row
        return TrainingData(FeatureInputs(features.vectors), features.membership)
    card, table = model_card(run, recipe), run.train_images
    indices, settings = image_rows(run, recipe, role), recipe.optimiser(role)
    inputs = ImageInputs(
        table, indices, Normaliser(card.mean, card.std), settings.augmentation, recipe.seed, settings.random_erasing
    )
    if role == PRETRAIN and recipe.pretrain.without_labels:
        nothing = np.zeros(len(indices) + 1, np.int64), np.zeros(0, np.int64)
        return TrainingData(inputs, membership_from_csr(*nothing, 0))
    return TrainingData(inputs, table.membership[indices])


def image_rows(run: RunContents, recipe: Recipe, role: str) -> I64:
    """Dense indices of the images that a role learns from: of the train split, and where no label is read of the
    unlabelled one too."""
    table = run.train_images
    found = table.indices("train")
    if role == PRETRAIN and recipe.pretrain.without_labels:
        found = np.sort(np.concatenate([found, table.indices("unlabelled")]))
    return found


def check_losses(recipe: Recipe, several: bool) -> None:
    """Raise ConfigError where a loss is not for these labels: of stage 0 and of what follows, whichever comes first."""
    for section in (PRETRAIN, TRAIN):
        check_loss(recipe.optimiser(section).loss, 1.0 if several else None, f"{section}.loss")


def assemble(
    role: str,
    run: RunContents,
    recipe: Recipe,
    collective: Collective,
    *,
    work: Path | None = None,
    sampler_type: SamplerType = ReferenceSampler,
    placement: Placement = CPU,
) -> Training:
    """The training of a role from the artefacts that its stage requires.

    work: a folder for the feature bank's generations, equal for all workers; None keeps the bank in memory. placement:
    of this worker.
    """
    several = run.train_images.label_space.multi_label
    check_losses(recipe, several)
    data = training_data(run, recipe, role)
    model = initial_model(run, recipe) if role == PRETRAIN else trained_model(run, recipe, role)
    task = Task(
        role=role,
        settings=recipe.method,
        sampling=recipe.sampling,
        seed=recipe.seed,
        n_rows=len(data),
        label_smoothing=recipe.optimiser(role).label_smoothing,
        labels_per_image=data.membership.nnz / len(data) if several else None,
        cluster=recipe.cluster,
        graph=recipe.graph,
        frozen=recipe.encoder.fixed and role != PRETRAIN,
        rank=collective.rank,
        work=work,
        device=placement.device,
        sampler_type=sampler_type,
        loss=recipe.optimiser(role).loss,
        temperature=recipe.pretrain.temperature,
    )
    model = placement.model(model)
    structure: Structure = run
    if role == TRAIN:
        structure = structure_of(run, recipe.method, recipe.sampling, recipe.seed)
    ground = structure
    if isinstance(model.encoder, AdaptedEncoder):
        structure = AdaptedStructure(structure, model.encoder, work, collective)
    built = part(recipe.spec(role)[1].build)(model, structure, task)
    order = order_of(role, ground, recipe, data.membership, sampler_type)
    return Training(built.method, data, recipe.optimiser(role), built.sampler, placement, order)


def order_of(
    role: str, structure: Structure, recipe: Recipe, membership: Membership, sampler_type: SamplerType
) -> Order:
    """The order of a role's images: stage 0 knows no structure, and a control takes none of the method's."""
    kind, sampler = recipe.order(role), None
    if kind.edge_types:
        sizes = {POSITIVE: recipe.sampling.n_positives, NEGATIVE: recipe.sampling.n_negatives}
        wanted = {name: sizes[name] for name in kind.edge_types}
        sampler = sampler_type(structure.candidates(kind.edge_types), wanted, recipe.seed, None)
    ground = Ground(recipe.optimiser(role).batch_size, membership, recipe.seed, sampler, lambda: structure.hierarchy)
    return kind(ground)
