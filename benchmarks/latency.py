"""Latency: the time from the publication of a reading until its commit has landed.

Many cells send one reading a message at a steady rate; the worker commits every second. The time starts with the time
stamp that the producer's client gives the message and ends with the worker's log line after the commit.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.figures import Figure, tell
from benchmarks.simulated import json_messages
from benchmarks.worker import log_of, seconds_of
from kernel.edges.consumer import read_log
from kernel.edges.kafka import message_limit, open_producer, open_topic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.figures import Show
    from benchmarks.worker import Log

PACE: Final = 10_000
"""Readings a second."""

TICKS: Final = 50
"""Batches in which they are published, per second."""

SECONDS: Final = 20
WARM_UP: Final = 3
"""Seconds at the start that do not count: a worker that has just started reads their messages all at once."""

INTERVAL: Final = 1
"""The setting COMMIT_INTERVAL_SECONDS of the worker."""


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Publish at a steady rate while a worker runs, and show the 99th percentile against the commit interval.

    Args:
        show: prints a figure.
        folder: where everything is put.
        tiny: take few readings, for a quick check.
    """
    seconds, pace, warm_up = (3, 200, 1) if tiny else (SECONDS, PACE, WARM_UP)
    with log_of(folder, ()) as log:
        published, landed = _follow(log, pace, seconds)
    waited = (landed - published)[int(pace * warm_up) :]
    if len(published) != pace * seconds or np.isnan(waited).any():
        raise ValueError(f"{np.isnan(landed).sum()} of {len(published)} readings did not land")
    quantiles = np.quantile(waited, [0.5, 0.99, 1])
    tell("latency: median {:.2f} s, 99th percentile {:.2f} s, longest {:.2f} s".format(*quantiles))
    show(Figure("latency_p99", float(quantiles[1]), "s", reference=float(INTERVAL)))


def _follow(log: Log, pace: int, seconds: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """When each reading was published and when it had landed, in s since 1970, in the order of their offsets."""
    environment = log.environment("worker", COMMIT_INTERVAL_SECONDS=str(INTERVAL))
    settings = log.settings("worker")
    topic = open_topic(settings, create=True)
    with (log.folder / "worker.log").open("w+") as output:
        worker = subprocess.Popen([sys.executable, "-m", "battery", "stream"], env=environment, stderr=output)
        try:
            _wait_for(output.name, "reading")
            _publish(log, pace, seconds)
            time.sleep(3 * INTERVAL)
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(60)
        output.seek(0)
        events = [json.loads(line) for line in output if line.startswith("{")]
    stamps = [stamp for poll in read_log(settings, topic, 0) for stamp in poll.timestamps_ms]
    landed = np.full(len(stamps), np.nan)
    for event in events:
        if event["event"] == "committed":
            first, _, last = event["offsets"].partition(":")[2].partition("-")
            landed[int(first) : int(last) + 1] = seconds_of(event)
    return np.array(stamps) / 1000, landed


def _publish(log: Log, pace: int, seconds: int) -> None:
    settings = log.settings("producer")
    producer = open_producer(settings, message_limit(settings))
    messages = json_messages(pace // 10, 10 * seconds)
    started = time.monotonic()
    for tick, some in enumerate(_batches(messages, pace // TICKS)):
        time.sleep(max(0.0, started + tick / TICKS - time.monotonic()))
        for message in some:
            producer.produce(settings.battery_topic, value=message.value, key=message.key, headers=message.headers)
        producer.poll(0)
    producer.flush(60)


def _batches(messages: Iterator[Any], size: int) -> Iterator[Sequence[Any]]:
    while batch := list(islice(messages, size)):
        yield batch


def _wait_for(path: str, event: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with open(path) as log:  # noqa: PTH123  # by the name of an open file
            if f'"event": "{event}"' in log.read():
                return
        time.sleep(0.05)
    raise RuntimeError("the worker did not start")
