"""The HTTP endpoint of a worker: `/metrics` for Prometheus, `/health` for whatever restarts the worker.

Bytewax counts too, but its figures are available through its web API only. That API listens on every address of the
machine, without a password, so it is off by default. Where it is on, `/metrics` includes its figures.
"""

from __future__ import annotations

import os
import socket
import threading
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
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
    """Bytewax's own figures, fetched at each scrape; a gauge says whether that worked."""

    def __init__(self, port: int) -> None:
        self._port = port

    def describe(self) -> Iterable[Metric]:
        """Nothing: the metrics are known only when Bytewax answers."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics of Bytewax; those that every Python process has are left out, since ours include them."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=BYTEWAX_SECONDS)
        try:
            connection.request("GET", "/metrics")
            families = list(text_string_to_metric_families(connection.getresponse().read().decode()))
        except (OSError, HTTPException, ValueError):  # our own metrics are served all the same
            families = []
        finally:
            connection.close()
        own = [family for family in families if family.name.startswith("bytewax_")]
        yield GaugeMetricFamily("battery_bytewax_up", "1 where Bytewax has told its own metrics.", float(bool(own)))
        yield from map(_each_series_once, own)


def _each_series_once(family: Metric) -> Metric:
    """Add up the samples of one series: Bytewax reports several for the steps that write its recovery store.

    Prometheus would take only the first one. All of Bytewax's metrics are counts or sums, which may be added.
    """
    by_series: dict[tuple[str, frozenset[tuple[str, str]]], Sample] = {}
    for sample in family.samples:
        series = sample.name, frozenset(sample.labels.items())
        total = by_series[series].value if series in by_series else 0.0
        by_series[series] = sample._replace(value=total + sample.value)
    family.samples = list(by_series.values())
    return family


def settle_bytewax_api(settings: Settings) -> None:
    """Switch Bytewax's web API on or off as the settings say: Bytewax itself takes any value of its variable as yes.

    Must come before Bytewax runs the flow.
    """
    if settings.bytewax_dataflow_api_enabled:
        os.environ[API_ENABLED] = "1"
        os.environ[API_PORT] = str(settings.bytewax_dataflow_api_port)
    else:
        os.environ.pop(API_ENABLED, None)


class _Server6(ThreadingWSGIServer):
    address_family = socket.AF_INET6


class _SilentHandler(WSGIRequestHandler):
    timeout = CLIENT_SECONDS

    def log_message(self, *_: object) -> None:
        """Log nothing: a scrape every few seconds is no news."""


def serve(settings: Settings, metrics: Metrics) -> WSGIServer | None:
    """Serve a worker's metrics and health from a daemon thread.

    Where the port cannot be used, the worker runs without it, so that metrics never keep readings from landing.

    Returns:
        The server; None where METRICS_PORT is 0 or cannot be used.
    """
    host, port = settings.metrics_host, settings.metrics_port
    if not port:
        return None
    if settings.bytewax_dataflow_api_enabled:
        metrics.registry.register(BytewaxMetrics(settings.bytewax_dataflow_api_port))
    try:
        family = _Server6 if ":" in host else ThreadingWSGIServer
        server = make_server(host, port, _application(metrics), family, _SilentHandler)
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


def _application(metrics: Metrics) -> WSGIApplication:
    serve_metrics: WSGIApplication = make_wsgi_app(metrics.registry)

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return serve_metrics(environ, start_response)
            case "/health":
                status, text = _health(metrics)
            case _:
                status, text = HTTPStatus.NOT_FOUND, "there is /metrics and /health"
        start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{text}\n".encode()]

    return answer


def _health(metrics: Metrics) -> tuple[HTTPStatus, str]:
    try:
        return HTTPStatus.OK, metrics.health()
    except BatteryError as error:
        return HTTPStatus.SERVICE_UNAVAILABLE, str(error)
