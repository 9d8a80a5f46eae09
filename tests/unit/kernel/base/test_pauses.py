"""Pauses between tries that fail."""

from __future__ import annotations

from kernel.base.pauses import Pauses


def test_pauses_grow_up_to_a_limit_and_begin_anew_once_it_works() -> None:
    pauses = Pauses(0.5, 3.0)
    assert [pauses.next() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    pauses.reset()
    assert pauses.next() == 0.5
