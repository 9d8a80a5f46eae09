"""Groups of cells: what Bytewax shares out among workers."""

from __future__ import annotations

from support.builders import as_json, message, reading

from kernel.base.settings import Settings
from kernel.contract.poll import Poll
from kernel.contract.reading import JSON


def test_a_cell_is_always_of_the_same_group_and_its_messages_keep_their_order() -> None:
    keys = [f"CELL_{n % 7}".encode() for n in range(50)]
    polls = [
        Poll.of([message(as_json(reading(n)), encoding=JSON, key=keys[n], offset=n) for n in some])
        for some in (range(30), range(30, 50))
    ]
    found: dict[bytes | None, list[tuple[str, int]]] = {}
    for poll in polls:
        for group, part in poll.by_group(4):
            for one in part:
                found.setdefault(one.key, []).append((group, one.offset))
    for key, places in found.items():
        assert len({group for group, _ in places}) == 1
        assert [offset for _, offset in places] == [n for n in range(50) if keys[n] == key]
    assert len({places[0][0] for places in found.values()}) > 1


def test_there_are_as_many_groups_as_lanes_unless_it_is_said() -> None:
    assert Settings(lanes=3).groups == 3
    assert Settings(lanes=2, cell_groups=8).groups == 8


def test_keys_that_name_the_same_cell_are_of_the_same_group() -> None:
    keys = [b"\xff", b"\xfe", None, b""]
    poll = Poll.of([message(as_json(reading(n)), encoding=JSON, key=key, offset=n) for n, key in enumerate(keys)])
    groups = {one.offset: group for group, part in poll.by_group(64) for one in part}
    assert groups[0] == groups[1]
    assert groups[2] == groups[3]
