"""CSRMS (Chen et al., MM 2023): class-level structural relation modelling and smoothing."""

from dataclasses import replace

from csrms_dist.methods import stages
from csrms_dist.methods.protocol import MethodSpec

_MORE_SETTINGS = {"train": ("graph.difficulty_threshold",), "control": ("method.weight_plain",)}

METHOD = MethodSpec(
    model="csrms_dist.methods.csrms.model:make",
    build="csrms_dist.methods.csrms.build:build",
    settings="csrms_dist.methods.csrms.settings:CSRMSSettings",
    stages=tuple(
        replace(stage, settings=(*stage.settings, *_MORE_SETTINGS.get(stage.name, ())))
        for stage in stages.CLASSIFICATION
    ),
    given_vector_stages=stages.GIVEN_VECTORS,
    keep="csrms_dist.methods.csrms.build:keep",
)
