"""Running the gateway in this process, until a signal ends it."""

from __future__ import annotations

import ipaddress
import math
import socket
from typing import TYPE_CHECKING, Final

import structlog
import uvicorn
from confluent_kafka.admin import AdminClient

from kernel.base.errors import BatteryError
from kernel.base.output import say
from kernel.base.stopping import STOP, stop_on_signals
from kernel.contract.weight import Limits
from kernel.edges.kafka import (
    AROUND_BYTES,
    MESSAGE_BYTES,
    client,
    client_config,
    message_limit,
    open_producer,
    open_topic,
)
from producer.gateway.delivery import Delivery
from producer.gateway.edge import Terms, gateway

if TYPE_CHECKING:
    from kernel.base.settings import Settings

CONNECTIONS: Final = 256
"""Most connections at a time."""

_log = structlog.get_logger()


def serve(settings: Settings, host: str, port: int) -> None:
    """Take readings over HTTP until SIGTERM or Ctrl-C; prints its address when it answers.

    It then takes no more, answers what it has taken, and waits for the broker.

    Args:
        settings: the broker, the topic, and those of the gateway.
        host: address to listen at.
        port: where it listens.

    Raises:
        BatteryError: it would be open to others without a token, the address cannot be listened at, or no broker
            answers.
    """
    if settings.gateway_token is None and not is_loopback(host):
        raise BatteryError(
            f"--host {host} lets other machines send readings: set GATEWAY_TOKEN, which they must then know, or leave "
            "out --host"
        )
    stop_on_signals()
    with _listening(host, port) as listener:
        topic = open_topic(settings, create=True)
        limit = message_limit(settings)
        admin = client(AdminClient, client_config(settings))
        delivery = Delivery(open_producer(settings, limit), admin, topic.name)
        terms = Terms(
            settings.gateway_token,
            settings.gateway_max_bytes,
            min(MESSAGE_BYTES, limit - AROUND_BYTES),
            settings.gateway_ack_seconds,
            Limits.of(settings),
        )
        config = uvicorn.Config(
            gateway(delivery, terms),
            http="h11",  # whatever else is installed
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",  # what matters to an operator is logged by the gateway itself
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=math.ceil(settings.gateway_ack_seconds) + 5,
        )
        if not STOP.is_set():
            shown = f"[{host}]" if ":" in host else host
            _Server(config, f"http://{shown}:{listener.getsockname()[1]}/readings").run([listener])
        left = delivery.flush(settings.gateway_ack_seconds)
    if left:  # their senders have been told to send them again
        _log.warning("the broker had not acknowledged some messages at the end", messages=left)


class _Server(uvicorn.Server):
    """A server that prints its address when it answers."""

    def __init__(self, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        say(self._address)


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listening(host: str, port: int) -> socket.socket:
    """A socket that is bound to an address.

    Raises:
        BatteryError: the port is taken, or the host is no address of this machine.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise BatteryError(
            f"cannot take readings at {host}:{port}: {error.strerror or error}; choose another address with --host "
            "and --port"
        ) from None
    return listener
