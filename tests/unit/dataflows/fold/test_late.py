"""Retried readings: a mended reading takes the place that it had, and the numbers are what they would have been."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.builders import CELL, arrow, reading
from support.generated import BAD, LATE, ORIGIN, histories, in_parts, refused_at_first, retry
from support.landed import clean_cell, differing, fold, landed, landed_tables, rows_of, state_of, whole_state
from support.profiles import examples

from dataflows.fold.late import MOST_HOLES, fill
from dataflows.fold.state import CellState
from kernel.contract.reading import ARROW, Quality, Reason

if TYPE_CHECKING:
    from support.delivered import Delivery


def charging(point: int, **changes: Any) -> dict[str, Any]:
    """A reading of a cycle whose charge counter gains 0.01 Ah a reading."""
    return reading(point, **{"charge_capacity(ah)": point / 100, "current(a)": 1.2, **changes})


def test_a_retried_reading_lands_where_it_was_missing_and_is_flagged() -> None:
    log = [arrow([charging(1), charging(2, **BAD), charging(3)]), retry(charging(2), 1)]
    connection = landed([fold([log])])
    assert rows_of(connection, "select data_point, quality, kafka_offset from battery_ts_cleaned order by all") == [
        (1, 0, 0),
        (2, int(Quality.RETRIED), 1),
        (3, int(Quality.GAP), 0),
    ]
    assert rows_of(connection, "from battery_retries") == [("log-one", 0, 1, CELL, *vars(ORIGIN).values())]


def test_without_being_a_retry_a_late_reading_is_out_of_order() -> None:
    log = [arrow([charging(1), charging(2, **BAD), charging(3)]), arrow([charging(2)], offset=1)]
    connection = landed([fold([[message] for message in log])])
    assert rows_of(connection, 'select reason from battery_quarantine where "offset" = 1') == [("out_of_order",)]


def test_a_retry_lands_once() -> None:
    log = [arrow([charging(1), charging(2, **BAD), charging(3)]), retry(charging(2), 1), retry(charging(2), 2)]
    connection = landed([fold([log])])
    assert rows_of(connection, 'select reason from battery_quarantine where "offset" = 2') == [("duplicate",)]


@pytest.mark.parametrize("elsewhere", [[], [charging(2, **BAD)]])
def test_a_reading_that_came_out_of_order_lands_where_it_belongs_when_it_is_retried(
    elsewhere: list[dict[str, Any]],
) -> None:
    log = [
        *(arrow([charging(1), *elsewhere, charging(3)]), arrow([charging(5, cycle_index=2)], offset=1)),
        *(arrow([charging(4)], offset=2), retry(charging(4), 3)),
    ]
    for connection in (landed([fold([log])]), landed([fold([[message] for message in log])])):
        assert rows_of(connection, 'select reason, detail from battery_quarantine where "offset" >= 2') == [
            ("out_of_order", "data point 4 of test 2024-01-01T08:00:00 comes after later ones, and had not landed")
        ]
        assert rows_of(connection, "select quality from battery_ts_cleaned where data_point = 4") == [
            (Quality.RETRIED,)
        ]
        sql = "select cycle_index, charge_capacity_ah from battery_cell_cycles order by all"
        assert rows_of(connection, sql) == [(1, 0.04), (2, 0.01)]


def test_a_retry_of_what_a_test_does_not_remember_stays_out_of_order() -> None:
    thinned = [charging(point) for point in range(1, 100, 10)]
    connection = landed([fold([[arrow(thinned), retry(charging(85), 1)]])])
    assert rows_of(connection, "select reason from battery_quarantine") == [("out_of_order",)]


def late(rows: list[dict[str, Any]], offset: int) -> Delivery:
    return arrow(rows, offset=offset, with_headers=[("content-type", ARROW.encode()), ("late", b"true")])


def test_a_part_of_a_test_that_says_it_is_late_lands_before_and_between_the_parts_that_came_earlier() -> None:
    whole = [charging(point, cycle_index=1 + point // 4) for point in range(1, 13)]
    log = [arrow(whole[4:6]), arrow(whole[9:], offset=1), late(whole[:4], 2), late(whole[6:9], 3)]
    sql = "select cycle_index, charge_capacity_ah, reading_count from battery_cell_cycles order by all"
    in_time = rows_of(landed([fold([[arrow(whole)]])]), sql)
    for cut in ([log], [[message] for message in log]):
        connection = landed([fold(cut)])
        assert rows_of(connection, "from battery_quarantine") == []
        assert rows_of(connection, sql) == in_time
        flags = rows_of(connection, "select data_point, quality from battery_ts_cleaned order by all")
        assert [point for point, quality in flags if quality & Quality.LATE] == [1, 2, 3, 4, 7, 8, 9]


def test_a_part_is_not_put_before_a_counter_that_leaped_from_there() -> None:
    whole = [charging(point, **{"test_time(s)": 7200.0 + 30 * point}) for point in range(1, 9)]
    behind = [whole[4] | {"charge_capacity(ah)": 99_999.0}, *whole[5:]]
    connection = landed([fold([[arrow(behind), late(whole[:4], 1)]])])
    assert rows_of(connection, "select reason, count(*) from battery_quarantine group by all") == [("out_of_order", 4)]
    ((gained,),) = rows_of(connection, "select charge_capacity_ah from battery_cell_cycles")
    assert gained < 1


def test_a_late_part_that_landed_before_is_a_duplicate_and_one_with_other_values_a_conflict() -> None:
    rows = [charging(point) for point in range(1, 5)]
    log = [arrow(rows), late(rows[:2], 1), late([rows[2] | {"voltage(v)": 3.1}], 2)]
    connection = landed([fold([log])])
    assert rows_of(connection, "select reason, row_count from battery_quarantine order by all") == [
        ("conflict", 1),
        ("duplicate", 2),
    ]


@pytest.mark.parametrize("time", [29.0, 91.0])
def test_a_retry_whose_time_is_not_between_its_neighbours_is_refused(time: float) -> None:
    log = [arrow([charging(1), charging(2, **BAD), charging(3)]), retry(charging(2, **{"test_time(s)": time}), 1)]
    connection = landed([fold([log])])
    assert rows_of(connection, 'select reason, detail from battery_quarantine where "offset" = 1') == [
        (Reason.TIME_BACKWARDS, f"test_time(s) is {time}, not between the readings around it")
    ]


def test_a_retry_beyond_the_last_reading_goes_on_with_the_test() -> None:
    log = [arrow([charging(1), charging(2, **BAD)]), retry(charging(2), 1), arrow([charging(3)], offset=2)]
    connection = landed([fold([log])])
    assert rows_of(connection, "select data_point, quality from battery_ts_cleaned order by all") == [
        (1, 0),
        (2, int(Quality.RETRIED)),
        (3, 0),
    ]


def test_a_retried_reading_at_the_end_of_a_cycle_gives_the_cycle_its_charge() -> None:
    whole = [charging(1), charging(2), charging(3, cycle_index=2)]
    log = [arrow([whole[0], whole[1] | BAD, whole[2]]), retry(whole[1], 1)]
    sql = "select cycle_index, charge_capacity_ah from battery_cell_cycles order by all"
    assert rows_of(landed([fold([log[:1]])]), sql) == [(1, 0.01), (2, 0.02)]
    assert rows_of(landed([fold([log])]), sql) == [(1, 0.02), (2, 0.01)]


def test_a_retry_whose_gain_nothing_can_tell_is_refused() -> None:
    blind = charging(3, **{"charge_capacity(ah)": None})
    log = [arrow([charging(1), charging(2, **BAD), blind, charging(4)]), retry(charging(2), 1)]
    connection = landed([fold([log])])
    assert rows_of(connection, "select charge_capacity_ah from battery_cell_cycles") == [(0.04,)]
    assert rows_of(connection, 'select reason, detail from battery_quarantine where "offset" = 1') == [
        ("missing_value", "the reading behind it lacks a counter, so nothing tells what was gained up to it")
    ]


def test_the_first_data_point_of_a_test_may_be_mended_too() -> None:
    log = [
        arrow([charging(0, **BAD), charging(1, **BAD), charging(2)]),
        retry(charging(1), 1),
        retry(charging(0), 2),
    ]
    connection = landed([fold([log])])
    assert rows_of(connection, "select data_point from battery_ts_cleaned order by all") == [(0,), (1,), (2,)]


def test_a_late_reading_is_the_last_of_its_window_only_where_nothing_came_after_it() -> None:
    rows = [charging(1), charging(2, **{"voltage(v)": 3.2}), charging(3, **{"voltage(v)": 3.3})]
    last = "select voltage_last_v from battery_cell_windows order by window_start"
    log = [arrow([rows[0], rows[1] | BAD, rows[2]]), retry(rows[1], 1)]
    assert rows_of(landed([fold([log])]), last) == [(3.3,)]
    far = charging(100, **{"voltage(v)": 3.3})
    log = [arrow([rows[0], rows[1] | BAD, far]), retry(rows[1], 1)]
    assert rows_of(landed([fold([log])]), last) == [(3.2,), (3.3,)]


def test_a_message_of_many_late_readings_is_put_in_place_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*arguments: Any) -> Any:
        calls.append(1)
        return fill(*arguments)

    monkeypatch.setattr("dataflows.fold.admit.fill", counted)
    rows = [charging(point) for point in range(1, 3_002)]
    bad = [row | BAD for row in rows[1:-1]]
    log = [arrow([rows[0], *bad, rows[-1]]), arrow(rows[1:-1], offset=1, retry_of=ORIGIN)]
    connection = landed([fold([log])])
    assert rows_of(connection, "select count(*) from battery_ts_cleaned") == [(3_001,)]
    assert len(calls) == 1


def test_of_more_holes_than_a_test_remembers_the_oldest_are_forgotten() -> None:
    rows = [charging(point, **(BAD if point % 2 == 0 else {})) for point in range(1, 2 * MOST_HOLES + 4)]
    cuts = arrow(rows[:300]), arrow(rows[300:], offset=1)
    state = state_of(fold([[cut] for cut in cuts])[-1])
    assert state == whole_state([*cuts])
    (tail,) = state.tests.values()
    assert len(tail.holes) == MOST_HOLES
    for point, lands in ((2, 0), (4, 1)):
        cleaned = clean_cell(state, [retry(charging(point), 2)])
        assert cleaned is not None
        assert cleaned.landed.num_rows == lands


def test_a_cell_without_refused_readings_remembers_the_first_places_at_which_it_skipped_some() -> None:
    state = whole_state([arrow([charging(point) for point in range(1, 100)])])
    assert [tail.holes for tail in state.tests.values()] == [()]
    state = whole_state([arrow([charging(point) for point in range(1, 100, 10)])])
    assert [hole.after.data_point for tail in state.tests.values() for hole in tail.holes] == [11, 21, 31, 41]


@given(st.data())
@examples(1.2)
def test_readings_that_come_late_give_the_numbers_that_they_would_have_given_in_time(data: st.DataObject) -> None:
    history = data.draw(histories())
    in_one_line = len({row["test_id"] for row in history}) == 1 and all(row["date_time"] for row in history)
    in_time = landed([fold([[arrow(history)]])])
    late = landed([fold([data.draw(st.one_of(refused_at_first(history), in_parts(history)))])])
    # Where a reading lacks a counter, what was refused before it cannot come back.
    assume(rows_of(late, "from battery_quarantine where reason = 'missing_value'") == [])
    for sql in (
        'select cell_id, test_id, data_point, "voltage(v)", date_time from battery_ts_cleaned order by all',
        "select * exclude (as_of_offset, is_final) from internal._cycles order by all",
        """select cell_id, window_start, reading_count, temperature_count, voltage_sum_nv, current_sum_na,
        voltage_min_v, voltage_max_v, charge_throughput_pah, energy_throughput_pwh
        from internal._windows order by all""",
        # What came last is told by the clock, and by the log between tests that run at the same time.
        *(
            ["select window_start, voltage_last_v, current_last_a from internal._windows order by all"]
            if in_one_line
            else []
        ),
    ):
        assert rows_of(late, sql) == rows_of(in_time, sql)


@given(st.data())
@examples(0.6)
def test_late_readings_do_not_make_results_depend_on_how_the_log_is_cut(data: st.DataObject) -> None:
    history = data.draw(histories())
    log = data.draw(st.one_of(refused_at_first(history), in_parts(history)))
    place = data.draw(st.integers(0, len(log)))
    pieces = fold([part for part in (log[:place], log[place:]) if part])
    whole = fold([log])
    tables = ("battery_ts_cleaned", "battery_quarantine", "battery_retries", "_windows", "_cycles")
    one, two = landed([whole]), landed([[piece] for piece in pieces])
    for table in tables:
        assert rows_of(two, f"from {table} order by all") == rows_of(one, f"from {table} order by all")
    assert state_of(pieces[-1]) == state_of(whole[-1])
    one.execute("insert into internal._writers values ('x', 1, 600, now(), 0, null, 'worker', null)")
    assert differing(one) == (0, 0)


def test_a_hole_behind_a_counter_that_leaped_is_remembered_alike_wherever_the_log_is_cut() -> None:
    rows = [
        charging(point, **{"charge_capacity(ah)": point / 100 + (500 if point > 4 else 0)}) for point in range(1, 9)
    ]
    in_time, late = [*rows[:6], rows[7]], rows[6]
    log = [arrow([row], offset=offset) for offset, row in enumerate(in_time)]
    log.append(arrow([late], offset=len(log), with_headers=LATE))
    whole, pieces = fold([log]), fold([[message] for message in log])
    before = state_of(fold([log[:-1]])[-1])
    assert [len(tail.holes) for tail in before.tests.values()] == [1]
    assert state_of(fold([[message] for message in log[:-1]])[-1]) == before
    assert landed_tables([pieces]) == landed_tables([whole])
    assert state_of(pieces[-1]) == state_of(whole[-1])


@pytest.mark.parametrize("apart", [False, True], ids=["in one message", "one by one"])
@pytest.mark.parametrize("zeros", [1, 2], ids=["one zero", "two zeros"])
def test_a_counter_returns_to_what_it_stood_at_in_a_reading_that_came_late(zeros: int, *, apart: bool) -> None:
    rows = []
    for point in range(1, 4 + zeros):
        time = 9.0 + point
        energy = 0.0 if 3 <= point < 3 + zeros else 3.7 * time / 3600
        changes = {"test_time(s)": time, "current(a)": 1.0, "charge_energy(wh)": energy}
        rows.append(charging(point, **changes, **{"charge_capacity(ah)": time / 3600}))
    last = rows.pop()
    log = [arrow([rows[0], rows[1] | BAD, *rows[2:]])]
    log += (
        [retry(row, offset) for offset, row in enumerate((rows[1], last), 1)]
        if apart
        else [arrow([rows[1], last], offset=1, retry_of=ORIGIN)]
    )
    connection = landed([fold([log])])
    connection.execute("insert into internal._writers values ('x', 1, 600, now(), 0, null, 'worker', null)")
    assert differing(connection) == (0, 0)
    ((energy,),) = rows_of(connection, "select charge_energy_wh from battery_cell_cycles")
    assert energy == pytest.approx(last["charge_energy(wh)"], abs=1e-12)


def test_a_state_of_the_time_before_retries_can_be_read() -> None:
    tail = "[1,30.0,null,null,1,1,[null,null,null,null],[false,false,false,false],0.0,false,[]]"
    state = CellState.from_json(f'{{"offsets":{{}},"tests":{{"A":{tail}}}}}')
    assert (state.refusals, state.tests["A"].holes, state.tests["A"].skips) == (0, (), 0)
