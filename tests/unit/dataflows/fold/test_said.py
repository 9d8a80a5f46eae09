"""What messages say of their tests lands with them, and flags the readings whose counters were computed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from support.builders import CELL, TEST, arrow, as_json, json_message, message, reading
from support.landed import fold, landed, rows_of

from kernel.contract.about import About, TestAbout
from kernel.contract.batch import decode_poll
from kernel.contract.poll import Poll
from kernel.contract.reading import JSON, Quality

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.delivered import Delivery

INTEGRATED = int(Quality.COUNTER_INTEGRATED)
SAID = TestAbout(TEST, About("csv", ("one", "two"), {"b": "2", "a": "1"}, ("charge_capacity(ah)",)))


def charged(point: int, **changes: Any) -> dict[str, Any]:
    return reading(point, **{"charge_capacity(ah)": point / 1_000, "current(a)": 1.2, **changes})


def qualities(log: Sequence[Delivery]) -> list[tuple[int, int]]:
    """The flags of all landed readings, by data point."""
    found: list[tuple[int, int]] = rows_of(
        landed([fold([list(log)])]), "select data_point, quality from battery_ts_cleaned order by all"
    )
    return found


def test_each_message_that_says_something_of_its_test_lands_as_a_row() -> None:
    log = [
        arrow([charged(1)], about=SAID),
        arrow([charged(2)], offset=1),
        json_message(charged(3), offset=2, about=TestAbout("another", About("json"))),
    ]
    file = "CELL_1_1_1_24.xlsx"
    at = datetime(2023, 11, 14, 22, 13, 20)  # noqa: DTZ001  # a time stamp is UTC without a zone
    later = at + timedelta(milliseconds=2)
    assert rows_of(landed([fold([log])]), "from battery_about order by all") == [
        ("log-one", 0, 0, CELL, TEST, file, at, "csv", "one\ntwo", '{"a":"1","b":"2"}', "charge_capacity(ah)"),
        ("log-one", 0, 2, CELL, "another", file, later, "json", None, None, None),
    ]


def test_a_message_lands_what_it_says_even_if_all_of_its_readings_are_refused() -> None:
    log = [
        arrow([charged(1)]),
        arrow([charged(1)], offset=1, about=SAID),
        json_message("no reading", offset=2, about=SAID),
    ]
    assert rows_of(landed([fold([log])]), 'select "offset" from battery_about order by all') == [(1,), (2,)]


def test_readings_are_flagged_whose_counter_was_computed() -> None:
    log = [arrow([charged(1), charged(2)], about=SAID), arrow([charged(3)], offset=1)]
    assert qualities(log) == [(1, INTEGRATED), (2, INTEGRATED), (3, 0)]


def test_a_reading_without_a_value_of_the_computed_counter_is_not_flagged() -> None:
    nothing = {"charge_capacity(ah)": None, "discharge_capacity(ah)": None}
    assert qualities([arrow([charged(1, **nothing), charged(2)], about=SAID)]) == [(1, 0), (2, INTEGRATED)]


def test_a_value_that_leaped_away_is_not_flagged_as_computed() -> None:
    leap = {"charge_capacity(ah)": 9e4, "discharge_capacity(ah)": None}
    (_, one), (_, other) = qualities([arrow([charged(1), charged(2, **leap)], about=SAID)])
    assert (one, other & int(Quality.COUNTER_LEAP)) == (INTEGRATED, int(Quality.COUNTER_LEAP))
    assert not other & INTEGRATED


def test_readings_of_another_test_are_not_flagged() -> None:
    other = {"test_id": "another"}
    assert qualities([arrow([charged(1, **other), charged(1)], about=SAID)]) == [(1, 0), (1, INTEGRATED)]


def test_each_message_says_which_of_its_own_counters_were_computed() -> None:
    other = TestAbout(TEST, About("csv", integrated=("discharge_energy(wh)",)))
    log = [
        arrow([charged(1)], about=SAID),
        arrow([charged(2, **{"discharge_energy(wh)": None})], offset=1, about=other),
        arrow([charged(3)], offset=2, about=other),
    ]
    assert qualities(log) == [(1, INTEGRATED), (2, 0), (3, INTEGRATED)]


def test_without_computed_counters_nothing_is_flagged() -> None:
    said = TestAbout(TEST, About("csv", ("something",)))
    assert qualities([arrow([charged(1)], about=said)]) == [(1, 0)]


def test_readings_of_one_object_a_message_are_flagged_by_their_own_header() -> None:
    log = [
        message(as_json(charged(point)), offset=point, encoding=JSON, about=said)
        for point, said in ((1, SAID), (2, None), (3, SAID))
    ]
    (batch,) = decode_poll(Poll.of(log), most_rows=100)
    with landed([fold([batch])]) as connection:
        assert rows_of(connection, "select data_point, quality from battery_ts_cleaned order by all") == [
            (1, INTEGRATED),
            (2, 0),
            (3, INTEGRATED),
        ]


def test_a_computed_counter_alone_is_no_doubt_about_a_reading() -> None:
    connection = landed([fold([[arrow([charged(1), charged(2, **{"temperature(c)": float("nan")})], about=SAID)]])])
    assert rows_of(connection, "select sum(flagged_count) from internal._windows") == [(1,)]
    assert rows_of(connection, "select count(*) from battery_ts_cleaned where quality <> 0") == [(2,)]
