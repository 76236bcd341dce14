"""The adapter: its formula, where it starts, and the table that it makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from csrms_dist.encoders.given import GivenFeatures
from csrms_dist.encoders.settings import EncoderSettings
from csrms_dist.errors import ConfigError
from csrms_dist.methods.saved_model import ModelCard, make_model
from csrms_dist.models import adapter
from csrms_dist.models.adapter import WIDTH, AdaptedEncoder, adapted_table, base_of
from tests.unit.csrms_made import settings_of

D = 7


def made() -> AdaptedEncoder:
    torch.manual_seed(3)
    return AdaptedEncoder(GivenFeatures(D))


def rows(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, D)).astype(np.float32)


def test_two_layers_on_features_of_one_length() -> None:
    encoder, x = made(), rows(3)
    first, _, second = encoder.adapter
    found = encoder(torch.from_numpy(x))
    assert found.shape == (3, WIDTH) == (3, encoder.dimension)
    for row, value in zip(x, found.detach().numpy(), strict=True):
        scaled = row / np.sqrt(sum(float(v) ** 2 for v in row)) * np.sqrt(D)
        hidden = [max(0.0, float(w @ scaled) + float(b)) for w, b in zip(*pair(first), strict=True)]
        expected = [float(w @ np.array(hidden)) + float(b) for w, b in zip(*pair(second), strict=True)]
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


def pair(layer: torch.nn.Module) -> tuple[np.ndarray, np.ndarray]:
    return tuple(value.detach().numpy() for value in (layer.weight, layer.bias))


def test_the_length_of_a_feature_does_not_matter() -> None:
    encoder, x = made(), torch.from_numpy(rows(4))
    torch.testing.assert_close(encoder(x), encoder(30 * x), rtol=1e-5, atol=1e-6)
    assert bool(encoder(torch.zeros(1, D)).isfinite().all())


def test_method_and_control_start_from_the_same_adapter_and_plain_head() -> None:
    chosen, sampling = settings_of("structural")
    card = ModelCard("given", (1, 1, 3), (), (), tuple("abcd"), adapter="mlp")
    theirs = replace(card, method="csrms", options=chosen.model_options(sampling))
    control, method = (make_model(each, 5, GivenFeatures(D)).state_dict() for each in (card, theirs))
    assert any(name.startswith("encoder.adapter.") for name in control)
    for name, value in control.items():
        assert torch.equal(value, method[name]), name
    other = make_model(card, 6, GivenFeatures(D)).state_dict()
    assert not torch.equal(other["encoder.adapter.0.weight"], control["encoder.adapter.0.weight"])


def test_without_an_adapter_nothing_changes() -> None:
    card = ModelCard("given", (1, 1, 3), (), (), tuple("abcd"))
    model = make_model(card, 5, GivenFeatures(D))
    assert set(model.state_dict()) == {"plain_head.weight", "plain_head.bias"}
    assert base_of(model.encoder) is model.encoder
    torch.manual_seed(5)
    assert torch.equal(model.plain_head.weight, torch.nn.Linear(D, 4).weight)


def test_a_table_goes_through_in_blocks_with_the_same_bytes_in_memory_and_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "ROWS", 4)
    encoder, x = made(), rows(11)
    inside, outside = adapted_table(encoder, x, None), adapted_table(encoder, x, tmp_path / "bank.0.npy")
    assert inside.dtype == np.float32
    assert inside.tobytes() == np.load(tmp_path / "bank.0.npy").tobytes() == outside.tobytes()
    with torch.no_grad():
        np.testing.assert_allclose(inside, encoder(torch.from_numpy(x)).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("frozen", "chosen", "used"),
    [
        (True, "auto", "mlp"),
        (True, "mlp", "mlp"),
        (True, "none", "none"),
        (False, "auto", "none"),
        (False, "none", "none"),
    ],
)
def test_the_default_is_an_adapter_where_the_encoder_is_frozen(frozen: bool, chosen: str, used: str) -> None:
    settings = EncoderSettings(frozen=frozen, adapter=chosen)
    assert settings.used_adapter == used
    assert settings.fixed == (frozen and used == "none")


def test_an_adapter_on_an_encoder_that_is_trained_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"encoder\.adapter.*'mlp' with an encoder that is trained"):
        EncoderSettings(adapter="mlp")
