"""Which test an export is of: the ids that go out, whatever files a lab makes of its tests and in whatever order."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from support.cycling import ROWS_EACH, START, cycled, numbered_anew, workbook, workbook_of
from support.delivered import decode

from kernel.base.errors import BatteryError
from kernel.contract.message import LATE
from kernel.contract.reading import COUNTERS
from kernel.edges.consumer import read_log
from kernel.edges.file_records import FileRecords
from kernel.edges.kafka import open_topic
from kernel.edges.objects import FolderStore, open_store
from producer.identity import Export, RegisteredTest, identify
from producer.publish import Options, publish
from producer.readers.trace import Trace
from producer.register import Register

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.cycling import Row

    from kernel.base.settings import Settings

ID = "2024-03-01T09:01:00"


def produced(settings: Settings, *batches: list[Path], **options: object) -> list[str]:
    """Publish batches one after the other; what was refused."""
    found = []
    for batch in batches:
        found += publish(settings, [str(path) for path in batch], Options(**options)).failed  # type: ignore[arg-type]
    return found


def rows_by_test(settings: Settings) -> dict[tuple[str, str], int]:
    """Rows in the log, by cell and test; those that are said to come late under `ID (late)`."""
    found: Counter[tuple[str, str]] = Counter()
    for poll in read_log(settings, open_topic(settings), 0):
        for message in poll:
            delivery = decode(message)
            late = " (late)" if dict(message.headers).get(LATE) == b"true" else ""
            for test in delivery.body.readings.column("test_id").to_pylist():
                found[delivery.cell_id, test + late] += 1
    return dict(found)


def points(settings: Settings) -> list[int]:
    """The data points in the log, in their order."""
    return [
        point
        for poll in read_log(settings, open_topic(settings), 0)
        for message in poll
        for point in decode(message).body.readings.column("data_point").to_pylist()
    ]


@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
def test_two_tests_that_began_in_the_same_second_have_two_ids(settings: Settings, tmp_path: Path, apart: bool) -> None:
    one = workbook(tmp_path / "S_3_1_24.xlsx", cycled(3, 2.0))
    other = workbook(tmp_path / "other" / "S_3_1_24.xlsx", cycled(3, 4.0))
    assert produced(settings, *([[one], [other]] if apart else [[one, other]])) == []
    rows = 3 * ROWS_EACH
    assert rows_by_test(settings) == {("S", ID): rows, ("S", f"{ID}/3.004V@1"): rows}


def test_a_test_keeps_its_id_when_it_has_grown_and_so_does_the_other_one_of_that_second(
    settings: Settings, tmp_path: Path
) -> None:
    files = [
        workbook(tmp_path / f"{number}" / "S_3_1_24.xlsx", cycled(cycles, ampere))
        for number, (cycles, ampere) in enumerate([(1, 2.0), (1, 4.0), (9, 4.0), (2, 2.0)])
    ]
    files.append(workbook(tmp_path / "few" / "S_3_1_24.xlsx", cycled(9, 4.0)[:5]))
    assert produced(settings, *[[path] for path in files]) == []
    assert rows_by_test(settings) == {("S", ID): 3 * ROWS_EACH, ("S", f"{ID}/3.004V@1"): 10 * ROWS_EACH + 5}


def test_a_test_of_five_readings_is_the_same_test_when_it_has_thousands(settings: Settings, tmp_path: Path) -> None:
    grown = cycled(80)
    few, many = (workbook(tmp_path / name, rows) for name, rows in (("A_3_1_24.xlsx", grown[:5]), ("A.xlsx", grown)))
    produced(settings, [few], [many])
    assert rows_by_test(settings) == {("A", ID): 5 + len(grown)}


def test_the_suffix_of_an_id_does_not_depend_on_how_far_the_tests_had_grown(settings: Settings, tmp_path: Path) -> None:
    other = settings.model_copy(
        update={"object_store": f"file://{tmp_path / 'other store'}", "battery_topic": f"{settings.battery_topic}_2"}
    )
    for number, (place, cycles) in enumerate(((settings, 1), (other, 5))):
        files = [workbook(tmp_path / f"{number}{a}" / "S.xlsx", cycled(cycles, a)) for a in (2.0, 4.0)]
        produced(place, files)
    assert {test for _, test in rows_by_test(settings)} == {test for _, test in rows_by_test(other)}


def test_a_reading_that_somebody_has_edited_makes_no_other_test(settings: Settings, tmp_path: Path) -> None:
    rows = cycled(3)
    edited = [list(row) for row in rows]
    edited[127][7] = 3.5
    assert edited[127][0] % 64 == 0, "it is among those that are compared"
    produced(settings, [workbook(tmp_path / "A_3_1_24.xlsx", rows)], [workbook(tmp_path / "A_3_2_24.xlsx", edited)])
    assert rows_by_test(settings) == {("A", ID): 2 * len(rows)}


def test_exports_that_differ_in_the_last_reading_that_they_share_may_be_one_test_and_are_refused(
    settings: Settings, tmp_path: Path
) -> None:
    rows = cycled(1)
    mended = [*rows[:-1], [*rows[-1][:7], 2.9, *rows[-1][8:]]]
    files = [workbook(tmp_path / name, part) for name, part in (("A_3_1_24.xlsx", rows), ("A_3_2_24.xlsx", mended))]
    (line,) = produced(settings, *[[path] for path in files])
    assert "A_3_2_24.xlsx: its clock" in line
    assert "whether both are one test cannot be told" in line


def test_of_two_producers_at_once_one_has_the_id(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one claims it between the moment when this one reads the register and the moment when it writes."""
    two = settings.model_copy(update={"battery_topic": f"{settings.battery_topic}_2"})
    one_file, two_file = (workbook(tmp_path / f"{a}" / "S.xlsx", cycled(2, a)) for a in (2.0, 4.0))
    put_new = FolderStore.put_new
    begun: list[str] = []

    def interrupted(store: FolderStore, key: str, data: bytes) -> bool:
        if key.startswith("tests/") and not begun:
            begun.append(key)
            produced(two, [two_file])
        return put_new(store, key, data)

    monkeypatch.setattr(FolderStore, "put_new", interrupted)
    assert produced(settings, [one_file]) == []
    assert list(rows_by_test(two)) == [("S", ID)]
    assert list(rows_by_test(settings)) == [("S", f"{ID}/3.002V@1")]


