"""The invariants that replay rests on, pinned with generated logs on the pure logic and the real merge statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from support.builders import CELL, arrow, json_message, reading
from support.delivered import decode
from support.generated import cut, labs, leaping, logs, rows
from support.landed import WINDOW_SECONDS, clean_cell, differing, fold, landed, landed_tables, state_of
from support.profiles import examples

from dataflows.fold.clean import clean
from dataflows.fold.state import CellState
from dataflows.fold.states import GroupStates
from kernel.contract.batch import decode_poll
from kernel.contract.poll import Poll
from kernel.contract.reading import LANDED

if TYPE_CHECKING:
    from support.delivered import Delivery

    from kernel.contract.poll import Message


@given(st.data())
@examples(0.6)
def test_results_do_not_depend_on_how_the_log_is_cut(data: st.DataObject) -> None:
    log = data.draw(st.one_of(logs(), leaping()))
    whole = fold([log])
    pieces = fold(data.draw(cut(log)))
    commits = data.draw(cut(pieces))
    assert landed_tables(commits) == landed_tables([whole])
    assert state_of(pieces[-1]) == state_of(whole[-1])


@given(labs())
@examples(0.25)
def test_cells_that_are_folded_side_by_side_become_what_each_becomes_by_itself(polls: list[list[Message]]) -> None:
    cells, states = GroupStates(), dict[str, CellState]()
    together = []
    for poll in polls:
        cleaned = clean(cells, next(decode_poll(Poll.of(poll), 1_000)), WINDOW_SECONDS)
        assert cleaned is not None
        cells.update(cleaned.states)
        states |= cleaned.states
        together.append(cleaned)
    apart = {
        cell_id: fold([[decode(m)] for poll in polls for m in poll if m.key == cell_id.encode()]) for cell_id in states
    }
    assert landed_tables([together]) == landed_tables(list(apart.values()))
    assert states == {cell_id: state_of(parts[-1]) for cell_id, parts in apart.items()}


@given(st.one_of(logs(), leaping()))
@examples(0.6)
def test_every_row_in_is_landed_or_quarantined_exactly_once(log: list[Delivery]) -> None:
    (cleaned,) = fold([log])
    rows_in = sum(delivery.body.row_count for delivery in log)
    with landed([[cleaned]]) as connection:
        quarantined = connection.execute("from battery_quarantine").to_arrow_table().to_pylist()
    count = sum(row["row_count"] for row in quarantined)
    assert cleaned.landed.num_rows + count == rows_in == sum(span.rows for span in cleaned.spans)
    places = [
        (row["kafka_offset"], row["kafka_row"])
        for row in cleaned.landed.select(["kafka_offset", "kafka_row"]).to_pylist()
    ]
    for row in quarantined:
        places += [(row["offset"], row["row"] + place) for place in range(row["row_count"])]
    assert len(set(places)) == len(places)


@given(st.one_of(logs(), leaping()))
@examples(0.4)
def test_windows_and_cycles_are_what_sql_makes_of_the_landed_rows(log: list[Delivery]) -> None:
    connection = landed([fold([log])])
    connection.execute(
        "insert into internal._writers values ('x', 1, ?, now(), 0, null, 'worker', null)", [WINDOW_SECONDS]
    )
    assert differing(connection) == (0, 0)
    connection.close()


@given(st.one_of(logs(), leaping()))
@examples(0.4)
def test_replaying_a_log_over_its_own_state_changes_nothing(log: list[Delivery]) -> None:
    state = state_of(fold([log])[-1])
    assert clean_cell(state, log) is None


@given(st.data())
@examples(0.4)
def test_a_restart_that_reads_from_an_older_offset_ends_the_same(data: st.DataObject) -> None:
    log = data.draw(st.one_of(logs(), leaping()))
    stop = data.draw(st.integers(0, len(log)))
    back = data.draw(st.integers(0, stop))
    before = fold([log[:stop]]) if stop else []
    after = fold([log[back:]], state_of(before[-1]) if before else None)
    assert landed_tables([before, after]) == landed_tables([fold([log])])


@given(rows())
@examples(0.4)
def test_quality_and_aggregates_do_not_depend_on_the_encoding_or_size_of_messages(found: list[dict[str, Any]]) -> None:
    whole = fold([[arrow(found)]])
    single = []
    for offset, row in enumerate(found):
        body = {name: value for name, value in row.items() if value is not None}
        single.append(json_message(body, offset=offset))
    pieces = fold([single])
    ours = [name for name in LANDED.names if not name.startswith("kafka_") and name != "streamed_at"]
    assert repr(whole[0].landed.select(ours).to_pylist()) == repr(pieces[0].landed.select(ours).to_pylist())
    reasons = [row["reason"] for row in whole[0].quarantined.to_pylist() for _ in range(row["row_count"])]
    assert reasons == [row["reason"] for row in pieces[0].quarantined.to_pylist()]


@given(st.one_of(logs(), leaping()))
@examples(0.4)
def test_publishing_a_log_twice_lands_nothing_new(log: list[Delivery]) -> None:
    first = fold([log])
    state = state_of(first[-1])
    last = log[-1].offset + 1
    again = [type(d)(**{**vars(d), "offset": d.offset + last}) for d in log]
    (second,) = fold([again], state)
    landed = {
        (row["test_id"], row["data_point"]) for row in first[0].landed.select(["test_id", "data_point"]).to_pylist()
    }
    twice = {(row["test_id"], row["data_point"]) for row in second.landed.select(["test_id", "data_point"]).to_pylist()}
    assert not landed & twice


def test_a_new_log_is_read_from_its_first_offset_and_adds_only_what_is_new() -> None:
    state = state_of(fold([[arrow([reading(1), reading(2)], offset=7)]])[-1])
    (cleaned,) = fold([[arrow([reading(1), reading(2), reading(3)], offset=0, topic_id="log-two")]], state)
    assert cleaned.landed.column("data_point").to_pylist() == [3]
    assert list(cleaned.states) == [CELL]


def test_the_offsets_of_an_old_log_say_nothing_about_any_partition_of_a_new_one() -> None:
    old = state_of(fold([[arrow([reading(1)], offset=7, partition=1)]])[-1])
    new = [
        arrow([reading(2)], offset=0, partition=0, topic_id="log-two"),
        arrow([reading(3)], offset=0, partition=1, topic_id="log-two"),
    ]
    landed = [point for part in fold([[d] for d in new], old) for point in part.landed.column("data_point").to_pylist()]
    assert landed == [2, 3]


def test_coming_back_to_a_log_goes_on_where_it_was_left() -> None:
    one = arrow([reading(1)], offset=7)
    state = state_of(fold([[one], [arrow([reading(2)], offset=0, topic_id="log-two")]])[-1])
    assert clean_cell(state, [one]) is None
    (back,) = fold([[arrow([reading(3)], offset=8)]], state)
    assert back.landed.column("data_point").to_pylist() == [3]


def test_a_cell_that_came_over_two_partitions_remembers_both() -> None:
    first, second = arrow([reading(1)], offset=5, partition=0), arrow([reading(2)], offset=3, partition=1)
    state = state_of(fold([[first], [second]])[-1])
    assert clean_cell(state, [first, second]) is None
