from __future__ import annotations

import json
import math
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from support.builders import CELL, arrow, arrow_value, as_json, json_message, message, reading
from support.delivered import decode

from kernel.contract.message import encode_arrow, encode_json
from kernel.contract.reading import ARROW, JSON, READING, READING_NULLABLE, Reason


def reasons(body: Any) -> list[Reason]:
    return [fault.reason for fault in body.faults]


def test_arrow_readings_come_back_as_they_went() -> None:
    table = pa.Table.from_pylist([reading(point) for point in range(1, 6)], schema=READING)
    ((rows, value),) = encode_arrow(table, 1 << 20)
    body = decode(message(value)).body
    assert rows == 5
    assert body.faults == ()
    assert body.readings.to_pylist() == table.to_pylist()
    assert body.rows.tolist() == [0, 1, 2, 3, 4]


def test_json_readings_come_back_as_they_went() -> None:
    table = pa.Table.from_pylist([reading(point) for point in range(1, 6)], schema=READING)
    found = [decode(message(value, encoding=JSON)).body.readings.to_pylist()[0] for value in encode_json(table)]
    assert found == table.to_pylist()


def test_a_table_is_cut_until_each_message_fits() -> None:
    table = pa.Table.from_pylist(
        [reading(point, **{"voltage(v)": math.sin(point)}) for point in range(1, 2001)], READING
    )
    parts = list(encode_arrow(table, 16_000))
    assert len(parts) > 1
    assert all(len(value) <= 16_000 for _, value in parts)
    again = pa.concat_tables([pa.ipc.open_stream(value).read_all() for _, value in parts])
    assert again == table
    assert sum(rows for rows, _ in parts) == 2000


def test_numbers_in_json_may_be_strings_and_unknown_fields_are_ignored() -> None:
    body = json_message(reading(1, data_point="1", **{"voltage(v)": " 3.75 ", "operator": "n/a"})).body
    assert body.faults == ()
    assert body.readings.column("voltage(v)").to_pylist() == [3.75]
    assert body.readings.column("data_point").to_pylist() == [1]


def test_an_array_of_readings_keeps_the_good_ones_beside_a_bad_one() -> None:
    body = json_message([reading(1), 5, reading(2, **{"voltage(v)": "high"}), reading(3)]).body
    assert body.rows.tolist() == [0, 3]
    assert sorted((fault.row, fault.reason) for fault in body.faults) == [(1, "undecodable"), (2, "not_a_number")]
    assert body.row_count == 4


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("voltage(v)", "abc", Reason.NOT_A_NUMBER),
        ("current(a)", True, Reason.NOT_A_NUMBER),
        ("step_index", 1.5, Reason.NOT_A_NUMBER),
        ("step_index", "1.5", Reason.NOT_A_NUMBER),
        ("charge_capacity(ah)", [1], Reason.NOT_A_NUMBER),
        ("date_time", "yesterday", Reason.NOT_A_NUMBER),
        ("data_point", math.nan, Reason.NOT_FINITE),
        ("data_point", 10**30, Reason.OUT_OF_RANGE),
        ("cell_id", "ANOTHER", Reason.UNKNOWN_SCHEMA),
    ],
)
def test_an_unusable_value_refuses_its_row_and_shows_it(column: str, value: object, reason: Reason) -> None:
    body = json_message(reading(1, **{column: value})).body
    assert reasons(body) == [reason]
    assert column.split("(", maxsplit=1)[0] in body.faults[0].detail
    assert json.loads(body.faults[0].payload or "")["data_point"]


def test_an_unusable_auxiliary_value_costs_the_value_and_not_the_reading() -> None:
    body = json_message(reading(1, **{"temperature(c)": "open circuit"})).body
    assert body.faults == ()
    assert body.readings.column("temperature(c)").to_pylist() == [None]
    assert body.value_dropped.tolist() == [True]


def test_arrow_columns_of_other_types_are_converted_where_nothing_is_lost() -> None:
    schema = READING_NULLABLE
    for name, kind in (("data_point", pa.float64()), ("voltage(v)", pa.float32()), ("date_time", pa.timestamp("ms"))):
        schema = schema.set(schema.get_field_index(name), pa.field(name, kind))
    body = decode(message(arrow_value([reading(1, **{"voltage(v)": 3.75})], schema))).body
    assert body.readings.to_pylist() == arrow([reading(1, **{"voltage(v)": 3.75})]).body.readings.to_pylist()


def test_a_clock_with_a_zone_keeps_its_wall_time() -> None:
    body = json_message(reading(1, date_time="2024-01-01T08:00:30+05:00")).body
    assert body.readings.column("date_time").to_pylist() == [datetime(2024, 1, 1, 8, 0, 30)]  # noqa: DTZ001


