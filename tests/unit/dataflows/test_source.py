"""The topic source against a scripted consumer: what no embedded broker can be made to do."""

from __future__ import annotations

import pickle
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition
from support.builders import TOPIC_ID

import dataflows.polling
import dataflows.source
from dataflows.health import Pulse
from dataflows.metrics import Metrics
from dataflows.position import Position
from dataflows.source import PartitionReader, TopicSource
from dataflows.topic_check import TopicCheck
from kernel.base.errors import BatteryError, StartAgainError
from kernel.base.settings import Settings
from kernel.edges.kafka import NoBrokerError, Topic, TopicWatch
from kernel.edges.offsets import Passed, Stretch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOG = Topic("battery_topic", TOPIC_ID, (0,))


@dataclass
class Received:
    """A message, or a fault, as the client hands it over."""

    place: int | None = None
    fault: KafkaError | None = None
    epoch: int | None = None

    def error(self) -> KafkaError | None:
        return self.fault

    def offset(self) -> int | None:
        return self.place

    def partition(self) -> int:
        return 0

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_000

    def headers(self) -> None:
        return None

    def key(self) -> bytes:
        return b"CELL_1"

    def value(self) -> bytes:
        return b"{}"

    def leader_epoch(self) -> int | None:
        return self.epoch