def test_a_damaged_entry_of_the_register_is_one_line(settings: Settings, tmp_path: Path) -> None:
    path = workbook(tmp_path / "A.xlsx", cycled(1))
    produced(settings, [path])
    store = open_store(settings)
    (entry,) = [found.key for found in store.list("tests/")]
    store.put(entry, b'{"cell_id": "A"}')
    with pytest.raises(BatteryError, match=r"tests/cell=A/.* is damaged .*; put it back from a backup, or remove it"):
        Register(store, "log").tests_of("A")


def parts_of(folder: Path, rows: list[Row], *cuts: int) -> list[Path]:
    """One test in several workbooks, as the cycler's software splits one that is too long."""
    ends = [0, *cuts, len(rows)]
    return [
        workbook(folder / f"T_Channel_1_Wb_{number}.xlsx", rows[first:last], sheet="Channel_1_1")
        for number, (first, last) in enumerate(pairwise(ends), 1)
    ]


def test_the_workbooks_of_one_test_are_one_test_in_order_whatever_their_order(
    settings: Settings, tmp_path: Path
) -> None:
    rows = cycled(6)
    parts = parts_of(tmp_path, rows, 130, 261)
    assert produced(settings, [parts[2], parts[0], parts[1]]) == []
    assert rows_by_test(settings) == {("T_Channel_1", ID): len(rows)}
    assert points(settings) == list(range(1, len(rows) + 1))


def test_the_workbooks_of_one_test_that_come_apart_are_one_test(settings: Settings, tmp_path: Path) -> None:
    rows = cycled(6)
    produced(settings, *[[part] for part in parts_of(tmp_path, rows, 130, 261)])
    assert rows_by_test(settings) == {("T_Channel_1", ID): len(rows)}


def test_a_workbook_between_two_that_went_out_takes_their_id_and_is_said_to_be_late(
    settings: Settings, tmp_path: Path
) -> None:
    first, second, third = parts_of(tmp_path, cycled(6), 130, 261)
    produced(settings, [first], [third], [second])
    assert rows_by_test(settings) == {
        ("T_Channel_1", ID): 130 + 6 * ROWS_EACH - 261,
        ("T_Channel_1", f"{ID} (late)"): 131,
    }


