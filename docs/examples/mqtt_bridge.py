"""From an MQTT broker to the gateway of the pipeline, so that no reading is lost on the way.

    pip install "paho-mqtt>=2.1"
    python mqtt_bridge.py --mqtt 127.0.0.1:1883 --topic "cyclers/+/readings" --gateway http://127.0.0.1:8600/readings

A message is a reading as JSON, or an array of them. Where it names no cell, the level of its topic at the first `+`
does. MQTT is told that a message has arrived once the gateway has answered that the broker of the pipeline has it;
whatever is sent a second time after a failure lands once. What the gateway refuses goes to a file.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import queue
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from paho.mqtt.reasoncodes import ReasonCode

MOST = 500
"""Messages that go to the gateway at a time."""

PAUSE_SECONDS = 5.0
"""Before another try where the gateway does not say when."""

log = logging.getLogger("mqtt_bridge")


class RefusedError(Exception):
    """The gateway does not take a body, and never will."""


class Gateway:
    """Posts readings until they are taken or refused.

    Args:
        url: of the gateway.
        token: what it asks for, if anything.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def post(self, cell: str, readings: Sequence[Any]) -> None:
        """Send readings, again and again while the gateway is away or says that it is behind.

        Raises:
            RefusedError: it refuses them.
        """
        given = {"source_file": "mqtt"} | ({"cell_id": cell} if cell else {})
        url = f"{self._url}?{urlencode(given)}"
        request = urllib.request.Request(url, json.dumps(readings).encode(), self._headers)  # noqa: S310
        while True:
            pause = PAUSE_SECONDS
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # the address is the operator's
                    for note in json.load(answer)["notes"]:
                        log.warning("%s", note)
                    return
            except urllib.error.HTTPError as error:
                said = error.read().decode(errors="replace")
                if error.code in {400, 413, 415}:
                    raise RefusedError(said) from None
                log.warning("the gateway answers %s, trying again: %s", error.code, said)
                pause = float(error.headers.get("Retry-After") or PAUSE_SECONDS)
            except OSError as error:
                log.warning("the gateway cannot be reached, trying again: %s", error)
            time.sleep(pause)


class Bridge:
    """Takes messages of MQTT to the gateway, in their order.

    Args:
        gateway: where they go.
        topic: what is subscribed to.
        refused: the file for what is refused.
    """

    def __init__(self, gateway: Gateway, topic: str, refused: Path) -> None:
        self._gateway = gateway
        self._topic = topic
        self._levels = topic.split("/")
        self._refused = refused
        self._arrived: queue.Queue[mqtt.MQTTMessage] = queue.Queue()

    def run(self, host: str, port: int, client_id: str) -> None:
        """Bridge until SIGTERM or Ctrl-C; what has not been told to MQTT as arrived, it delivers again."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False, manual_ack=True)
        client.on_connect = self._subscribe
        client.on_message = lambda _client, _data, message: self._arrived.put(message)
        client.connect_async(host, port)
        client.loop_start()
        try:
            while True:
                messages = self._next()
                self._take(messages)
                for message in messages:
                    client.ack(message.mid, message.qos)
        finally:
            client.disconnect()
            client.loop_stop()

    def _subscribe(
        self, client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            log.error("the MQTT broker refuses the bridge: %s", reason)
            return
        client.subscribe(self._topic, qos=1)
        log.info("subscribed to %s", self._topic)

    def _next(self) -> list[mqtt.MQTTMessage]:
        """The messages that have arrived, at least one."""
        messages = [self._arrived.get()]
        while len(messages) < MOST and not self._arrived.empty():
            messages.append(self._arrived.get())
        return messages

    def _take(self, messages: Sequence[mqtt.MQTTMessage]) -> None:
        """Send messages, those of a topic that follow each other together."""
        cells: list[tuple[str, list[Any]]] = []
        for message in messages:
            try:
                decoded = json.loads(message.payload)
            except ValueError:
                self._keep(message.topic, message.payload.decode(errors="replace"), "it is no JSON")
                continue
            cell = self._cell(message.topic)
            if not cells or cells[-1][0] != cell:
                cells.append((cell, []))
            cells[-1][1].extend(decoded if isinstance(decoded, list) else [decoded])
        for cell, readings in cells:
            try:
                self._gateway.post(cell, readings)
            except RefusedError:
                self._one_by_one(cell, readings)

    def _one_by_one(self, cell: str, readings: Sequence[Any]) -> None:
        """Send readings of which the gateway refuses some, so that it takes the others."""
        for reading in readings:
            try:
                self._gateway.post(cell, [reading])
            except RefusedError as error:
                self._keep(cell, reading, str(error))

    def _keep(self, origin: str, what: object, why: str) -> None:
        log.warning("refused, kept in %s: %s", self._refused, why)
        with self._refused.open("a") as file:
            file.write(json.dumps({"from": origin, "why": why, "what": what}) + "\n")

    def _cell(self, topic: str) -> str:
        """The level of a topic where the subscription has its first `+`."""
        levels = topic.split("/")
        place = self._levels.index("+") if "+" in self._levels else len(levels)
        return levels[place] if place < len(levels) else ""


def main() -> None:
    """Read the command line and bridge."""
    parser = argparse.ArgumentParser(description="Takes readings from MQTT to the gateway of the pipeline.")
    parser.add_argument("--mqtt", default="127.0.0.1:1883", metavar="HOST:PORT")
    parser.add_argument("--topic", default="cyclers/+/readings")
    parser.add_argument("--client-id", default="battery-bridge", help="by which the MQTT broker keeps what waits")
    parser.add_argument("--gateway", default="http://127.0.0.1:8600/readings", metavar="URL")
    parser.add_argument("--refused", type=Path, default=Path("refused.ndjson"), help="file for what is refused")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    def leave(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    host, _, port = options.mqtt.rpartition(":")
    gateway = Gateway(options.gateway, os.environ.get("GATEWAY_TOKEN"))
    Bridge(gateway, options.topic, options.refused).run(host, int(port), options.client_id)


if __name__ == "__main__":
    main()
