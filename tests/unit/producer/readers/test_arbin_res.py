"""Arbin's .res files: the simulated cell is read back from one, and what is peculiar to them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.asked import Asked
from support.twins.access import DOUBLE, LONG, PAGE, AccessTable, write_access
from support.twins.arbin import RES_READINGS, followed, res_rows, res_test, write_res
from support.twins.cell import assert_same_cycles, twin_cell

from producer.readers import access
from producer.readers.arbin_res import READER
from producer.readers.base import BadWorkbookError, FileSample, ReadOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from producer.readers.base import Test

pytest.importorskip("access_parser", reason="the extra readers is not installed")

CELL = twin_cell()
SINGLE_PRECISION = 1e-6


def read_all(path: Path, **options: Any) -> tuple[Test, ...]:
    return READER.read(path, ReadOptions(path.name, **options)).tests


ASKED = Asked(READER)
refusal = ASKED.refusal


def shuffled(rows: list[list[Any]]) -> list[list[Any]]:
    return [rows[row] for row in np.random.default_rng(3).permutation(len(rows))]


def test_the_cell_is_read_back_whatever_the_order_of_its_readings(tmp_path: Path) -> None:
    path = write_res(tmp_path / "CELL_1.res", shuffled(res_rows(CELL)), [res_test()])
    assert READER.recognises(FileSample.of(path))
    (test,) = read_all(path)
    assert_same_cycles(followed(test), CELL, SINGLE_PRECISION)
    readings = test.readings
    assert readings["data_point"].to_pylist() == CELL.data_point.tolist()
    assert readings["date_time"].to_pylist() == CELL.date_time.tolist()
    assert readings["test_time(s)"].to_pylist() == CELL.test_time.tolist()
    assert readings["voltage(v)"].to_pylist() == CELL.voltage.astype(np.float32).astype(float).tolist()
    assert (test.cell_id, test.about.reader) == ("CELL_1", "arbin-res")


def test_what_the_file_states_goes_with_the_test_but_no_person(tmp_path: Path) -> None:
    (test,) = read_all(write_res(tmp_path / "A.res", res_rows(CELL), [res_test()]))
    assert test.about.metadata == {
        "channel": "12", "test_name": "Twin of test 1", "schedule": "cycle.sdu", "item": "B 7",
        "nominal_capacity_ah": "1.1", "cycler": "Arbin 203439",
    }  # fmt: skip


def test_tests_of_one_channel_are_tests_of_one_cell(tmp_path: Path) -> None:
    rows = res_rows(CELL, test=7, later_days=30.0) + res_rows(CELL, test=2)
    path = write_res(tmp_path / "A.res", shuffled(rows), [res_test(7), res_test(2)])
    tests = read_all(path)
    assert [test.cell_id for test in tests] == ["A", "A"]
    assert [test.about.metadata["test_name"] for test in tests] == ["Twin of test 2", "Twin of test 7"]
    for test in tests:
        assert_same_cycles(followed(test), CELL, SINGLE_PRECISION)


def test_channels_that_ran_at_the_same_time_are_cells_of_their_own(tmp_path: Path) -> None:
    rows = shuffled(res_rows(CELL, test=1) + res_rows(CELL, test=2))
    path = write_res(tmp_path / "A.res", rows, [res_test(1, channel=3), res_test(2, channel=4)])
    assert [(test.cell_id, test.channel) for test in read_all(path)] == [("A_3", "3"), ("A_4", "4")]
    assert {cell for test in read_all(path) for cell in test.readings["cell_id"].to_pylist()} == {"A_3", "A_4"}
    named = read_all(path, channel_cells={"3": "X"})
    assert {test.cell_id for test in named} == {"X", "A_4"}
    with pytest.raises(BadWorkbookError, match="has no channel 9, which --cell names, only 3, 4"):
        read_all(path, channel_cells={"9": "X"})


def test_the_first_sensor_of_temperature_is_taken_where_it_measured(tmp_path: Path) -> None:
    sensors = [[1, point, 0, 0, 3.3] for point in (1, 2, 3)]  # a voltage
    sensors += [[1, point, 5, 1, 99.0] for point in (1, 2, 3)]
    sensors += [[1, point, 2, 1, 20.5 + point] for point in (3, 1)]
    (test,) = read_all(write_res(tmp_path / "A.res", res_rows(CELL), [res_test()], sensors))
    assert test.readings["temperature(c)"].to_pylist()[:5] == [21.5, None, 23.5, None, None]


def test_deleted_records_are_left_out(tmp_path: Path) -> None:
    rows = [*res_rows(CELL), *([row[0], row[1] + 1000, *row[2:]] for row in res_rows(CELL)[:50])]
    table = AccessTable("Channel_Normal_Table", RES_READINGS, rows, deleted=range(len(CELL), len(rows)))
    (test,) = read_all(write_access(tmp_path / "A.res", [table]))
    assert test.readings.num_rows == len(CELL)


def test_numbers_are_those_that_the_library_takes_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_res(tmp_path / "A.res", res_rows(CELL), [res_test()])
    at_once = read_all(path)
    monkeypatch.setattr(access, "_records", lambda _: None)
    assert read_all(path) == at_once


def test_a_file_with_fewer_readings_than_it_says_is_refused(tmp_path: Path) -> None:
    path = write_res(tmp_path / "A.res", res_rows(CELL), [res_test()], stated=3)
    assert "is truncated or damaged (ValueError: Channel_Normal_Table should have 594 rows, and has 591)" in refusal(
        path
    )


def test_a_file_that_ends_within_a_page_is_refused(tmp_path: Path) -> None:
    path = write_res(tmp_path / "A.res", res_rows(CELL), [res_test()])
    path.write_bytes(path.read_bytes()[:-100])
    assert "A.res: is truncated or damaged (it ends within a page); export or copy it again" in refusal(path)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("Current", None, "A.res, sheet Channel_Normal_Table, column Current, row 4: the cell is empty"),
        ("Data_Point", None, "A.res, sheet Channel_Normal_Table, column Data_Point: a cell is empty"),
        ("Data_Point", 3, "A.res, sheet Channel_Normal_Table: test 1 has reading 3 twice"),
        ("Voltage", float("inf"), "A.res, sheet Channel_Normal_Table, column Voltage, row 4"),
        ("DateTime", 1.0, "A.res, sheet Channel_Normal_Table, column DateTime, row 4: 1 is no date"),
    ],
)
def test_a_bad_value_is_one_line_with_its_place(tmp_path: Path, column: str, value: object, says: str) -> None:
    rows = res_rows(CELL)
    rows[3][[title for title, _ in RES_READINGS].index(column)] = value
    assert says in refusal(write_res(tmp_path / "A.res", rows, [res_test()]))


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ([AccessTable("Orders", (("Id", LONG),), [[1]])], "is an Access database without Arbin's Channel_Normal_Table"),
        (
            [AccessTable("Channel_Normal_Table", (("Test_ID", LONG), ("Voltage", DOUBLE)), [[1, 3.7]])],
            "is an Access database without Arbin's Channel_Normal_Table",
        ),
        ([AccessTable("Channel_Normal_Table", RES_READINGS, [])], "sheet Channel_Normal_Table: holds no readings"),
    ],
)
def test_another_database_is_refused(tmp_path: Path, tables: Sequence[AccessTable], says: str) -> None:
    assert says in refusal(write_access(tmp_path / "A.res", tables))


def test_without_the_library_one_line_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_res(tmp_path / "A.res", res_rows(CELL), [res_test()])
    monkeypatch.setitem(sys.modules, "access_parser", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    said = refusal(path)
    assert "A.res: reading Access databases, such as Arbin's .res, needs the extra readers" in said
    assert "setup" in said or "install" in said


@pytest.mark.timeout(30)
def test_a_definition_that_leads_back_to_itself_does_not_go_on_for_ever(tmp_path: Path) -> None:
    path = write_res(tmp_path / "A.res", res_rows(CELL), [res_test()])
    content = bytearray(path.read_bytes())
    definitions = [at for at in range(0, len(content), PAGE) if content[at : at + 2] == b"\2\1"]
    for one, other in ((definitions[1], definitions[2]), (definitions[2], definitions[1])):
        content[one + 4 : one + 8] = (other // PAGE).to_bytes(4, "little")
    path.write_bytes(content)
    assert "A.res: is truncated or damaged (ValueError: page" in refusal(path)


def outcome(path: Path) -> str | int:
    """How many readings a file gives, or the line that refuses it."""
    try:
        return READER.read(path, ReadOptions(path.name)).row_count
    except BadWorkbookError as error:
        return str(error)


def test_damage_anywhere_ends_in_readings_or_one_line(tmp_path: Path) -> None:
    whole = write_res(tmp_path / "A.res", res_rows(CELL)[:40], [res_test()]).read_bytes()
    choose = np.random.default_rng(20)
    path = tmp_path / "B.res"
    outcomes = []
    for _ in range(200):
        content = bytearray(whole)
        start, length = int(choose.integers(len(content))), int(choose.choice((1, 2, 16, 4096)))
        content[start : start + length] = choose.bytes(len(content[start : start + length]))
        path.write_bytes(content)
        outcomes.append(outcome(path))
    lines = [one for one in outcomes if isinstance(one, str)]
    assert len(lines) > 20, "damage that is seen"
    assert [line for line in lines if not line.startswith("B.res") or "\n" in line] == []
