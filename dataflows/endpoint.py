"""Where a worker's metrics and its health are asked for: `/metrics` for Prometheus, `/health` for whoever restarts it.

Bytewax counts too, but tells nobody in its own process: its figures leave it by a web API alone. That listens on every
address of the machine, without a password, so it stays off unless it is asked for; then its figures stand beside ours.
"""

from __future__ import annotations

import os
import socket
import threading
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from socketserver import TCPServer
from typing import TYPE_CHECKING, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

import structlog
from prometheus_client import make_wsgi_app
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.simple_server import WSGIServer
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from prometheus_client.metrics_core import Metric
    from prometheus_client.samples import Sample

    from dataflows.metrics import Metrics
    from kernel.base.settings import Settings

_log = structlog.get_logger()

API_ENABLED: Final = "BYTEWAX_DATAFLOW_API_ENABLED"
API_PORT: Final = "BYTEWAX_DATAFLOW_API_PORT"

BYTEWAX_SECONDS: Final = 2.0
"""How long a scrape waits for Bytewax's own figures."""

CLIENT_SECONDS: Final = 10.0
"""How long a client may take to ask."""


class BytewaxMetrics(Collector):
    """Bytewax's own figures, asked for when ours are; a gauge says whether they came."""

    def __init__(self, port: int) -> None:
        self._port = port

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is to tell is known when it is asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Its metrics, and none of those that every Python process has, which are among ours."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=BYTEWAX_SECONDS)
        try:
            connection.request("GET", "/metrics")
            found = list(text_string_to_metric_families(connection.getresponse().read().decode()))
        except (OSError, HTTPException, ValueError):  # which must not keep ours from being told
            found = []
        finally:
            connection.close()
        own = [family for family in found if family.name.startswith("bytewax_")]
        yield GaugeMetricFamily("battery_bytewax_up", "1 where Bytewax has told its own metrics.", float(bool(own)))
        yield from map(_each_series_once, own)


def _each_series_once(family: Metric) -> Metric:
    """Add up what Bytewax tells under one name and the same labels, as it does for the steps that write its recovery.

    Of several samples of a series Prometheus takes the first one. Counts and sums may be added; it has nothing else.
    """
    found: dict[tuple[str, frozenset[tuple[str, str]]], Sample] = {}
    for sample in family.samples:
        series = sample.name, frozenset(sample.labels.items())
        before = found[series].value if series in found else 0.0
        found[series] = sample._replace(value=before + sample.value)
    family.samples = list(found.values())
    return family


def settle_bytewax_api(settings: Settings) -> None:
    """Let Bytewax serve its web API where that is asked for, and only there: to itself any value means yes, even none.

    Must come before Bytewax runs the flow.
    """
    if settings.bytewax_dataflow_api_enabled:
        os.environ[API_ENABLED] = "1"
        os.environ[API_PORT] = str(settings.bytewax_dataflow_api_port)
    else:
        os.environ.pop(API_ENABLED, None)


class _Server(ThreadingWSGIServer):
    def server_bind(self) -> None:
        """Bind without asking a name server what this machine is called, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Silent(WSGIRequestHandler):
    timeout = CLIENT_SECONDS

    def log_message(self, *_: object) -> None:
        """Log nothing: a scrape every few seconds is no news."""


def serve(settings: Settings, metrics: Metrics) -> WSGIServer | None:
    """Serve a worker's metrics and health from a thread of their own, which keeps no process from ending.

    Where the port cannot be had the worker runs on without: metrics must never keep readings from landing.
    """
    host, port = settings.metrics_host, settings.metrics_port
    if not port:
        return None
    if settings.bytewax_dataflow_api_enabled:
        metrics.registry.register(BytewaxMetrics(settings.bytewax_dataflow_api_port))
    try:
        server = make_server(host, port, _answering(metrics), _Server6 if ":" in host else _Server, _Silent)
    except OSError as error:
        _log.warning(
            f"no metrics are served: METRICS_PORT={port} cannot be had; set it to another one, or to 0 for none",
            host=host,
            error=error.strerror,
        )
        return None
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    _log.info("serving metrics", at=f"http://{host}:{port}/metrics")
    return server


def _answering(metrics: Metrics) -> WSGIApplication:
    tell: WSGIApplication = make_wsgi_app(metrics.registry)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return tell(environ, start_response)
            case "/health":
                status, said = _health(metrics)
            case _:
                status, said = HTTPStatus.NOT_FOUND, "there is /metrics and /health"
        start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{said}\n".encode()]

    return answer


def _health(metrics: Metrics) -> tuple[HTTPStatus, str]:
    try:
        return HTTPStatus.OK, metrics.health()
    except BatteryError as error:
        return HTTPStatus.SERVICE_UNAVAILABLE, str(error)
