"""Readings at or below the last one of their test: which have landed, with the same values or others, and which not.

The fold keeps no record of all readings of a test, which would cost every log. What has landed is that record, and it
is asked only where something comes back.
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
"""What makes two readings the same one."""

VALUES: Final = tuple(name for name in READING.names if name not in {*KEY, "source_file"})
"""What was measured; the same test exported again stands in another file."""


def differs(name: str) -> str:
    """SQL for whether a reading `came` brings a value that the one that `stood` there does not have.

    What cleaning has dropped of the latter may have been the same: a resistance before the first pulse, and a value
    that no instrument reports.
    """
    came, stood = f'came."{name}"', f'stood."{name}"'
    dropped = f"{stood} is null and (stood.quality & {int(Quality.VALUE_DROPPED)}) <> 0"
    told = f"{came} is not null and {came} is distinct from {stood} and not ({dropped})"
    is_resistance = name == "internal_resistance(ohm)"
    return f"{told} and not ({came} = 0 and {stood} is null)" if is_resistance else told


_COLUMNS: Final = ", ".join(f'stood."{name}"' for name in LANDED.names)

LANDED_BEFORE: Final = f"""
select {_COLUMNS} from battery_ts_cleaned as stood semi join repeated_keys as came using ({", ".join(KEY)})"""  # noqa: S608  # our own names
"""Those landed readings that `repeated_keys` speaks of."""

JUDGE: Final = f"""
with had as (
    select came.row_id, true as has_landed, stood.source_file as stood_in,
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
"""What has landed is joined apart: where an outer join has conditions beside its keys, DuckDB compares all with all."""


_TAKEN: Final = 1_000
"""Rows that are made Python's own at a time."""


def keys_of(repeated: pa.Table) -> pa.Table:
    """Which readings have to be looked up."""
    return repeated.select(KEY).group_by(list(KEY)).aggregate([])


def judge(repeated: pa.Table, before: pa.Table, together: pa.Table) -> pa.Table:
    """Tell readings that come back apart.

    Args:
        repeated: the readings, with the columns of `REPEATED`.
        before: rows of `LANDED` with their keys, of commits before.
        together: those of this commit, which is of one log; of these the earlier ones count.

    Returns:
        Rows of the quarantine. A run of duplicates in one message is one row; it has no payload, since the log has it
        twice.
    """
    with duckdb.connect() as connection:
        stood = [
            table.append_column("earlier", pa.array([earlier] * table.num_rows, pa.bool_()))
            for table, earlier in ((before, True), (together, False))
        ]
        connection.register("stood", pa.concat_tables(stood))
        connection.register("came", repeated.append_column("row_id", pa.array(range(repeated.num_rows), pa.int64())))
        found = connection.execute(JUDGE).to_arrow_table()
    return pa.Table.from_pylist(list(_rows(repeated, found)), schema=QUARANTINED)


def _rows(repeated: pa.Table, found: pa.Table) -> Iterator[dict[str, Any]]:
    has_landed = found["has_landed"].to_numpy()
    is_duplicate = has_landed & (pc.list_value_length(found["others"]).to_numpy() == 0)
    ends = _ends(repeated, is_duplicate)
    first, last = np.append(0, ends), np.append(ends, repeated.num_rows) - 1
    points = repeated["data_point"].take(pa.array(last)).to_pylist()
    came = zip(_python(repeated, first), _python(found, first), points, strict=True)
    for row, end, (reading, stood, point) in zip(first.tolist(), last.tolist(), came, strict=True):
        if is_duplicate[row]:
            yield _quarantined(reading, end - row + 1, Reason.DUPLICATE, _known(reading, point), None)
        else:
            reason = Reason.CONFLICT if stood["has_landed"] else Reason.OUT_OF_ORDER
            yield _quarantined(reading, 1, reason, _detail(reading, stood), _payload(reading))


def _ends(repeated: pa.Table, is_duplicate: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Where a row of the quarantine ends: at each reading but where duplicates of a message stand side by side."""
    goes_on = is_duplicate[1:] & is_duplicate[:-1] & (np.diff(repeated["row"].to_numpy()) == 1)
    for name in ("topic_id", "partition", "offset", "cell_id", "test_id"):
        values = repeated[name].combine_chunks()
        codes = values.dictionary_encode().indices if pa.types.is_string(values.type) else values
        goes_on &= np.diff(codes.to_numpy()) == 0
    found: npt.NDArray[np.int64] = np.flatnonzero(~goes_on) + 1
    return found


def _known(came: Mapping[str, Any], last: int) -> str:
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


def _python(table: pa.Table, rows: npt.NDArray[np.int64]) -> Iterator[dict[str, Any]]:
    """Some rows of a table, taken many at a time: one by one, each costs as much as a dozen."""
    for start in range(0, len(rows), _TAKEN):
        yield from table.take(pa.array(rows[start : start + _TAKEN])).to_pylist()


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
