"""The goals of speed: the bounds of every figure that `make bench` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.figures import Figure


@dataclass(frozen=True)
class Goal:
    """Bounds of a figure: of its ratio to the reference and, where there is a goal for it, of the value itself."""

    ratio_least: float | None = None
    ratio_most: float | None = None
    least: float | None = None
    most: float | None = None

    def missed(self, figure: Figure) -> Iterator[str]:
        """Describe each bound that a figure misses."""
        for what, found, least, most in (
            ("ratio", figure.ratio, self.ratio_least, self.ratio_most),
            (figure.unit, figure.value, self.least, self.most),
        ):
            if least is not None and found < least:
                yield f"{figure.name}: {what} {found:.3g} is less than {least:g}"
            if most is not None and found > most:
                yield f"{figure.name}: {what} {found:.3g} is more than {most:g}"


GOALS: Final[Mapping[str, Goal]] = {
    "stream_arrow": Goal(ratio_least=0.85),
    "stream_json_interleaved": Goal(ratio_least=20, least=100_000),
    "stream_vs_rowwise": Goal(ratio_least=25),
    "workbook_read": Goal(ratio_least=7),
    "workbook_read_2": Goal(ratio_least=12),
    "produce": Goal(ratio_least=0.7),
    "latency_p99": Goal(most=2),
    "replay": Goal(ratio_least=1),
    "memory_peak": Goal(ratio_most=1.1, most=700),
    "state_per_cell": Goal(most=2048),
    "epoch_close": Goal(most=1),
    "refresh": Goal(ratio_most=1.5),
    "scale_2": Goal(ratio_least=1.6),
    "cli_start": Goal(most=0.3),
}
"""The goals by the name of their figure.

`workbook_read` is one process and `workbook_read_2` two. `epoch_close` belongs to `state_per_cell`: the time in s to
close an epoch in which every cell has a reading.
"""
