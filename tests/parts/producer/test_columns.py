"""`battery columns`: it shows the columns of a table, proposes a mapping, and writes it beside the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from support.twins import bdf, landt, table
from support.twins.arbin import write_book
from support.twins.cell import twin_cell

from battery.cli.columns import columns
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from producer.columns import look_at

if TYPE_CHECKING:
    from pathlib import Path

CELL = twin_cell()


def said(*arguments: str) -> str:
    result = CliRunner().invoke(columns, arguments, obj=False, catch_exceptions=False)
    return result.output


def test_columns_are_shown_with_first_values_and_a_mapping(tmp_path: Path) -> None:
    path = table.write_text(tmp_path / "a.csv", table.columns_of(CELL))
    output = said(str(path))
    assert "# Spannung: 3400.0, 3400.7" in output
    assert '  "I / mA": current\n' in output
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.csv"]


def test_the_proposal_is_written_beside_the_file_once(tmp_path: Path) -> None:
    path = table.write_text(tmp_path / "a.csv", table.columns_of(CELL))
    said(str(path), "--write")
    written = tmp_path / "a.csv.mapping.yaml"
    assert "columns:\n" in written.read_text()
    with pytest.raises(BatteryError, match=r"a\.csv\.mapping\.yaml is there already; remove it, or edit it"):
        said(str(path), "--write")


def test_a_file_that_a_reader_recognises_needs_no_mapping(tmp_path: Path) -> None:
    path = bdf.write_csv(tmp_path / "a.csv", bdf.machine_columns(CELL))
    assert said(str(path)).startswith(
        "# a.csv: read by bdf already; no mapping is needed; --anyway proposes one all the same\n# test_time_second: "
    )
    assert "columns:" not in said(str(path))
    with pytest.raises(BatteryError, match=r"^a\.csv: read by bdf already; .*, and none was written; "):
        said(str(path), "--write")
    assert '  "voltage_volt": {quantity: voltage, unit: volt}\n' in said(str(path), "--anyway", "--write")
    assert (tmp_path / "a.csv.mapping.yaml").is_file()


def test_a_workbook_and_a_binary_file_of_a_reader_are_told_so_too(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    landt_book = landt.write_workbook(tmp_path / "book" / "a.xlsx", landt.records(CELL))
    assert said(str(landt_book)).startswith("# a.xlsx: read by landt already; no mapping is needed")
    arbin = write_book(tmp_path / "CELL_1.xlsx", CELL)
    assert said(str(arbin)).startswith("# CELL_1.xlsx: read by arbin already; no mapping is needed")
    binary = tmp_path / "a.nda"
    binary.write_bytes(b"NEWARE" + bytes(5_000))
    assert said(str(binary)) == "# a.nda: read by neware-binary already; no mapping is needed\n"


def test_what_is_no_file_or_no_table_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BatteryError, match=r"^there is no file "):
        look_at(tmp_path / "a.csv", Settings())
    (tmp_path / "a.csv.gz").touch()
    with pytest.raises(BatteryError, match=r"^a\.csv\.gz is packed; unpack it"):
        look_at(tmp_path / "a.csv.gz", Settings())
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(BatteryError, match=r"^a\.xlsx: is truncated or damaged"):
        look_at(tmp_path / "a.xlsx", Settings())
