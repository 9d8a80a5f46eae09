"""Which rows below titles are rows of units, and which are readings."""

from __future__ import annotations

import pytest

from producer.readers.mapping import mapping_of
from producer.readers.mapping_file import MappingFile
from producer.readers.unit_rows import units_below

MAPPING = mapping_of(
    MappingFile(
        "a.yaml",
        "columns: {t: {quantity: test_time, unit: s}, i: current, u: voltage, q: capacity, k: temperature, n: cycle}\n",
    )
)
TITLES = ["t", "i", "u", "q", "k", "n", "note"]


@pytest.mark.parametrize(
    ("cells", "units"),
    [
        (["min", "mA", "mV", "mAh", "C", "", "text"], {"t": "min", "i": "mA", "u": "mV", "q": "mAh", "k": "C"}),
        (["(s)", "[A]", "V vs. Ref.", "", "", "", "7"], {"t": "s", "i": "A", "u": "V"}),
        (["h:m:s", "mA", "cells", "things", "", "", ""], {"t": "h:m:s", "i": "mA"}),
        (["s", "mA", "cells", "things", "many", "", ""], {}),
        (["0:00:10", "A", "V", "Ah", "C", "", ""], {}),
        (["s", "A", "V", "Ah", "25", "", ""], {}),
        (["", "", "", "", "", "", ""], {}),
    ],
    ids=["all", "in brackets", "half", "less than half", "a duration", "a number", "none"],
)
def test_a_row_without_values_that_names_units_in_half_of_its_cells_is_one_of_units(
    cells: list[str], units: dict[str, str]
) -> None:
    assert units_below(MAPPING, TITLES, cells) == units
