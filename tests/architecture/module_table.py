"""ARCHITECTURE.md's tables of modules, made from the docstrings.

`python tests/architecture/module_table.py` writes them anew; a test compares.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "ARCHITECTURE.md"
PACKAGES = ("csrms_dist", "graphstore", "ray_jobs")
REMAKE = "python tests/architecture/module_table.py"
START, END = f"<!-- modules: made by `{REMAKE}` -->\n", "<!-- end of modules -->"


def first_sentence(path: Path) -> str:
    """The first sentence of a module's docstring, on one line and without its point."""
    said = ast.get_docstring(ast.parse(path.read_text())) or ""
    paragraph = " ".join(said.split("\n\n")[0].split())
    sentence = re.split(r"(?<=[a-z)\]`'])\. (?=[A-Z`])", paragraph)[0].rstrip(".")
    return sentence.replace("|", "\\|")


def rooms(package: str) -> Iterator[Path]:
    """A package and the folders in it, each before what is in it."""
    yield from sorted(path.parent for path in (ROOT / package).rglob("__init__.py"))


def tables() -> Iterator[str]:
    """The tables, line by line: a room in bold, then its modules."""
    for package in PACKAGES:
        yield f"### `{package}/`"
        yield ""
        yield first_sentence(ROOT / package / "__init__.py") + "."
        yield ""
        yield "| module | what it is |"
        yield "|---|---|"
        for folder in rooms(package):
            name = folder.relative_to(ROOT / package).as_posix()
            if name != ".":
                yield f"| **`{name}/`** | **{first_sentence(folder / '__init__.py')}** |"
            for path in sorted(folder.glob("*.py")):
                if path.name != "__init__.py":
                    yield f"| `{path.relative_to(ROOT / package).as_posix()}` | {first_sentence(path)} |"
        yield ""


def with_tables(text: str) -> str:
    """The page with its tables made anew."""
    head, found, tail = text.partition(START)
    assert found, "the mark of the tables"
    return head + START + "\n" + "\n".join(tables()) + END + tail.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