def test_a_test_whose_end_came_first_keeps_the_id_of_its_end(settings: Settings, tmp_path: Path) -> None:
    first, second = parts_of(tmp_path, cycled(6), 130)
    produced(settings, [second], [first])
    began = (START + timedelta(minutes=131)).isoformat()
    assert rows_by_test(settings) == {
        ("T_Channel_1", began): 6 * ROWS_EACH - 130,
        ("T_Channel_1", f"{began} (late)"): 130,
    }


def test_only_what_belongs_before_others_is_late(settings: Settings, tmp_path: Path) -> None:
    rows = cycled(6)
    cut = workbook(tmp_path / "T_3_1_24.xlsx", rows[130:261])
    whole = workbook(tmp_path / "T_3_2_24.xlsx", rows)
    produced(settings, [cut], [whole])
    began = (START + timedelta(minutes=131)).isoformat()
    assert rows_by_test(settings) == {
        ("T", began): 131 + len(rows) - 261,
        ("T", f"{began} (late)"): 261,
    }
    assert points(settings)[131:] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize("again", ["published once more", "to a new log"])
def test_what_went_out_before_is_not_late(settings: Settings, tmp_path: Path, again: str) -> None:
    first, second = parts_of(tmp_path, cycled(6), 130)
    produced(settings, [second], [first])
    anew = settings.model_copy(update={"battery_topic": f"{settings.battery_topic}_anew"})
    place = settings if again == "published once more" else anew
    before = sum(rows_by_test(settings).values()) if place is settings else 0
    produced(place, [first, second], again=True)
    late = 130 if place is settings else 0
    assert sum(rows_by_test(place).values()) == before + 6 * ROWS_EACH
    assert sum(rows for (_, test), rows in rows_by_test(place).items() if "late" in test) == late


def test_what_a_broker_did_not_take_is_late_again(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = parts_of(tmp_path, cycled(6), 130)
    produced(settings, [second])
    with monkeypatch.context() as patch:
        patch.setattr("producer.publish.send", lambda *_: (_ for _ in ()).throw(BatteryError("the broker is gone")))
        with pytest.raises(BatteryError, match="the broker is gone"):
            produced(settings, [first])
    produced(settings, [first])
    assert sum(rows for (_, test), rows in rows_by_test(settings).items() if "late" in test) == 130


def test_a_part_of_one_of_two_tests_that_began_together_goes_on_where_its_counters_do(
    settings: Settings, tmp_path: Path
) -> None:
    tests = {ampere: cycled(6, ampere) for ampere in (2.0, 4.0)}
    heads = [workbook(tmp_path / f"{a}" / "S_Wb_1.xlsx", rows[:130]) for a, rows in tests.items()]
    tails = [workbook(tmp_path / f"{a}" / "S_Wb_2.xlsx", rows[130:]) for a, rows in tests.items()]
    assert produced(settings, heads, tails[1:], tails[:1]) == []
    assert rows_by_test(settings) == {("S", ID): 6 * ROWS_EACH, ("S", f"{ID}/3.004V@1"): 6 * ROWS_EACH}


def test_a_test_that_goes_on_in_another_sheet_is_one_whatever_the_order_of_sheets(
    settings: Settings, tmp_path: Path
) -> None:
    rows = cycled(3)
    sheets = {"Channel_1_2": rows[70:120], "Channel_1_3": rows[120:], "Channel_1_1": rows[:70]}
    produced(settings, [workbook_of(tmp_path / "A.xlsx", sheets)])
    assert rows_by_test(settings) == {("A", ID): len(rows)}
    assert points(settings) == list(range(1, len(rows) + 1))


def test_exports_that_overlap_are_one_test(settings: Settings, tmp_path: Path) -> None:
    rows = cycled(6)
    begin = workbook(tmp_path / "O_3_1_24.xlsx", rows[: 4 * ROWS_EACH])
    end = workbook(tmp_path / "O_3_2_24.xlsx", rows[2 * ROWS_EACH :])
    assert produced(settings, [begin], [end]) == []
    assert rows_by_test(settings) == {("O", ID): 8 * ROWS_EACH}


def with_clock(rows: list[Row], clock: Callable[[Row], object]) -> list[Row]:
    return [[*row[:2], clock(row), *row[3:]] for row in rows]


HOUR = timedelta(hours=1)


def long_test(first: int, last: int) -> pa.Table:
    """Readings of a test, one a second, that rises and counts all the time."""
    point = np.arange(first, last + 1)
    clock = np.datetime64(START, "us") + point * np.timedelta64(1, "s")
    value = point / 1e6
    whole = {"data_point": point, "cycle_index": point // 9_000, "step_index": point // 4_500}
    names = [*whole, "test_time(s)", "date_time", "current(a)", "voltage(v)", *COUNTERS]
    columns = [*whole.values(), point * 1.0, clock, value, 3 + value, *(value for _ in COUNTERS)]
    return pa.table([pa.array(column) for column in columns], names=names)


@pytest.mark.parametrize("begin", [69_700, 69_000, 5_000])
def test_a_few_readings_that_exports_of_a_long_test_share_tell_that_they_are_of_one_test(begin: int) -> None:
    """From 69,700 to 70,000 no sample of the one is a sample of the other."""
    known = RegisteredTest("L", ID, "L_Wb_1.xlsx", Trace.of(long_test(1, 70_000)), {})
    readings = long_test(begin, 75_000)
    export = Export("L", "L_Wb_2.xlsx", START, Trace.of(readings), lambda: readings)
    assert identify([known], export) is known


CLOCKS: dict[str, Callable[[Row], object]] = {
    "in whole minutes": lambda row: (row[2] + timedelta(seconds=13 * row[0] % 60)).replace(second=0),
    "put on by an hour": lambda row: row[2] + HOUR * (row[0] > 140),
    "put back by an hour": lambda row: row[2] - HOUR * (row[0] > 130),
}


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 1, 0)], ids=str)
def test_the_workbooks_of_one_test_are_one_test_whatever_its_clock(
    settings: Settings, tmp_path: Path, clock: str, order: tuple[int, ...]
) -> None:
    rows = with_clock(cycled(6), CLOCKS[clock])
    if clock == "in whole minutes":
        rows = [[row[0], row[1] + 13 * row[0] % 60, *row[2:]] for row in rows]
    parts = parts_of(tmp_path, rows, 130, 261)
    assert produced(settings, *[[parts[number]] for number in order]) == []
    ids = {test.removesuffix(" (late)") for _, test in rows_by_test(settings)}
    assert len(ids) == 1
    assert sum(rows_by_test(settings).values()) == len(rows)


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 0, 1)], ids=str)
def test_a_part_that_joins_two_tests_of_a_paused_one_is_said(
    settings: Settings, tmp_path: Path, order: tuple[int, ...]
) -> None:
    parts = parts_of(tmp_path, with_clock(cycled(6), lambda row: row[2] + 72 * HOUR * (row[0] > 140)), 130, 261)
    summaries = [publish(settings, [str(parts[number])], Options()) for number in order]
    assert [len(summary.remarks) for summary in summaries] == [0, 0, 1]
    (remark,) = summaries[-1].remarks
    assert remark.startswith("T_Channel_1_Wb_2.xlsx: it joins test 2024-03-")
    assert "which are one test and have landed as two; for whole cycles at the seam, produce all parts" in remark