@dataclass
class Scripted:
    """A consumer that delivers what a test wrote down, one entry a poll.

    The log begins at offset `begins`; `passes` is up to where it was received without a message after each poll.
    """

    polls: list[list[Received]]
    begins: int = 0
    passes: dict[int, int] = field(default_factory=dict)
    group: TopicPartition | None = None
    told: list[TopicPartition] = field(default_factory=list)
    breaks_before: set[int] = field(default_factory=set)
    assigned: list[int] = field(default_factory=list)
    epochs: list[int | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    may_close: threading.Event | None = None
    ends: int = -1001
    on_disturbance: Callable[[KafkaError], None] | None = None
    polled: int = 0

    def assign(self, places: list[Any]) -> None:
        self.assigned.append(places[0].offset)
        self.epochs.append(places[0].leader_epoch)

    def consume(self, _count: int, timeout: float) -> list[Received]:  # noqa: ARG002
        if self.polled in self.breaks_before and self.on_disturbance:
            self.on_disturbance(KafkaError(KafkaError._TRANSPORT))  # noqa: SLF001
        self.polled += 1
        return self.polls[self.polled - 1]

    def position(self, _: list[TopicPartition]) -> list[TopicPartition]:
        reached = max((found.offset() or 0 for found in self._received() if found.error() is None), default=-1002) + 1
        return [TopicPartition(LOG.name, 0, max(reached, self.passes.get(self.polled, -1001)))]

    def _received(self) -> list[Received]:
        return [found for poll in self.polls[: self.polled] for found in poll]

    def commit(self, *, offsets: list[TopicPartition], **_: Any) -> None:
        self.told += offsets

    def committed(self, _: list[TopicPartition], **__: Any) -> list[TopicPartition]:
        return [self.group or TopicPartition(LOG.name, 0, -1001)]

    def get_watermark_offsets(self, _place: Any, *, cached: bool = False, timeout: float = 0) -> tuple[int, int]:
        # To ask the broker takes time, and the embedded one tells a wrong end.
        return (0, self.ends) if cached else (self.begins, -1 if timeout else 0)

    def list_topics(self, topic: str, **_: Any) -> None:
        self.asked.append(topic)

    def close(self) -> None:
        if self.may_close is not None:
            self.may_close.wait()


class Watch(TopicWatch):
    """Sees what a test lets it see, one look after another."""

    def __init__(self, *answers: Topic | None) -> None:
        self.answers = list(answers)
        self.looks = 0

    def look(self) -> None:
        self.looks += 1

    def seen(self) -> Topic | None:
        return self.answers[self.looks - 1] if 0 < self.looks <= len(self.answers) else None


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Callable[..., PartitionReader]:
    def make(
        consumer: Scripted,
        *,
        start: int | Position | None = None,
        epoch: int | None = None,
        landed: int = -1,
        now: Callable[[], Topic] = lambda: LOG,
        watch: Watch | None = None,
        pulse: Pulse | None = None,
        metrics: Metrics | None = None,
        **settings: Any,
    ) -> PartitionReader:
        def opened(_: Settings, on_disturbance: Callable[[KafkaError], None]) -> Scripted:
            consumer.on_disturbance = on_disturbance
            return consumer

        monkeypatch.setattr(dataflows.polling, "open_consumer", opened)
        chosen = Settings(_env_file=None, **settings)
        check = TopicCheck(LOG, now, watch or Watch())
        at = start if isinstance(start, Position) else Position(TOPIC_ID, start, epoch)
        return PartitionReader(chosen, LOG, 0, at, landed, lambda: False, check, pulse, metrics)

    return make


def stored(reading: PartitionReader) -> Position:
    """Where the recovery store would continue."""
    return Position.of(reading.snapshot())


def eof(place: int) -> Received:
    return Received(place, KafkaError(KafkaError._PARTITION_EOF))  # noqa: SLF001


def gone() -> Received:
    return Received(fault=KafkaError(KafkaError._AUTO_OFFSET_RESET))  # noqa: SLF001


def offsets(batches: list[Any]) -> list[int]:
    return [message.offset for batch in batches for message in batch]


def test_where_the_partition_lies_is_asked_before_its_oldest_message_alone(reader: Any) -> None:
    begins, goes_on = Scripted([]), Scripted([])
    reader(begins)
    reader(goes_on, start=6, epoch=3, landed=5)
    assert (begins.asked, goes_on.asked) == ([LOG.name], [])


def test_a_partition_is_quiet_from_the_first_poll_that_brings_nothing_to_the_next_message(
    reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(range(100))
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    reading = reader(Scripted([[Received(6)], [], [], [Received(7)]]), start=6, landed=5)
    assert reading.quiet_seconds == 0
    reading.next_batch()
    assert reading.quiet_seconds == 0
    reading.next_batch()
    assert reading.quiet_seconds == 1
    reading.next_batch()
    assert reading.quiet_seconds == 2
    reading.next_batch()
    assert reading.quiet_seconds == 0


def test_an_offset_that_expired_behind_the_worker_is_refused_with_the_choices(reader: Any) -> None:
    reading = reader(Scripted([[Received(6), gone()], [Received(100)]], begins=100), start=6, landed=5)
    assert offsets(reading.next_batch()) == [6]
    with pytest.raises(BatteryError, match=r"offsets 7 to 99 are gone .* --again.*ACCEPT_LOST_OFFSETS=true"):
        reading.next_batch()


def test_an_offset_that_expired_after_its_message_had_landed_is_no_loss(reader: Any) -> None:
    consumer = Scripted([[gone()], [Received(95)]])
    reading = reader(consumer, start=90, landed=100)
    assert reading.next_batch() == []
    assert offsets(reading.next_batch()) == [95]
    assert consumer.assigned == [90, OFFSET_BEGINNING]


def test_the_end_of_a_log_that_is_read_whole_is_no_loss(reader: Any) -> None:
    ended = Received(25, KafkaError(KafkaError._PARTITION_EOF))  # noqa: SLF001
    polled = [[Received(offset) for offset in range(25)] + [ended]]
    assert len(offsets(reader(Scripted(polled), landed=9).next_batch())) == 25


def test_a_log_that_expired_to_its_end_is_a_loss_too(reader: Any) -> None:
    ended = Received(200, KafkaError(KafkaError._PARTITION_EOF))  # noqa: SLF001
    with pytest.raises(BatteryError, match="offsets 51 to 199 are gone"):
        reader(Scripted([[ended]], begins=200), landed=50).next_batch()


def test_the_position_stays_while_nobody_can_say_whether_a_log_that_expired_to_its_end_is_the_same(reader: Any) -> None:
    def now() -> Topic:
        raise NoBrokerError("no broker answers")

    reading = reader(Scripted([[eof(200)]], begins=200, breaks_before={0}), landed=50, now=now)
    assert reading.next_batch() == []
    assert stored(reading) == Position(TOPIC_ID, None)


def test_what_expired_since_it_was_received_is_not_lost(reader: Any) -> None:
    with pytest.raises(BatteryError, match="offsets 51 to 59 are gone"):
        reader(Scripted([[Received(60)]], begins=70), landed=50).next_batch()


def test_a_log_that_grew_behind_its_end_is_read_to_its_new_end(reader: Any) -> None:
    reading = reader(Scripted([[eof(6), Received(6)], [eof(7)]]), start=6, landed=5, stream_until_end=True)
    assert offsets(reading.next_batch()) == [6]
    assert reading.next_batch() == []
    with pytest.raises(StopIteration):
        reading.next_batch()


def test_messages_that_expired_before_they_landed_are_missed_without_a_recovery_store_too(reader: Any) -> None:
    with pytest.raises(BatteryError, match="offsets 51 to 99 are gone"):
        reader(Scripted([[Received(100)]], begins=100), landed=50).next_batch()


def test_a_log_that_reaches_back_to_what_landed_is_read(reader: Any) -> None:
    assert offsets(reader(Scripted([[Received(51)]]), landed=50).next_batch()) == [51]


def test_a_loss_that_was_accepted_is_passed_over_from_the_oldest_message_on(reader: Any) -> None:
    consumer = Scripted([[gone()], [Received(100)]], begins=100)
    reading = reader(consumer, start=7, landed=6, accept_lost_offsets=True)
    assert reading.next_batch() == []
    assert offsets(reading.next_batch()) == [100]
    assert consumer.assigned == [7, OFFSET_BEGINNING]
    once_more = Scripted([[Received(100)]], begins=100)
    assert offsets(reader(once_more, landed=50, accept_lost_offsets=True).next_batch()) == [100]


def test_what_comes_after_the_connection_broke_is_handed_on_only_if_the_log_is_the_same(reader: Any) -> None:
    asked: list[int] = []

    def now() -> Topic:
        asked.append(1)
        return LOG if len(asked) == 1 else Topic(LOG.name, "another-log", (0,))

    reading = reader(Scripted([[Received(0)], [Received(1)], [Received(2)]], breaks_before={1, 2}), now=now)
    assert offsets(reading.next_batch() + reading.next_batch()) == [0, 1]
    with pytest.raises(BatteryError, match="was recreated"):
        reading.next_batch()


def test_messages_are_held_while_nobody_can_say_what_log_they_are_from(reader: Any) -> None:
    answers: list[Topic | None] = [None, LOG]

    def now() -> Topic:
        answer = answers.pop(0)
        if answer is None:
            raise NoBrokerError("no broker answers")
        return answer

    ended = Received(1, KafkaError(KafkaError._PARTITION_EOF))  # noqa: SLF001
    consumer = Scripted([[Received(0), ended]], breaks_before={0})
    reading = reader(consumer, now=now, stream_until_end=True)
    assert reading.next_batch() == []
    assert reading.next_awake() is not None
    assert offsets(reading.next_batch()) == [0]
    assert consumer.polled == 1


def test_an_offset_that_is_gone_since_the_log_is_another_says_so(reader: Any) -> None:
    reading = reader(
        Scripted([[gone()], [Received(100)]]), start=7, landed=6, now=lambda: Topic(LOG.name, "another-log", (0,))
    )
    assert reading.next_batch() == []
    with pytest.raises(BatteryError, match="was recreated"):
        reading.next_batch()


@pytest.mark.parametrize(("topic_id", "said"), [("another-log", "was recreated"), (TOPIC_ID, "partition 0: ")])
def test_a_broker_that_refuses_for_good_ends_the_worker_with_the_reason(reader: Any, topic_id: str, said: str) -> None:
    refused = Received(fault=KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(BatteryError, match=said):
        reader(Scripted([[refused]]), now=lambda: Topic(LOG.name, topic_id, (0,))).next_batch()


def test_an_epoch_read_from_another_log_does_not_close(reader: Any) -> None:
    reading = reader(Scripted([[Received(0)]]), now=lambda: Topic(LOG.name, "another-log", (0,)))
    reading.next_batch()
    with pytest.raises(BatteryError, match="was recreated"):
        reading.snapshot()


def test_an_epoch_closes_while_the_broker_is_away_and_asks_when_it_is_back(reader: Any) -> None:
    answers: list[Topic | None] = [None, Topic(LOG.name, "another-log", (0,))]

    def now() -> Topic:
        answer = answers.pop(0)
        if answer is None:
            raise NoBrokerError("no broker answers")
        return answer

    reading = reader(Scripted([[Received(0)], [Received(1)]]), now=now)
    reading.next_batch()
    assert stored(reading).next_offset == 1
    with pytest.raises(BatteryError, match="was recreated"):
        reading.next_batch()


def test_an_idle_partition_rests_between_polls(reader: Any) -> None:
    ended = Received(3, KafkaError(KafkaError._PARTITION_EOF))  # noqa: SLF001
    reading = reader(Scripted([[ended], []]), start=3)
    for _ in range(2):
        assert reading.next_batch() == []
        assert reading.next_awake() is not None


def test_a_log_that_goes_on_before_where_it_was_left_holds_other_messages(reader: Any) -> None:
    reading = reader(Scripted([[Received(6)], [Received(3)]]), start=6, landed=5)
    assert offsets(reading.next_batch()) == [6]
    with pytest.raises(BatteryError, match=r"offsets 3 to 6 had been read and hold other messages now .*RECOVERY_DIR"):
        reading.next_batch()


def test_the_broker_is_told_under_which_leader_was_read_and_the_recovery_store_remembers(reader: Any) -> None:
    consumer = Scripted([[Received(6, epoch=4), Received(7, epoch=5)]])
    reading = reader(consumer, start=6, epoch=4, landed=5)
    assert (consumer.assigned, consumer.epochs) == ([6], [4])
    reading.next_batch()
    assert stored(reading) == Position(TOPIC_ID, 8, 5, 8, 8)


@pytest.mark.timeout(30)
def test_a_group_without_a_coordinator_is_not_waited_for_at_the_end(reader: Any) -> None:
    may_close = threading.Event()
    reader(Scripted([[]], may_close=may_close), start=6).close()  # comes back, though the consumer's own does not
    assert not may_close.is_set()
    may_close.set()


def test_lanes_are_near_where_the_partition_of_their_number_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataflows.source, "open_topic", lambda *_, **__: replace(LOG, partitions=(0, 1, 2, 3)))
    monkeypatch.setattr(dataflows.polling, "open_consumer", lambda *_: Scripted([]))
    source = TopicSource(Settings(_env_file=None), dict, lambda: False)
    for partition in ("1", "3"):
        source.build_part("topic", partition, None)
    assert [lane for lane in range(8) if source.is_near(lane)] == [1, 3, 5, 7]


@pytest.fixture
def metrics() -> Metrics:
    settings = Settings(_env_file=None)
    return Metrics(settings, Pulse(settings))


def lag(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("battery_lag_messages", {"partition": "0"})


def test_the_lag_is_what_no_closed_epoch_has_read(reader: Any, metrics: Metrics) -> None:
    consumer = Scripted([[Received(6), Received(7)], [eof(8)], [], [Received(8), eof(9)], []], ends=8)
    reading = reader(consumer, start=6, landed=5, metrics=metrics)
    assert lag(metrics) is None  # nobody knows yet
    assert offsets(reading.next_batch()) == [6, 7]
    assert lag(metrics) == 2
    assert reading.next_batch() == []
    assert lag(metrics) == 2  # all has been read, nothing has landed
    reading.snapshot()
    assert reading.next_batch() == []
    assert lag(metrics) == 0
    assert offsets(reading.next_batch()) == [8]
    assert lag(metrics) == 1
    reading.snapshot()
    assert reading.next_batch() == []
    assert (lag(metrics), metrics.registry.get_sample_value("battery_messages_read_total", {"partition": "0"})) == (
        0,
        3,
    )


def test_a_log_that_holds_nothing_has_no_lag(reader: Any, metrics: Metrics) -> None:
    reading = reader(Scripted([[], [eof(0)]]), metrics=metrics)
    assert (reading.next_batch(), lag(metrics)) == ([], None)
    assert (reading.next_batch(), lag(metrics)) == ([], 0)


def test_messages_that_expired_before_the_first_are_no_lag(reader: Any, metrics: Metrics) -> None:
    reading = reader(Scripted([[Received(100)]], ends=105), metrics=metrics)
    reading.next_batch()
    assert lag(metrics) == 5


def test_what_is_read_a_second_time_has_landed(reader: Any, metrics: Metrics) -> None:
    reading = reader(Scripted([[Received(0)], []], ends=10), landed=7, metrics=metrics)
    reading.next_batch()
    assert lag(metrics) == 2
    reading.snapshot()
    reading.next_batch()
    assert lag(metrics) == 2


def test_what_ends_a_log_and_is_no_message_is_no_lag(reader: Any, metrics: Metrics) -> None:
    reading = reader(Scripted([[Received(6), eof(8)], []], ends=8), start=6, landed=5, metrics=metrics)
    reading.next_batch()
    assert lag(metrics) == 1
    reading.snapshot()
    reading.next_batch()
    assert lag(metrics) == 0


def test_what_was_passed_over_without_a_message_is_remembered(reader: Any) -> None:
    consumer = Scripted([[Received(6)], [eof(12)]], passes={1: 8})
    reading = reader(consumer, start=6, landed=5)
    reading.next_batch()
    assert stored(reading) == Position(TOPIC_ID, 8, None, after=7, empty_from=7)  # a marker
    reading.next_batch()
    assert stored(reading) == Position(TOPIC_ID, 12, None, after=7, empty_from=7)  # and an aborted transaction
    reading.snapshot()
    assert [(place.offset, place.metadata) for place in consumer.told] == [
        (6, f"{TOPIC_ID}:6:6"), (8, f"{TOPIC_ID}:7:7"), (12, f"{TOPIC_ID}:7:7"),
    ]  # fmt: skip


def test_messages_that_are_held_for_the_next_epoch_are_not_passed_over(reader: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(dataflows.source, "MOST_ROWS", 1)
    reading = reader(Scripted([[Received(6), Received(7)]], passes={1: 9}), start=6, landed=5)
    reading.next_batch()
    assert stored(reading).next_offset == 7
    reading.next_batch()
    assert stored(reading) == Position(TOPIC_ID, 9, None, after=8, empty_from=8)


def test_a_log_that_holds_no_message_yet_is_followed_from_its_end(reader: Any) -> None:
    reading = reader(Scripted([[eof(0)], []]))
    reading.next_batch()
    assert stored(reading) == Position(TOPIC_ID, 0, None, after=0, empty_from=0)
    lost = reader(Scripted([[gone()], [Received(9)]], begins=9), start=stored(reading))
    lost.next_batch()
    with pytest.raises(BatteryError, match="offsets 0 to 8 are gone"):
        lost.next_batch()


def test_offsets_that_never_held_a_message_are_not_missed_while_the_log_reaches_back_to_them(reader: Any) -> None:
    assert offsets(reader(Scripted([[Received(60)]], begins=51), landed=50).next_batch()) == [60]


@pytest.mark.parametrize(
    ("metadata", "offset", "is_known"),
    [
        (f"{TOPIC_ID}:51:51", 60, True),
        (f"{TOPIC_ID}:40:40", 70, True),
        (f"{TOPIC_ID}:52:52", 60, False),  # somebody who has read a message behind ours
        (f"{TOPIC_ID}:51:52", 60, False),  # somebody who has given up what stood there
        (f"{TOPIC_ID}:51:51", 59, False),  # it had not come as far
        ("another-log:51:51", 60, False),
        ("", 60, False),
        (None, 60, False),
    ],
)
def test_what_expired_without_having_held_a_message_is_known_by_the_group(
    reader: Any, metadata: str | None, offset: int, is_known: bool
) -> None:
    group = TopicPartition(LOG.name, 0, offset, metadata=metadata) if metadata is not None else None
    reading = reader(Scripted([[Received(60)]], begins=60, group=group), landed=50)
    if is_known:
        assert offsets(reading.next_batch()) == [60]
    else:
        with pytest.raises(BatteryError, match=r"offsets 5[19] to 59 are gone \(retention\?\) and had not landed"):
            reading.next_batch()


def test_a_loss_that_was_accepted_needs_no_second_acceptance_and_is_not_told_to_the_group(reader: Any) -> None:
    ended = Scripted([[gone()], [eof(100)], []], begins=90)
    reading = reader(ended, start=7, landed=6, accept_lost_offsets=True)
    for _ in range(2):
        reading.next_batch()
    at = stored(reading)
    assert (at.next_offset, at.must_have_landed, at.passed_over) == (100, 7, Passed(7, Stretch(90, 100)))
    assert offsets(reader(Scripted([[Received(100)]]), start=at, landed=6).next_batch()) == [100]


def test_a_position_of_an_earlier_version_is_taken_up(reader: Any) -> None:
    old = Position.__new__(Position)
    old.__dict__.update(topic_id=TOPIC_ID, next_offset=7, leader_epoch=3)  # what its pickle holds
    reading = reader(Scripted([[Received(7)]]), start=old, landed=6)
    assert stored(reading) == Position(TOPIC_ID, 7, 3, after=7, empty_from=7)


OLD_SNAPSHOT = (
    b"\x80\x04\x95n\x00\x00\x00\x00\x00\x00\x00\x8c\x10dataflows.source\x94\x8c\x08Position\x94\x93\x94)\x81\x94}\x94("
    b"\x8c\x08topic_id\x94\x8c\x16AaIpjLsecXOvEP69xgDg0w\x94\x8c\x0bnext_offset\x94K\x10\x8c\x0cleader_epoch\x94K\x00ub."
)
"""What a recovery store of an earlier version held: the class by its name, and the fields that it had."""


def test_a_snapshot_of_an_earlier_version_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    old = pickle.loads(OLD_SNAPSHOT)  # noqa: S301  # as Bytewax does
    log = replace(LOG, topic_id=old.topic_id)
    monkeypatch.setattr(dataflows.source, "open_topic", lambda *_, **__: log)
    monkeypatch.setattr(dataflows.polling, "open_consumer", lambda *_: Scripted([]))
    source = TopicSource(Settings(_env_file=None), lambda: {(log.topic_id, 0): 15}, lambda: False)
    assert stored(source.build_part("topic", "0", old)) == Position("AaIpjLsecXOvEP69xgDg0w", 16, 0, 16, 16)


@pytest.mark.parametrize(("after", "landed", "said"), [(7, 6, None), (8, 6, "holds nothing after offset 6")])
def test_a_recovery_store_may_be_ahead_of_the_warehouse_by_offsets_without_a_message(
    monkeypatch: pytest.MonkeyPatch, after: int, landed: int, said: str | None
) -> None:
    monkeypatch.setattr(dataflows.source, "open_topic", lambda *_, **__: LOG)
    monkeypatch.setattr(dataflows.polling, "open_consumer", lambda *_: Scripted([]))
    source = TopicSource(Settings(_env_file=None), lambda: {(TOPIC_ID, 0): landed}, lambda: False)
    at = Position(TOPIC_ID, 12, None, after, after).snapshot
    if said is None:
        source.build_part("topic", "0", at)
    else:
        with pytest.raises(BatteryError, match=said):
            source.build_part("topic", "0", at)


def test_the_pulse_beats_when_an_epoch_is_done_though_nothing_came(reader: Any, tmp_path: Path) -> None:
    pulse = Pulse(Settings(_env_file=None, recovery_dir=tmp_path))
    reading = reader(Scripted([[], [], []]), pulse=pulse)
    reading.next_batch()
    reading.snapshot()
    assert pulse.since() is None  # the epoch has been read, and is not done
    reading.next_batch()
    assert pulse.since() is not None


GROWN = replace(LOG, partitions=(0, 1))


def test_partitions_that_were_added_start_the_worker_again_when_an_idle_epoch_is_done(reader: Any) -> None:
    watch = Watch(LOG, GROWN)
    reading = reader(Scripted([[], [], []]), watch=watch)
    for _ in range(2):
        reading.next_batch()
        reading.snapshot()
    assert watch.looks == 1  # one an epoch
    with pytest.raises(StartAgainError, match=r"has 2 partitions now, and had 1 when this run began"):
        reading.next_batch()


def test_partitions_that_were_added_while_messages_came_start_the_worker_again_once_they_have_landed(
    reader: Any,
) -> None:
    reading = reader(Scripted([[Received(6)], []]), start=6, landed=5, now=lambda: GROWN)
    reading.next_batch()
    assert stored(reading).next_offset == 7
    with pytest.raises(StartAgainError):
        reading.next_batch()


def test_an_idle_worker_notices_that_its_topic_is_another_log(reader: Any) -> None:
    reading = reader(Scripted([[], []]), watch=Watch(Topic(LOG.name, "another-log", (0,))))
    reading.next_batch()
    reading.snapshot()
    with pytest.raises(BatteryError, match="was recreated"):
        reading.next_batch()
