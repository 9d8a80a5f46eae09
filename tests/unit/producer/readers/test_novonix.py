"""Novonix's exports: blocks, times in hours, and net counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.asked import Asked
from support.twins.cell import TwinCell, assert_same_cycles, net, restarted, twin_cell
from support.twins.novonix import SUMMARY, TITLES, columns_of, write_text

from producer.readers.base import FileSample
from producer.readers.novonix import READER

if TYPE_CHECKING:
    from pathlib import Path

PRECISION = 1e-6
"""What eight decimals of Ah leave of the gains of a cycle."""


ASKED = Asked(READER)
only, refusal = ASKED.only, ASKED.refusal


@pytest.fixture(scope="module")
def cell() -> TwinCell:
    return twin_cell()


@pytest.fixture(scope="module")
def columns(cell: TwinCell) -> dict[str, list[str]]:
    return columns_of(cell)


def test_a_file_gives_the_cell_s_cycles(tmp_path: Path, cell: TwinCell, columns: dict[str, list[str]]) -> None:
    test = only(write_text(tmp_path / "CELL_1.csv", columns))
    assert_same_cycles(test, cell, PRECISION)
    assert (test.cell_id, test.test_id) == ("CELL_1", "2024-03-14T09:35:15")
    assert test.readings["test_time(s)"].to_pylist() == pytest.approx(cell.test_time.tolist(), abs=1e-4)
    assert test.readings["step_time(s)"].to_pylist() == pytest.approx(cell.step_time.tolist(), abs=1e-4)
    assert test.readings["temperature(c)"].to_pylist() == cell.temperature.tolist()
    assert test.readings["date_time"].to_pylist() == cell.date_time.tolist()
    assert "capacity counts charge up and discharge down; it was split into two counters" in test.about.assumptions


@pytest.mark.parametrize("kind", ["step", "cycle"])
def test_net_counters_may_begin_again_each_by_its_own_rule(tmp_path: Path, cell: TwinCell, kind: str) -> None:
    labels = cell.step_run if kind == "step" else cell.cycle
    energy = restarted(net(cell.charge_energy, cell.discharge_energy), labels)
    test = only(write_text(tmp_path / "CELL_1.csv", columns_of(cell, energy=energy)))
    assert_same_cycles(test, cell, PRECISION)
    assert f"energy begins again with each {kind}; it was added up over the test" in test.about.assumptions
    assert not any(line.startswith("capacity begins") for line in test.about.assumptions)


def test_metadata_are_those_of_the_summary_and_no_operator_is_named(
    tmp_path: Path, columns: dict[str, list[str]]
) -> None:
    assert only(write_text(tmp_path / "CELL_1.csv", columns)).about.metadata == {
        "channel": "01",
        "cell": "LOT7_CH01.csv",
        "description": "LGM50LT-1C",
        "schedule": "cycles.pro4",
        "mass_g": "1.250",
        "nominal_capacity_ah": "5",
        "area_cm2": "1.000",
        "started_at": "2024-03-14 09:30:15",
        "version": "2.13.0",
    }


def test_an_older_layout_has_its_columns_elsewhere_and_no_clock(
    tmp_path: Path, cell: TwinCell, columns: dict[str, list[str]]
) -> None:
    titles = [
        "Step Number", "Run Time (h)", "Current (A)", "Potential (V)", "Capacity (Ah)", "Energy (Wh)", "Cycle Number",
        "Temperature (°C)",
    ]  # fmt: skip
    path = write_text(tmp_path / "CELL_1.csv", columns, titles=titles, renamed={"Potential (V)": "Voltage (V)"})
    test = only(path)
    assert_same_cycles(test, cell, PRECISION)
    assert test.readings["date_time"].to_pylist() == cell.date_time.tolist()
    assert "the file dates the start of the test alone; the clock is that and the test time" in test.about.assumptions


def test_a_file_without_any_date_is_read_and_says_so(tmp_path: Path, columns: dict[str, list[str]]) -> None:
    summary = [line for line in SUMMARY if not line.startswith("Started")]
    titles = [title for title in TITLES if title != "Date and Time"]
    test = only(write_text(tmp_path / "CELL_1.csv", columns, titles=titles, summary=summary))
    assert test.test_id == "1970-01-01T00:00:00"
    assert any("no dates" in line for line in test.about.assumptions)


def test_dates_with_am_and_pm_are_read(tmp_path: Path, cell: TwinCell, columns: dict[str, list[str]]) -> None:
    stamps = [f"{stamp:%Y-%m-%d %I:%M:%S %p}" for stamp in cell.date_time.tolist()]
    test = only(write_text(tmp_path / "CELL_1.csv", columns | {"Date and Time": stamps}))
    assert test.readings["date_time"].to_pylist() == cell.date_time.tolist()


@pytest.mark.parametrize(
    "head", [b"[Summary]\r\nNovonix UHPC data file\r\n", b"[Summary]\nCell: A\n[End Summary]\n[Data]\nRun Time (h)\n"]
)
def test_a_file_is_recognised_by_its_blocks(head: bytes) -> None:
    assert READER.recognises(FileSample(".csv", head))


@pytest.mark.parametrize(
    "head", [b"[Summary]\nof the meeting\n", b"Run Time (h),Current (A)\n", b"\x00[Summary]\nNovonix"]
)
def test_another_file_is_not_recognised(head: bytes) -> None:
    assert not READER.recognises(FileSample(".csv", head))


def test_missing_columns_cut_rows_and_words_end_in_one_line_with_the_place(
    tmp_path: Path, columns: dict[str, list[str]]
) -> None:
    path = tmp_path / "a.csv"
    write_text(path, columns)
    header = 1 + next(at for at, line in enumerate(path.read_text().split("\n")) if line.startswith("Date and Time"))
    assert refusal(write_text(path, columns, renamed={"Current (A)": "Amount"})).startswith(
        f"a.csv, row {header}: has no column for current"
    )
    assert refusal(write_text(path, columns, renamed={"Run Time (h)": "Run Time"})).startswith(
        f"a.csv, column Run Time, row {header}: names no unit"
    )
    for title in ("Potential (V)", "Capacity (Ah)", "Run Time (h)", "Cycle Number", "Date and Time"):
        bad = columns | {title: [*columns[title][:3], "high", *columns[title][4:]]}
        assert refusal(write_text(path, bad)).startswith(f"a.csv, column {title}, row {header + 4}: ")
    write_text(path, {title: texts[:4] for title, texts in columns.items()})
    path.write_bytes(path.read_bytes()[:-20])
    assert refusal(path).startswith(f"a.csv, row {header + 4}: has ")
    assert "has a header but no readings" in refusal(write_text(path, {title: [] for title in columns}))
    path.write_text("[Summary]\nNovonix UHPC data file\n[End Summary]\n")
    assert refusal(path).startswith("a.csv: has no block [Data]")
    path.write_text("[Summary]\nNovonix UHPC data file\n[End Summary]\n[Data]\n\n")
    assert refusal(path).startswith("a.csv, row 4: has no block [Data]")


def test_a_temperature_of_an_input_without_a_sensor_is_none(
    tmp_path: Path, cell: TwinCell, columns: dict[str, list[str]]
) -> None:
    title = next(one for one in TITLES if one.startswith("Temperature"))
    columns = columns | {title: ["-9999.000", *columns[title][1:]]}
    readings = only(write_text(tmp_path / "a.csv", columns)).readings
    assert readings["temperature(c)"].to_pylist() == [None, *cell.temperature.tolist()[1:]]