def test_exports_of_a_test_whose_clock_was_put_back_are_one_test(settings: Settings, tmp_path: Path) -> None:
    """The second begins later by its clock than the first ends, although they share readings."""
    rows = with_clock(cycled(6), lambda row: row[2] - HOUR * (row[0] > 140))
    exports = [workbook(tmp_path / "O_3_1_24.xlsx", rows[:150]), workbook(tmp_path / "O_3_2_24.xlsx", rows[99:])]
    assert rows[99][2] > rows[149][2]
    assert produced(settings, *[[path] for path in exports]) == []
    assert list(rows_by_test(settings)) == [("O", ID)]


def test_the_middle_of_another_test_is_no_part_of_one_that_began_before_it(settings: Settings, tmp_path: Path) -> None:
    short = workbook(tmp_path / "O_3_1_24.xlsx", cycled(1)[:20])
    later = cycled(6, start=START + timedelta(minutes=30))
    produced(settings, [short], [workbook(tmp_path / "O_3_2_24.xlsx", later[130:])])
    assert len(rows_by_test(settings)) == 2


CONFLICTS: dict[str, Callable[[list[Row]], list[Row]]] = {
    "numbered anew": lambda rows: numbered_anew(rows[2 * ROWS_EACH :], timed_anew=False),
    "numbered and timed anew": lambda rows: numbered_anew(rows[2 * ROWS_EACH :]),
    "with the clock moved by an hour": lambda rows: with_clock(rows, lambda row: row[2] + HOUR),
    "with the clock of another zone": lambda rows: with_clock(rows, lambda row: row[2] + 9 * HOUR),
}


