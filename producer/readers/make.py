"""From a record to a test: its meaning is settled, and what was assumed goes with it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from kernel.contract.about import SCHEDULE, About, protocol_name
from producer.readers.base import BadWorkbookError, Test
from producer.readers.meaning.settle import settle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from producer.readers.record import Record

UNDATED: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # wall clocks have no zone
"""When a test begins whose file has no date at all: it sorts before all others, and cannot be mistaken."""


def as_test(
    record: Record,
    cell_id: str,
    source_file: str,
    reader: str,
    *,
    metadata: Mapping[str, str] | None = None,
    channel: str = "",
) -> Test:
    """Make a record a test of the contract.

    Args:
        record: what the file says, n >= 1 readings.
        cell_id: the cell.
        source_file: the file's name.
        reader: the reader's name.
        metadata: what the file states of cell and test, with the keys of `About`; empty values are left out.
        channel: the channel that the file names.

    Raises:
        BadWorkbookError: a number is beyond what its column holds.
    """
    settled = settle(record)
    assumptions = [*settled.assumptions]
    started_at = None
    if settled.columns["date_time"].null_count == len(record):
        started_at = UNDATED
        assumptions.append(f"the file has no dates; its test is named after {UNDATED:%Y-%m-%d}")
    stated = dict(metadata or {})
    if SCHEDULE in stated:
        stated[SCHEDULE] = protocol_name(stated[SCHEDULE])
    about = About(
        reader, tuple(assumptions), {key: value for key, value in stated.items() if value}, settled.integrated
    )
    try:
        return Test.of(cell_id, source_file, settled.columns, channel=channel, about=about, started_at=started_at)
    except pa.ArrowInvalid as error:
        raise BadWorkbookError(source_file, f"a number does not fit its column ({error}); export it again") from None
