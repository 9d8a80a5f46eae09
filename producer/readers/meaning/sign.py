"""The sign of the current: positive while charging, whatever the file has.

What a file says that the cycler did counts most, then what its counters gained, then how the voltage moved. A current
without any sign gets one from the same; one that has the right sign is never turned. Voltages give a current a sign
only where there are steps in which it rose, and others in which it fell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from producer.readers.meaning.counters import begins

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

NO_CURRENT: Final = 1e-3
"""The share of a test's largest current up to which a current is none, where only its direction is asked."""

COURSE: Final = 0.02
"""The share of a test's range of voltage up to which a step holds its voltage, so that it goes on as before."""

LEAST_GAIN: Final = 1e-7
"""The share of all that the larger counter gained from which a reading's gain is one: cyclers count noise too."""

HELD: Final = 0.1
"""The share by which a current may change in a step whose voltage is to tell its direction."""

UNSIGNED: Final = "current has no sign in the file; it got that of {by}, so that charge is positive"
TURNED: Final = "current is positive while discharging in the file; its sign was turned, as {by} tell"


def settle_sign(
    current: Floats,
    voltage: Floats,
    direction: Integers | None,
    counters: Mapping[str, Floats],
    steps: Integers | None,
) -> tuple[Floats, str | None]:
    """The current with charge positive, A, shape (n,), and what was assumed, if anything.

    Args:
        current: as the file has it, A, shape (n,).
        voltage: V, shape (n,).
        direction: what the file says that was done: +1 charge, -1 discharge, 0 else, shape (n,); None if nothing.
        counters: counters of the test by `charge_capacity` and `discharge_capacity`, Ah, shape (n,); or none.
        steps: which step each reading is of, shape (n,), or None.
    """
    flows = np.abs(current) > NO_CURRENT * np.abs(current).max(initial=0.0)
    if not flows.any():
        return current, None
    if direction is not None and (flows & (direction != 0)).any():
        return _by_direction(current, direction, flows, "the state of each reading")
    moved = _moved(counters, len(current))
    if moved is not None and (flows & (moved != 0)).any():
        return _by_direction(current, moved, flows, "its counters")
    return _by_voltage(current, voltage, steps, flows)


def _by_voltage(
    current: Floats, voltage: Floats, steps: Integers | None, flows: npt.NDArray[np.bool_]
) -> tuple[Floats, str | None]:
    """The current with the signs that the course of the voltage tells, where it tells any."""
    if (current[flows] < 0).any() and (current[flows] > 0).any():
        is_turned = _climbs(current, voltage, steps, flows) < 0
        return (-current, TURNED.format(by="the voltages")) if is_turned else (current, None)
    ways = np.zeros(len(current), np.int64) if steps is None else _courses(current, voltage, steps, flows)
    if (ways[flows] > 0).any() and (ways[flows] < 0).any():
        return np.abs(current) * np.where(flows, ways, 1), UNSIGNED.format(by="the voltages of each step")
    return current, None


def _by_direction(
    current: Floats, direction: Integers, flows: npt.NDArray[np.bool_], by: str
) -> tuple[Floats, str | None]:
    """The current with the signs that directions tell.

    What most readings of a direction have counts: noise of a rest, or a reading that lags behind its state, is neither.
    """
    charging, discharging = (int(np.sign(np.sign(current[flows & (direction == way)]).sum())) for way in (1, -1))
    if charging and charging == discharging:
        return np.where(direction != 0, np.abs(current) * direction, current * charging), UNSIGNED.format(by=by)
    if charging < 0 or discharging > 0:
        return -current, TURNED.format(by=by.replace("the state", "the states"))
    return current, None


def _moved(counters: Mapping[str, Floats], size: int) -> Integers | None:
    """Which counter gained at each reading: +1 for charge, -1 for discharge, 0 for neither or both."""
    if not {"charge_capacity", "discharge_capacity"} <= counters.keys():
        return None
    both = [counters[name] for name in ("charge_capacity", "discharge_capacity")]
    largest = max(float(values.max(initial=0.0) - values.min(initial=0.0)) for values in both)
    gains = [np.diff(values, prepend=values[:1]) > LEAST_GAIN * largest for values in both]
    return gains[0].astype(np.int64) - gains[1].astype(np.int64) if size else None


def _climbs(current: Floats, voltage: Floats, steps: Integers | None, flows: npt.NDArray[np.bool_]) -> float:
    """Whether the voltage rises under a positive current (above 0), over all stretches of one sign, or falls.

    A stretch does not begin before its second reading, since the jump of its onset is resistance.
    """
    sign = np.where(flows, np.sign(current), 0).astype(np.int64)
    labels = sign if steps is None else sign + 3 * steps
    fresh = begins(labels, len(current))
    course = np.diff(voltage, prepend=voltage[0])
    course[fresh] = 0.0
    return float((course * sign).sum())


def _courses(current: Floats, voltage: Floats, steps: Integers, flows: npt.NDArray[np.bool_]) -> Integers:
    """The direction of each reading, shape (n,), by whether the voltage rose or fell in its step while current flowed.

    The jump at the onset of a current is left out. A step tells nothing that holds its voltage, or whose current is not
    held: it has the direction of the one before that tells one, and before the first of those, of the one behind.
    """
    starts = np.flatnonzero(begins(np.where(flows, 2 * steps + 1, 2 * steps), len(voltage)))
    ends = np.append(starts[1:], len(voltage)) - 1
    seconds = np.minimum(starts + 1, ends)
    change = voltage[ends] - voltage[seconds]
    is_held = np.abs(current[ends] - current[seconds]) <= HELD * np.abs(current[seconds])
    moves = flows[starts] & is_held & (np.abs(change) > COURSE * np.ptp(voltage[flows]))
    if not moves.any():
        return np.zeros(len(voltage), np.int64)
    last = np.maximum.accumulate(np.where(moves, np.arange(len(starts)), -1))
    told = np.where(last >= 0, last, np.argmax(moves))
    found: Integers = np.repeat(np.sign(change)[told], ends - starts + 1).astype(np.int64)
    return found
