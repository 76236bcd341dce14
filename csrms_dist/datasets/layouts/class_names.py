"""Class indices of text labels: numbered as they are met, renumbered by name at the end."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from csrms_dist.basics.arrays import I64


class ClassNames:
    """Text labels of all sides -> class indices in the order of the sorted names."""

    def __init__(self) -> None:
        self._met: dict[str, int] = {}

    def codes(self, labels: pa.Array) -> I64:
        """(N,) strings without nulls -> provisional class indices."""
        encoded = labels.cast(pa.string()).dictionary_encode()
        met = [self._met.setdefault(name, len(self._met)) for name in encoded.dictionary.to_pylist()]
        codes: I64 = np.array(met, np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]
        return codes

    @property
    def names(self) -> dict[int, str]:
        """The final names by class index."""
        return dict(enumerate(self._ordered()))

    def final(self, codes: I64) -> I64:
        """Provisional -> final class indices."""
        place = {name: k for k, name in enumerate(self._ordered())}
        renumbered: I64 = np.array([place[name] for name in self._met], np.int64)[codes]
        return renumbered

    def _ordered(self) -> list[str]:
        """Whole numbers by value, anything else by its text."""
        if all(name.isascii() and name.isdecimal() for name in self._met):
            return sorted(self._met, key=lambda name: (len(name.lstrip("0")), name.lstrip("0"), name))
        return sorted(self._met)
