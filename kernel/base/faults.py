"""Fault points: named places in the code at which the fault suite kills or pauses the worker, or breaks its connection.

A normal run does nothing there.

`BATTERY_FAULT=before-commit@3:kill` kills the process when it reaches `before-commit` for the third time. The action
`stop` pauses it there, like a process of a machine that is suspended, until a signal wakes it; `lose` breaks the
connection.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from enum import StrEnum
from typing import Final

import structlog

from kernel.base.errors import BatteryError

_log = structlog.get_logger()

VARIABLE: Final = "BATTERY_FAULT"


class Point(StrEnum):
    """A place where a fault may be injected, in the order in which a commit, a replay and a compaction reach them."""

    POLLED = "polled"
    """Messages have been read, nothing of them has been cleaned."""
    BEFORE_PUT = "before-put"
    """An object is about to be written."""
    AFTER_PUT = "after-put"
    """An object has been written, the transaction has not begun."""
    IN_TRANSACTION = "in-transaction"
    """One statement of the transaction has been executed; passed once a statement."""
    BEFORE_COMMIT = "before-commit"
    """All statements have been executed, COMMIT has not."""
    AFTER_COMMIT = "after-commit"
    """COMMIT has happened, its answer has not arrived."""
    SNAPSHOT = "snapshot"
    """The sink has committed the epoch, the recovery store does not know yet."""
    NEXT_EPOCH = "next-epoch"
    """The recovery store has the epoch."""
    REPLAY_BUILT = "replay-built"
    """A replay has built its tables, nothing of them is in the object store."""
    REPLAY_STORED = "replay-stored"
    """The replay's objects are in the store, the tables have not been swapped."""
    REPLAY_SWAPPING = "replay-swapping"
    """All statements of the swap have been executed, COMMIT has not."""
    REPLAY_SWAPPED = "replay-swapped"
    """The tables have been swapped, the replaced objects are still there."""
    COMPACTION_STORED = "compaction-stored"
    """The merged objects of a group of commits are in the store, the manifest does not name them."""
    COMPACTION_SWAPPING = "compaction-swapping"
    """All statements that put the merged commit in place have been executed, COMMIT has not."""
    COMPACTION_SWAPPED = "compaction-swapped"
    """The manifest names the merged objects, the replaced ones are still there."""
    ICEBERG_COMMITTING = "iceberg-committing"
    """The snapshot of an Iceberg table has been written, its catalog does not name it."""
    ICEBERG_COMMITTED = "iceberg-committed"
    """The catalog names the snapshot, nothing else of the publication has been done."""


class LostConnectionError(Exception):
    """A connection that broke: raised where the action is `lose`."""


_passed: Counter[str] = Counter()
_counting = threading.Lock()


def fault_point(point: Point) -> None:
    """Kill or pause the process, or raise a lost connection, if BATTERY_FAULT says so.

    Raises:
        LostConnectionError: the action is `lose`.
        BatteryError: BATTERY_FAULT cannot be read.
    """
    fault = os.environ.get(VARIABLE)
    if not fault:
        return
    place, _, action = fault.partition(":")
    name, _, count = place.partition("@")
    if name not in set(Point) or action not in {"kill", "stop", "lose"} or not (count or "1").isdigit():
        raise BatteryError(f"{VARIABLE}={fault} is not POINT@COUNT:ACTION with one of {', '.join(Point)}; unset it")
    if name != point:
        return
    with _counting:
        _passed[name] += 1
        due = _passed[name] == int(count or "1")
    if due and action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif due and action == "stop":
        _log.warning("pausing", at=name)
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # this thread goes no step further
    elif due:
        raise LostConnectionError(f"the connection was lost at {name}")
