"""A bundle as arguments of `neo4j-admin database import full`; it may ask for nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from home import DATABASE, ServerError

# What a bundle may ask of the importer: how its own files are written, nothing else.
# fmt: off
BUNDLE_OPTIONS = frozenset([
    "array-delimiter", "delimiter", "id-type", "ignore-empty-strings", "input-encoding", "input-type",
    "legacy-style-quoting", "multiline-fields", "quote", "read-buffer-size", "trim-strings",
])
# fmt: on

# What it may have made in the database afterwards: constraints and indexes, nothing else.
BUNDLE_INDEX = re.compile(r"CREATE (CONSTRAINT|INDEX) \w+ IF NOT EXISTS FOR [\w ()\[\]:-]+ (REQUIRE|ON) [\w .()]+")


def import_arguments(bundle: Path) -> list[str]:
    """The arguments of `neo4j-admin` for a bundle, to be run in its folder."""
    try:
        content = json.loads((bundle / "bundle.json").read_text())
        if content["format"] != 1:
            raise ServerError(f"{bundle / 'bundle.json'}: got format {content['format']!r}, expected 1", 3)
        groups = [("nodes", item["label"], item) for item in content["nodes"]]
        groups += [("relationships", item["type"], item) for item in content["relationships"]]
        arguments = [f"--{kind}={name}={','.join(_files(bundle, item))}" for kind, name, item in groups]
        options = [str(option) for option in content["options"]]
    except FileNotFoundError as error:
        raise ServerError(f"{bundle} is not a bundle: got no {error.filename}", 3) from error
    except (KeyError, TypeError, ValueError) as error:
        raise ServerError(f"{bundle / 'bundle.json'} is not a bundle's description: {error!r}", 3) from error
    for option in options:
        if not option.startswith("--") or option[2:].partition("=")[0] not in BUNDLE_OPTIONS:
            raise ServerError(f"{bundle / 'bundle.json'}: got the option {option!r}, which a bundle may not set", 3)
    return ["database", "import", "full", DATABASE, *arguments, *options, "--strict=true", "--bad-tolerance=0"]


def import_indexes(bundle: Path) -> list[str]:
    """The statements that make a bundle's constraints and indexes, which the importer leaves out."""
    statements = [str(text) for text in json.loads((bundle / "bundle.json").read_text()).get("indexes", [])]
    for text in statements:
        if not BUNDLE_INDEX.fullmatch(text):
            raise ServerError(f"{bundle / 'bundle.json'}: got {text!r}, expected CREATE CONSTRAINT or CREATE INDEX", 3)
    return statements


def _files(bundle: Path, item: dict[str, Any]) -> list[str]:
    """Header and data; the importer reads names as lists of patterns, so they may hold nothing that means something."""
    names = [*([item["header"]] if item.get("header") else []), *item["files"]]
    for name in names:
        if not re.fullmatch(r"[\w.-]+", name):
            raise ServerError(
                f"{bundle / 'bundle.json'}: got the file name {name!r}, expected letters, digits, . _ -", 3
            )
        if not (bundle / name).is_file():
            raise ServerError(f"{bundle} is not whole: got no {name}", 3)
    return names
