"""Net counters: where they begin again is told by the current, since they fall in any discharge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from producer.readers.meaning.net import net_of_test

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

STEP: Integers = np.repeat([1, 2, 3, 4], 5)
CYCLE: Integers = np.repeat([1, 2], 10)
CURRENT: Floats = np.repeat([1.0, -2.0, 1.5, -1.0], 5)
TIME: Floats = np.arange(20, dtype=np.float64) * 360.0
NET: Floats = np.cumsum(CURRENT * np.diff(TIME, prepend=0.0) / 3600)


def starts(labels: Integers) -> npt.NDArray[np.bool_]:
    begins: npt.NDArray[np.bool_] = np.diff(labels, prepend=0) != 0
    return begins


def since(labels: Integers) -> Floats:
    """The net counter since each label began, which it did at the reading before."""
    first = np.flatnonzero(starts(labels))
    counter: Floats = NET - np.repeat(np.where(first > 0, NET[first - 1], 0.0), np.diff(first, append=len(labels)))
    return counter


def test_a_counter_of_the_test_is_left_as_it_is() -> None:
    values, kind = net_of_test(NET, CURRENT, TIME, starts(STEP), starts(CYCLE))
    assert kind == "test"
    assert values is NET


@pytest.mark.parametrize(("kind", "labels"), [("step", STEP), ("cycle", CYCLE)])
def test_a_counter_that_begins_again_is_added_up(kind: str, labels: Integers) -> None:
    values, told = net_of_test(since(labels), CURRENT, TIME, starts(STEP), starts(CYCLE))
    assert told == kind
    assert values.tolist() == pytest.approx(NET.tolist())


def test_a_counter_that_starts_above_zero_is_not_taken_for_one_that_begins_again() -> None:
    values, kind = net_of_test(NET + 7.0, CURRENT, TIME, starts(STEP), starts(CYCLE))
    assert kind == "test"
    assert values.tolist() == (NET + 7.0).tolist()


def test_a_rest_alone_tells_nothing() -> None:
    still = np.zeros(20)
    assert net_of_test(still, still, TIME, starts(STEP), starts(CYCLE))[1] == "test"
