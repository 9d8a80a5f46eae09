"""What the flow hands to the landing: rows, parts of aggregates, and the state that goes with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

_STAMP: Final = pa.timestamp("us")
_BIG: Final = pa.int64()
_REAL: Final = pa.float64()

WINDOW_PART: Final = pa.schema(
    [
        ("cell_id", pa.string()),
        ("window_start", _STAMP),
        ("reading_count", _BIG),
        ("flagged_count", _BIG),
        ("voltage_sum_nv", _BIG),
        ("voltage_min_v", _REAL),
        ("voltage_max_v", _REAL),
        ("voltage_last_v", _REAL),
        ("current_sum_na", _BIG),
        ("current_min_a", _REAL),
        ("current_max_a", _REAL),
        ("current_last_a", _REAL),
        ("temperature_count", _BIG),
        ("temperature_sum_nc", _BIG),
        ("temperature_min_c", _REAL),
        ("temperature_max_c", _REAL),
        ("temperature_last_c", _REAL),
        ("charge_throughput_pah", _BIG),
        ("energy_throughput_pwh", _BIG),
        ("is_final", pa.bool_()),
        ("as_of_offset", _BIG),
    ]
)
"""What some readings add to a window of event time; sums are whole nano-units, throughputs pico-Ah and pico-Wh."""

CYCLE_PART: Final = pa.schema(
    [
        ("cell_id", pa.string()),
        ("test_id", pa.string()),
        ("cycle_index", pa.int32()),
        ("reading_count", _BIG),
        ("charge_capacity_pah", _BIG),
        ("discharge_capacity_pah", _BIG),
        ("charge_energy_pwh", _BIG),
        ("discharge_energy_pwh", _BIG),
        ("voltage_min_v", _REAL),
        ("voltage_max_v", _REAL),
        ("temperature_min_c", _REAL),
        ("temperature_max_c", _REAL),
        ("resistance_count", _BIG),
        ("resistance_sum_no", _BIG),
        ("started_at", _STAMP),
        ("ended_at", _STAMP),
        ("is_final", pa.bool_()),
        ("as_of_offset", _BIG),
    ]
)
"""What some readings add to a cycle of a test; sums and gains are whole pico-Ah, pico-Wh and nano-ohm."""


class States(Protocol):
    """The folds of some cells; the landing only keeps their texts."""

    @property
    def cell_ids(self) -> list[str]:
        """Of which cells they are."""
        ...

    def texts(self, places: npt.NDArray[np.int64]) -> list[bytes]:
        """Some of them as JSON in UTF-8, complete to the last bit."""
        ...


StatesT_co = TypeVar("StatesT_co", bound=States, covariant=True)


@dataclass(frozen=True)
class Span:
    """The messages of one partition that a result covers: offsets `first` to `last`, `rows` rows in."""

    topic_id: str
    partition: int
    first: int
    last: int
    rows: int


PROGRESS: Final = pa.schema(
    [
        ("cell_id", pa.string()),
        ("topic_id", pa.string()),
        ("partition", pa.int32()),
        ("first", _BIG),
        ("last", _BIG),
    ]
)
"""Which messages of a cell a result covers: offsets `first` to `last` of a partition."""


@dataclass(frozen=True)
class Cleaned(Generic[StatesT_co]):
    """What some messages of one log became.

    `landed` has the columns of `LANDED`, `quarantined` those of `QUARANTINED`, `repeated` those of `REPEATED`: each row
    in is in one of the three. `retried` has those of `RETRIED`, `said` those of `ABOUT`, `windows` and `cycles` those
    of `WINDOW_PART` and `CYCLE_PART`, `progress` those of `PROGRESS`. `spans` cover `messages` messages of all cells;
    `states` are those of the cells that had some, after their last; `spread` names those that came over another
    partition of the log before.
    """

    landed: pa.RecordBatch
    quarantined: pa.RecordBatch
    repeated: pa.RecordBatch
    retried: pa.RecordBatch
    said: pa.RecordBatch
    windows: pa.RecordBatch
    cycles: pa.RecordBatch
    progress: pa.RecordBatch
    spans: tuple[Span, ...]
    messages: int
    states: StatesT_co
    spread: Sequence[str]
