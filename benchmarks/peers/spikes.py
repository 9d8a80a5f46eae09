"""The spike rule of the contract for one reading, in plain Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Sample: TypeAlias = tuple[float, float, float, float | None]
"""Test time in s, voltage in V, current in A and temperature in degC of a reading, as the spike rule needs them."""

RECENT: Final = 3
"""Samples that the spike rule looks back on, and the pairs of them, as places from the end: nearer one first."""
PAIRS: Final = ((-1, -2), (-1, -3), (-2, -3))

VOLTAGE_FLOOR: Final = 0.015
CELL_V: Final = 5.0
TEMPERATURE_FLOOR: Final = 2.0
STEEPER: Final = 1.25
FLATTER: Final = 0.5
REACH: Final = 0.5
STEADY: Final = 0.15
"""The spike rule: how far, in V of a cell (up to `CELL_V`) and degC, a sample may lie from the line through two earlier
ones, and which share of the change that the line predicts; the voltage that the largest current explains, and the surge
above which no voltage is judged."""


def voltage_spikes(recent: Sequence[Sample], time: float, voltage: float, current: float, peak: float) -> bool:
    """Whether a voltage in V lies off the lines through the recent samples; `peak` is the test's largest current."""
    cells = max(min(abs(sample[1]) for sample in recent) / CELL_V, 1.0)
    if abs(voltage - recent[-1][1]) <= VOLTAGE_FLOOR * cells:
        return False
    for near, far in PAIRS:
        near_time, near_voltage, near_current, _ = recent[near]
        far_time, far_voltage, far_current, _ = recent[far]
        span = near_time - far_time
        predicted = (near_voltage - far_voltage) * (time - near_time) / span if span > 0 else 0.0
        deviation = voltage - near_voltage - predicted
        surge = max(abs(current - near_current), abs(near_current - far_current)) / peak if peak > 0 else 0.0
        share = STEEPER if deviation * predicted > 0 else FLATTER
        if surge > STEADY or abs(deviation) <= (VOLTAGE_FLOOR * cells + share * abs(predicted) + REACH * cells * surge):
            return False
    return True


def temperature_spikes(recent: Sequence[Sample], time: float, temperature: float) -> bool:
    """The same of a temperature in degC."""
    for near, far in PAIRS:
        near_time, _, _, near_value = recent[near]
        far_time, _, _, far_value = recent[far]
        if near_value is None or far_value is None:
            return False
        span = near_time - far_time
        predicted = (near_value - far_value) * (time - near_time) / span if span > 0 else 0.0
        deviation = temperature - near_value - predicted
        share = STEEPER if deviation * predicted > 0 else FLATTER
        if abs(deviation) <= TEMPERATURE_FLOOR + share * abs(predicted):
            return False
    return True
