"""Our own errors, found in what other libraries raise around them."""

from __future__ import annotations

from kernel.base.errors import BatteryError, battery_error_in, causes


def test_errors_that_cause_each_other_in_a_circle_are_told_once_each() -> None:
    ours, theirs = BatteryError("ours"), RuntimeError("theirs")
    ours.__cause__, theirs.__cause__ = theirs, ours
    assert list(causes(theirs)) == [theirs, ours]
    assert battery_error_in(theirs) is ours
