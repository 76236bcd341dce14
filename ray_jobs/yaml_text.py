"""YAML text -> plain values. Every key once in its mapping; aliases and merges (`<<`) are YAML's own."""

from __future__ import annotations

from typing import Any

import yaml

_MERGE = "tag:yaml.org,2002:merge"


class YamlError(ValueError):
    """A text that is no YAML. line: from 1, 0 where none is known; got, expected, remedy: as in a CsrmsError."""

    def __init__(self, line: int, got: str, expected: str = "valid YAML", remedy: str = "") -> None:
        super().__init__(got)
        self.line, self.got, self.expected, self.remedy = line, got, expected, remedy


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader lets the last of two equal keys win, without a word."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:  # as written: what a merge brings comes in later
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            line, name = key.start_mark.line + 1, (key.tag, key.value)
            if name in lines:
                again = f"{key.value} twice (first in line {lines[name]})"
                raise YamlError(line, again, "every key once", "join them")
            lines[name] = line
        return node


def values_of(text: bytes | str) -> Any:
    """Plain values (mappings, lists, numbers, texts, dates). Raises YamlError."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 (a safe loader)
    except (YamlError, MemoryError):
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(mark.line + 1 if mark else 0, f"'{error.problem or error.context}'") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:  # bytes that are no text, or characters that YAML excludes
        raise YamlError(0, "characters that are no text") from error
    except RecursionError as error:
        raise YamlError(0, "sections within sections beyond measure") from error
    except (ValueError, OverflowError) as error:  # such as the date 2024-13-45
        raise YamlError(0, "a value that is none, such as a date that does not exist") from error
