"""The payload of a refused row is all that was sent there, whatever the contract knows of it."""

from __future__ import annotations

import json
import math
from typing import Any

import pyarrow as pa
import pytest
from support.builders import CELL, arrow_value, as_json, message, reading
from support.delivered import decode
from support.landed import clean_cell

from dataflows.fold.state import CellState
from kernel.contract.reading import JSON, READING_NULLABLE

FAULTS: dict[str, dict[str, Any]] = {
    "not_finite": {"voltage(v)": math.nan},
    "out_of_range": {"voltage(v)": 99.0},
    "missing_value": {"voltage(v)": None},
    "unknown_schema": {"cell_id": "ANOTHER"},
    "time_backwards": {"test_time(s)": 1.0},
}


def payload_of(value: bytes, encoding: str) -> tuple[str, dict[str, Any]]:
    cleaned = clean_cell(CellState(), [decode(message(value, encoding=encoding, key=CELL.encode()))])
    assert cleaned is not None
    (row,) = cleaned.quarantined.to_pylist()
    return row["reason"], json.loads(row["payload"])


@pytest.mark.parametrize("reason", FAULTS)
def test_of_an_arrow_message(reason: str) -> None:
    schema = READING_NULLABLE.append(pa.field("rack", pa.string())).append(pa.field("raw", pa.list_(pa.int64())))
    rows = [{**reading(1), "rack": "B6"}, {**reading(2), **FAULTS[reason], "rack": "B7", "raw": [1, 2]}]
    found, payload = payload_of(arrow_value(rows, schema), "application/vnd.apache.arrow.stream")
    assert found == reason
    assert (payload["data_point"], payload["rack"]) == (2, "B7")


def test_a_column_that_is_no_single_value_is_named_with_its_type() -> None:
    schema = READING_NULLABLE.append(pa.field("raw", pa.list_(pa.int64())))
    value = arrow_value([{**reading(2), "voltage(v)": 99.0, "raw": [1]}], schema)
    assert payload_of(value, "application/vnd.apache.arrow.stream")[1]["raw"] == "(list<item: int64>)"


@pytest.mark.parametrize("reason", FAULTS)
def test_of_a_json_array(reason: str) -> None:
    rows = [reading(1), {**reading(2), **FAULTS[reason], "rack": {"name": "B7"}, "temperature(c)": "broken"}]
    found, payload = payload_of(as_json(rows), JSON)
    assert found == reason
    assert payload["rack"] == {"name": "B7"}
    assert payload["temperature(c)"] == "broken"


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b" \n"])
def test_of_a_single_json_reading(start: bytes) -> None:
    row = {**reading(2), "voltage(v)": 99.0, "rack": "B7"}
    assert payload_of(start + as_json(row), JSON) == (
        "out_of_range",
        json.loads(as_json({name: value for name, value in row.items() if value is not None})),
    )


def test_a_text_that_only_python_reads_is_shown_as_python_reads_it() -> None:
    reason, payload = payload_of(as_json([{**reading(2), "voltage(v)": 99.0, "note": math.nan}]), JSON)
    assert (reason, payload["note"]) == ("out_of_range", "nan")
