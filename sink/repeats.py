"""Repeated readings, at or below the last data point of their test: have they landed, and with the same values?

The fold keeps no record of all readings of a test, which would cost memory for every log. The landed rows are that
record. They are looked up only if a reading is repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kernel.contract.reading import LANDED, QUARANTINED, READING, TEXT_BYTES, Quality, Reason
from kernel.contract.show import show_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

KEY: Final = ("cell_id", "test_id", "data_point")
"""The columns that identify a reading."""

VALUES: Final = tuple(name for name in READING.names if name not in {*KEY, "source_file"})
"""The columns that were measured; `source_file` is not one, since a test may be exported again to another file."""


def differs(name: str) -> str:
    """SQL for whether the reading `came` has a value that the landed reading `stood` does not have.

    A value that cleaning has dropped may have been the same: a resistance before the first pulse, or a value that no
    instrument reports.
    """
    came, stood = f'came."{name}"', f'stood."{name}"'
    was_dropped = f"{stood} is null and (stood.quality & {int(Quality.VALUE_DROPPED)}) <> 0"
    is_other = f"{came} is not null and {came} is distinct from {stood} and not ({was_dropped})"
    is_resistance = name == "internal_resistance(ohm)"
    return f"{is_other} and not ({came} = 0 and {stood} is null)" if is_resistance else is_other


_COLUMNS: Final = ", ".join(f'stood."{name}"' for name in LANDED.names)

LANDED_BEFORE: Final = f"""
select {_COLUMNS} from battery_ts_cleaned as stood semi join repeated_keys as came using ({", ".join(KEY)})"""  # noqa: S608  # our own names
"""The landed readings with the keys in the table `repeated_keys`."""

JUDGE: Final = f"""
with had as (
    select distinct on (came.row_id) came.row_id, true as has_landed, stood.source_file as stood_in,
        list_filter(
            [{", ".join(f"case when {differs(name)} then '{name}' end" for name in VALUES)}], x -> x is not null
        ) as others,
        {", ".join(f'stood."{name}"::varchar as "{name}"' for name in VALUES)}
    from came inner join stood on {" and ".join(f"came.{name} = stood.{name}" for name in KEY)}
    where stood.earlier or came."partition" <> stood.kafka_partition
        or (stood.kafka_offset, stood.kafka_row) < (came."offset", came."row")
)
select coalesce(had.has_landed, false) as has_landed, had.* exclude (row_id, has_landed)
from came left join had on came.row_id = had.row_id
order by came.row_id
"""  # noqa: S608  # names come from this module alone
"""For each row of `came`: whether its reading has landed, and which values differ.

The inner join comes first, since DuckDB compares all rows with all in an outer join with more conditions than its keys.

