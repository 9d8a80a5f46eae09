"""Rows to Parquet, encoded while they gather, so that little work is left when their commit is due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from kernel.contract.reading import LANDED

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUP_ROWS: Final = 65_536
"""The least rows of a row group, except for the last one of an object."""

_FEW_VALUES: Final = (
    "step_index",
    "cycle_index",
    "is_fc_data",
    "internal_resistance(ohm)",
    "ac_impedance(ohm)",
    "aci_phase_angle(deg)",
    "temperature(c)",
    "quality",
    "streamed_at",
    "kafka_partition",
    "kafka_offset",
)
_RISING: Final = ("data_point", "date_time", "kafka_row")
_DRIFTING: Final = (
    "current(a)",
    "voltage(v)",
    "charge_capacity(ah)",
    "discharge_capacity(ah)",
    "charge_energy(wh)",
    "discharge_energy(wh)",
)
"""Columns of landed rows, by the encoding that suits them; this saves a third of the bytes, and time."""


class ObjectWriter:
    """Writes the rows of one object as Parquet in memory; `rows` counts them.

    Args:
        schema: the columns of the rows.
        commit: the id of their commit, for the metadata of the object.
    """

    def __init__(self, schema: pa.Schema, commit: str) -> None:
        self.rows = 0
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._buffer = pa.BufferOutputStream()
        texts = [field.name for field in schema if pa.types.is_string(field.type)]
        landed = schema.names == LANDED.names
        encodings = dict.fromkeys(_RISING, "DELTA_BINARY_PACKED") | dict.fromkeys(_DRIFTING, "BYTE_STREAM_SPLIT")
        self._writer = pq.ParquetWriter(
            self._buffer,
            schema.with_metadata({"battery.commit": commit}),
            compression="zstd",
            use_dictionary=[*texts, *_FEW_VALUES] if landed else texts,
            column_encoding=encodings if landed else None,
        )

    def add(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take rows, and encode those that have gathered if they fill a row group."""
        for batch in batches:
            self._waiting.append(batch)
            self._waiting_rows += batch.num_rows
            self.rows += batch.num_rows
            if self._waiting_rows >= GROUP_ROWS:
                self._encode()

    def finish(self) -> bytes:
        """The bytes of the object; rows can no longer be added."""
        if self._waiting_rows:
            self._encode()
        self._writer.close()
        data: bytes = self._buffer.getvalue().to_pybytes()
        return data

    def _encode(self) -> None:
        table = pa.Table.from_batches(self._waiting)
        self._writer.write_table(table, row_group_size=table.num_rows)
        self._waiting, self._waiting_rows = [], 0
