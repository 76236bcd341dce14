"""Lists in text files, an entry a line, as older data sets come with them: of images, of classes."""

from __future__ import annotations

from pathlib import Path

from csrms_dist.errors import DataError


def lines_of(path: Path, expected: str, remedy: str) -> list[str]:
    """The lines that hold something, without the white space around them. Raises DataError for what is no such file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{path}", got="nothing there", expected=expected, remedy=remedy) from error
    except UnicodeDecodeError as error:
        got = "bytes that are no UTF-8"
        raise DataError(f"{path}", got=got, expected=expected, remedy="save it as such") from error
    except OSError as error:
        raise DataError(f"{path}", got=f"'{error.strerror}'", expected=expected, remedy=remedy) from error
    if lines := [line.strip() for line in text.split("\n") if line.strip()]:
        return lines
    raise DataError(f"{path}", got="an empty file", expected=expected, remedy=remedy)
