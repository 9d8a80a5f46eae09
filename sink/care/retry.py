"""Publishing quarantined rows again, after a fix: each as a message of its own that names the place it had first."""

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


@dataclass(frozen=True)
class Fix:
    """What to change before publishing: columns of the readings, and headers of the message."""

    columns: Mapping[str, object]
    headers: Mapping[str, str]

    @classmethod
    def read(cls, columns: Sequence[str], named: Sequence[str]) -> Fix:
        """Read `NAME=VALUE` texts; the value of a column that holds no text is JSON where it can be.

        Raises:
            BatteryError: one is not of that form, or names no column.
        """
        found: dict[str, object] = {}
        for text in columns:
            name, separator, value = text.partition("=")
            if not separator or name not in READING.names:
                raise BatteryError(f"--set {text} is not COLUMN=VALUE with one of {', '.join(READING.names)}")
            found[name] = value
            if not pa.types.is_string(READING.field(name).type):
                with suppress(msgspec.DecodeError):
                    found[name] = msgspec.json.decode(value)
        for text in named:
            if not text.partition("=")[1] or not text.partition("=")[0]:
                raise BatteryError(f"--header {text} is not NAME=VALUE")
        return cls(found, dict(text.split("=", 1) for text in named))


@dataclass(frozen=True)
class Retry:
    """A message to be: what it publishes again, and how."""

    origin: Place
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...]


def retries_of(settings: Settings, refused: Sequence[QuarantineEntry], fix: Fix) -> list[Retry]:
    """Make the messages that publish refused rows again, in the order in which they stood in the log.

    A message that was refused whole goes out as it was, headers apart; a single reading goes out as JSON.

    Raises:
        BatteryError: a row cannot be published again; says why.
    """
    topic = open_topic(settings)
    return [_retry(settings, topic, entry, fix) for entry in sorted(refused, key=lambda entry: entry.place)]


def publish_again(settings: Settings, retries: Sequence[Retry]) -> None:
    """Publish retries, and wait until the broker has all of them.

    Raises:
        BatteryError: the broker did not take one; those before it are out.
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
        # What was refused whole is shown as it was; a single reading of a message is not all of it.
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
        name: value.encode() if isinstance(value, str) else value for name, value in headers(JSON, entry.source_file)
    }
    body = msgspec.json.encode(readings[0] if len(readings) == 1 else readings)
    return Retry(entry.place, cell_id.encode(), body, _headers(ours, entry.place, fix))


def _readings(entry: QuarantineEntry) -> list[dict[str, object]] | None:
    """The refused rows as the quarantine shows them, None where it shows no readings."""
    if entry.payload is None or len(entry.payload) >= PAYLOAD_CHARS:
        return None
    try:
        found = msgspec.json.decode(entry.payload)
    except msgspec.DecodeError:
        return None
    rows = found if isinstance(found, list) else [found]
    return rows if rows and all(isinstance(row, dict) for row in rows) else None


def _original(settings: Settings, topic: Topic, place: Place) -> Message | None:
    """The message as it is in the log, None when that has it no longer."""
    if place.topic_id != topic.topic_id:
        return None
    try:
        for messages in read_log(settings, topic, place.partition, place.offset, place.offset):
            if messages[0].offset == place.offset:
                return messages[0]
    except OffsetGoneError:
        pass
    return None


def _headers(found: Mapping[str, bytes | None], origin: Place, fix: Fix) -> tuple[tuple[str, bytes | None], ...]:
    changed = {name.lower(): value.encode() for name, value in fix.headers.items()}
    kept = {name.lower(): value for name, value in found.items()}
    return tuple((kept | changed | {RETRY_OF: str(origin).encode()}).items())
