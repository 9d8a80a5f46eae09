"""The project's dataflow without its warehouse: commits end with their objects in the store. For `benchmarks.scale`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

import dataflows.battery
from sink.commit import Landing

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from sink.draft import Stored

_log = structlog.get_logger()


class Unlanded(Landing):
    """Takes a commit for landed as soon as its objects are stored."""

    def land(self, stored: Stored, states: Callable[[], pa.Table]) -> None:
        """Only say so."""
        states()
        rows = stored.staged["staged_landed"].num_rows
        _log.info("committed", commit=stored.commit.commit, rows=rows, seconds=time.monotonic() - stored.started)


dataflows.battery.Landing = Unlanded  # type: ignore[attr-defined]  # looked up when the flow's parts are built
flow = dataflows.battery.flow
