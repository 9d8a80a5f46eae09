"""What a watch keeps between publications: a process that reads, and a client, neither of them after a failure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import producer.publish
from kernel.base.errors import BatteryError
from kernel.edges.kafka import open_producer
from producer.kept import Kept
from producer.options import Options
from producer.publish import publish
from producer.send import send
from producer.simulate import simulate_cell
from producer.spool import Readers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Producer

    from kernel.base.settings import Settings


def processes() -> set[int]:
    """The processes that read for this one."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            parent = int(status.with_name("stat").read_text().rpartition(")")[2].split()[1])
            if b"producer.child" in status.read_bytes() and parent == int(Path("/proc/self").resolve().name):
                found.add(int(status.parent.name))
        except (OSError, ValueError):  # it has ended
            continue
    return found


@pytest.fixture
def kept(settings: Settings, tmp_path: Path) -> Iterator[Kept]:
    with Readers(2, settings, tmp_path) as readers:
        yield Kept(readers)


@pytest.fixture
def workbooks(tmp_path: Path) -> list[str]:
    return list(map(str, simulate_cell(tmp_path, "KEPT", cycles=3, seed=1, cycles_per_file=1)))


def test_one_process_and_the_client_are_used_again(
    settings: Settings, kept: Kept, workbooks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clients: list[Producer] = []

    def counted(settings: Settings, limit: int) -> Producer:
        clients.append(open_producer(settings, limit))
        return clients[-1]

    monkeypatch.setattr(producer.publish, "open_producer", counted)
    left = []
    for workbook in workbooks[:3]:
        assert publish(settings, [workbook], Options(processes=2, kept=kept)).workbooks == 1
        left.append(processes())
    assert [len(one) for one in left] == [1, 1, 1]
    assert left[0] == left[1] == left[2]
    assert len(clients) == 1


def test_a_client_that_has_failed_is_not_used_again(
    settings: Settings, kept: Kept, workbooks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clients: list[Producer] = []

    def counted(settings: Settings, limit: int) -> Producer:
        clients.append(open_producer(settings, limit))
        return clients[-1]

    def failing(*_: object) -> None:
        raise BatteryError("the broker is gone")

    monkeypatch.setattr(producer.publish, "open_producer", counted)
    monkeypatch.setattr(producer.publish, "send", failing)
    with pytest.raises(BatteryError, match="the broker is gone"):
        publish(settings, workbooks[:1], Options(processes=2, kept=kept))
    monkeypatch.setattr(producer.publish, "send", send)
    assert publish(settings, workbooks[:1], Options(processes=2, kept=kept)).workbooks == 1
    assert len(clients) == 2


def test_work_that_is_given_up_is_ended_and_the_next_file_is_read(
    settings: Settings, kept: Kept, workbooks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise BatteryError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("producer.batch.Batch.take", failing)
        with pytest.raises(BatteryError, match="the disk is full"):
            publish(settings, workbooks, Options(processes=2, kept=kept))
    assert len(processes()) == 1
    assert publish(settings, workbooks, Options(processes=2, kept=kept)).workbooks == len(workbooks)
