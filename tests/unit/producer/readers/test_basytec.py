"""Basytec's exports: Latin-1, a date in the preamble alone, and counters of cycles beside net ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.asked import Asked
from support.twins.basytec import PREAMBLE, TITLES, columns_of, write_text
from support.twins.cell import TwinCell, assert_same_cycles, twin_cell

from producer.readers.base import FileSample
from producer.readers.basytec import READER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PRECISION = 1e-9


ASKED = Asked(READER)
only, refusal = ASKED.only, ASKED.refusal


@pytest.fixture(scope="module")
def cell() -> TwinCell:
    return twin_cell()


@pytest.fixture(scope="module")
def columns(cell: TwinCell) -> dict[str, list[str]]:
    return columns_of(cell)


def test_a_file_gives_the_cell_s_cycles(tmp_path: Path, cell: TwinCell, columns: dict[str, list[str]]) -> None:
    test = only(write_text(tmp_path / "CELL_1.txt", columns))
    assert_same_cycles(test, cell, PRECISION)
    assert test.cell_id == "CELL_1"
    assert test.readings["temperature(c)"].to_pylist() == cell.temperature.tolist()
    assert test.readings["data_point"].to_pylist() == cell.data_point.tolist()


def test_the_clock_is_the_start_of_the_test_and_the_test_time_and_it_is_said(
    tmp_path: Path, cell: TwinCell, columns: dict[str, list[str]]
) -> None:
    test = only(write_text(tmp_path / "CELL_1.txt", columns), dates="mdy")
    assert test.test_id == "2024-03-14T09:35:15"
    assert test.readings["date_time"].to_pylist() == cell.date_time.tolist()
    assert "the file dates the start of the test alone; the clock is that and the test time" in test.about.assumptions


@pytest.mark.parametrize(("unit", "seconds_each"), [("h", 3600.0), ("min", 60.0)])
def test_times_may_be_in_hours_or_minutes(tmp_path: Path, cell: TwinCell, unit: str, seconds_each: float) -> None:
    names = {"~Time[s]": f"~Time[{unit}]", "t-Step[s]": f"t-Step[{unit}]"}
    path = write_text(tmp_path / "CELL_1.txt", columns_of(cell, seconds_each=seconds_each), renamed=names)
    test = only(path)
    assert test.readings["test_time(s)"].to_pylist() == pytest.approx(cell.test_time.tolist(), rel=1e-9)
    assert test.readings["step_time(s)"].to_pylist() == pytest.approx(cell.step_time.tolist(), rel=1e-9)
    assert_same_cycles(test, cell, PRECISION)


def test_metadata_are_those_of_the_test_and_no_operator_is_named(tmp_path: Path, columns: dict[str, list[str]]) -> None:
    assert only(write_text(tmp_path / "CELL_1.txt", columns)).about.metadata == {
        "test_name": "cycles at 25 °C",
        "battery": "cell 12",
        "schedule": "plan.pln",
        "channel": "1814 CH14 XCTS_40",
        "started_at": "14.03.2024 09:30:15",
    }


def test_a_degree_sign_that_was_lost_does_no_harm(
    tmp_path: Path, cell: TwinCell, columns: dict[str, list[str]]
) -> None:
    path = write_text(tmp_path / "CELL_1.txt", columns)
    path.write_bytes(path.read_bytes().replace(b"\xb0", "\ufffd".encode()))
    assert only(path).readings["temperature(c)"].to_pylist() == cell.temperature.tolist()


def test_a_decimal_comma_is_read(tmp_path: Path, cell: TwinCell, columns: dict[str, list[str]]) -> None:
    with_comma = {title: [text.replace(".", ",") for text in texts] for title, texts in columns.items()}
    assert_same_cycles(only(write_text(tmp_path / "CELL_1.txt", with_comma)), cell, PRECISION)


def test_net_counters_are_split_where_there_are_none_of_cycles(
    tmp_path: Path, cell: TwinCell, columns: dict[str, list[str]]
) -> None:
    titles = [title for title in TITLES if "-Cyc-" not in title]
    test = only(write_text(tmp_path / "CELL_1.txt", columns, titles=titles))
    assert_same_cycles(test, cell, PRECISION)
    assert not test.about.integrated


def test_counters_of_cycles_may_have_a_0_behind_them(
    tmp_path: Path, cell: TwinCell, columns: dict[str, list[str]]
) -> None:
    names = {title: f"{title}-0" for title in TITLES if "-Cyc-" in title}
    assert_same_cycles(only(write_text(tmp_path / "CELL_1.txt", columns, renamed=names)), cell, PRECISION)


def test_counters_per_mass_are_not_taken_for_counters(
    tmp_path: Path, cell: TwinCell, columns: dict[str, list[str]]
) -> None:
    titles = [title for title in TITLES if "-Cyc-" not in title]
    path = write_text(tmp_path / "CELL_1.txt", columns, titles=titles, renamed={"Wh[Wh]": "Wh[Wh/kg]"})
    test = only(path)
    assert test.about.integrated == ("charge_energy(wh)", "discharge_energy(wh)")
    assert_same_cycles(test, cell, PRECISION, energies=False)


def test_columns_of_date_and_time_are_the_clock_where_they_are_there(
    tmp_path: Path, cell: TwinCell, columns: dict[str, list[str]]
) -> None:
    later = cell.date_time + np.timedelta64(5, "s")
    stamps = later.tolist()
    dated = columns | {
        "Date": [f"{stamp:%d.%m.%Y}" for stamp in stamps],
        "Time": [f"{stamp:%H:%M:%S}" for stamp in stamps],
    }
    titles = [*TITLES[:2], "Date", "Time", *TITLES[2:]]
    test = only(write_text(tmp_path / "CELL_1.txt", dated, titles=titles))
    assert test.readings["date_time"].to_pylist() == stamps
    assert test.readings["test_time(s)"].to_pylist() == cell.test_time.tolist()


def test_a_column_of_both_is_the_clock_too(tmp_path: Path, cell: TwinCell, columns: dict[str, list[str]]) -> None:
    dated = columns | {"DateTime": [f"{stamp:%d.%m.%Y %H:%M:%S}" for stamp in cell.date_time.tolist()]}
    test = only(write_text(tmp_path / "CELL_1.txt", dated, titles=[*TITLES[:2], "DateTime", *TITLES[2:]]))
    assert test.readings["date_time"].to_pylist() == cell.date_time.tolist()
    assert not any("start" in line for line in test.about.assumptions)


def test_times_may_be_durations_and_each_title_may_have_its_mark(
    tmp_path: Path, cell: TwinCell, columns: dict[str, list[str]]
) -> None:
    shown = [f"{int(s) // 3600}:{int(s) // 60 % 60:02}:{int(s) % 60:02}" for s in cell.test_time]
    names = {"~Time[s]": "~Time[h:min:s]", "U[V]": "~U[V]", "I[A]": "~I[A]"}
    test = only(write_text(tmp_path / "CELL_1.txt", columns | {"~Time[s]": shown}, renamed=names))
    assert test.readings["test_time(s)"].to_pylist() == cell.test_time.tolist()
    assert_same_cycles(test, cell, PRECISION)


def without_start(preamble: Sequence[str]) -> list[str]:
    return [line for line in preamble if "Start of Test" not in line]


def test_a_file_without_any_date_is_read_and_says_so(tmp_path: Path, columns: dict[str, list[str]]) -> None:
    test = only(write_text(tmp_path / "CELL_1.txt", columns, preamble=without_start(PREAMBLE)))
    assert test.test_id == "1970-01-01T00:00:00"
    assert any("no dates" in line for line in test.about.assumptions)


@pytest.mark.parametrize(
    "head",
    [
        b"~Resultfile from Basytec Battery Test System\r\n~Date and Time of Data Converting: 07.07.2023 10:55:58\r\n",
        b"~Time[h]\tDataSet\tt-Step[h]\tLine\tCommand\tU[V]\tI[A]\n",
    ],
)
def test_a_file_is_recognised_by_its_first_line(head: bytes) -> None:
    assert READER.recognises(FileSample(".txt", head))


@pytest.mark.parametrize(
    "head", [b"Time[s]\tU[V]\tI[A]\n", b"Notes on the Resultfile from Basytec\n", b"\x00~Resultfile"]
)
def test_another_file_is_not_recognised(head: bytes) -> None:
    assert not READER.recognises(FileSample(".txt", head))


def test_missing_columns_cut_rows_and_words_end_in_one_line_with_the_place(
    tmp_path: Path, columns: dict[str, list[str]]
) -> None:
    header = len(PREAMBLE) + 1
    path = tmp_path / "a.txt"
    assert refusal(write_text(path, columns, renamed={"~Time[s]": "~Zeit[s]"})).startswith(
        "a.txt: has no line with the titles"
    )
    assert refusal(write_text(path, columns, renamed={"U[V]": "Uo[V]"})).startswith(
        f"a.txt, row {header}: has no column for voltage"
    )
    assert refusal(write_text(path, columns, renamed={"I[A]": "I[Q]"})).startswith(
        f"a.txt, column I[Q], row {header}: has the unit 'Q'"
    )
    for title in ("U[V]", "Ah-Cyc-Charge", "~Time[s]", "Cyc-Count", "DataSet"):
        bad = columns | {title: [*columns[title][:3], "high", *columns[title][4:]]}
        assert refusal(write_text(path, bad)).startswith(f"a.txt, column {title}, row {header + 4}: 'high'")
    write_text(path, {title: texts[:4] for title, texts in columns.items()})
    path.write_bytes(path.read_bytes()[:-40])
    assert refusal(path).startswith(f"a.txt, row {header + 4}: has ")
    assert "has a header but no readings" in refusal(write_text(path, {title: [] for title in columns}))
    wrong = [line.replace("14.03.2024", "2024 March") for line in PREAMBLE]
    assert refusal(write_text(path, columns, preamble=wrong)).startswith(
        "a.txt, row 8: '2024 March 09:30:15' is no date"
    )


@pytest.mark.parametrize("mark", [" ", "  ", ";"])
def test_columns_may_stand_between_blanks_or_semicolons(
    tmp_path: Path, cell: TwinCell, columns: dict[str, list[str]], mark: str
) -> None:
    path = write_text(tmp_path / "CELL_1.txt", columns)
    path.write_bytes(path.read_bytes().replace(b"\t", mark.encode()))
    assert READER.recognises(FileSample.of(path))
    assert_same_cycles(only(path), cell, PRECISION)


def test_a_date_between_blanks_keeps_its_time_of_day(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(
        "~Time[h] DataSet DateTime Line Command U[V] I[A]\n"
        "0 1 14.03.2024 09:30:15 1 Pause 3.4 0\n"
        "0.5 2 14.03.2024 10:00:15 1 Pause 3.4 0\n"
    )
    assert [f"{one:%H:%M}" for one in only(path).readings["date_time"].to_pylist()] == ["09:30", "10:00"]


def test_each_title_may_begin_with_a_tilde(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(
        "BaSyTec Battery Test System\n~Start of Test: 09.03.2026 11:35:38\n~Time[s]\t~U[V]\t~I[A]\n"
        "0\t3.7\t1\n10\t3.8\t1\n"
    )
    assert READER.recognises(FileSample.of(path))
    assert only(path).readings["voltage(v)"].to_pylist() == [3.7, 3.8]
