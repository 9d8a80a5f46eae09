"""Messages on the topic: readings to bytes, and bytes back to readings with every fault named.

Decoding never raises for what a message holds: what cannot be read becomes a `Fault` that says why,
so that no input stops the worker and none disappears.
"""

from __future__ import annotations

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import pyarrow as pa

from kernel.contract.about import TestAbout
from kernel.contract.arrow_body import read_arrow
from kernel.contract.body import NO_FLAGS, NO_READINGS, NO_ROWS, Body, Fault, UndecodableError, reject_foreign_cells
from kernel.contract.json_body import read_json
from kernel.contract.reading import ARROW, ARROW_START, JSON, SCHEMA_VERSION, TEXT_BYTES, Range, Reason
from kernel.contract.sent import Sent
from kernel.contract.show import show_bytes
from kernel.contract.weight import Limits, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kernel.contract.poll import Message

STAMPS_MS: Final = Range(-1, 7_258_118_400_000)
"""Time stamps that a message may carry, in ms since 1970 UTC: -1 where the broker keeps none, then up to the year
2200. A gateway that counts in micro- or nanoseconds is far beyond."""

RETRY_OF: Final = "retry-of"
"""Header of a message that publishes a quarantined row again: the `Place` that it had first."""

LATE: Final = "late"
"""Header of a message whose readings belong between, or before, readings of their test that were sent earlier."""

ABOUT_TEST: Final = "about-test"
"""Header of a message with what is said of its test, as `TestAbout` writes it."""

_WIDE_MARKS: Final = (BOM_UTF16_LE, BOM_UTF16_BE)
"""How a text of two bytes a character begins, as some shells write it; no Arrow stream does."""

LIMITS: Final = Limits()
"""The limits where no settings give others."""

_WRITE: Final = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
"""Buffers of 100 kB are compressed in less time by one thread than it takes to share them out."""

_SHRINKS: Final = 4
"""How many times smaller readings are expected to become, before any have been seen."""

_FILLED: Final = 0.9
"""Share of a message that is meant to be filled: what comes next may shrink less than what came before."""


@dataclass(frozen=True, order=True)
class Place:
    """Where a row stands in the logs; as text `topic_id:partition:offset:row`."""

    topic_id: str
    partition: int
    offset: int
    row: int

    def __str__(self) -> str:
        return f"{self.topic_id}:{self.partition}:{self.offset}:{self.row}"

    @classmethod
    def from_text(cls, text: str) -> Place | None:
        """Read what `str` wrote; None when it is no place."""
        topic_id, *numbers = text[: TEXT_BYTES + 1].split(":")
        if not topic_id or len(text) > TEXT_BYTES or len(numbers) != len(_PLACE_BITS):
            return None
        if not all(number.isascii() and number.isdigit() and len(number) <= _PLACE_DIGITS for number in numbers):
            return None
        if not all(int(number) < 1 << bits for number, bits in zip(numbers, _PLACE_BITS, strict=True)):
            return None
        return cls(topic_id, *map(int, numbers))


_PLACE_BITS: Final = (31, 63, 31)
"""What partition, offset and row may be as large as."""

_PLACE_DIGITS: Final = 19
"""What the largest of them has; Python refuses to read a number of thousands."""


def headers(
    content_type: str,
    source_file: str | None,
    retry_of: Place | None = None,
    *,
    late: bool = False,
    about_test: str | None = None,
) -> list[tuple[str, str | bytes | None]]:
    """The headers of a message in the given encoding; `late` and `about_test` as `LATE` and `ABOUT_TEST` say."""
    pairs: list[tuple[str, str | bytes | None]] = [("content-type", content_type), ("schema-version", SCHEMA_VERSION)]
    if source_file is not None:
        pairs.append(("source-file", source_file))
    if retry_of is not None:
        pairs.append((RETRY_OF, str(retry_of)))
    if late:
        pairs.append((LATE, "true"))
    if about_test is not None:
        pairs.append((ABOUT_TEST, about_test))
    return pairs


