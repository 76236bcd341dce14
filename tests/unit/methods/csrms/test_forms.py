"""From settings to loss terms: their forms, the classification loss of both heads, and the packages that they need."""

from __future__ import annotations

from typing import Any

import pytest

from csrms_dist.basics.lookup import resolve
from csrms_dist.losses.classification import Classification
from csrms_dist.losses.inter_class import InterClass
from csrms_dist.losses.negative_sampling import NegativeSampling
from csrms_dist.methods.csrms.build import make_terms
from csrms_dist.methods.csrms.readings import READINGS
from tests.unit.csrms_made import settings_of


@pytest.mark.parametrize(
    ("reading", "given", "expected"),
    [
        ("structural", {}, ("repelling", "repelling")),
        ("paper", {}, ("printed", "printed")),
        ("structural", {"form_negative": "released"}, ("released", "repelling")),
        ("paper", {"form_inter_class": "released"}, ("printed", "released")),
        ("paper", {"form_negative": "repelling", "form_inter_class": "auto"}, ("repelling", "printed")),
    ],
)
def test_a_form_is_what_was_chosen_else_the_readings(
    reading: str, given: dict[str, Any], expected: tuple[str, str]
) -> None:
    terms = make_terms(settings_of(reading, **given)[0], resolve(READINGS[reading])(8, 3), 0.0, None)
    negative, inter_class = terms["negative"], terms["inter_class"]
    assert isinstance(negative, NegativeSampling)
    assert isinstance(inter_class, InterClass)
    assert negative._values is NegativeSampling.FORMS[expected[0]]
    assert inter_class._values is InterClass.FORMS[expected[1]]


def test_both_heads_have_the_classification_loss_of_the_training() -> None:
    settings = settings_of("structural")[0]
    terms = make_terms(settings, resolve(READINGS["structural"])(8, 3), 0.1, 1.5, "asymmetric")
    heads = [term for term in terms.values() if isinstance(term, Classification)]
    assert [head.loss for head in heads] == ["asymmetric", "asymmetric"]


@pytest.mark.parametrize("name", ["info_nce", "sup_con", "triplet"])
def test_a_package_is_asked_for_where_a_term_needs_it(name: str) -> None:
    assert settings_of("structural")[0].packages() == ()
    assert settings_of("structural", **{f"weight_{name}": 0.1})[0].packages() == ("pytorch_metric_learning",)
