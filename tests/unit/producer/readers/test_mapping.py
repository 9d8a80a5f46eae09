"""The text of mapping files: what each key says, and one line with file, line and key where it cannot be taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.readers.mapping import MappingError, mapping_of
from producer.readers.mapping_file import MAPPING_BYTES, MappingFile, as_mapping_text, is_mapping, mapping_beside

if TYPE_CHECKING:
    from pathlib import Path

LEAST = "columns:\n  t: test_time\n  i: current\n  u: voltage\n"


def error(text: str) -> str:
    with pytest.raises(MappingError) as caught:
        mapping_of(MappingFile("m.yaml", text))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_three_columns_are_enough() -> None:
    mapping = mapping_of(MappingFile("m.yaml", LEAST))
    assert [(one.title, one.quantity, one.unit, one.line) for one in mapping.columns] == [
        ("t", "test_time", None, 2), ("i", "current", None, 3), ("u", "voltage", None, 4),
    ]  # fmt: skip
    assert (mapping.sign, mapping.counters, mapping.dates, mapping.delimiter) == (None, None, None, None)


def test_every_key_is_taken() -> None:
    text = (
        f"{LEAST}  s: state\n  q: {{quantity: capacity, unit: mAh}}\n"
        "sign: unsigned\nstates: {charge: [C, CC Chg], discharge: D}\ncounters: both\n"
        "time: {unit: h, dates: dmy, zone: Europe/Berlin}\ncell: CELL_1\nheader_row: 3\ndata_row: 5\n"
        'delimiter: tab\nsheet: "Data 1"\n'
    )
    mapping = mapping_of(MappingFile("m.yaml", text))
    assert [one.unit for one in mapping.columns] == ["h", None, None, None, "mAh"]
    assert mapping.states == {"c": 1, "cc chg": 1, "d": -1}
    assert (mapping.sign, mapping.counters, mapping.dates, mapping.zone) == ("unsigned", "both", "dmy", "Europe/Berlin")
    assert (mapping.cell, mapping.header_row, mapping.data_row, mapping.delimiter, mapping.sheet) == (
        "CELL_1", 3, 5, "\t", "Data 1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "m.yaml: has no keys"),
        ("- a\n", "m.yaml: has no keys"),
        ("sign: charge positive\n", "m.yaml: has no key columns"),
        (f"{LEAST}sings: x\n", "m.yaml, line 5, sings: is not known; the keys are columns, sign"),
        (f"{LEAST}sign: [a]\n", "m.yaml, line 5, sign: is no text"),
        (f"{LEAST}sign: unsigned\n", "m.yaml, line 5, sign: is unsigned, so a column for state"),
        (f"{LEAST}counters: net\n", "m.yaml, line 5, counters: is net, which needs a column for capacity"),
        (f"{LEAST}counters: hour\n", "m.yaml, line 5, counters: 'hour' is not one of test, cycle, step, net, both"),
        (f"{LEAST}states: {{charge: C}}\n", "m.yaml, line 5, states: needs a column for state"),
        (f"{LEAST}  s: state\nstates: {{load: C}}\n", "m.yaml, line 6, states.load: is not known"),
        (f"{LEAST}time: {{zone: UTC, order: dmy}}\n", "m.yaml, line 5, time.order: is not known"),
        (f"{LEAST}time: {{dates: year}}\n", "m.yaml, line 5, time.dates: 'year' is not one of dmy, mdy, ymd"),
        (f"{LEAST}header_row: first\n", "m.yaml, line 5, header_row: 'first' is no number of a row"),
        (f"{LEAST}header_row: 3\ndata_row: 3\n", "m.yaml, line 6, data_row: 3 is not below the header_row 3"),
        (f"{LEAST}delimiter: '::'\n", "m.yaml, line 5, delimiter: '::' is no single letter"),
        (f"{LEAST}sign: charge positive\nsign: charge positive\n", "m.yaml, line 6, sign: is there twice"),
        (f"{LEAST}  x: current\n", "m.yaml, line 5, columns.x: is a second column for current"),
        (f"{LEAST}  x: speed\n", "m.yaml, line 5, columns.x: 'speed' is not one of data_point, test_time"),
        (f"{LEAST}  x: {{unit: A}}\n", "m.yaml, line 5, columns.x: names no quantity"),
        (f"{LEAST}  x: {{quantity: cycle, units: A}}\n", "m.yaml, line 5, columns.x.units: is not known"),
        (f"{LEAST}  x: {{quantity: cell, unit: A}}\n", "m.yaml, line 5, columns.x.unit: is a unit, and cell has none"),
        (f"{LEAST}  x: {{quantity: capacity, unit: A}}\n", "m.yaml, line 5, columns.x.unit: 'A' is not one of Ah, mAh"),
        ("columns: {}\n", "m.yaml, line 1, columns: names no column"),
        ("columns:\n", "m.yaml, line 1, columns: has no keys of its own"),
        ("columns:\n  t: test_time\n  u: voltage\n", "m.yaml, line 1, columns: names no column for current"),
        ("columns:\n  i: current\n  u: voltage\n", "m.yaml, line 1, columns: names no column for test_time, step_time"),
        (f"{LEAST}sign: 'a\n", "m.yaml, line 6: is no YAML"),
        ("a: &a [*a]\n", "m.yaml"),
        ("[" * 5000, "m.yaml: is no YAML"),
        ("a: b\x00\n", "m.yaml"),
    ],
)
def test_what_cannot_be_taken_is_named_with_line_and_key(text: str, says: str) -> None:
    assert error(text).startswith(says)


def test_a_file_that_is_no_mapping_says_why() -> None:
    assert error(as_mapping_text(b"x" * (MAPPING_BYTES + 1))) == (
        f"m.yaml: is larger than {MAPPING_BYTES} bytes, which no mapping is"
    )
    assert error(as_mapping_text(b"\xff\xfe\x00")) == "m.yaml: is no UTF-8 text; save it as such"


def test_the_mapping_of_a_file_comes_before_that_of_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert mapping_beside(path) is None
    (tmp_path / "mapping.yaml").write_text("x")
    assert mapping_beside(path) == MappingFile("mapping.yaml", "x")
    (tmp_path / "a.csv.mapping.yaml").write_text("y")
    assert mapping_beside(path) == MappingFile("a.csv.mapping.yaml", "y", insists=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mapping.yaml", True), ("lab/Mapping.yaml", True), ("a.csv.mapping.yaml", True), ("my_mapping.yaml", False)],
)
def test_mapping_files_are_told_by_their_names(name: str, expected: bool) -> None:
    assert is_mapping(name) is expected
