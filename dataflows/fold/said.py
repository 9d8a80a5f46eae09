"""What messages say of their tests (`kernel/contract/about.py`): the rows that land, and the readings that it flags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kernel.contract.message import STAMPS_MS
from kernel.contract.reading import ABOUT, COUNTERS

if TYPE_CHECKING:
    import numpy.typing as npt

    from kernel.contract.batch import Batch

_NOTHING_SAID: Final = pa.RecordBatch.from_pylist([], schema=ABOUT)
_NO_PLACES: Final = np.zeros(0, dtype=np.int64)


def said(batch: Batch) -> pa.RecordBatch:
    """The messages that say something of their test, each with what it says."""
    at = np.flatnonzero(batch.about >= 0)
    if len(at) == 0:
        return _NOTHING_SAID
    different = pa.RecordBatch.from_pylist([about.to_row() for about in batch.abouts])
    rows = different.take(pa.array(batch.about[at]))
    # A refused message's time stamp may be anything.
    is_odd = (batch.timestamp_ms[at] < STAMPS_MS.low) | (batch.timestamp_ms[at] > STAMPS_MS.high)
    arrays = dict(zip(rows.schema.names, rows.columns, strict=True)) | {
        "topic_id": pa.repeat(batch.topic_id, len(at)),
        "partition": pa.array(batch.partition[at]),
        "offset": pa.array(batch.offset[at]),
        "cell_id": pa.array([cell_id or None for cell_id in batch.cell_ids], pa.string()).take(
            pa.array(batch.cell[at])
        ),
        "streamed_at": pa.array(batch.timestamp_ms[at] * 1000, mask=is_odd).view(pa.timestamp("us")),
        "source_file": pa.array(batch.source_file, pa.string()).take(pa.array(at)),
    }
    return pa.RecordBatch.from_arrays([arrays[f.name].cast(f.type) for f in ABOUT], schema=ABOUT)


def integrated(
    batch: Batch,
    readings: pa.RecordBatch,
    at: npt.NDArray[np.int64] | slice,
    leapt: npt.NDArray[np.bool_],
) -> npt.NDArray[np.int64]:
    """Which of the accepted readings have a counter that their message says was computed from current and time.

    Args:
        batch: the messages.
        readings: all readings, validated.
        at: which of them were accepted, in the order in which they land; a slice where all were.
        leapt: where a counter of those is none, shape (4, n).

    Returns:
        Their places among the accepted, rising, shape (k,).
    """
    places = [place for place, said_of in enumerate(batch.abouts) if said_of.about.integrated]
    if not places:
        return _NO_PLACES
    about = batch.about[batch.message[at]]
    may_be = np.flatnonzero(np.isin(about, places))
    rows = np.arange(len(batch.message))[at][may_be]
    test_ids = readings.column("test_id").take(pa.array(rows))
    has_value = {
        name: readings.column(name).take(pa.array(rows)).is_valid().to_numpy(zero_copy_only=False) & ~gone[may_be]
        for name, gone in zip(COUNTERS, leapt, strict=True)
    }
    is_integrated = np.zeros(len(may_be), dtype=np.bool_)
    for place in places:
        said_of = batch.abouts[place]
        of_test = pc.fill_null(pc.equal(test_ids, said_of.test_id), fill_value=False).to_numpy(zero_copy_only=False)
        computed = np.logical_or.reduce([has_value[name] for name in said_of.about.integrated])
        is_integrated |= (about[may_be] == place) & of_test & computed
    return may_be[is_integrated]
