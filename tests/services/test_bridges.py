"""The gateway on a real Kafka, and the bridges of the examples to it: from a real MQTT broker, and through Benthos."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from support.bridges import Benthos, Mosquitto
from support.builders import as_json, reading
from support.kafka import leader_of
from support.pipeline import Pipeline
from support.places import ROOT
from support.posting import Gateway
from support.servers import MISSED_SOON, Kafka

from kernel.edges.consumer import read_log
from kernel.edges.kafka import open_topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


EXAMPLES = ROOT / "docs" / "examples"
DEADLINE_SECONDS = 90


@pytest.fixture
def live(kafka: Kafka, tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline on a real Kafka, with a topic of its own."""
    given = {"KAFKA_BOOTSTRAP_SERVERS": kafka.address, "BATTERY_TOPIC": f"battery-{uuid4().hex[:12]}"}
    pipeline = Pipeline(tmp_path / "pipeline", 0, given)
    yield pipeline
    pipeline.end()


@pytest.fixture
def mosquitto(mqtt_files: Path, tmp_path: Path) -> Iterator[Mosquitto]:  # noqa: ARG001  # what it is made of
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    yield broker
    broker.stop()


def points(pipeline: Pipeline, cell: str) -> list[Any]:
    return [
        point
        for (point,) in pipeline.query(
            f"select data_point from battery_ts_cleaned where cell_id = '{cell}' order by data_point"  # noqa: S608
        )
    ]


def sent(pipeline: Pipeline, cell: str) -> set[int]:
    """The data points of a cell that the topic has."""
    settings = pipeline.settings
    messages = [message for poll in read_log(settings, open_topic(settings), 0) for message in poll]
    return {
        row["data_point"]
        for message in messages
        if message.key == cell.encode() and message.value is not None
        for row in json.loads(message.value)
    }


