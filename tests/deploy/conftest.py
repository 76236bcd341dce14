"""deploy/neo4j/server.py as a module and as a command: it is a script, and belongs to no package."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "neo4j" / "server.py"

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def server() -> ModuleType:
    spec = importlib.util.spec_from_file_location("neo4j_server_script", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)  # a script finds the modules beside it there
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def command() -> Command:
    def run(*arguments: str | Path, timeout: float = 240, **options: object) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, str(SCRIPT), *map(str, arguments)]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout, **options)  # type: ignore[call-overload,no-any-return]

    return run