def encode_arrow(readings: pa.Table, max_bytes: int, limits: Limits = LIMITS) -> Iterator[tuple[int, bytes]]:
    """Cut readings of one cell into Arrow IPC streams of at most `max_bytes` each, in order, with their row counts.

    Args:
        readings: a table of `READING`.
        max_bytes: what the broker takes.
        limits: what a worker takes of a message once it is decoded.

    Raises:
        ValueError: a single reading is larger than `max_bytes`.
    """
    left = readings.num_rows
    most = max(1, min(limits.rows, int(left * _FILLED * limits.size / max(1, readings.nbytes))))
    rows = left if readings.nbytes <= _SHRINKS * max_bytes else max(1, left * _SHRINKS * max_bytes // readings.nbytes)
    while True:
        rows = min(rows, most)
        part = readings.slice(readings.num_rows - left, rows)
        buffer = pa.BufferOutputStream()
        with pa.ipc.new_stream(buffer, part.schema, options=_WRITE) as writer:
            writer.write_table(part)
        value: bytes = buffer.getvalue().to_pybytes()
        if len(value) <= max_bytes:
            yield rows, value
            left -= rows
            if left <= 0:
                return
        elif rows <= 1:
            raise ValueError(f"one reading takes {len(value)} bytes, more than the {max_bytes} of a message")
        # The rest in equal messages, of a size that this one says will fit.
        fitting = max(1, int(rows * _FILLED * max_bytes / len(value)))
        rows = -(-left // -(-left // fitting))


def encode_json(readings: pa.Table, rows_each: int = 1) -> Iterator[bytes]:
    """Turn readings into JSON messages, as another gateway would send them."""
    encoder = msgspec.json.Encoder()
    for start in range(0, readings.num_rows, rows_each):
        rows = [
            {name: value for name, value in row.items() if value is not None}
            for row in readings.slice(start, rows_each).to_pylist()
        ]
        yield encoder.encode(rows[0] if rows_each == 1 else rows)


_OCTETS: Final = "application/octet-stream"
"""A content-type that says nothing of the content."""


class Head(NamedTuple):
    """What the headers of a message say; None where they say nothing."""

    encoding: str | None
    version: str | None
    source_file: str | None
    retry_of: Place | None
    late: bool
    about: TestAbout | None

    @classmethod
    def of(cls, headers: Sequence[tuple[str, bytes | None]]) -> Head:
        """Read the headers of a message; names are of any case."""
        named = {name.lower(): value for name, value in headers}
        content_type = (_text(named.get("content-type")) or "").partition(";")[0].strip().lower()
        return cls(
            None if content_type in {"", _OCTETS} else content_type,
            _text(named.get("schema-version")) or None,
            (_text(named.get("source-file")) or "")[:TEXT_BYTES] or None,
            Place.from_text(_text(named.get(RETRY_OF)) or ""),
            (_text(named.get(LATE)) or "").strip().lower() == "true",
            TestAbout.from_text(named.get(ABOUT_TEST)),
        )


def body_of(cell_id: str, message: Message, head: Head, limits: Limits = LIMITS) -> Body:
    """Read the value of a message of a cell; one that is refused as a whole is a body of one fault.

    Whatever a message holds, this returns: a log cannot be read on past a message that raises.
    """
    try:
        return _open(cell_id, message, head, limits)
    except _RefusedError as error:
        return refused(message, error.reason, str(error), error.row_count)
    except Exception as error:  # noqa: BLE001  # what nobody foresaw is the message's fault as well
        return refused(message, Reason.UNDECODABLE, unforeseen(error))


def refused(message: Message, reason: Reason, detail: str, row_count: int = 1) -> Body:
    """The body of a message that is refused as a whole."""
    return Body(NO_READINGS, NO_ROWS, NO_FLAGS, (Fault(0, reason, detail, show_bytes(message.value), row_count),))


def unforeseen(error: Exception) -> str:
    """What to say of a message whose reading raised what nobody foresaw."""
    said = (str(error).splitlines() or [""])[0]
    return f"reading it raised {type(error).__name__}{': ' if said else ''}{said}"


class _RefusedError(Exception):
    """A message is refused as a whole."""

    def __init__(self, reason: Reason, detail: str, row_count: int = 1) -> None:
        super().__init__(detail)
        self.reason = reason
        self.row_count = row_count


def _open(cell_id: str, message: Message, head: Head, limits: Limits) -> Body:
    value, version = message.value, head.version
    encoding = _encoding_of(value) if head.encoding is None else head.encoding
    readable = encoding in {ARROW, JSON}
    if version not in {None, SCHEMA_VERSION}:
        raise _RefusedError(Reason.UNKNOWN_SCHEMA, f"schema-version is {version!r}, this worker reads {SCHEMA_VERSION}")
    if not readable and value:
        raise _RefusedError(
            Reason.UNDECODABLE,
            f"content-type is {encoding!r}, not {ARROW} or {JSON}"
            if encoding
            else "the message has no content-type, and begins neither as Arrow nor as JSON",
        )
    if not value:
        raise _RefusedError(Reason.UNDECODABLE, "the message is empty")
    try:
        body = read_arrow(value, limits) if encoding == ARROW else read_json(value, limits)
    except UndecodableError as error:
        raise _RefusedError(Reason.UNDECODABLE, str(error)) from None
    except TooLargeError as error:
        raise _RefusedError(Reason.TOO_LARGE, str(error)) from None
    if body.row_count == 0:
        raise _RefusedError(Reason.UNDECODABLE, "the message holds no readings")
    if not cell_id:
        raise _RefusedError(Reason.MISSING_VALUE, "the message has no key; the key is the cell_id", body.row_count)
    if not STAMPS_MS.low <= message.timestamp_ms <= STAMPS_MS.high:
        raise _RefusedError(
            Reason.OUT_OF_RANGE,
            f"the message's time stamp is {message.timestamp_ms}; it counts milliseconds since 1970",
            body.row_count,
        )
    return reject_foreign_cells(cell_id, body, Sent([value]))


def _encoding_of(value: bytes | None) -> str | None:
    """The encoding of a value that comes without a content-type, by its first bytes; None where these tell none."""
    if not value or value.startswith(ARROW_START):
        return ARROW if value else None
    return JSON if value.startswith(_WIDE_MARKS) or value.removeprefix(BOM_UTF8).lstrip()[:1] in {b"{", b"["} else None


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
