"""The pipeline that is measured: a log in the embedded broker, and the worker in a process of its own.

The worker's log lines say when it began to read and when each commit had landed, so the start of Python and Bytewax is
not counted. All files lie below one folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kernel.base.ports import free_port
from kernel.base.settings import Settings
from kernel.edges.broker import embedded_broker
from kernel.edges.kafka import message_limit, open_producer, open_topic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from benchmarks.simulated import Sent

WORKER_SECONDS = 900.0
"""Seconds after which a worker that has not ended is a failure."""


TICK_SECONDS: Final = 0.02
"""Seconds between two looks at the memory of a process; a peak between two looks may be missed."""


@dataclass(frozen=True)
class Run:
    """A run of a worker: rows landed, time in s from its first read to its last commit, and peak memory in bytes."""

    rows: int
    seconds: float
    peak_bytes: int
    commits: Sequence[dict[str, Any]]

    @property
    def rows_per_second(self) -> float:
        """Rows landed per second."""
        return self.rows / self.seconds


@dataclass(frozen=True)
class Log:
    """A broker with a log of messages; `folder` is for the output of workers."""

    folder: Path
    port: int
    partitions: int = 1

    def environment(self, name: str, **extra: str) -> dict[str, str]:
        """The environment of a separate pipeline in a sub-folder."""
        place = self.folder / name
        place.mkdir(parents=True, exist_ok=True)
        known = {key: value for key, value in os.environ.items() if key.lower() not in Settings.model_fields}
        return {
            **known,
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{self.port}",
            "BATTERY_TOPIC_PARTITIONS": str(self.partitions),
            "OBJECT_STORE": f"file://{place / 'objects'}",
            "WAREHOUSE": str(place / "battery.duckdb"),
            "RECOVERY_DIR": str(place / "recovery"),
            "REPLAY_DIR": str(place / "replay"),
            "LOG_FORMAT": "json",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            **extra,
        }

    def settings(self, name: str, **extra: str) -> Settings:
        """The same as settings."""
        given = {key.lower(): value for key, value in self.environment(name, **extra).items()}
        return Settings(**{key: given[key] for key in Settings.model_fields if key in given})  # type: ignore[arg-type]

    def send(self, messages: Iterable[Sent]) -> None:
        """Publish messages, and wait until all are acknowledged."""
        settings = self.settings("producer")
        open_topic(settings, create=True)
        producer = open_producer(settings, message_limit(settings))
        for place, message in enumerate(messages):
            while True:
                try:
                    producer.produce(
                        settings.battery_topic, value=message.value, key=message.key, headers=message.headers
                    )
                    break
                except BufferError:
                    producer.poll(0.05)
            if place % 1000 == 0:
                producer.poll(0)
        if producer.flush(120):
            raise RuntimeError("the broker did not take all messages")

    def stream(self, name: str, **extra: str) -> Run:
        """Run the worker over the whole log, with a sub-folder of its own.

        Args:
            name: of the sub-folder.
            extra: further variables.
        """
        return run_of(self.battery("stream", "--until-end", environment=self.environment(name, **extra)))

    def battery(self, *arguments: str, environment: Mapping[str, str]) -> tuple[str, int]:
        """Run a `battery` command to its end; returns its log and its peak memory in bytes."""
        return self.lines([sys.executable, "-m", "battery", *arguments], environment)

    def lines(
        self, command: Sequence[str], environment: Mapping[str, str], cpus: Sequence[int] = (), log: str = "worker.log"
    ) -> tuple[str, int]:
        """Run a command to its end; returns its log and its peak memory in bytes.

        Args:
            command: with its arguments.
            environment: all of its variables.
            cpus: the processors that it may use; all of them by default.
            log: name of the file for what it logs.

        Raises:
            RuntimeError: it failed.
        """
        path = self.folder / log
        with path.open("w") as output:
            process = subprocess.Popen(command, env=environment, cwd=self.folder, stdout=output, stderr=output)
            if cpus:
                os.sched_setaffinity(process.pid, cpus)
            deadline, peak = time.monotonic() + WORKER_SECONDS, 0
            while process.poll() is None:
                peak = max(peak, _peak_bytes(process.pid))
                if time.monotonic() > deadline:
                    process.kill()
                time.sleep(TICK_SECONDS)
        text = path.read_text()
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {text[-2000:]}")
        return text, peak


def _peak_bytes(process_id: int) -> int:
    """The peak of a process's resident memory so far; `getrusage` would count its parent's as well."""
    try:
        status = Path(f"/proc/{process_id}/status").read_text()
    except OSError:  # it has just ended
        return 0
    peak = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(peak.split()[1]) * 1024


def run_of(logged: tuple[str, int]) -> Run:
    """The run that a worker logged, from its first read on."""
    text, peak = logged
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    commits = [event for event in events if event["event"] == "committed"]
    begun = min(seconds_of(event) for event in events if event["event"] == "reading")
    if not commits:
        raise RuntimeError(f"the worker has committed nothing: {text[-2000:]}")
    ended = max(seconds_of(event) for event in commits)
    return Run(sum(event["rows"] for event in commits), ended - begun, peak, commits)


def seconds_of(event: dict[str, Any]) -> float:
    """When a line was logged, in s since 1970."""
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def run_peer(log: Log, module: str, name: str, messages: int, *arguments: str) -> Run:
    """Run a peer over some messages of the log, with a sub-folder of its own; the peer times itself.

    Args:
        log: the log.
        module: the peer.
        name: of the sub-folder.
        messages: how many the peer takes before it ends.
        arguments: further ones.
    """
    settings = log.settings(name)
    text, peak = log.lines(
        [
            *(sys.executable, "-m", module, "--bootstrap-servers", settings.kafka_bootstrap_servers),
            *("--topic", settings.battery_topic, "--partitions", str(log.partitions)),
            *("--folder", str(log.folder / name), "--messages", str(messages), *arguments),
        ],
        log.environment(name),
    )
    found = json.loads(text.splitlines()[-1])
    return Run(found["rows"], found["seconds"], peak, ())


@contextmanager
def log_of(folder: Path, messages: Iterable[Sent], *, partitions: int = 1) -> Iterator[Log]:
    """Run a broker with a log of messages until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with embedded_broker(port):
        log = Log(folder, port, partitions)
        log.send(messages)
        yield log
