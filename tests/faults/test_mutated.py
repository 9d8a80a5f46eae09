"""Messages that were damaged at random: each row of them lands or is quarantined, within bounded memory."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer
from support.builders import arrow_value, as_json, reading
from support.harness import finish
from support.poison import POISONS, dictionary_of, poison, runs_of, stream, views_of

from kernel.contract.message import headers
from kernel.contract.reading import ARROW, JSON, READING
from kernel.edges.kafka import open_topic

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from support.forks import Process
    from support.pipeline import Pipeline

import pyarrow as pa

MOST_BYTES = 1_500_000_000
"""Memory that a worker takes at most, whatever it reads; docs/explanation/architecture.md says so."""

NUMBERS = (0, 1, -1, 2**31 - 1, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63))
CELLS = [f"MUTATED_{number}" for number in range(5)]


def peak_of(worker: Process) -> Callable[[], int]:
    """Watch a process's peak of resident memory, in bytes, until it has ended."""
    found = [0]

    def watch() -> None:
        while worker.poll() is None:
            lines = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
            found.extend(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
            ended.wait(0.05)

    ended = threading.Event()
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()

    def peak() -> int:
        thread.join(60)
        return max(found)

    return peak


def good_values(cell: str, first: int) -> list[bytes]:
    """The value of a message in each encoding, of readings from a data point on."""
    rows = [reading(first + point, cell_id=cell, **{"temperature(c)": 25.0}) for point in range(20)]
    columns = dict(zip(READING.names, pa.RecordBatch.from_pylist(rows, schema=READING).columns, strict=True))
    return [
        *(stream(columns, compression) for compression in ("zstd", "lz4", None)),
        *(stream(columns | {"test_id": of("a test of many", 20)}) for of in (runs_of, dictionary_of, views_of)),
        stream(columns | {"unknown": pa.array([[1, 2]] * 20)}, None),
        arrow_value(rows),
        as_json(rows),
        as_json(rows[0]),
    ]


def mutated(value: bytes, chance: random.Random) -> bytes:
    """A value with one thing wrong with it, or several."""
    found = bytearray(value)
    for _ in range(chance.choice([1, 1, 1, 2, 8])):
        at = chance.randrange(len(found)) if found else 0
        match chance.randrange(6):
            case 0 if found:
                found[at] ^= 1 << chance.randrange(8)
            case 1 if found:
                found[at] = chance.randrange(256)
            case 2:
                found[at - at % 8 : at - at % 8 + 8] = chance.choice(NUMBERS).to_bytes(8, "little", signed=True)
            case 3:
                del found[at : at + chance.choice([1, 8, 100, len(found)])]
            case 4:
                found[at:at] = bytes(chance.randrange(256) for _ in range(chance.choice([1, 8, 64])))
            case 5:
                found[at:at] = value[chance.randrange(len(value)) :][:200]
    return bytes(found)


def send_mutated(settings: Any, count: int, seed: int) -> None:
    """Publish so many damaged messages, good ones between, with headers and keys that may be wrong as well."""
    chance = random.Random(seed)  # noqa: S311  # the same messages each time
    open_topic(settings, create=True)
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    poisons = [value for value in map(poison, POISONS) if len(value) < 100_000]
    for number in range(count):
        cell = CELLS[number % len(CELLS)]
        values = good_values(cell, 20 * number)
        base = chance.choice(poisons if chance.random() < 0.2 else values)
        encoding = JSON if base[:1] in b"[{" else ARROW
        head = dict(headers(encoding, "mutated.xlsx"))
        if chance.random() < 0.2:
            head[chance.choice([*head])] = chance.choice([b"", b"\xff", b"2", None, b"x" * 5_000, JSON.encode()])
        key = chance.choice([cell.encode()] * 9 + [mutated(cell.encode(), chance)])
        stamp = chance.choice([0] * 9 + [1, 2**40, 2**62])
        producer.produce(
            settings.battery_topic, mutated(base, chance), key, headers=list(head.items()), timestamp=stamp
        )
        good = chance.choice(values)
        producer.produce(
            settings.battery_topic, good, cell.encode(), headers=headers(JSON if good[:1] in b"[{" else ARROW, "good")
        )
        producer.poll(0)
    assert producer.flush(60) == 0


def test_each_row_of_damaged_messages_lands_or_is_quarantined_within_bounded_memory(
    pipeline_of_its_own: Pipeline, request: pytest.FixtureRequest
) -> None:
    count = request.config.getoption("--mutated-messages")
    send_mutated(pipeline_of_its_own.settings, count, seed=count)
    worker = pipeline_of_its_own.start("stream", "--until-end", afresh=True)
    peak = peak_of(worker)
    finish(worker, 0)
    assert peak() < MOST_BYTES
    assert "everything adds up" in pipeline_of_its_own.battery("verify")
    ((landed, cells),) = pipeline_of_its_own.query("select count(*), count(distinct cell_id) from battery_ts_cleaned")
    assert landed > count
    assert cells >= len(CELLS)
    assert "identical" in pipeline_of_its_own.battery("replay", "--from-beginning", "--dry-run")


def test_a_worker_that_reads_nothing_but_poison_lives_on_little_memory(pipeline_of_its_own: Pipeline) -> None:
    settings = pipeline_of_its_own.settings
    open_topic(settings, create=True)
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    # Beyond the limits, and just within: 700 bytes that are 60 texts of a million letters.
    beyond = [value for value in map(poison, POISONS) if len(value) < 1_000_000]
    within = stream({"test_id": dictionary_of("x" * 1_000_000, 60)})
    for value in [*beyond, *[within] * 30, *beyond]:
        encoding = JSON if value[:1] in b"[{" else ARROW
        producer.produce(settings.battery_topic, value, b"POISON", headers=headers(encoding, "poison"))
    producer.produce(settings.battery_topic, as_json(reading(1)), b"CELL_1", headers=headers(JSON, "good"))
    assert producer.flush(60) == 0
    worker = pipeline_of_its_own.start("stream", "--until-end", afresh=True)
    peak = peak_of(worker)
    finish(worker, 0)
    assert pipeline_of_its_own.query(
        "select reason, count(*), sum(row_count) from battery_quarantine group by all order by all"
    ) == [("missing_value", 1_800, 1_800), ("too_large", 2 * len(beyond), 2 * len(beyond))]
    assert pipeline_of_its_own.query("select cell_id from battery_ts_cleaned") == [("CELL_1",)]
    assert peak() < MOST_BYTES
