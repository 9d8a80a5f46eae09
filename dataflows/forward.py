"""The fold over messages, kept going: a message that it cannot take costs that message, and never the log behind it.

An event cannot be taken out of a log, so each must be survivable. What nobody foresaw is found by folding the messages
one by one, which gives what folding them together gives; the one that raises is quarantined with what it raised.
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
    """Fold messages into the states of their cells, which go on with each result.

    Args:
        cells: the states that the messages before have left.
        batch: messages of one log.
        window_seconds: width of the aggregates' event-time windows, s.
        ranges: what the instrument can report, by column.

    Returns:
        What the messages became, all together or, where that fails, one by one; nothing of those that are not new.
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
    """All that one message holds, as JSON text; of one that is not at hand any more, what was read of it."""
    sent = Sent(message.values)
    rows = [row for place in range(count) if (row := sent.row(0, place)) is not None]
    rows = rows or [python_row(message.readings, place) for place in range(message.readings.num_rows)]
    return show_rows(rows) if rows else None
