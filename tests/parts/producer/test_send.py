"""Sending: the order of messages that are encoded ahead, and how many of them a test becomes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from confluent_kafka import KafkaError
from support.delivered import decode

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.contract.about import About, TestAbout
from kernel.contract.message import encode_arrow
from kernel.edges.consumer import read_log
from kernel.edges.kafka import AROUND_BYTES, message_limit, open_producer, open_topic
from producer.send import QueuedTest, Receipt, SendOptions, send
from producer.simulate import simulate_tests
from producer.spool import SpooledTest

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2010, 8, 16)  # noqa: DTZ001  # a cycler's wall clock has no zone


class Taking:
    """A broker that takes every message."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int]] = []
        self.sizes: list[int] = []

    def produce(self, _topic: str, *, value: bytes, key: str, **_: Any) -> None:
        self.rows.append((key, pa.ipc.open_stream(value).read_all().num_rows))
        self.sizes.append(len(value))

    def poll(self, _seconds: float) -> int:
        return 0

    def flush(self, _seconds: float) -> int:
        return 0


@pytest.fixture(scope="module")
def readings() -> pa.Table:
    return simulate_tests("SEND", cycles=20, seed=1)[0].test.readings


class Failing(Taking):
    """A broker that acknowledges some messages and refuses the next one."""

    def __init__(self, taken: int) -> None:
        super().__init__()
        self._taken = taken

    def produce(self, _topic: str, *, value: bytes, key: str, **given: Any) -> None:
        super().produce(_topic, value=value, key=key)
        number = len(self.rows) - 1
        error = None if number < self._taken else KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
        given["on_delivery"](error, Acknowledged(number))


@dataclass
class Acknowledged:
    """A message that the broker has taken, or not."""

    number: int

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 100 + self.number


def waiting(folder: Path, readings: pa.Table, cell_id: str = "SEND") -> QueuedTest:
    path = folder / f"{cell_id}.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, readings.schema) as writer:
        writer.write_table(readings)
    return QueuedTest(cell_id, START, (0, 0, 0), "a.xlsx", 0, "", SpooledTest(START, path, readings.num_rows))


def test_messages_that_are_encoded_ahead_arrive_in_their_order(broker: int, tmp_path: Path, readings: pa.Table) -> None:
    settings = Settings(kafka_bootstrap_servers=f"127.0.0.1:{broker}", battery_topic_partitions=1)
    topic = open_topic(settings, create=True)
    limit = message_limit(settings)
    producer = open_producer(settings, limit)
    sent = send(producer, [waiting(tmp_path, readings)] * 3, SendOptions(topic.name, 20_000))
    landed = [decode(message) for poll in read_log(settings, topic, 0) for message in poll]
    points = [point for delivery in landed for point in delivery.body.readings.column("data_point").to_pylist()]
    assert points == readings.column("data_point").to_pylist() * 3
    assert (sent.rows, sent.messages) == (3 * readings.num_rows, len(landed))
    assert len(landed) > 3 * 4


def test_a_receipt_tells_where_in_the_log_the_last_message_of_a_workbook_is(
    broker: int, tmp_path: Path, readings: pa.Table
) -> None:
    settings = Settings(kafka_bootstrap_servers=f"127.0.0.1:{broker}", battery_topic="receipts")
    topic = open_topic(settings, create=True)
    producer = open_producer(settings, message_limit(settings))
    receipts: list[Receipt] = []
    tests = [waiting(tmp_path, readings, cell_id) for cell_id in ("A", "B", "C")]
    send(producer, tests, SendOptions(topic.name, 20_000), receipts.append)
    keys = [message.key for poll in read_log(settings, topic, 0) for message in poll]
    assert len(keys) > 3 * 4
    last = {key.decode(): {0: offset} for offset, key in enumerate(keys) if key is not None}
    assert {receipt.cell_id: receipt.last_offsets for receipt in receipts} == last
    assert {receipt.open_rows for receipt in receipts} == {0}


def test_workbooks_that_were_acknowledged_before_the_broker_refused_one_have_their_receipts(
    tmp_path: Path, readings: pa.Table
) -> None:
    tests = [waiting(tmp_path, readings.slice(0, 10), cell_id) for cell_id in ("A", "B", "C")]
    receipts: list[Receipt] = []
    with pytest.raises(BatteryError, match="the broker did not take a message"):
        send(Failing(2), tests, SendOptions("topic", 1_000_000), receipts.append)  # type: ignore[arg-type]
    assert {receipt.cell_id: receipt.last_offsets for receipt in receipts} == {"A": {3: 100}, "B": {3: 101}}


