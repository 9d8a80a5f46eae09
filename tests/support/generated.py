"""Generated logs of one cell: whatever a lab and a gateway may send, and good histories of which some came late."""

from __future__ import annotations

import math
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import strategies as st
from support.builders import CELL, STARTED, arrow, arrow_value, as_json, message, reading
from support.delivered import decode

from kernel.contract.about import About, TestAbout
from kernel.contract.message import Place
from kernel.contract.reading import ARROW, JSON

if TYPE_CHECKING:
    from support.delivered import Delivery

    from kernel.contract.poll import Message

BAD = {"voltage(v)": math.nan}
"""What makes a good reading be refused."""

LATE = [("content-type", ARROW.encode()), ("late", b"true")]
"""The headers of readings that belong before or between those of their test that were sent earlier."""

ORIGIN = Place("log-one", 0, 3, 1)

SAID = (
    TestAbout("A", About("csv", ("its sign was turned",), {"channel": "1", "item": "X"}, ("charge_capacity(ah)",))),
    TestAbout("A", About("csv", ("its sign was turned",), {"item": "X", "channel": "1"}, ("charge_capacity(ah)",))),
    TestAbout("B", About("csv", (), {}, ("discharge_energy(wh)", "charge_capacity(ah)"))),
    TestAbout("B", About("", ("first line", "second line"))),
)
"""What messages may say of the tests of `rows`; the first two say the same."""

T = TypeVar("T")


def retry(row: dict[str, Any], offset: int, origin: Place = ORIGIN) -> Delivery:
    return arrow([row], offset=offset, retry_of=origin)


@st.composite
def rows(draw: st.DrawFn, cell_id: str = CELL) -> list[dict[str, Any]]:
    """Rows of one cell: mostly a test that goes on, now and then whatever can go wrong."""
    found: list[dict[str, Any]] = []
    point, charge, cycle, step = 0, 0.0, 1, 1
    for _ in range(draw(st.integers(1, 40))):
        point += draw(st.sampled_from([1, 1, 1, 1, 1, 1, 0, -2, 3]))
        charge = draw(st.sampled_from([charge, charge + 0.01, charge + 1 / 3, charge * 0.9, 0.0]))
        cycle += draw(st.sampled_from([0, 0, 0, 0, 1, -1]))
        step = draw(st.sampled_from([step, step, step, 2, 7]))
        row = reading(
            max(point, 0),
            cell_id=cell_id,
            cycle_index=max(cycle, 0),
            step_index=step,
            test_id=draw(st.sampled_from(["A", "A", "A", "A", "B"])),
            **{
                "test_time(s)": 30.0 * point + draw(st.sampled_from([0, 0, 0, 0, -100, 7200])),
                "voltage(v)": draw(st.sampled_from([3.7, 3.7, 3.7, 3.7012, 3.8, 4.3, 2.5])),
                "current(a)": draw(st.sampled_from([0.0, 0.55, -1.1, 0.1 + 0.2])),
                "charge_capacity(ah)": draw(st.sampled_from([charge, charge, charge, None])),
                "internal_resistance(ohm)": draw(st.sampled_from([0.0, 0.0, 0.0931, None])),
                "temperature(c)": draw(st.sampled_from([None, 25.0, 25.1, 40.0, math.nan])),
            },
        )
        fault = draw(st.sampled_from([None] * 14 + ["null", "nan", "range", "clock", "stranger", "leap", "counter"]))
        if fault == "null":
            row["voltage(v)"] = None
        elif fault == "nan":
            row["current(a)"] = math.nan
        elif fault == "range":
            row["voltage(v)"] = 99.0
        elif fault == "clock":
            row["date_time"] = draw(st.sampled_from([None, STARTED]))
        elif fault == "leap":
            row |= draw(st.sampled_from([{"data_point": 2**32 - 1}, {"test_time(s)": 4_294_967.0}]))
        elif fault == "counter":
            row["charge_capacity(ah)"] = 99_999.0
        elif fault == "stranger":
            row["cell_id"] = "ANOTHER"
        found.append(row)
        if draw(st.integers(0, 9)) == 0:
            found.append(draw(st.sampled_from(found)))
    return found


