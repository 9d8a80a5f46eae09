"""What is peculiar in Neware's records, mended before their meaning is settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from producer.readers.record import Record

    Bools = npt.NDArray[np.bool_]

_BACK_SECONDS: Final = 1.0
"""More than this a time of the test does not go back but where it begins again."""


def mend(record: Record, untold: Bools | None) -> None:
    """Mend a record in place.

    Where the type of a step does not tell the direction, as in pulses, the sign of the current does; that needs a
    current with a sign that agrees with the steps whose type tells. A time of the test that begins again with each
    cycle is left out where there are times of steps.

    Args:
        record: what a file says.
        untold: where the type of the step tells no direction, shape (n,); None where there are no types.
    """
    if untold is not None:
        _tell_directions(record, untold)
    time = record.test_time
    if time is not None and record.step_time is not None and (np.diff(time) < -_BACK_SECONDS).any():
        record.test_time = None
        record.assumed.append("the time of the test begins again in the file")


def _tell_directions(record: Record, untold: Bools) -> None:
    if record.direction is None or not untold.any():
        return
    sign = np.sign(record.current).astype(np.int64)
    told = (record.direction != 0) & (sign != 0)
    if (record.current < 0).any() and (sign[told] == record.direction[told]).all():
        record.direction = np.where(untold, sign, record.direction)
