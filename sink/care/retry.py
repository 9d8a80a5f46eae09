"""Publishing quarantined rows again, after a fix: each as a message of its own that names its first place."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
import pyarrow as pa

from kernel.base.errors import BatteryError
from kernel.contract.message import RETRY_OF, headers
from kernel.contract.reading import JSON, READING, Reason
from kernel.contract.show import PAYLOAD_CHARS, show_bytes
from kernel.edges.consumer import OffsetGoneError, read_log
from kernel.edges.kafka import message_limit, open_producer, open_topic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from confluent_kafka import KafkaError
    from confluent_kafka import Message as KafkaMessage

    from kernel.base.settings import Settings
    from kernel.contract.message import Place
    from kernel.contract.poll import Message
    from kernel.edges.kafka import Topic
    from sink.care.quarantine import QuarantineEntry

FLUSH_SECONDS: Final = 60.0
"""How long the broker may take to confirm the last messages, in s."""


@dataclass(frozen=True)
class Fix:
    """The changes before publishing: values for columns of the readings, and for headers of the message."""

    columns: Mapping[str, object]
    headers: Mapping[str, str]

    @classmethod
    def read(cls, columns: Sequence[str], named: Sequence[str]) -> Fix:
        """Read `NAME=VALUE` texts; the value of a column of numbers is read as JSON if it can be.

        >>> Fix.read(["voltage(v)=3.7", "cell_id=CS2_35"], [])
        Fix(columns={'voltage(v)': 3.7, 'cell_id': 'CS2_35'}, headers={})

        Raises:
            BatteryError: a text is not of that form, or names no column.
        """
        changes: dict[str, object] = {}
        for text in columns:
            name, separator, value = text.partition("=")
            if not separator or name not in READING.names:
                raise BatteryError(f"--set {text} is not COLUMN=VALUE with one of {', '.join(READING.names)}")
            changes[name] = value
            if not pa.types.is_string(READING.field(name).type):
                with suppress(msgspec.DecodeError):
                    changes[name] = msgspec.json.decode(value)
        for text in named:
            if not text.partition("=")[1] or not text.partition("=")[0]:
                raise BatteryError(f"--header {text} is not NAME=VALUE")
        return cls(changes, dict(text.split("=", 1) for text in named))


@dataclass(frozen=True)
class Retry:
    """A message that publishes the row at `origin` again."""

    origin: Place
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...]


def retries_of(settings: Settings, refused: Sequence[QuarantineEntry], fix: Fix) -> list[Retry]:
    """Make the messages that publish refused rows again, in the order of the log.

    A message that was refused as a whole is published unchanged except for its headers; a single reading is published
    as JSON.

    Raises:
        BatteryError: a row cannot be published again; the message says why.
    """
    topic = open_topic(settings)
    return [_retry(settings, topic, entry, fix) for entry in sorted(refused, key=lambda entry: entry.place)]


def publish_again(settings: Settings, retries: Sequence[Retry]) -> None:
    """Publish retries, and wait until the broker has all of them.

    Raises:
        BatteryError: the broker did not take a message; earlier ones are published.
    """
    producer = open_producer(settings, message_limit(settings))
    refusals: list[str] = []

    def acknowledged(error: KafkaError | None, _message: KafkaMessage) -> None:
        if error is not None:
            refusals.append(error.str())

    for retry in retries:
        while True:
            try:
                producer.produce(
                    settings.battery_topic,
                    value=retry.value,
                    key=retry.key,
                    headers=list(retry.headers),
                    on_delivery=acknowledged,
                )
                break
            except BufferError:  # librdkafka's queue is full: wait for the broker
                producer.poll(0.1)
        producer.poll(0)
    if producer.flush(FLUSH_SECONDS):
        refusals.append(f"no acknowledgement within {FLUSH_SECONDS:.0f} s")
    if refusals:
        raise BatteryError(f"topic {settings.battery_topic}: the broker did not take a message: {refusals[0]}")


def _retry(settings: Settings, topic: Topic, entry: QuarantineEntry, fix: Fix) -> Retry:
    if entry.reason == Reason.DUPLICATE:
        raise BatteryError(f"{entry.place} is a duplicate: there is nothing to retry, its readings had landed")
    readings = _readings(entry)
    if not fix.columns or (readings is None and set(fix.columns) == {"cell_id"}):
        original = _original(settings, topic, entry.place)
        # The payload is the whole message only if the message was refused as a whole.
        if original is not None and (readings is None or show_bytes(original.value) == entry.payload):
            key = str(fix.columns["cell_id"]).encode() if fix.columns else original.key
            return Retry(
                entry.place, key or b"", original.value or b"", _headers(dict(original.headers), entry.place, fix)
            )
    if readings is None:
        raise BatteryError(
            f"{entry.place} cannot be published again: what the quarantine shows of it is no reading, and it is not a "
            "message that the topic still has; publish its source again"
        )
    for reading in readings:
        reading.update(fix.columns)
    cell_id = str(readings[0].get("cell_id") or entry.cell_id or "")
    if not cell_id:
        raise BatteryError(f"{entry.place} names no cell; name it with --set cell_id=…")
    ours = {
        name: value.encode() if isinstance(value, str) else value
        for name, value in headers(JSON, entry.source_file, about_test=entry.about_test)
    }
    body = msgspec.json.encode(readings[0] if len(readings) == 1 else readings)
    return Retry(entry.place, cell_id.encode(), body, _headers(ours, entry.place, fix))


def _readings(entry: QuarantineEntry) -> list[dict[str, object]] | None:
    """The refused rows from the payload in the quarantine; None if the payload holds no readings."""
    if entry.payload is None or len(entry.payload) >= PAYLOAD_CHARS:
        return None
    try:
        payload = msgspec.json.decode(entry.payload)
    except msgspec.DecodeError:
        return None
    rows = payload if isinstance(payload, list) else [payload]
    return rows if rows and all(isinstance(row, dict) for row in rows) else None


def _original(settings: Settings, topic: Topic, place: Place) -> Message | None:
    """The message from the log; None if the log no longer has it."""
    if place.topic_id != topic.topic_id:
        return None
    try:
        for messages in read_log(settings, topic, place.partition, place.offset, place.offset):
            if messages[0].offset == place.offset:
                return messages[0]
    except OffsetGoneError:
        pass
    return None


def _headers(original: Mapping[str, bytes | None], origin: Place, fix: Fix) -> tuple[tuple[str, bytes | None], ...]:
    changed = {name.lower(): value.encode() for name, value in fix.headers.items()}
    kept = {name.lower(): value for name, value in original.items()}
    return tuple((kept | changed | {RETRY_OF: str(origin).encode()}).items())
