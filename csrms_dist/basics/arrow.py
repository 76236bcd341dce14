"""Arrow columns whoever wrote them: texts, bytes and lists come as one type each.

pandas writes categories as dictionaries, Polars and DuckDB views and 64-bit offsets, Hugging Face arrays of fixed size
and extension types; some writers leave texts as bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

TEXT_BYTES = 2**31 - 1
"""More bytes of text than these need offsets of 64 bits."""

_LISTS = ("is_list", "is_large_list", "is_fixed_size_list", "is_list_view", "is_large_list_view")
_TEXTS = ("is_string", "is_large_string", "is_string_view")
_BYTES = ("is_binary", "is_large_binary", "is_binary_view", "is_fixed_size_binary")


def _is_one(kind: pa.DataType, names: tuple[str, ...]) -> bool:
    return any(getattr(pa.types, name)(kind) for name in names)


def stored_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values, without dictionary or extension around them."""
    while pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type
    return kind


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists, of equal or of any length."""
    return _is_one(stored_type(kind), _LISTS)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds texts, as such or as categories."""
    return _is_one(stored_type(kind), _TEXTS)


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a column of this type holds bytes, of equal or of any length."""
    return _is_one(stored_type(kind), _BYTES)


def plain(array: pa.Array) -> pa.Array:
    """The same values as large_string, large_binary, large_list of such, or as they are."""
    if isinstance(array.type, pa.BaseExtensionType):
        return plain(array.storage)
    kind = array.type
    if is_list(kind):
        # Not by a cast: Arrow 26 loses values of list views behind a null.
        lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        ends = pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), pa.int64())
        mask = array.is_null() if array.null_count else None
        return pa.LargeListArray.from_arrays(ends, plain(array.flatten()), mask=mask)
    if is_text(kind):
        return array.cast(pa.large_string())
    if is_bytes(kind):
        return array.cast(pa.large_binary())
    return array.cast(kind.value_type) if pa.types.is_dictionary(kind) else array


def joined_texts(blocks: Sequence[pa.Array]) -> pa.Array:
    """Blocks of texts as one array, with offsets of 64 bits where it has more than TEXT_BYTES; one alone as it is."""
    if not blocks:
        return pa.array([], pa.string())
    if len(blocks) == 1:
        return blocks[0]
    large = sum(block.nbytes for block in blocks) > TEXT_BYTES or pa.large_string() in {block.type for block in blocks}
    return pa.concat_arrays([block.cast(pa.large_string()) for block in blocks] if large else list(blocks))


def as_text(array: pa.Array) -> pa.Array:
    """Texts, bytes that are UTF-8, numbers -> large_string. Raises ArrowException for anything else."""
    found = plain(array).cast(pa.large_string())
    found.validate(full=True)  # Parquet does not promise that its texts are UTF-8
    return found
