"""The messages of many channels at 1 Hz: readings of simulated cells, each somewhere else in its cycle.

Every channel measures once a second. Its gateway sends a message as soon as it holds `rows` readings of it, as JSON or
as Arrow; the channels take turns, so each second brings the same number of messages. Clocks agree, so the windows of
all channels begin in the same second; a test begins with the first message of its channel.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from benchmarks.simulated import exports_of_a_life
from kernel.contract.message import encode_arrow, encode_json, headers
from kernel.contract.poll import Poll
from kernel.contract.reading import ARROW, COUNTERS, JSON, READING
from kernel.edges.kafka import MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

PARTITIONS: Final = 4
KINDS: Final = 512
"""Courses that the channels follow: places in a cycle, each with a noise of its own."""

MORE_SECONDS: Final = 10
"""Seconds after a fleet's own for which it can send."""

CYCLE_SECONDS: Final = 10_800
"""A cycle of a simulated cell takes about so long; the courses begin all over it."""

VOLT_STEP: Final = 1e-4
AMPERE_STEP: Final = 1e-4
COUNT_STEP: Final = 1e-6
DEGREE_STEP: Final = 0.1
"""What the channels resolve, in V, A, Ah or Wh, and degC; voltage, current and temperature have noise of one step."""

STARTED: Final = datetime(2026, 1, 5, 8, 9, 30)  # noqa: DTZ001  # a cycler's wall clock has no zone
"""When all channels begin; a window of 600 s ends 30 s later."""

STAMP_MS: Final = 1_767_600_570_000
LOG: Final = "fleet"
SEED: Final = 5


@dataclass(frozen=True)
class Mix:
    """How gateways send: the encoding, and the readings of a message, which are of one channel."""

    encoding: str
    rows: int

    @property
    def name(self) -> str:
        """Its name in figures."""
        return f"{'json' if self.encoding == JSON else 'arrow'}_{self.rows}"

    @property
    def words(self) -> str:
        """Its name for people."""
        readings = "1 reading" if self.rows == 1 else f"{self.rows:,} readings"
        return f"{'JSON' if self.encoding == JSON else 'Arrow'}, {readings} a message"


JSON_1: Final = Mix(JSON, 1)
JSON_10: Final = Mix(JSON, 10)
ARROW_60: Final = Mix(ARROW, 60)


class Courses:
    """The readings of `kinds` courses, as columns of shape (kinds, seconds); second k of each is at index k - 1."""

    def __init__(self, kinds: int, seconds: int) -> None:
        self.kinds = kinds
        self.seconds = seconds
        _, life = exports_of_a_life()[0]
        clock = life["test_time(s)"].to_numpy()
        begins = np.linspace(0, CYCLE_SECONDS, kinds, endpoint=False)
        at = clock[0] + begins[:, None] + np.arange(1, seconds + 1)
        before = np.searchsorted(clock, at, side="right") - 1
        noise = np.random.default_rng(SEED)
        self._columns: dict[str, npt.NDArray[Any]] = {}
        for name, step in (("current(a)", AMPERE_STEP), ("voltage(v)", VOLT_STEP)):
            drawn = np.interp(at, clock, life[name].to_numpy())
            self._columns[name] = _measured(drawn + step * noise.standard_normal(at.shape), step)
        degrees = 25 + DEGREE_STEP * noise.standard_normal(at.shape)
        self._columns["temperature(c)"] = _measured(degrees, DEGREE_STEP)
        for name in COUNTERS:
            counted = np.interp(at, clock, life[name].to_numpy())
            self._columns[name] = _measured(counted - counted[:, :1], COUNT_STEP)
        for name in ("step_index", "cycle_index"):
            self._columns[name] = life[name].to_numpy()[before]
        self._columns["step_time(s)"] = np.round(at - clock[before] + life["step_time(s)"].to_numpy()[before])

    def readings(self, kind: int, last: int, rows: int, began: int = 0) -> pa.Table:
        """Readings of one course up to second `last`, as those of the channel `CHANNEL`.

        Args:
            kind: which course.
            last: the second of the last reading, at least `rows`.
            rows: how many.
            began: the second after which the test's first reading came.
        """
        span = slice(last - rows, last)
        points = np.arange(last - rows + 1, last + 1) - began
        columns: dict[str, object] = {name: values[kind, span] for name, values in self._columns.items()}
        columns |= {
            "cell_id": [CHANNEL] * rows,
            "test_id": [STARTED.isoformat()] * rows,
            "data_point": points,
            "test_time(s)": points.astype(np.float64),
            "date_time": np.datetime64(STARTED, "us") + (points + began).astype("timedelta64[s]"),
        }
        return pa.table(
            [pa.array(columns.get(field.name, [None] * rows), field.type) for field in READING], schema=READING
        )


