"""The methods and the controls by name. A method is one folder and one entry here; a control is one file and one entry.

Nothing else in the project names a method. `method.name` and `evaluate.control` take a user's own 'module:name' too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from csrms_dist.basics.lookup import chosen, own
from csrms_dist.methods.protocol import KIND, MethodSpec

if TYPE_CHECKING:
    from csrms_dist.methods.settings import MethodSettings

METHODS: Mapping[str, str] = {"csrms": "csrms_dist.methods.csrms:METHOD"}
DEFAULT = next(iter(METHODS), "")
"""The first one."""

_CONTROLS = "csrms_dist.methods.controls"

CONTROLS: Mapping[str, str] = {
    "plain": "csrms_dist.methods.plain:CONTROL",
    "mixup": f"{_CONTROLS}.mixup:CONTROL",
    "cutmix": f"{_CONTROLS}.cutmix:CONTROL",
    "manifold_mixup": f"{_CONTROLS}.manifold_mixup:CONTROL",
    "sup_con": f"{_CONTROLS}.sup_con:CONTROL",
    "triplet": f"{_CONTROLS}.triplet:CONTROL",
    "self_distillation": f"{_CONTROLS}.self_distillation:CONTROL",
    "batch_former": f"{_CONTROLS}.batch_former:CONTROL",
}
"""They stand beside a method at equal encoder passes. `plain` is stage 0 too."""


NAMES: Mapping[str, str] = {**METHODS, **CONTROLS}
"""What `method.name` may be: a control is trained by itself too, without a hierarchy."""


def method(name: str) -> MethodSpec:
    """A method, or a control as one, by name. Raises ConfigError for one that is not there."""
    found: MethodSpec = chosen(NAMES, name, "method.name", fits=KIND.fits, expected=KIND.said)
    return found


def control(name: str) -> MethodSpec:
    """A control by name. Raises ConfigError for one that is not there."""
    found: MethodSpec = chosen(CONTROLS, name, "evaluate.control", fits=KIND.fits, expected=KIND.said)
    return found


def control_settings(name: str) -> MethodSettings:
    """The settings of a control that stands beside a method: their defaults."""
    found: MethodSettings = part(control(name).settings)()
    return found


def saved_as(name: str) -> MethodSpec:
    """The method or the control that a model's card names."""
    return method(name)


def part(place: str) -> Any:
    """A class or a function that a method names. Raises ConfigError when it is not there."""
    return own(place, "method.name")


def settings_class(name: str = DEFAULT) -> type[MethodSettings]:
    """The class of the section `method` of a method."""
    found: type[MethodSettings] = part(method(name).settings)
    return found