def test_an_absent_column_is_null() -> None:
    rows = [{name: value for name, value in reading(1).items() if name != "voltage(v)"}]
    schema = READING_NULLABLE.remove(READING_NULLABLE.get_field_index("voltage(v)"))
    assert decode(message(arrow_value(rows, schema))).body.readings.column("voltage(v)").to_pylist() == [None]


@pytest.mark.parametrize(
    ("value", "headers", "key", "reason"),
    [
        (b"\x00garbage", [("content-type", ARROW.encode()), ("schema-version", b"1")], b"c", Reason.UNDECODABLE),
        (b"{not json", [("content-type", JSON.encode()), ("schema-version", b"1")], b"c", Reason.UNDECODABLE),
        (b"[]", [("content-type", JSON.encode()), ("schema-version", b"1")], b"c", Reason.UNDECODABLE),
        (b"", [("content-type", JSON.encode()), ("schema-version", b"1")], b"c", Reason.UNDECODABLE),
        (None, [("content-type", JSON.encode()), ("schema-version", b"1")], b"c", Reason.UNDECODABLE),
        (b"{}", [("content-type", b"text/csv"), ("schema-version", b"1")], b"c", Reason.UNDECODABLE),
        (b"no JSON", [], b"c", Reason.UNDECODABLE),
        (b"{}", [("content-type", JSON.encode()), ("schema-version", b"2")], b"c", Reason.UNKNOWN_SCHEMA),
        (b"{}", [("content-type", JSON.encode()), ("schema-version", b"1")], None, Reason.MISSING_VALUE),
    ],
)
def test_a_message_that_cannot_be_taken_is_one_fault_with_its_reason(
    value: bytes | None, headers: list[tuple[str, bytes | None]], key: bytes | None, reason: Reason
) -> None:
    body = decode(message(value, with_headers=headers, key=key)).body
    assert reasons(body) == [reason]
    assert body.row_count == 1


@pytest.mark.parametrize("headers", [[], [("Content-Type", b"application/octet-stream")], [("SCHEMA-VERSION", b"1")]])
@pytest.mark.parametrize("encoding", [ARROW, JSON])
def test_a_value_without_a_content_type_is_told_by_its_first_bytes(
    headers: list[tuple[str, bytes | None]], encoding: str
) -> None:
    value = arrow_value([reading(1)]) if encoding == ARROW else b" \n" + as_json(reading(1))
    body = decode(message(value, with_headers=headers)).body
    assert (body.readings.column("data_point").to_pylist(), body.faults) == ([1], ())


def test_a_message_without_a_schema_version_is_of_the_current_one() -> None:
    body = decode(message(as_json(reading(1)), with_headers=[("content-type", JSON.encode())])).body
    assert (len(body.rows), body.faults) == (1, ())


def test_headers_are_found_whatever_their_case() -> None:
    headers: list[tuple[str, bytes | None]] = [
        ("CONTENT-TYPE", b"Application/JSON; charset=utf-8"), ("Schema-Version", b"2")
    ]  # fmt: skip
    assert reasons(decode(message(as_json(reading(1)), with_headers=headers)).body) == [Reason.UNKNOWN_SCHEMA]


def test_a_value_that_begins_as_nothing_known_says_so() -> None:
    (fault,) = decode(message(b"voltage=3.7", with_headers=[])).body.faults
    assert "no content-type, and begins neither as Arrow nor as JSON" in fault.detail


def test_a_key_in_quotes_as_a_rest_proxy_sends_it_names_the_cell() -> None:
    found = decode(message(as_json(reading(1)), key=f'"{CELL}"'.encode(), with_headers=[]))
    assert (found.cell_id, len(found.body.rows), found.body.faults) == (CELL, 1, ())


def test_a_long_key_and_a_long_file_name_are_cut_since_each_cell_and_each_row_keeps_them() -> None:
    long = decode(message(arrow_value([reading(1)]), key=b"C" * 100_000))
    assert (long.cell_id, reasons(long.body)) == ("C" * 1_000, [Reason.UNKNOWN_SCHEMA])
    named = decode(message(b"{}", with_headers=[("source-file", b"f" * 100_000)]))
    assert named.source_file == "f" * 1_000


def test_every_row_of_a_message_without_a_key_is_counted() -> None:
    assert arrow([reading(1), reading(2)], key=None).body.row_count == 2


def test_garbage_is_shown_without_a_null_character() -> None:
    body = decode(message(b"\xff\x00\xfe")).body
    assert body.faults[0].payload == "\\xff00fe"


def test_the_key_names_the_cell() -> None:
    assert arrow([reading(1)]).cell_id == CELL


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_that_begins_with_a_byte_order_mark_is_told_by_it(encoding: str) -> None:
    """Some shells write one."""
    value = as_json(reading(1)).decode().encode(encoding)
    assert decode(message(value, with_headers=[])).body.readings.column("data_point").to_pylist() == [1]