@st.composite
def leaping(draw: st.DrawFn) -> list[Delivery]:
    """A log of good readings in which counters leap: away and back, to stay, to zero, one after the other.

    Some readings are left out; they come late, or never.
    """
    found: list[dict[str, Any]] = []
    left_out: list[dict[str, Any]] = []
    time, step, charge, base, discharged = 0.0, 1, draw(st.sampled_from([0.0, 0.0, 0.4])), 0.0, 0.0
    for point in range(1, draw(st.integers(2, 25)) + 1):
        seconds = draw(st.sampled_from([1.0, 10.0, 10.0, 30.0, 30.0, 600.0, 4000.0]))
        current = draw(st.sampled_from([1.0, 1.0, 1.0, 0.0, -0.5]))
        time += seconds
        charge += max(current, 0.0) * seconds / 3600
        discharged += max(-current, 0.0) * seconds / 3600
        step = draw(st.sampled_from([step, step, step, step, step + 1]))
        base = draw(st.sampled_from([base] * 12 + [500.0, -charge, 0.0, -20.0]))
        seen = draw(st.sampled_from([charge + base] * 6 + [99_999.0, 99_999.0, 0.0, -7e4, 2 * charge, None]))
        energy = draw(st.sampled_from([3.7 * charge] * 6 + [4e5, 0.0, None]))
        found.append(
            reading(
                point,
                step_index=step,
                date_time=STARTED + timedelta(seconds=time),
                cycle_index=1 + point // 9,
                **{
                    "test_time(s)": time,
                    "step_time(s)": draw(st.sampled_from([seconds, seconds, None, 1.0])),
                    "current(a)": current,
                    "voltage(v)": draw(st.sampled_from([3.7, 3.7, 3.7, 3.7012, 4.3])),
                    "charge_capacity(ah)": seen,
                    "discharge_capacity(ah)": discharged if seen is not None else draw(st.sampled_from([0.0, None])),
                    "charge_energy(wh)": energy,
                },
            )
        )
        if draw(st.integers(0, 14)) == 0:
            found[-1] |= BAD
        elif len(found) > 1 and draw(st.integers(0, 9)) == 0:
            left_out.append(found.pop())
    log: list[Delivery] = []
    start = 0
    while start < len(found):
        end = draw(st.integers(start + 1, len(found)))
        log.append(arrow(found[start:end], offset=len(log)))
        start = end
    bad = [row for row in found if math.isnan(row["voltage(v)"])]
    if bad:
        log.append(arrow([row | {"voltage(v)": 3.7} for row in bad], offset=len(log), retry_of=ORIGIN))
    is_brought = draw(st.booleans())
    if left_out and is_brought:
        log.append(arrow(left_out, offset=len(log), with_headers=LATE))
    return log


@st.composite
def logs(draw: st.DrawFn) -> list[Delivery]:
    """Messages of one cell: rows in messages of any size, with garbage and wrong versions between them."""
    left, found, offset = draw(rows()), [], 0
    while left:
        kind = draw(st.sampled_from(["rows"] * 8 + ["garbage", "version"]))
        if kind == "garbage":
            found.append(decode(message(b"\x00garbage", offset=offset)))
        elif kind == "version":
            value = arrow_value(left[:1])
            found.append(decode(message(value, offset=offset, with_headers=[("schema-version", b"2")])))
        else:
            size = draw(st.integers(1, len(left)))
            said = draw(st.sampled_from([None, None, *SAID]))
            found.append(arrow(left[:size], offset=offset, about=said))
            left = left[size:]
        offset += draw(st.sampled_from([1, 1, 1, 5]))
    return found


