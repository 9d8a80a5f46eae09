"""Whose readings a workbook holds: channels, copies, and bytes that were published under another name."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.cycling import ROWS_EACH, START, cycled, workbook, workbook_of
from support.delivered import decode
from support.pipeline import Pipeline
from support.places import SHARED

from kernel.edges.consumer import read_log
from kernel.edges.kafka import open_topic
from producer.publish import Options, publish
from producer.readers.arbin import read_workbook
from producer.readers.base import BadWorkbookError
from producer.readers.sheets.channels import channel_of

if TYPE_CHECKING:
    from kernel.base.settings import Settings


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A workbook of two channels that ran at the same time."""
    return workbook_of(tmp_path / "TWO_3_1_24.xlsx", {"Channel_1-001": cycled(2), "Channel_1-002": cycled(3, 4.0)})


def rows_by_cell(settings: Settings) -> dict[str, int]:
    found: Counter[str] = Counter()
    for poll in read_log(settings, open_topic(settings), 0):
        for message in poll:
            found[decode(message).cell_id] += decode(message).body.row_count
    return dict(found)


def cells_of(path: Path, **asked: object) -> dict[str, int]:
    """Rows by cell of a workbook."""
    found: Counter[str] = Counter()
    for test in read_workbook(path, **asked).tests:  # type: ignore[arg-type]
        found[test.cell_id] += test.readings.num_rows
    return dict(found)


@pytest.mark.parametrize(
    ("sheet", "channel"),
    [
        ("Channel_1-008", "1-008"),
        ("Channel_1-008_2", "1-008"),
        ("channel_1-008_12", "1-008"),
        ("Channel_1_1", "1"),
        ("Channel_12", "12"),
        ("Channel 7", "7"),
        ("Sheet1", "Sheet1"),
    ],
)
def test_a_sheet_names_its_channel_without_the_number_of_the_part(sheet: str, channel: str) -> None:
    assert channel_of(sheet) == channel


@pytest.mark.parametrize(
    ("asked", "cells"),
    [
        ({}, ["TWO_1-001", "TWO_1-002"]),
        ({"cell_id": "X"}, ["X_1-001", "X_1-002"]),
        ({"channel_cells": {"1-002": "B"}}, ["TWO_1-001", "B"]),
        ({"channel_cells": {"Channel_1-002": "B", "1-001": "A"}}, ["A", "B"]),
        ({"cell_id": "X", "channel_cells": {"1-002": "B"}}, ["X_1-001", "B"]),
    ],
)
def test_channels_that_ran_at_the_same_time_are_cells_of_their_own(
    two: Path, asked: dict[str, object], cells: list[str]
) -> None:
    assert cells_of(two, **asked) == dict(zip(cells, [2 * ROWS_EACH, 3 * ROWS_EACH], strict=True))


def test_a_single_channel_may_be_named_too(tmp_path: Path) -> None:
    path = workbook(tmp_path / "A.xlsx", cycled(1), sheet="Channel_1-003")
    assert list(cells_of(path, channel_cells={"1-003": "B", "1-009": "C"})) == ["B"]
    with pytest.raises(BadWorkbookError) as caught:
        read_workbook(path, channel_cells={"1-009": "C"})
    assert str(caught.value) == (
        "A.xlsx: has no channel 1-009, which --cell names, only 1-003; name one of these, or the cell alone"
    )


def test_each_of_several_channels_may_fill_several_sheets(tmp_path: Path) -> None:
    one, other = cycled(2), cycled(3, 4.0)
    sheets = {"Channel_1-001": one[:70], "Channel_1-002": other[:70]}
    sheets |= {"Channel_1-001_1": one[70:], "Channel_1-002_1": other[70:]}
    path = workbook_of(tmp_path / "A.xlsx", sheets)
    assert cells_of(path) == {"A_1-001": len(one), "A_1-002": len(other)}
    assert len(read_workbook(path).tests) == 2


