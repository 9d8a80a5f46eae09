"""The dataflow without the warehouse, for `benchmarks.scale`: a commit ends when its objects are stored."""

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
    """Counts a commit as landed as soon as its objects are stored."""

    def land(self, stored: Stored, states: Callable[[], pa.Table]) -> None:
        """Log the commit, and write nothing to the warehouse."""
        states()
        rows = stored.staged["staged_landed"].num_rows
        _log.info("committed", commit=stored.commit.commit, rows=rows, seconds=time.monotonic() - stored.started)


dataflows.battery.Landing = Unlanded  # type: ignore[attr-defined]  # looked up when the flow's parts are built
flow = dataflows.battery.flow
