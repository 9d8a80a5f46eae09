"""A child-process harness: the real worker, struck on purpose, and the tables that it must end with all the same.

All tests of a kind read one log, which an undisturbed worker has read before them: whatever strikes theirs, its
tables are compared with the undisturbed ones, checksum for checksum.
"""

from __future__ import annotations

import math
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer
from support.builders import arrow_value, as_json, reading
from support.pipeline import Pipeline

from kernel.contract.about import About, TestAbout
from kernel.contract.message import Place, headers
from kernel.contract.reading import ARROW, JSON
from kernel.edges.kafka import open_topic
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from sink.care.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.forks import Process

    from kernel.base.settings import Settings

END_SECONDS = 60
CELLS = [f"CELL_{number}" for number in range(1, 9)]
SAID = TestAbout(
    reading(1)["test_id"], About("live", ("its energies were integrated",), {"channel": "3"}, ("charge_energy(wh)",))
)
"""What the gateway says of the test of each cell."""

Sent = tuple[bytes, str, str, Place | None]
"""Value, encoding, cell, and the place that it publishes again."""


def traffic(rounds: range) -> Iterator[Sent]:
    """Messages of several cells, a round a message of each: mostly good, with all that can be wrong between."""
    for turn in rounds:
        first: dict[str, Any] = {}
        for number, cell in enumerate(CELLS):
            rows = [
                reading(
                    20 * turn + point,
                    cell_id=cell,
                    cycle_index=1 + turn // 3,
                    step_index=1 + point // 10,
                    **{
                        "voltage(v)": 3.5 + point / 100 + number / 1000,
                        "current(a)": 0.55,
                        "charge_capacity(ah)": (20 * turn + point) / 700,
                        "charge_energy(wh)": (20 * turn + point) / 200,
                        "temperature(c)": 25 + point / 7,
                    },
                )
                for point in range(1, 21)
            ]
            if (turn + number) % 5 == 0:
                rows[7]["voltage(v)"] = math.nan
            yield arrow_value(rows), ARROW, cell, None
            first[cell] = rows[0]
        conflicting = {"voltage(v)": 3.7} if turn % 2 else {}
        yield as_json(first[CELLS[turn % 8]] | conflicting), JSON, CELLS[turn % 8], None  # a duplicate, by turns
        yield b"garbage", JSON, CELLS[turn % 8], None
        if turn >= 5:  # the reading that was refused five rounds ago comes again
            cell = CELLS[(5 - turn) % 5]
            mended = reading(20 * (turn - 5) + 8, cell_id=cell, **{"charge_capacity(ah)": (20 * (turn - 5) + 8) / 700})
            yield as_json(mended), JSON, cell, Place("earlier", 0, turn, 7)


def send(settings: Settings, messages: Iterator[Sent]) -> int:
    """Publish messages as a foreign gateway would; how many."""
    open_topic(settings, create=True)
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    count = 0
    for value, encoding, cell, retry_of in messages:
        said = SAID.to_text() if encoding == ARROW else None
        producer.produce(
            settings.battery_topic,
            value=value,
            key=cell.encode(),
            headers=headers(encoding, "live.xlsx", retry_of, about_test=said),
        )
        count += 1
    assert producer.flush(30) == 0
    return count


@dataclass
class Log:
    """A log that an undisturbed worker has read to its end, and what it made of it."""

    port: int
    topic: str
    messages: int
    tables: dict[str, tuple[Any, ...]]

    def pipeline(self, folder: Path, **extra: str) -> Pipeline:
        """A fresh pipeline that is to read this log."""
        return Pipeline(folder, self.port, {"BATTERY_TOPIC": self.topic, **extra})


def read_undisturbed(folder: Path, port: int, topic: str, messages: int, **extra: str) -> Log:
    """Let an undisturbed worker read a log that has been written."""
    pipeline = Pipeline(folder, port, {"BATTERY_TOPIC": topic, **extra})
    pipeline.battery("stream", "--until-end")
    tables = pipeline.checksums()
    assert all(count for count, _ in tables.values()), "a landing table is empty: the log does not fill them all"
    return Log(port, topic, messages, tables)


def require_sound(pipeline: Pipeline, undisturbed: dict[str, tuple[Any, ...]]) -> None:
    """Everything adds up, and every landing table is that of the undisturbed worker."""
    settings = pipeline.settings
    checks = verify(settings, open_store(settings), open_warehouse(settings))
    assert [check for check in checks if not check.ok] == []
    assert pipeline.checksums() == undisturbed


def wait_for(worker: Process, *texts: str) -> list[str]:
    """Read what a worker says until a line holds one of the texts; all lines so far."""
    assert worker.stdout is not None
    said = []
    for line in worker.stdout:
        said.append(line)
        if any(text in line for text in texts):
            return said
    raise AssertionError(f"the worker ended without saying {' or '.join(texts)}: {''.join(said)}")


def wait_until_committed(worker: Process, rows: int) -> None:
    """Read what a worker says until its commits hold so many rows: the first one may hold a part of them."""
    while rows > 0:
        line = wait_for(worker, " committed ")[-1]
        rows -= sum(int(count) for count in re.findall(r"(?:rows|quarantined)=(\d+)", line))
    assert rows == 0, "the worker committed more rows than were sent"


def says_that_the_topic_was_recreated(output: str, topic: str) -> bool:
    """Whether a worker has ended because its log is another one now; it may have looked while there was none."""
    last = output.splitlines()[-1]
    return "was recreated under the running worker; start the worker again" in last or f"has no topic {topic};" in last


def rest_of(worker: Process) -> str:
    """Wait for a worker to end; what it had left to say."""
    assert worker.stdout is not None
    impatience = threading.Timer(END_SECONDS, worker.kill)
    impatience.start()
    output = worker.stdout.read()  # not communicate(), which passes over what has been buffered while reading lines
    worker.wait()
    impatience.cancel()
    return output


def finish(worker: Process, code: int) -> str:
    """Wait for a worker to end with a code; what it had left to say."""
    output = rest_of(worker)
    assert worker.returncode == code, output
    return output
