"""Messages as a broker keeps them, and those of a poll together."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Final, overload

import msgspec
import numpy as np

from kernel.contract.reading import TEXT_BYTES
from kernel.contract.weight import OBJECT, weigh

if TYPE_CHECKING:
    import numpy.typing as npt

_SEVERAL_BYTES: Final = 1_200
"""What a JSON object takes that is longer than a reading."""


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message as the broker keeps it.

    `timestamp_ms` is the message's Kafka time stamp, in ms since 1970 UTC; `leader_epoch` says under which leader of
    the partition it was written, where the broker tells.
    """

    topic_id: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None
    leader_epoch: int | None = None


@dataclass(frozen=True)
class Poll(Sequence[Message]):
    """Messages of one partition of a log in the order of their offsets, a column a list: there may be one a reading.

    Columns are as in `Message`; `leader_epoch` is that of the last one.

    >>> poll = Poll("log", 0, [7, 8], [0, 0], [b"A1", b"B2"], [(), ()], [b"{}", b"{}"])
    >>> [message.key for message in poll]
    [b'A1', b'B2']
    >>> poll[1:].offsets
    [8]
    """

    topic_id: str
    partition: int
    offsets: list[int]
    timestamps_ms: list[int]
    keys: list[bytes | None]
    headers: list[tuple[tuple[str, bytes | None], ...]]
    values: list[bytes | None]
    leader_epoch: int | None = None

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Poll:
        """Put messages of one partition together, at least one."""
        return cls(
            messages[0].topic_id,
            messages[0].partition,
            [message.offset for message in messages],
            [message.timestamp_ms for message in messages],
            [message.key for message in messages],
            [message.headers for message in messages],
            [message.value for message in messages],
            messages[-1].leader_epoch,
        )

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, place: int) -> Message: ...
    @overload
    def __getitem__(self, place: slice) -> Poll: ...
    def __getitem__(self, place: int | slice) -> Message | Poll:
        if isinstance(place, slice):
            return replace(
                self,
                offsets=self.offsets[place],
                timestamps_ms=self.timestamps_ms[place],
                keys=self.keys[place],
                headers=self.headers[place],
                values=self.values[place],
            )
        return Message(
            self.topic_id,
            self.partition,
            self.offsets[place],
            self.timestamps_ms[place],
            self.keys[place],
            self.headers[place],
            self.values[place],
            self.leader_epoch,
        )

    def take(self, places: Sequence[int]) -> Poll:
        """Some of the messages."""
        return Poll(
            self.topic_id,
            self.partition,
            [self.offsets[place] for place in places],
            [self.timestamps_ms[place] for place in places],
            [self.keys[place] for place in places],
            [self.headers[place] for place in places],
            [self.values[place] for place in places],
            self.leader_epoch,
        )

    def by_group(self, groups: int) -> list[tuple[str, Poll]]:
        """Share the messages out among groups of cells, by their keys; a cell is always of the same one."""
        if groups == 1:
            return [("0", self)]
        # By what a key says: bytes that are no text may say the same.
        group_of = {key: zlib.crc32(text_of(key).encode()) % groups for key in set(self.keys)}
        places_of: dict[int, list[int]] = {}
        for place, key in enumerate(self.keys):
            places_of.setdefault(group_of[key], []).append(place)
        return [(str(group), self.take(places)) for group, places in places_of.items()]

    @cached_property
    def weights(self) -> npt.NDArray[np.int64]:
        """About how many readings each message counts as (`weigh`); most are a JSON object of one."""
        weights = np.ones(len(self), dtype=np.int64)
        others = [
            place
            for place, value in enumerate(self.values)
            if value and (value[0] != OBJECT or len(value) >= _SEVERAL_BYTES)
        ]
        for place in others:
            weights[place] = weigh(self.values[place])
        return weights

    def pieces(self, most_rows: int) -> list[Poll]:
        """Cut it where it comes to hold more than about so many rows: a message may be a reading, or many thousands."""
        rows = self.weights
        piece = (np.cumsum(rows) - rows) // most_rows
        cuts = np.flatnonzero(np.diff(piece)) + 1
        if len(cuts) == 0:
            return [self]
        return [self[start:end] for start, end in pairwise([0, *cuts.tolist(), len(self)])]


def text_of(key: bytes | None) -> str:
    """The cell that a message's key names, empty where there is no key; a REST proxy sends a key as JSON text.

    No cell's id is longer than `TEXT_BYTES`, so a key is cut to that: each one that comes is remembered.
    """
    text = (key or b"")[: 2 * TEXT_BYTES].decode(errors="replace")
    if text.startswith('"'):
        with suppress(msgspec.DecodeError):
            text = msgspec.json.decode(text, type=str)
    return text[:TEXT_BYTES]