A reading stands there twice only where these messages have landed by another run, while this one reads them: one of the
two is compared, and the commit is refused by the warehouse.
"""


_CHUNK_ROWS: Final = 1_000
"""Rows that are converted to Python at a time."""


def keys_of(repeated: pa.Table) -> pa.Table:
    """The keys of the readings to look up, each once."""
    return repeated.select(KEY).group_by(list(KEY)).aggregate([])


def judge(repeated: pa.Table, landed_before: pa.Table, landed_now: pa.Table) -> pa.Table:
    """Find the reason for which each repeated reading is quarantined.

    Args:
        repeated: the readings, with the columns of `REPEATED`.
        landed_before: landed rows with the keys of these readings, from earlier commits; columns of `LANDED`.
        landed_now: the landed rows of this commit, which is of one log; only those that come earlier in it count.

    Returns:
        Rows of the quarantine. A run of duplicates in one message is one row, and has no payload, since the log holds
        it twice.
    """
    with duckdb.connect() as connection:
        stood = [
            table.append_column("earlier", pa.array([earlier] * table.num_rows, pa.bool_()))
            for table, earlier in ((landed_before, True), (landed_now, False))
        ]
        connection.register("stood", pa.concat_tables(stood))
        connection.register("came", repeated.append_column("row_id", pa.array(range(repeated.num_rows), pa.int64())))
        judged = connection.execute(JUDGE).to_arrow_table()
    return pa.Table.from_pylist(list(_rows(repeated, judged)), schema=QUARANTINED)


def _rows(repeated: pa.Table, judged: pa.Table) -> Iterator[dict[str, Any]]:
    has_landed = judged["has_landed"].to_numpy()
    is_duplicate = has_landed & (pc.list_value_length(judged["others"]).to_numpy() == 0)
    ends = _ends(repeated, is_duplicate)
    first, last = np.append(0, ends), np.append(ends, repeated.num_rows) - 1
    points = repeated["data_point"].take(pa.array(last)).to_pylist()
    came = zip(_to_python(repeated, first), _to_python(judged, first), points, strict=True)
    for row, end, (reading, stood, point) in zip(first.tolist(), last.tolist(), came, strict=True):
        if is_duplicate[row]:
            yield _quarantined(reading, end - row + 1, Reason.DUPLICATE, _duplicate_detail(reading, point), None)
        else:
            reason = Reason.CONFLICT if stood["has_landed"] else Reason.OUT_OF_ORDER
            yield _quarantined(reading, 1, reason, _detail(reading, stood), _payload(reading))


def _ends(repeated: pa.Table, is_duplicate: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Where each row of the quarantine ends: adjacent duplicates of one message are one row, all others rows apart."""
    goes_on = is_duplicate[1:] & is_duplicate[:-1] & (np.diff(repeated["row"].to_numpy()) == 1)
    for name in ("topic_id", "partition", "offset", "cell_id", "test_id"):
        values = repeated[name].combine_chunks()
        codes = values.dictionary_encode().indices if pa.types.is_string(values.type) else values
        goes_on &= np.diff(codes.to_numpy()) == 0
    ends: npt.NDArray[np.int64] = np.flatnonzero(~goes_on) + 1
    return ends


def _duplicate_detail(came: Mapping[str, Any], last: int) -> str:
    first = came["data_point"]
    points = f"data point {first} of test {came['test_id']} has"
    if last != first:
        points = f"data points {first} to {last} of test {came['test_id']} have"
    return f"{points} landed with the same values"


def _detail(came: Mapping[str, Any], stood: Mapping[str, Any]) -> str:
    point = f"data point {came['data_point']} of test {came['test_id']}"
    if not stood["has_landed"]:
        return f"{point} comes after later ones, and had not landed"
    name, *others = stood["others"]
    where = f" from {stood['stood_in']}" if stood["stood_in"] else ""
    more = f"; {', '.join(others)} {'differs' if len(others) == 1 else 'differ'} too" if others else ""
    return f"{point} has landed{where} with {name} {stood[name]}, not {came[name]}{more}"


def _payload(came: Mapping[str, Any]) -> str:
    sent: str | None = came["sent"]
    return show_row({name: came[name] for name in READING.names}) if sent is None else sent


def _to_python(table: pa.Table, rows: npt.NDArray[np.int64]) -> Iterator[dict[str, Any]]:
    """Some rows of a table, converted in chunks: one at a time, a row would cost as much as a dozen."""
    for start in range(0, len(rows), _CHUNK_ROWS):
        yield from table.take(pa.array(rows[start : start + _CHUNK_ROWS])).to_pylist()


def _quarantined(
    came: Mapping[str, Any], row_count: int, reason: Reason, detail: str, payload: str | None
) -> dict[str, Any]:
    return {
        **{name: came[name] for name in ("topic_id", "partition", "offset", "row", "cell_id")},
        "row_count": row_count,
        "source_file": str(came["source_file"] or "")[:TEXT_BYTES] or None,
        "reason": str(reason),
        "detail": detail,
        "payload": payload,
    }
