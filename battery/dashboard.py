"""Serving the dashboard: Streamlit, in this process, until a signal ends it."""

from __future__ import annotations

import gc
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import dashboard
from kernel.base.errors import BatteryError
from kernel.base.extras import missing_extra
from kernel.base.output import LINES

if TYPE_CHECKING:
    import logging

SCRIPT: Final = Path(dashboard.__file__).parent / "app" / "main.py"


def serve(host: str, port: int, upload_max_mb: int) -> None:
    """Serve the dashboard until SIGTERM or Ctrl-C; Streamlit prints its address when it answers.

    Args:
        host: address to listen at.
        port: where it listens.
        upload_max_mb: the largest file that may be dropped on a page, MB.

    Raises:
        BatteryError: the extra is not installed, or the address cannot be listened at.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        # Until Streamlit handles signals itself. An exception would end its start in a traceback.
        signal.signal(number, lambda *_: os._exit(0))
    try:
        _pass_on_log_lines()
        from streamlit.web import cli  # noqa: PLC0415  # an extra

        import dashboard.app.main  # noqa: F401, PLC0415  # it takes seconds, so that the first visitor need not wait for it
    except ModuleNotFoundError:
        raise missing_extra("the dashboard", "dashboard") from None
    _require_free(host, port)
    # Streamlit collects garbage after each run, also after those in which an open page looks for news. What has been
    # imported is no garbage: looking through it would take longer than all else of such a run.
    gc.collect()
    gc.freeze()
    options = {
        "server.address": host,
        "server.port": port,
        "server.headless": "true",
        "server.maxUploadSize": upload_max_mb,
        "server.fileWatcherType": "none",
        "browser.serverAddress": host,  # else Streamlit asks a web service for this machine's address
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "runner.magicEnabled": "false",
        "theme.light.primaryColor": "#1F77C9",
        "theme.dark.primaryColor": "#1F77C9",
        "theme.metricValueFontSize": "1.5rem",
        "global.developmentMode": "false",
    }
    cli.main(
        ["run", str(SCRIPT), *(f"--{name}={value}" for name, value in options.items())],
        prog_name="streamlit",
        standalone_mode=False,
    )


def _pass_on_log_lines() -> None:
    """If the log is JSON, let Streamlit's loggers pass their lines on instead of writing them."""
    import streamlit.logger  # noqa: PLC0415  # an extra

    def pass_on(logger: logging.Logger) -> None:
        logger.handlers.clear()
        logger.propagate = True

    if LINES.as_json:
        streamlit.logger.setup_formatter = pass_on
        streamlit.logger.update_formatter()


def _require_free(host: str, port: int) -> None:
    """Bind the address for a moment, since Streamlit's own error is longer than a line.

    Raises:
        BatteryError: the port is taken, or the host is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise BatteryError(
            f"cannot serve the dashboard at {host}:{port}: {error.strerror or error}; "
            "choose another address with --host and --port"
        ) from None
