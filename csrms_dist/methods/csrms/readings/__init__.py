"""The readings of CSRMS by name: what enters its graph head, and in which form its losses are. One file a reading.

As published, positives of the true class and prototypes chosen by the label enter the graph head, so it is told the
answer in training. The default takes only what is found without the label, by the same code in training and at test.
"""

from __future__ import annotations

from collections.abc import Mapping

READINGS: Mapping[str, str] = {
    "structural": "csrms_dist.methods.csrms.readings.structural:StructuralReading",
    "paper": "csrms_dist.methods.csrms.readings.paper:PaperReading",
    "reference": "csrms_dist.methods.csrms.readings.reference:ReferenceReading",
}
