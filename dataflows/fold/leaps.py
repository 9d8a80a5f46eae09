"""Judging a counter that leaps, reading by reading.

A counter that moves further than the current can have moved it has leaped. Its value is dropped, and what it gains
there comes from the current. Where the next reading confirms the value, the counter goes on from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from dataflows.fold.counters import MOST_GAIN, PICO, is_back, is_reset, pico
from dataflows.fold.state import Doubt
from kernel.contract.reading import COUNTER_LEAP, COUNTER_NOISE, COUNTER_RETURN, COUNTER_ZERO, GAP_SECONDS

if TYPE_CHECKING:
    from dataflows.fold.counters import Counter

SECONDS_PER_HOUR: Final = 3_600.0

MOST_PER_SECOND: Final = COUNTER_LEAP * PICO / SECONDS_PER_HOUR
"""The gain in pico-Ah per second and ampere beyond which it is a leap."""


class Reading(NamedTuple):
    """A counter's value in Ah or Wh, its test time in s, and how many steps have begun up to it.

    `current` is the largest of the test in A, and `size` the largest before this reading; `volts` is the voltage, 1 for
    a charge; `flow` is what the current would have it gain, in pico-units; `spike` tells that the voltage is suspected.
    `has_leapt` is what it was judged to have done before, None where it was not; then the value may be NaN: it was
    dropped.
    """

    value: float
    time: float
    begun: int
    current: float
    size: float
    volts: float
    flow: int
    spike: bool
    has_leapt: bool | None = None

    @property
    def noise(self) -> float:
        """By how much it may fall as noise, in Ah or Wh."""
        return COUNTER_NOISE * self.size

    def most(self, since: float) -> float:
        """The gain since then, in pico-units, beyond which it is a leap."""
        return self.current * (self.time - since + 1.0) * MOST_PER_SECOND * self.volts


class Judge:
    """Judges one counter of one test, reading by reading.

    Args:
        counter: the counter.
        test: the place of the test.
        before: what was remembered of both before the readings.
        late: whether the readings come late: then a leap is dropped and nothing more.

    `is_dropped`, `has_leapt`, `is_reset` and `has_fallen` tell what the last reading was found to be.
    """

    def __init__(self, counter: Counter, test: int, before: Doubt, *, late: bool) -> None:
        begun = int(counter.begun_before[test])
        self._index = counter.index
        self.late = late
        self._value = float(counter.stood[test])
        self._at = before.measured_at
        self._begun = begun - int(counter.crossed[test])
        self._leapt_to, self._leapt_at = before.leapt_to, before.leapt_at
        self._given = before.given
        self._stood, self._stood_at = before.stood, before.stood_at
        self._stood_begun = begun - int(before.crossed)
        self.is_dropped = self.has_leapt = self.is_reset = self.has_fallen = False

    def take(self, now: Reading) -> int:
        """The gain over a reading in which the counter was measured, in pico-units."""
        is_known = not np.isnan(self._value)
        before = self._value if is_known else 0.0 if now.time <= GAP_SECONDS else now.value
        is_lower = now.value < before - now.noise
        has_restarted = is_lower and bool(is_reset(now.value, before, now.begun > self._begun))
        is_zero = is_known and abs(before) <= now.noise
        gain = pico(now.value) - (0 if has_restarted else pico(before))
        self.is_dropped = self.has_leapt = self.is_reset = self.has_fallen = False
        may_return = False
        if self._stood is not None and (is_zero or has_restarted):
            may_return = bool(is_back(now.value, self._stood, now.size))
        returns = may_return and not self.late and self._returns(now)
        if now.has_leapt is None:
            is_plain = not returns and abs(float(gain)) <= now.most(self._at)
            stays = not now.spike and (not is_known or (self._stays(now) and not (may_return and is_zero)))
            returns = returns and not now.spike
        else:
            returns, is_plain, stays = may_return and now.has_leapt, not now.has_leapt, now.has_leapt
        if returns:
            self.has_leapt = True
            gain = gain - pico(self._stood or 0.0) - self._given if is_zero else now.flow
            self._measure(now, None)
        elif is_plain:
            self.is_reset, self.has_fallen = has_restarted, is_lower and not has_restarted
            gain -= self._given
            self._measure(now, self._left(now, has_restarted=has_restarted))
        elif self.late:
            self.is_dropped = True
            gain = 0
        elif stays:
            # A test may begin with what its counters stood at when it was cut: that is no gain.
            self.has_leapt = True
            gain = now.flow if is_known else 0
            is_up = is_known and COUNTER_ZERO * now.size < self._value < now.value
            self._measure(now, (self._value, self._at, self._begun) if is_up else None)
        else:
            gain = self.drop(now)
        return max(-MOST_GAIN, min(gain, MOST_GAIN))

    def drop(self, now: Reading) -> int:
        """The gain over a reading whose value is dropped, in pico-units, as the current gives it.

        Where the value itself was not kept, the next value does not count as its confirmation.
        """
        self.is_reset = self.has_fallen = False
        self.is_dropped = self.has_leapt = True
        known = 0.0 if np.isnan(self._value) else self._value
        self._leapt_to, self._leapt_at = known if np.isnan(now.value) else now.value, now.time
        self._given = min(self._given + now.flow, MOST_GAIN)
        return now.flow

    def doubt(self, measured_last: float, begun: int) -> Doubt | None:
        """What is to be remembered after the last reading: its test time in s, and how many steps had begun then."""
        is_plain = self._leapt_to is None and self._stood is None
        if is_plain and (self._at == measured_last or np.isnan(self._value)):
            return None
        return Doubt(
            self._index,
            self._at,
            self._leapt_to,
            self._leapt_at,
            self._given,
            self._stood,
            self._stood_at if self._stood is not None else 0.0,
            begun > self._stood_begun if self._stood is not None else False,
        )

    def _returns(self, now: Reading) -> bool:
        """Whether it more likely returned to its earlier value than rose there from zero."""
        stood = self._stood or 0.0
        if (now.value - stood) * PICO > now.most(self._stood_at):
            return False
        if now.begun == self._stood_begun and now.value * PICO - now.flow > stood * PICO / 2:
            return True
        return now.value * PICO > now.most(self._at) * (COUNTER_RETURN / COUNTER_LEAP)

    def _stays(self, now: Reading) -> bool:
        """Whether it continues from where it leaped to; it does not if it stands still while a current flows."""
        if self._leapt_to is None or (now.value == self._leapt_to and now.flow > 0):
            return False
        return abs(now.value - self._leapt_to) * PICO <= now.most(self._leapt_at)

    def _left(self, now: Reading, *, has_restarted: bool) -> tuple[float, float, int] | None:
        """The value, time and step that it may come back to: those before it fell to zero, or leaped."""
        kept = None if self._stood is None else (self._stood, self._stood_at, self._stood_begun)
        was_zero = abs(self._value) <= now.noise
        if abs(now.value) <= now.noise and not was_zero:
            return (self._value, self._at, self._begun) if self._value > COUNTER_ZERO * now.size else None
        if abs(now.value) > now.noise and (has_restarted or was_zero):
            return None
        return kept

    def _measure(self, now: Reading, left: tuple[float, float, int] | None) -> None:
        self._value, self._at, self._begun = now.value, now.time, now.begun
        self._leapt_to, self._leapt_at, self._given = None, 0.0, 0
        self._stood, self._stood_at, self._stood_begun = (None, 0.0, 0) if left is None else left