def once(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # between two looks


@pytest.fixture
def pair(kafka_files: Path, tmp_path: Path) -> Iterator[tuple[Kafka, Kafka]]:  # noqa: ARG001  # what they are made of
    """Two brokers, each with a replica of what the other has."""
    options = MISSED_SOON | {"default.replication.factor": "2", "min.insync.replicas": "2"}
    controller = Kafka(tmp_path / "controller", broker=False, options=options)  # which decides what a new topic has
    brokers = [
        Kafka(tmp_path / f"broker-{node}", node=node, controller=controller.controller_port, options=options)
        for node in (2, 3)
    ]
    started = [controller, *brokers]
    for node in started:
        node.start()
    yield brokers[0], brokers[1]
    for node in reversed(started):
        node.stop(signal.SIGKILL)


def test_a_kafka_without_the_replicas_that_it_must_have_is_behind_and_nothing_is_lost_or_doubled(
    pair: tuple[Kafka, Kafka], tmp_path: Path
) -> None:
    given = {"KAFKA_BOOTSTRAP_SERVERS": ",".join(broker.address for broker in pair), "GATEWAY_ACK_SECONDS": "2"}
    pipeline = Pipeline(tmp_path / "pipeline", 0, given)
    try:
        gateway = Gateway(pipeline)
        once(lambda: gateway.post(as_json(reading(1)))[0] == 202)
        leader = leader_of(pair[0].address, pipeline.topic)
        other = next(broker for broker in pair if broker.node != leader)
        other.stop(signal.SIGKILL)
        status, said = gateway.post(as_json([reading(2), reading(3)]))
        assert (status, said["problems"]) == (
            429,
            ["the broker has not acknowledged in time; send the same again later"],
        )
        assert gateway.post(as_json(reading(4)))[0] == 429
        other.start()
        once(lambda: gateway.post(as_json([reading(2), reading(3), reading(4)]))[0] == 202)
        gateway.end()
        pipeline.battery("stream", "--until-end")
        pipeline.battery("verify")
        assert points(pipeline, "CELL_1") == [1, 2, 3, 4]
    finally:
        pipeline.end()


class Bridge:
    """The example's bridge as a process."""

    def __init__(self, folder: Path, mosquitto: Mosquitto, gateway: Gateway) -> None:
        self.refused = folder / "refused.ndjson"
        self.log = folder / "bridge.log"
        self._command = [
            sys.executable, str(EXAMPLES / "mqtt_bridge.py"), "--mqtt", f"127.0.0.1:{mosquitto.port}",
            "--gateway", gateway.url, "--refused", str(self.refused),
        ]  # fmt: skip
        self.start()

    def start(self) -> None:
        said = self.log.read_text().count("subscribed") if self.log.exists() else 0
        with self.log.open("a") as output:
            self.process = subprocess.Popen(self._command, stdout=output, stderr=subprocess.STDOUT)
        once(lambda: self.log.read_text().count("subscribed") > said)


def publish(mosquitto: Mosquitto, messages: list[tuple[str, bytes]]) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    for topic, payload in messages:
        client.publish(topic, payload, qos=1).wait_for_publish(DEADLINE_SECONDS)
    client.disconnect()
    client.loop_stop()


def test_what_is_published_by_mqtt_lands_once_though_bridge_and_gateway_are_killed_and_what_is_refused_is_kept(
    live: Pipeline, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    gateway = Gateway(live)
    bridge = Bridge(tmp_path, mosquitto, gateway)

    def message(point: int, cell: str = "A", **changes: Any) -> tuple[str, bytes]:
        bare = {name: value for name, value in reading(point, **changes).items() if name != "cell_id"}
        return f"cyclers/{cell}/readings", as_json(bare)

    publish(mosquitto, [message(point, cell) for point in range(1, 21) for cell in "AB"])
    publish(mosquitto, [("cyclers/A/readings", b"nonsense"), ("cyclers/A/readings", b'{"mood": "good"}')])
    once(lambda: bridge.refused.exists() and bridge.refused.read_text().count("\n") == 2)
    bridge.process.kill()
    bridge.process.wait()
    publish(mosquitto, [message(point) for point in range(21, 41)])
    gateway.process.kill()
    gateway.process.wait()
    bridge.start()
    once(lambda: "the gateway cannot be reached" in bridge.log.read_text())
    bridge.process.kill()  # while it holds what nobody has taken
    bridge.process.wait()
    bridge.start()
    publish(mosquitto, [message(point) for point in range(41, 51)])
    gateway = Gateway(live, port=gateway.port)
    once(lambda: set(range(1, 51)) <= sent(live, "A"))
    bridge.process.terminate()
    assert bridge.process.wait(DEADLINE_SECONDS) == 0
    gateway.end()
    live.battery("stream", "--until-end")
    live.battery("verify")
    assert (points(live, "A"), points(live, "B")) == (list(range(1, 51)), list(range(1, 21)))
    kept = bridge.refused.read_text()
    assert "it is no JSON" in kept
    assert "no reading has voltage(v)" in kept
    assert "Traceback" not in bridge.log.read_text()


def test_what_is_sent_to_benthos_lands_in_order_and_what_is_refused_is_kept(
    live: Pipeline,
    benthos_file: Path,  # noqa: ARG001  # what it runs
    tmp_path: Path,
) -> None:
    gateway = Gateway(live)
    refused = tmp_path / "refused.ndjson"
    given = {"GATEWAY_URL": gateway.url, "REFUSED": str(refused)}
    benthos = Benthos(tmp_path / "benthos", configuration=EXAMPLES / "connect.yaml", given=given)
    benthos.start()

    def send(cell: str, rows: list[dict[str, Any]]) -> int:
        url = f"http://127.0.0.1:{benthos.port}/cyclers/{cell}/readings"
        bare = [{name: value for name, value in row.items() if value != "CELL_1"} for row in rows]
        with urllib.request.urlopen(
            url, b"".join(as_json(row) + b"\n" for row in bare), timeout=DEADLINE_SECONDS
        ) as answer:
            return int(answer.status)

    try:
        assert send("A", [reading(point) for point in range(1, 51)]) == 200
        assert send("B", [{"mood": "good"}]) == 200
        assert send("B", [reading(1), {**reading(2), "cell_id": ["C"]}, reading(3)]) == 200
        assert refused.read_text().count("\n") == 2
        gateway.end()
        answers: list[int] = []
        sender = threading.Thread(target=lambda: answers.append(send("A", [reading(point) for point in range(51, 61)])))
        sender.start()
        gateway = Gateway(live, port=gateway.port)
        sender.join()
        assert answers == [200]
    finally:
        benthos.stop()
    gateway.end()
    live.battery("stream", "--until-end")
    assert points(live, "A") == list(range(1, 61))
    assert points(live, "B") == [1, 3], "one that is refused takes no other with it"