@pytest.mark.parametrize("kind", CONFLICTS)
@pytest.mark.parametrize("together", [True, False], ids=["together", "apart"])
def test_a_cut_whose_numbers_begin_anew_is_refused_and_names_both(
    settings: Settings, tmp_path: Path, kind: str, together: bool
) -> None:
    rows = cycled(6)
    whole = workbook(tmp_path / "O_3_1_24.xlsx", rows[: 4 * ROWS_EACH])
    cut = workbook(tmp_path / "O_3_2_24.xlsx", CONFLICTS[kind](rows))
    (line,) = produced(settings, *([[whole, cut]] if together else [[whole], [cut]]))
    assert line == (
        f"O_3_2_24.xlsx: it holds what was measured in test {ID} (O_3_1_24.xlsx) of cell O, under another Data_Point, "
        "Test_Time or Date_Time; export the whole test, or give its cell another name with --cell"
    )
    assert rows_by_test(settings) == {("O", ID): 4 * ROWS_EACH}


def test_tests_of_a_cell_whose_clocks_overlap_are_refused_where_nothing_tells_them_apart(
    settings: Settings, tmp_path: Path
) -> None:
    whole = workbook(tmp_path / "O_3_1_24.xlsx", cycled(6))
    other = cycled(6, 4.0, start=START + timedelta(minutes=17))
    cut = workbook(tmp_path / "O_3_2_24.xlsx", [[row[0] + 5000, *row[1:]] for row in other])
    (line,) = produced(settings, [whole], [cut])
    assert line == (
        f"O_3_2_24.xlsx: its clock, 2024-03-01 09:18:00 to 2024-03-01 15:41:00, overlaps that of test {ID} "
        "(O_3_1_24.xlsx) of cell O, and whether both are one test cannot be told; export the whole test, or give its "
        "cell another name with --cell"
    )


def test_two_tests_that_were_exported_from_their_starts_may_overlap(settings: Settings, tmp_path: Path) -> None:
    files = [workbook(tmp_path / "O_3_1_24.xlsx", cycled(6))]
    files.append(workbook(tmp_path / "O_3_2_24.xlsx", cycled(6, 4.0, start=START + timedelta(minutes=17))))
    summary = publish(settings, [str(path) for path in files], Options())
    assert summary.failed == []
    assert len(rows_by_test(settings)) == 2
    (remark,) = summary.remarks
    assert remark == (
        f"O_3_2_24.xlsx: it ran at the same time as test {ID} (O_3_1_24.xlsx) of cell O; if it is another cell, "
        "produce it again with --cell"
    )


def test_tests_of_a_cell_that_follow_each_other_need_no_remark(settings: Settings, tmp_path: Path) -> None:
    """The second begins in the second in which the first ends, and measures the same a day later."""
    first = cycled(2)
    files = [
        workbook(tmp_path / f"O_3_{day}_24.xlsx", cycled(2, start=start))
        for day, start in enumerate((START, first[-1][2] - timedelta(minutes=1), START + timedelta(days=3)), 1)
    ]
    files[1] = workbook(files[1], cycled(2, 4.0, start=first[-1][2] - timedelta(minutes=1)))
    summary = publish(settings, [str(path) for path in files], Options())
    assert (summary.failed, summary.remarks) == ([], [])
    assert len(rows_by_test(settings)) == 3


def test_a_conflict_refuses_its_workbook_and_nothing_else(settings: Settings, tmp_path: Path) -> None:
    rows = cycled(6)
    files = [
        workbook(tmp_path / "O_3_1_24.xlsx", rows),
        workbook_of(
            tmp_path / "O_3_2_24.xlsx",
            {"Channel_1": numbered_anew(rows[ROWS_EACH:]), "Channel_2": cycled(1, start=START + timedelta(days=9))},
        ),
        workbook(tmp_path / "P_3_1_24.xlsx", cycled(6, 4.0)),
    ]
    summary = publish(settings, [str(path) for path in files], Options())
    assert (summary.workbooks, len(summary.failed)) == (2, 1)
    assert rows_by_test(settings) == {("O", ID): len(rows), ("P", ID): len(rows)}
    store = open_store(settings)
    (record,) = FileRecords(store).all()
    assert record.file == "O_3_2_24.xlsx"
    assert "of cell O, under another Data_Point" in record.reason
    assert len(list(store.list("tests/"))) == 2, "nothing is known of a test that was refused"