CHANNEL: Final = "CH_000000"


def _measured(values: Floats, step: float) -> Floats:
    """Values as an instrument of that resolution reports them, with no more digits than it has."""
    digits: Floats = np.round(np.round(values / step) * step, 6)
    return digits


@dataclass(frozen=True)
class Fleet:
    """Channels that send by one mix for some seconds; their messages are spread over `partitions` partitions.

    `first` is the number of the first channel.
    """

    channels: int
    mix: Mix
    seconds: int
    kinds: int = KINDS
    partitions: int = PARTITIONS
    first: int = 0

    @cached_property
    def courses(self) -> Courses:
        """What the channels measure."""
        return Courses(min(self.kinds, self.channels), self.seconds + MORE_SECONDS + self.mix.rows)

    @cached_property
    def keys(self) -> list[bytes]:
        """The ids of the channels."""
        return [b"CH_%06d" % (self.first + channel) for channel in range(self.channels)]

    @property
    def rows_per_second(self) -> int:
        """Readings that come in a second."""
        return self.channels

    def senders(self, second: int) -> npt.NDArray[np.int64]:
        """The channels that send in a second, which counts from 0: one in `rows` of them."""
        return np.arange(second % self.mix.rows, self.channels, self.mix.rows)

    def values(self, second: int) -> list[bytes]:
        """What they send, one value for each of `senders`."""
        last, rows = second + self.mix.rows, self.mix.rows
        senders = self.senders(second)
        kinds = senders % self.courses.kinds
        tables = {kind: self.courses.readings(kind, last, rows, second % rows) for kind in np.unique(kinds).tolist()}
        if self.mix.encoding == JSON:
            texts = {kind: next(encode_json(table, rows)) for kind, table in tables.items()}
            name = CHANNEL.encode()
            return [
                texts[kind].replace(name, self.keys[channel])
                for channel, kind in zip(senders.tolist(), kinds.tolist(), strict=True)
            ]
        found = []
        for channel, kind in zip(senders.tolist(), kinds.tolist(), strict=True):
            named = tables[kind].set_column(0, READING.field(0), pa.repeat(self.keys[channel].decode(), rows))
            ((_, value),) = encode_arrow(named, MESSAGE_BYTES)
            found.append(value)
        return found


class Spool:
    """The messages of some seconds of a fleet, kept in a file: what waits there takes none of the worker's memory.

    `rows` and `bytes` count what it has made so far: readings, and their messages without keys and headers.
    """

    def __init__(self, fleet: Fleet, path: Path) -> None:
        self._fleet = fleet
        self._path = path
        marks = headers(fleet.mix.encoding, None)
        self._headers = tuple((name, value.encode() if isinstance(value, str) else value) for name, value in marks)
        self._next_offset = [0] * fleet.partitions
        self.rows = 0
        self.bytes = 0

    def polls(self, first: int, count: int) -> Iterator[list[Poll]]:
        """The polls of each of `count` seconds from `first` on; all messages are written before the first comes."""
        sizes = []
        with self._path.open("wb") as file:
            for second in range(first, first + count):
                values = self._fleet.values(second)
                sizes.append([len(value) for value in values])
                self.rows += len(values) * self._fleet.mix.rows
                self.bytes += sum(sizes[-1])
                file.writelines(values)
        with self._path.open("rb") as written, mmap.mmap(written.fileno(), 0, access=mmap.ACCESS_READ) as kept:
            place = 0
            for second, lengths in enumerate(sizes, start=first):
                ends = place + np.cumsum(lengths)
                yield self._polls_of(second, kept, (ends - lengths).tolist(), ends.tolist())
                place += sum(lengths)

    def _polls_of(self, second: int, kept: mmap.mmap, starts: list[int], ends: list[int]) -> list[Poll]:
        senders = self._fleet.senders(second)
        polls = []
        for partition in range(self._fleet.partitions):
            places = np.flatnonzero(senders * self._fleet.partitions // self._fleet.channels == partition).tolist()
            if not places:
                continue
            begin = self._next_offset[partition]
            self._next_offset[partition] += len(places)
            polls.append(
                Poll(
                    LOG,
                    partition,
                    list(range(begin, begin + len(places))),
                    [STAMP_MS + 1000 * second] * len(places),
                    [self._fleet.keys[senders[place]] for place in places],
                    [self._headers] * len(places),
                    [kept[starts[place] : ends[place]] for place in places],
                )
            )
        return polls
