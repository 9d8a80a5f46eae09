"""What a message holds once it is read: its readings, and a named fault for each row that is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kernel.contract.reading import READING_NULLABLE, Reason
from kernel.contract.show import python_row, show_row

if TYPE_CHECKING:
    import numpy.typing as npt

    from kernel.contract.sent import Sent

NO_READINGS: Final = pa.RecordBatch.from_pylist([], schema=READING_NULLABLE)

NO_ROWS: Final = np.zeros(0, dtype=np.int32)

NO_FLAGS: Final = np.zeros(0, dtype=np.bool_)


@dataclass(frozen=True)
class Fault:
    """`row_count` rows from `row` on that could not be taken as readings.

    `payload` is what stood there, as text, as far as it can be shown; `source_file` is the row's own, where it may
    differ from the message's.
    """

    row: int
    reason: Reason
    detail: str
    payload: str | None
    row_count: int = 1
    source_file: str | None = None


@dataclass(frozen=True)
class Body:
    """The readings of one message and the faults beside them; each of its rows is in exactly one of the two.

    `readings` has the columns of `READING`, each of which may be null; `rows` gives the row in the message of each of
    them; `value_dropped` is true where an auxiliary value was unusable and is null now.
    """

    readings: pa.RecordBatch
    rows: npt.NDArray[np.int32]
    value_dropped: npt.NDArray[np.bool_]
    faults: tuple[Fault, ...]

    @property
    def row_count(self) -> int:
        """Rows in: readings and faults together."""
        return len(self.rows) + sum(fault.row_count for fault in self.faults)


class UndecodableError(Exception):
    """The body is not of its declared encoding."""


def reject_foreign_cells(cell_id: str, body: Body, sent: Sent) -> Body:
    """Take out readings of another cell: a cell whose readings are spread over keys has no order.

    Args:
        cell_id: the message's cell.
        body: what it holds.
        sent: the message alone.
    """
    stranger = pc.fill_null(pc.not_equal(body.readings.column("cell_id"), cell_id), fill_value=False)
    if not pc.any(stranger).as_py():
        return body
    where = stranger.to_numpy(zero_copy_only=False)
    faults = tuple(
        Fault(
            int(body.rows[index]),
            Reason.UNKNOWN_SCHEMA,
            f"the message's key {cell_id!r} is not the reading's cell_id",
            show_row(sent.row(0, int(body.rows[index])) or python_row(body.readings, int(index))),
        )
        for index in np.flatnonzero(where)
    )
    return Body(
        body.readings.filter(pc.invert(stranger)),
        body.rows[~where],
        body.value_dropped[~where],
        (*body.faults, *faults),
    )
