"""The examples in the docstrings of csrms_dist.art run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

from csrms_dist import art

MODULES = [art.__name__, *(found.name for found in pkgutil.walk_packages(art.__path__, f"{art.__name__}."))]
WITH_EXAMPLES = [
    name for name in MODULES if ">>> " in Path(str(importlib.import_module(name).__file__)).read_text(encoding="utf-8")
]


def test_the_room_has_examples():
    assert len(WITH_EXAMPLES) >= 11


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_in_the_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed
