"""What the fold over the log remembers of a cell: small, exact, and readable as JSON.

The state after an offset is committed in the same warehouse transaction as the rows that it explains, so a
restart finds both or neither.
"""

from __future__ import annotations

from typing import Final

import msgspec

RECENT: Final = 3
"""Readings of the current step that the spike filter looks back on."""

SKIPS: Final = 4
"""How many of the places at which a test skipped data points it remembers, although nothing was refused there. One that
skips more often is thinned out on purpose: the first remain."""

_ENCODER: Final = msgspec.json.Encoder()


class Sample(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A recent reading, as the spike filter needs it: s since test start, V, A, and degC when there is a sensor."""

    test_time: float
    voltage: float
    current: float
    temperature: float | None


class Doubt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the next readings of a counter are compared with, beside its last value.

    `counter` is its place in `COUNTERS` (`kernel.contract.reading`); it was last measured at the test time
    `measured_at`, in s.
    `leapt_to` is the value that it leaped to since, at the test time `leapt_at`, and `given` what the current had it
    gain meanwhile, in pico-units. `stood` is what it stood at, at the test time `stood_at`, before it fell to zero, or
    leaped away and stayed there; `crossed` tells whether a step has begun since.
    """

    counter: int
    measured_at: float
    leapt_to: float | None = None
    leapt_at: float = 0.0
    given: int = 0
    stood: float | None = None
    stood_at: float = 0.0
    crossed: bool = False


class Tail(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a test stands: its last accepted reading, and the last few of the step that it is in.

    `date_time` is in microseconds of the cycler's clock; `counters` are the last measured ones, in the order of
    `kernel.contract.reading.COUNTERS`, in Ah and Wh; `crossed` tells for each
    whether a step has begun since; `peak_current` is the largest magnitude of the test's current in A;
    `pulsed` tells that the test has measured a resistance; `refusals` is the cell's count of refused readings when
    this one was accepted; `holes` are places in the test that readings may still be meant for; `measured` has
    a bit for each counter that this reading measured; `skips` counts how often data points were skipped, up to
    `SKIPS`; `doubts` are of the counters of which more has to be known.
    """

    data_point: int
    test_time: float
    date_time: int | None
    step_time: float | None
    step_index: int
    cycle_index: int
    counters: tuple[float | None, float | None, float | None, float | None]
    crossed: tuple[bool, bool, bool, bool]
    peak_current: float
    pulsed: bool
    recent: tuple[Sample, ...]
    refusals: int = 0
    holes: tuple[Hole, ...] = ()
    measured: int = 0
    skips: int = 0
    doubts: tuple[Doubt, ...] = ()


class Edge(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The accepted reading behind a hole: as much of it as changes when the hole is filled; units as in `Tail`."""

    data_point: int
    test_time: float
    date_time: int | None
    step_time: float | None
    step_index: int
    cycle_index: int
    counters: tuple[float | None, float | None, float | None, float | None]
    resistance: float | None
    temperature: float | None


class Hole(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Data points that a test has passed over, while readings of its cell were refused or as one of the first.

    `before` is where the test stood, without holes of its own, and None at its beginning; `after` is the reading that
    came next.
    """

    before: Tail | None
    after: Edge


class CellState(msgspec.Struct, frozen=True):
    """The fold of one cell's messages up to `offsets`: topic id, partition and the last offset folded there.

    A pipeline may come back to a log that it left for another, so every log is remembered; the one that was folded last
    stands last, and its partition too. `test_id` is the test
    that the latest accepted reading belongs to, `window` the start of its window in microseconds of the cycler's
    clock; `refusals` counts the readings and messages refused so far, duplicates apart.
    """

    offsets: dict[str, dict[int, int]] = {}  # msgspec copies the default for each instance
    tests: dict[str, Tail] = {}
    test_id: str | None = None
    window: int | None = None
    refusals: int = 0

    def to_json(self) -> bytes:
        """This state as text; numbers keep every bit, and the same state has the same text."""
        if max(len(self.tests), len(self.offsets), *map(len, self.offsets.values()), 0) <= 1:
            return _ENCODER.encode(self)  # there is no order to keep
        # msgspec itself orders only what has texts as keys.
        offsets = {topic_id: dict(sorted(found.items())) for topic_id, found in sorted(self.offsets.items())}
        return _ENCODER.encode(msgspec.structs.replace(self, offsets=offsets, tests=dict(sorted(self.tests.items()))))

    @classmethod
    def from_json(cls, text: str | bytes) -> CellState:
        """Read what `to_json` wrote."""
        return msgspec.json.decode(text, type=cls)