def test_a_workbook_of_which_one_message_has_no_offset_is_nowhere_in_particular() -> None:
    receipt = Receipt("A", "", "a.xlsx", open_rows=3)
    for offset in (5, -1001, 7):
        receipt.take(1, 0, offset)
    assert (receipt.open_rows, receipt.last_offsets) == (0, None)


def test_tests_that_are_encoded_side_by_side_are_sent_in_their_order(tmp_path: Path, readings: pa.Table) -> None:
    broker = Taking()
    lengths = {f"CELL_{number}": 2_000 // (number + 1) for number in range(9)}  # the first takes longest
    tests = [waiting(tmp_path, readings.slice(0, length), cell_id) for cell_id, length in lengths.items()]
    send(broker, tests, SendOptions("topic", 1_000_000))  # type: ignore[arg-type]
    assert broker.rows == list(lengths.items())


def test_a_test_becomes_messages_of_about_the_same_size_that_keep_to_the_limit(
    tmp_path: Path, readings: pa.Table
) -> None:
    broker = Taking()
    send(broker, [waiting(tmp_path, readings)], SendOptions("topic", 30_000 + AROUND_BYTES))  # type: ignore[arg-type]
    assert max(broker.sizes) <= 30_000
    assert min(broker.sizes[1:]) > 0.6 * 30_000
    assert sum(rows for _, rows in broker.rows) == readings.num_rows


class Hearing(Taking):
    """A broker that keeps the headers of what it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[dict[str, str]] = []

    def produce(self, _topic: str, *, value: bytes, key: str, **given: Any) -> None:  # noqa: ARG002  # as a client is called
        self.sizes.append(len(value))
        self.headers.append(dict(given["headers"]))


@pytest.mark.parametrize(("id_to_send", "test_id"), [(None, "2010-08-16T00:00:00"), ("2010-08-16T00:00:00-2",) * 2])
@pytest.mark.parametrize("encoding", ["arrow", "json"])
def test_every_message_of_a_test_says_what_its_reader_said_under_the_id_that_is_sent(
    tmp_path: Path, readings: pa.Table, id_to_send: str | None, test_id: str, encoding: str
) -> None:
    about = About("csv", ("its sign was turned",), {"channel": "3"}, ("charge_capacity(ah)",))
    queued = waiting(tmp_path, readings)
    said = replace(queued, test=replace(queued.test, about=about), test_id=id_to_send)
    broker = Hearing()
    options = SendOptions("topic", 30_000, encoding)
    if encoding == "json":
        said = replace(said, test=replace(said.test, path=waiting(tmp_path, readings.slice(0, 5), "FEW").test.path))
    send(broker, [said], options)  # type: ignore[arg-type]
    assert len(broker.headers) > 1
    assert {TestAbout.from_text(headers["about-test"]) for headers in broker.headers} == {TestAbout(test_id, about)}


def test_a_test_of_which_nothing_is_said_has_no_header_for_it(tmp_path: Path, readings: pa.Table) -> None:
    broker = Hearing()
    send(broker, [waiting(tmp_path, readings)], SendOptions("topic", 30_000))  # type: ignore[arg-type]
    assert [name for headers in broker.headers for name in headers if name.startswith("about")] == []


def test_what_is_said_of_a_test_leaves_room_for_itself_in_the_limit(tmp_path: Path, readings: pa.Table) -> None:
    queued = waiting(tmp_path, readings)
    about = About("csv", tuple(f"{number}: {'x' * 400}" for number in range(30)))
    said = replace(queued, test=replace(queued.test, about=about))
    broker = Hearing()
    send(broker, [said], SendOptions("topic", 30_000 + AROUND_BYTES))  # type: ignore[arg-type]
    header = len(broker.headers[0]["about-test"])
    assert header > 7_000
    assert max(broker.sizes) <= 30_000 - header


def test_few_messages_are_encoded_for_nothing(readings: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = 0
    new_stream = pa.ipc.new_stream

    def counting(*arguments: Any, **named: Any) -> Any:
        nonlocal encoded
        encoded += 1
        return new_stream(*arguments, **named)

    monkeypatch.setattr(pa.ipc, "new_stream", counting)
    messages = len(list(encode_arrow(readings, 30_000)))
    assert messages > 5
    assert encoded <= messages + 2


def test_a_limit_too_small_for_one_reading_is_one_line_also_from_the_thread_that_encodes(
    tmp_path: Path, readings: pa.Table
) -> None:
    broker = Taking()
    tests = [waiting(tmp_path, readings)]
    with pytest.raises(BatteryError, match=r"topic t takes 4196 bytes a message .*, too few: one reading takes"):
        send(broker, tests, SendOptions("t", 100 + AROUND_BYTES))  # type: ignore[arg-type]
    assert broker.rows == []
