"""What a lab may say of a cell, and how it travels."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.base.errors import BatteryError
from kernel.contract.cell_metadata import (
    COLUMNS,
    Kind,
    changed,
    checked,
    column_name,
    from_json,
    in_order,
    parse_value,
    read_message,
    require_cell_id,
    to_json,
    value_text,
)

VERSION = [("Schema-Version", b"1")]

texts = (
    st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=20).map(str.strip).filter(bool)
)
numbers = st.floats(0.001, 1000.0)
known = st.fixed_dictionaries(
    {},
    optional={
        **{name: texts for name, column in COLUMNS.items() if column.kind is Kind.TEXT},
        "mass_g": numbers,
        "temperature_c": numbers,
        "tags": st.lists(texts.map(lambda text: text.replace(",", ";")), min_size=1).map(
            lambda tags: tuple(sorted({*tags}))
        ),
        "electrolyte_ul": texts,
        "lot": texts,
    },
)


@given(known)
def test_what_is_known_is_read_back_from_its_message_and_from_its_texts(metadata: dict[str, object]) -> None:
    sound = checked(metadata)
    assert sound == metadata
    assert from_json(to_json(sound)) == sound
    assert {name: parse_value(name, value_text(value)) for name, value in sound.items()} == sound


@given(st.binary(max_size=300), st.binary(max_size=40) | st.none())
def test_a_message_is_read_whatever_it_holds(value: bytes, key: bytes | None) -> None:
    received = read_message(key, value, VERSION)
    assert (received.metadata is None) != (received.fault is None)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("mass_g", "45 g", "mass_g: '45 g' is no number"),
        ("mass_g", "1,5", "mass_g: '1,5' is no number"),
        ("mass_g", "1_0", "mass_g: '1_0' is no number"),
        ("mass_g", "0", "mass_g: 0 is outside of"),
        ("mass_g", "nan", "mass_g: nan is outside of"),
        ("nominal_capacity_ah", "-1", "nominal_capacity_ah: -1 is outside of"),
        ("temperature_c", "-300", "temperature_c: -300 is outside of"),
        ("temperature_c", "inf", "temperature_c: inf is outside of"),
        ("notes", "a\x1b[31mb", "notes: .* has letters that cannot be printed"),
        ("notes", "x" * 4001, "notes: the text takes 4001 bytes"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_column(name: str, text: str, complaint: str) -> None:
    with pytest.raises(BatteryError, match=complaint):
        parse_value(name, text)


def test_a_number_may_have_a_decimal_comma_where_that_is_said() -> None:
    assert parse_value("mass_g", " 1,5 ", decimal_comma=True) == 1.5


def test_an_empty_text_is_no_value() -> None:
    assert [parse_value(name, "  ") for name in ("mass_g", "tags", "notes", "lot")] == [None] * 4
    assert checked({"tags": [], "notes": " ", "lot": "", "mass_g": None}) == {}


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("mass", "close to mass_g"),
        ("nominal_capacity", "close to nominal_capacity_ah"),
        ("temperature", "close to temperature_c"),
        ("note", "close to notes"),
        ("electrolyte volume", "no name of a column"),
        ("2nd", "no name of a column"),
        ("", "no name of a column"),
        ("x" * 61, "no name of a column"),
        ("cell_id", "no column that can be set"),
        ("cell_pattern", "no column that can be set"),
    ],
)
def test_a_name_that_is_likely_a_slip_is_refused(name: str, complaint: str) -> None:
    with pytest.raises(BatteryError, match=complaint):
        column_name(name)


def test_a_column_may_be_called_as_the_tables_call_it() -> None:
    assert [column_name(column.table_name) for column in COLUMNS.values()] == list(COLUMNS)
    with pytest.raises(BatteryError, match="group is there twice"):
        checked({"group": "a", "cell_group": "b"})


def test_columns_with_a_meaning_come_first_in_their_order_and_free_ones_after_them() -> None:
    assert in_order(["zinc", "notes", "alloy", "group"]) == ["group", "notes", "alloy", "zinc"]


def test_limits_that_contradict_each_other_are_refused_also_where_one_was_there_before() -> None:
    with pytest.raises(BatteryError, match=r"discharge_limit_v \(4.3 V\) is not below charge_limit_v \(4.2 V\)"):
        changed({"charge_limit_v": 4.2}, {"discharge_limit_v": 4.3})
    assert changed({"charge_limit_v": 4.2}, {"discharge_limit_v": 4.3, "charge_limit_v": None}) == {
        "discharge_limit_v": 4.3
    }


@pytest.mark.parametrize("cell_id", ["", " A", "A\n", "a\u202eb", "x" * 5000])
def test_what_cannot_be_the_id_of_a_cell_is_refused(cell_id: str) -> None:
    with pytest.raises(BatteryError, match="cell's id"):
        require_cell_id(cell_id)


def test_a_message_without_a_value_takes_everything_away() -> None:
    received = read_message(b"A1", None, [])
    assert (received.cell_id, received.metadata, received.fault) == ("A1", "{}", None)


@pytest.mark.parametrize(
    ("key", "value", "version", "fault"),
    [
        (b"A1", b"[1]", b"1", "no JSON object"),
        (b"A1", b'{"mass_g": "heavy"}', b"1", "mass_g: 'heavy' is no number"),
        (b"A1", b'{"lot": 7}', b"1", "lot: 7.0 is no text"),
        (b"A1", b'{"tags": "a"}', b"1", "tags: 'a' is no list of tags"),
        (b"A1", b"{}", b"2", "schema-version is b'2', this pipeline reads 1"),
        (None, b"{}", b"1", "a cell's id has 1 to"),
        (b"A\xff", b"{}", b"1", r"the key b'A\xff' is no cell's id: it is not UTF-8 text"),
        (b"A1", b"", b"1", "no JSON object"),
        (b"A1", b'{"lot": "' + b"x" * 300_000 + b'"}', b"1", "the message takes 300011 bytes"),
    ],
)
def test_a_message_that_cannot_be_read_counts_for_nothing_and_says_why(
    key: bytes | None, value: bytes, version: bytes, fault: str
) -> None:
    received = read_message(key, value, [("schema-version", version)])
    assert received.metadata is None
    assert fault in str(received.fault)
    assert len(str(received.fault)) < 1000


def test_the_text_of_a_message_does_not_depend_on_the_order_of_its_columns() -> None:
    one, other = {"lot": "1", "group": "A"}, {"group": "A", "lot": "1"}
    texts = {read_message(b"A", json.dumps(said).encode(), VERSION).metadata for said in (one, other)}
    assert texts == {'{"group":"A","lot":"1"}'}
