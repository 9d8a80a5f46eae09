"""The resistance at a stated time after a current has set in, in words, with its rule: as `battery_steps` tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

RULE: Final = (
    "ΔV / ΔI at {time} after a current has set in, against the last reading of the rest before it; voltage and current "
    "at that time are interpolated between readings around it"
)


@dataclass(frozen=True)
class PulseResistance:
    """The pulse resistances of a cell.

    Attributes:
        time_s: after the current has set in, in s.
        count: the steps that have one.
        latest_ohm: that of the last of them in Ω; None where there is none.
    """

    time_s: float
    count: int
    latest_ohm: float | None

    @property
    def time(self) -> str:
        """The time with its unit."""
        return f"{self.time_s:g} s"

    @property
    def sentence(self) -> str:
        """What is known of it and by which rule, or why there is none."""
        rule = RULE.format(time=self.time)
        if self.latest_ohm is None:
            return (
                f"No resistance at {self.time}: {rule}. No step has such readings; a cycler that logs whenever the "
                "voltage has moved by a set step would only repeat that step."
            )
        steps = "one step has" if self.count == 1 else f"{self.count:,} steps have"
        return f"Resistance at {self.time}: {rule}. So far {steps} such readings."


def pulse_resistance_of(steps: pa.Table, thresholds: Mapping[str, float]) -> PulseResistance:
    """The pulse resistances of a cell.

    Args:
        steps: its rows of `battery_steps`.
        thresholds: those that the marts were built with, by name.
    """
    rows = steps.filter(pc.is_valid(steps["pulse_resistance_ohm"]))
    if not rows.num_rows:
        return PulseResistance(thresholds["pulse_time_s"], 0, None)
    order = [(name, "ascending") for name in ("started_at", "test_id", "step_number")]
    latest = rows.sort_by(order).slice(rows.num_rows - 1).to_pylist()[0]
    return PulseResistance(latest["pulse_time_s"], rows.num_rows, latest["pulse_resistance_ohm"])
