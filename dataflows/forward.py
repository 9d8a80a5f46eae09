"""The fold over messages that survives any message: one that it cannot take is quarantined, and the others land.

A message cannot be taken out of a log, so none may stop the worker. When folding raises, the messages are folded again
one by one, which gives the same as folding them together. The one that raises is quarantined with its error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import structlog

from dataflows.fold.clean import clean
from kernel.base.errors import BatteryError
from kernel.contract.body import Fault
from kernel.contract.message import unforeseen
from kernel.contract.reading import INSTRUMENT_RANGE, Reason
from kernel.contract.sent import Sent
from kernel.contract.show import python_row, show_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dataflows.fold.states import CellStates, GroupStates
    from kernel.contract.batch import Batch
    from kernel.contract.reading import Range
    from kernel.contract.results import Cleaned

_log = structlog.get_logger()


def fold(
    cells: GroupStates, batch: Batch, window_seconds: int, ranges: Mapping[str, Range] = INSTRUMENT_RANGE
) -> Iterator[Cleaned[CellStates]]:
    """Fold messages into the states of their cells.

    Args:
        cells: the states after the messages before; updated with each result.
        batch: messages of one log.
        window_seconds: width of the aggregates' event-time windows, s.
        ranges: what the instrument can report, by column.

    Returns:
        One result for all messages or, where that fails, one for each; none for messages that were folded before.
    """
    try:
        results = [clean(cells, batch, window_seconds, ranges)]
    except BatteryError:
        raise
    except Exception as error:  # noqa: BLE001  # one of them must not keep the others from landing
        _log.warning("folding messages one by one, since together they failed", error=unforeseen(error))
        results = None
    for cleaned in _one_by_one(cells, batch, window_seconds, ranges) if results is None else results:
        if cleaned is not None:
            cells.update(cleaned.states)
            yield cleaned


def _one_by_one(
    cells: GroupStates, batch: Batch, window_seconds: int, ranges: Mapping[str, Range]
) -> Iterator[Cleaned[CellStates] | None]:
    for place in range(len(batch.offset)):
        message = batch.take(np.arange(len(batch.offset)) == place)
        try:
            yield clean(cells, message, window_seconds, ranges)
        except Exception as error:  # noqa: BLE001
            yield clean(cells, _refused(message, unforeseen(error)), window_seconds, ranges)


def _refused(message: Batch, detail: str) -> Batch:
    """One message, all of whose rows are refused."""
    rows = int(message.rows[0])
    return message.without_readings(Fault(0, Reason.UNDECODABLE, detail, _shown(message, rows), rows))


def _shown(message: Batch, count: int) -> str | None:
    """All that one message holds, as JSON text; where the message is gone, what was read of it."""
    sent = Sent(message.values)
    rows = [row for place in range(count) if (row := sent.row(0, place)) is not None]
    rows = rows or [python_row(message.readings, place) for place in range(message.readings.num_rows)]
    return show_rows(rows) if rows else None