@pytest.mark.parametrize(
    ("asked", "cells"),
    [
        ({}, ["A_1_1", "A_1_2"]),
        ({"channel_cells": {"Channel_1_2": "B"}}, ["A_1_1", "B"]),
        ({"channel_cells": {"1_2": "B"}}, ["A_1_1", "B"]),
    ],
)
def test_sheets_that_are_named_as_parts_of_a_channel_and_ran_at_the_same_time_are_cells_of_their_own(
    tmp_path: Path, asked: dict[str, object], cells: list[str]
) -> None:
    path = workbook_of(tmp_path / "A.xlsx", {"Channel_1_1": cycled(2), "Channel_1_2": cycled(3, 4.0)})
    assert cells_of(path, **asked) == dict(zip(cells, [2 * ROWS_EACH, 3 * ROWS_EACH], strict=True))


def test_a_part_that_begins_after_the_clock_was_put_back_is_still_one_of_its_channel(tmp_path: Path) -> None:
    rows = [[*row[:2], row[2] - timedelta(hours=row[0] > 70), *row[3:]] for row in cycled(3)]
    path = workbook_of(tmp_path / "A.xlsx", {"Channel_1_1": rows[:70], "Channel_1_2": rows[70:]})
    assert cells_of(path) == {"A": len(rows)}


def test_channels_that_ran_one_after_the_other_are_tests_of_one_cell(tmp_path: Path) -> None:
    later = cycled(2, start=START + timedelta(days=30))
    path = workbook_of(tmp_path / "A.xlsx", {"Channel_1-009": later, "Channel_1-001": cycled(3)})
    assert cells_of(path) == {"A": 5 * ROWS_EACH}
    assert len(read_workbook(path).tests) == 2


def test_a_test_that_goes_on_in_another_channel_is_one_test(tmp_path: Path) -> None:
    rows = cycled(3)
    (test,) = read_workbook(workbook_of(tmp_path / "A.xlsx", {"Channel_2": rows[90:], "Channel_1": rows[:90]})).tests
    assert (test.cell_id, test.readings["data_point"].to_pylist()) == ("A", list(range(1, len(rows) + 1)))


def test_a_channel_whose_numbers_go_on_by_chance_is_no_part_of_another(tmp_path: Path) -> None:
    rows = cycled(3)
    other = [[*row[:2], row[2] + timedelta(hours=5), *row[3:]] for row in cycled(3, 4.0)[100:]]
    path = workbook_of(tmp_path / "A.xlsx", {"Channel_1": rows[:90], "Channel_2": other})
    assert len(read_workbook(path).tests) == 2


def test_the_cells_of_a_workbook_are_said_and_it_is_skipped_when_all_of_them_are_in_the_log(
    settings: Settings, two: Path
) -> None:
    summary = publish(settings, [str(two)], Options())
    (remark,) = summary.remarks
    assert remark == (
        "TWO_3_1_24.xlsx: its channels ran at the same time and are cells of their own: TWO_1-001, TWO_1-002; --cell "
        "CHANNEL=ID names one"
    )
    assert rows_by_cell(settings) == {"TWO_1-001": 2 * ROWS_EACH, "TWO_1-002": 3 * ROWS_EACH}
    assert publish(settings, [str(two)], Options()).skipped == 1
    assert publish(settings, [str(two)], Options(channel_cells={"1-002": "B"})).workbooks == 1
    assert rows_by_cell(settings)["B"] == 3 * ROWS_EACH


@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
def test_a_channel_that_is_exported_alone_is_the_cell_that_it_was_beside_others(
    settings: Settings, two: Path, tmp_path: Path, apart: bool
) -> None:
    grown = workbook(tmp_path / "TWO_3_8_24.xlsx", cycled(5, 4.0), sheet="Channel_1-002")
    for batch in [[two], [grown]] if apart else [[grown, two]]:
        summary = publish(settings, [str(path) for path in batch], Options())
    assert "TWO_3_8_24.xlsx: is of cell TWO_1-002, since channels of TWO ran at the same time" in summary.remarks[-1]
    assert rows_by_cell(settings) == {"TWO_1-001": 2 * ROWS_EACH, "TWO_1-002": 8 * ROWS_EACH}
    ids = {
        (delivery.cell_id, *delivery.body.readings.column("cell_id").unique().to_pylist())
        for poll in read_log(settings, open_topic(settings), 0)
        for delivery in map(decode, poll)
    }
    assert ids == {("TWO_1-001", "TWO_1-001"), ("TWO_1-002", "TWO_1-002")}
    assert publish(settings, [str(grown)], Options()).skipped == 1