@st.composite
def labs(draw: st.DrawFn) -> list[list[Message]]:
    """Messages of several cells, which come by turns, in polls; a few of them are no good."""
    left = {
        f"CELL_{number}": draw(st.one_of(rows(f"CELL_{number}"), histories(f"CELL_{number}")))
        for number in range(draw(st.integers(1, 5)))
    }
    log: list[Message] = []
    while left:
        cell_id = draw(st.sampled_from(sorted(left)))
        size = draw(st.sampled_from([1, 1, 1, 2, 5]))
        some, left[cell_id] = left[cell_id][:size], left[cell_id][size:]
        if not left[cell_id]:
            del left[cell_id]
        of: dict[str, Any] = {"offset": len(log), "key": cell_id.encode()}
        if draw(st.integers(0, 20)) == 0:
            log.append(message(b"\x00garbage", **of))
        of["offset"] = len(log)
        of["retry_of"] = draw(st.sampled_from([None] * 12 + [ORIGIN]))
        of["about"] = draw(st.sampled_from([None, None, *SAID]))
        if draw(st.booleans()):
            log.append(message(arrow_value(some), **of))
        else:
            body = [{name: value for name, value in row.items() if value is not None} for row in some]
            log.append(message(as_json(body[0] if len(body) == 1 else body), encoding=JSON, **of))
    places = sorted(draw(st.sets(st.integers(0, len(log)))))
    return [part for start, end in pairwise([0, *places, len(log)]) if (part := log[start:end])]


@st.composite
def cut(draw: st.DrawFn, log: list[T]) -> list[list[T]]:
    """Anything in its order, some at a time."""
    places = sorted(draw(st.sets(st.integers(0, len(log)))))
    ends = [*places, len(log)]
    return [log[start:end] for start, end in zip([0, *places], ends, strict=True) if start < end]


@st.composite
def histories(draw: st.DrawFn, cell_id: str = CELL) -> list[dict[str, Any]]:
    """Good readings of one or two tests, whatever their counters, steps, cycles and clocks do.

    No counter gains what 1 A could not move a hundred times over: those are leaps.
    """
    found: list[dict[str, Any]] = []
    for test in draw(st.sampled_from(["A", "AB"])):
        time, counters = 0.0, [0.0, 0.0]
        for point in range(1, draw(st.integers(2, 14)) + 1):
            time += draw(st.sampled_from([30.0, 30.0, 30.0, 900.0, 4000.0]))
            counters = [
                draw(st.sampled_from([value, value + 0.01, value + 1 / 30, value * 0.9, 0.002])) for value in counters
            ]
            found.append(
                reading(
                    point,
                    cell_id=cell_id,
                    test_id=test,
                    date_time=STARTED + timedelta(seconds=time),
                    step_index=draw(st.integers(1, 2)),
                    cycle_index=draw(st.integers(1, 2)),
                    **{
                        "test_time(s)": time,
                        "charge_capacity(ah)": draw(st.sampled_from([counters[0]] * 9 + [None])),
                        "discharge_capacity(ah)": counters[1],
                        "internal_resistance(ohm)": draw(st.sampled_from([None, 0.0931, 0.1])),
                        "current(a)": draw(st.sampled_from([0.0, 1.1])),
                        "temperature(c)": draw(st.sampled_from([None, 25.0])),
                        "voltage(v)": draw(st.sampled_from([3.7, 3.8, 2.5])),
                    },
                )
            )
            if draw(st.integers(0, 9)) == 0:
                found[-1]["date_time"] = None
    return found


@st.composite
def in_parts(draw: st.DrawFn, history: list[dict[str, Any]]) -> list[Delivery]:
    """A log in which few parts of a history come in any order, each of which says that it may be late."""
    places = sorted(draw(st.sets(st.integers(0, len(history)), max_size=4)))
    parts = [part for start, end in pairwise([0, *places, len(history)]) if (part := history[start:end])]
    return [arrow(part, offset=offset, with_headers=LATE) for offset, part in enumerate(draw(st.permutations(parts)))]


@st.composite
def refused_at_first(draw: st.DrawFn, history: list[dict[str, Any]]) -> list[Delivery]:
    """A log in which some readings were unusable, and came again by retries in any order."""
    bad = draw(st.sets(st.sampled_from(range(len(history)))))
    log: list[Delivery] = []
    start = 0
    while start < len(history):
        end = draw(st.integers(start + 1, len(history)))
        log.append(
            arrow(
                [row | (BAD if start + at in bad else {}) for at, row in enumerate(history[start:end])], offset=len(log)
            )
        )
        start = end
    again = draw(st.permutations(sorted(bad)))
    while again:
        size = draw(st.integers(1, len(again)))
        rows, again = [history[index] for index in again[:size]], again[size:]
        log.append(arrow(rows, offset=len(log), retry_of=ORIGIN))
    return log
