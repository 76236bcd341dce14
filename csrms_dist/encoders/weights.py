"""`encoder.weights` -> the weights that an encoder starts from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from csrms_dist.basics.lookup import resolve
from csrms_dist.encoders import ENCODERS
from csrms_dist.encoders.checkpoint import read_weights, refuse_other_file
from csrms_dist.encoders.encoder import Encoder
from csrms_dist.encoders.make import architecture_of
from csrms_dist.encoders.settings import EncoderSettings
from csrms_dist.errors import ConfigError, DataError, check_installed

PRETRAINED = "pretrained"
_SHOWN = 3


def check_weights(settings: EncoderSettings) -> None:
    """Raise, before there are images, what `load_initial_weights` would raise of what is not there."""
    if settings.weights == PRETRAINED:
        architecture = architecture_of(settings.name)
        _refuse_none(settings.name)
        if architecture.package:
            check_installed(architecture.package, PRETRAINED)
    elif settings.weights:
        refuse_other_file(Path(settings.weights).expanduser())


def load_initial_weights(encoder: Encoder, settings: EncoderSettings) -> None:
    """Put the weights that `settings.weights` names into `encoder`; empty leaves it as it is.

    Raises ConfigError for a file that is not there and for a model without pretrained weights, DataError for a file
    that does not fit or cannot be read and for weights that cannot be fetched, MissingDependencyError without the
    package that carries them.
    """
    if not settings.weights:
        return
    architecture = architecture_of(settings.name)
    if settings.weights != PRETRAINED:
        path = Path(settings.weights).expanduser()
        found, what = _own(read_weights(path), encoder, architecture.classifier(), str(path)), str(path)
    else:
        _refuse_none(settings.name)
        found, what = architecture.pretrained(encoder), f"the pretrained weights of {settings.name}"
    _refuse_unfit(found, encoder, what)
    encoder.load_state_dict(found)


def _refuse_none(name: str) -> None:
    """Raise ConfigError for an encoder without pretrained weights."""
    if architecture_of(name).has_pretrained:
        return
    named = [word for word, place in ENCODERS.items() if resolve(place).has_pretrained]
    raise ConfigError(
        "encoder.weights", got=f"'{PRETRAINED}' with {name}",
        expected=f"{', '.join(named)} or timm:<model>, the encoders with pretrained weights",
        remedy="name a weights file or leave it empty",
    )  # fmt: skip


def _own(found: dict[str, Tensor], encoder: Encoder, heads: Sequence[str], what: str) -> dict[str, Tensor]:
    """The tensors under the encoder's own names: those of a whole model are cut out, a classifier is dropped."""
    own = encoder.state_dict().keys()
    # torch.compile puts its word into the names, in front or in the middle.
    found = {".".join(part for part in key.split(".") if part != "_orig_mod"): value for key, value in found.items()}
    prefix = "" if own & found.keys() else _prefix(found, own, what)
    found = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
    return {
        key: value
        for key, value in found.items()
        if key in own or not any(key.startswith(f"{head}.") for head in heads)
    }


def _prefix(found: Iterable[str], own: Collection[str], what: str) -> str:
    """Under which prefix most of the encoder's tensors lie: `module.`, `encoder.`, `model.backbone.`; '' for none.

    Raises DataError when several hold as many: a student and its teacher.
    """
    counts: Counter[str] = Counter()
    for key in found:
        parts = key.split(".")
        counts.update(".".join(parts[:n]) + "." for n in range(1, len(parts)) if ".".join(parts[n:]) in own)
    best = sorted(prefix for prefix, count in counts.items() if count == max(counts.values()))
    if len(best) > 1:
        raise DataError(
            what, got=f"the tensors of the encoder {len(best)} times, under {' and '.join(best[:_SHOWN])}",
            expected="them once", remedy="save the module that you mean alone",
        )  # fmt: skip
    return best[0] if best else ""


def _refuse_unfit(found: Mapping[str, Tensor], encoder: Encoder, what: str) -> None:
    """Raise DataError, naming the tensors, unless names and shapes are the encoder's and all values are finite."""
    own = encoder.state_dict()
    complaints = [
        _listed("missing", [key for key in own if key not in found]),
        _listed("unexpected", [key for key in found if key not in own]),
        _listed(
            "of another shape",
            [
                f"{key} {tuple(found[key].shape)} for {tuple(own[key].shape)}"
                for key in own
                if key in found and own[key].shape != found[key].shape
            ],
        ),
        _listed("quantised", [key for key in own if key in found and found[key].is_quantized]),
        _listed("not finite", [key for key in own if key in found and not _finite(found[key])]),
    ]
    said = "; ".join(complaint for complaint in complaints if complaint)
    if said:
        raise DataError(what, got=said, expected=f"the {len(own)} tensors of the encoder, of the same shapes")


def _listed(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{more}"


def _finite(tensor: Tensor) -> bool:
    return tensor.is_quantized or bool(tensor.isfinite().all())
