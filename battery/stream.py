"""Starting the worker: what `battery stream` adds to a bare `python -m bytewax.run dataflows.battery`."""

from __future__ import annotations

import os
import runpy
import sys
from typing import TYPE_CHECKING

from bytewax.recovery import init_db_dir

from battery.errors import BatteryError
from battery.topic import open_topic

if TYPE_CHECKING:
    from battery.settings import Settings


def stream(settings: Settings, *, until_end: bool) -> None:
    """Run the worker in this process until it is asked to stop, or has reached the end of every partition.

    Creates the recovery store when it is absent. Signals reach the flow itself.

    Raises:
        BatteryError: no broker answers, or the worker had to give up.
    """
    open_topic(settings, create=True)  # says in one line what is wrong before any machinery starts
    store = settings.recovery_dir
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BatteryError(f"RECOVERY_DIR={store} cannot be used: {error.strerror}") from None
    if not list(store.glob("*.sqlite3")):
        init_db_dir(store, 1)  # type: ignore[no-untyped-call]
    os.environ["STREAM_UNTIL_END"] = str(until_end or settings.stream_until_end).lower()
    os.environ["RUST_BACKTRACE"] = "0"  # Bytewax panics when a part raises; what a person needs is in the error
    seconds = str(settings.commit_interval_seconds)
    sys.argv = ["bytewax.run", "dataflows.battery", "-r", str(store), "-s", seconds, "-b", "0"]
    runpy.run_module("bytewax.run", run_name="__main__", alter_sys=True)
