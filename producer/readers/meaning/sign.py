"""The sign of the current: positive while charging, whatever the file has.

What a file says that the cycler did counts most, then what its counters gained, then how the voltage moved. A current
without any sign gets one from the same; one that has the right sign is never turned.
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
    has_both_signs = (current[flows] < 0).any() and (current[flows] > 0).any()
    if has_both_signs and _climbs(current, voltage, steps, flows) < 0:
        return -current, TURNED.format(by="the voltages")
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
    gains = []
    for name in ("charge_capacity", "discharge_capacity"):
        values = counters[name]
        largest = float(values.max(initial=0.0) - values.min(initial=0.0))
        gains.append(np.diff(values, prepend=values[0]) > 1e-9 * largest)
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