@pytest.mark.parametrize("landed", [["TWO_1-001"], ["TWO_1-001", "TWO_1-002"]])
def test_a_workbook_of_two_cells_has_landed_when_both_have(settings: Settings, two: Path, landed: list[str]) -> None:
    publish(settings, [str(two)], Options())
    topic_id = open_topic(settings).topic_id
    anew = settings.model_copy(update={"battery_topic": f"{settings.battery_topic}_anew"})
    offsets = {(cell, topic_id, partition): 9 for cell in landed for partition in range(9)}
    summary = publish(anew, [str(two)], Options(landed=lambda: offsets))
    assert summary.landed == (len(landed) == 2)


def test_the_command_takes_cells_by_channel(broker: int, two: Path, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path / "command", broker, {"BATTERY_TOPIC": "channels"})
    said = pipeline.battery("produce", str(two), "--cell", "1-001=A", "--cell", "1-002=B")
    assert "note: TWO_3_1_24.xlsx: its channels ran at the same time and are cells of their own: A, B" in said
    for cells, complaint in (
        (["=A"], "--cell '=A' names no cell; give --cell ID, or --cell CHANNEL=ID as in 1-002=CELL_B"),
        (["1=A", "1=B"], "--cell names two cells for channel 1: A and B"),
        (["A", "B"], "--cell names several cells: A, B; give one, or --cell CHANNEL=ID for each"),
    ):
        asked = [word for cell in cells for word in ("--cell", cell)]
        assert complaint in pipeline.battery("produce", str(two), *asked, code=2)


@pytest.mark.skipif(not (SHARED / "foreign").is_dir(), reason="this machine has no files of other labs")
def test_four_real_channels_are_four_cells() -> None:
    path = SHARED / "foreign" / "arbin_four_channels.xlsx"
    rows = {"053": 67, "059": 59, "064": 58, "066": 153}
    assert cells_of(path, cell_id="C") == {f"C_1-{channel}": count for channel, count in rows.items()}


def test_bytes_that_are_another_cells_are_said_and_skipped_unless_they_are_asked_for(
    settings: Settings, tmp_path: Path
) -> None:
    path = workbook(tmp_path / "A_3_1_24.xlsx", cycled(2))
    copy = Path(shutil.copy(path, tmp_path / "B_3_1_24.xlsx"))
    line = (
        "B_3_1_24.xlsx: skipped, its bytes were published as cell A from A_3_1_24.xlsx; --again publishes it as B too, "
        "--cell as what it names"
    )
    together = publish(settings, [str(path), str(copy)], Options())
    assert (together.workbooks, together.skipped, together.remarks) == (1, 1, [line])
    apart = publish(settings, [str(copy)], Options())
    assert (apart.workbooks, apart.skipped, apart.remarks) == (0, 1, [line])
    anew = settings.model_copy(update={"battery_topic": f"{settings.battery_topic}_anew"})
    assert publish(anew, [str(copy)], Options()).remarks == [line], "also where another log has it"
    assert rows_by_cell(settings) == {"A": 2 * ROWS_EACH}
    assert publish(settings, [str(copy)], Options(cell_id="C")).workbooks == 1
    assert publish(settings, [str(copy)], Options(again=True)).workbooks == 1
    assert rows_by_cell(settings) == dict.fromkeys("ABC", 2 * ROWS_EACH)
    assert publish(settings, [str(copy)], Options()).remarks == [], "it is B by now"


def test_copies_are_tests_of_the_cell_that_they_are_copies_of(settings: Settings, tmp_path: Path) -> None:
    path = workbook(tmp_path / "A_3_1_24.xlsx", cycled(2))
    names = ("A_3_1_24 (1).xlsx", "A_3_1_24 - Copy.xlsx", "Copy of A_3_1_24.XLSX")
    publish(settings, [str(path)], Options())
    copies = [shutil.copy(path, tmp_path / name) for name in names]
    summary = publish(settings, [str(copy) for copy in copies], Options())
    assert (summary.skipped, summary.remarks) == (3, [])
    assert rows_by_cell(settings) == {"A": 2 * ROWS_EACH}
