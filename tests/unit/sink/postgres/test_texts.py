"""Texts that PostgreSQL does not store as they are."""

from __future__ import annotations

import duckdb
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from sink.postgres.texts import escape, unescaped

TEXTS = st.lists(st.none() | st.text(st.sampled_from("ab01\0\ufffe")) | st.text(), max_size=20)


@given(TEXTS)
def test_every_text_is_read_as_it_was(texts: list[str | None]) -> None:
    table = pa.table({"payload": pa.array(texts, pa.string())})
    with duckdb.connect() as connection:
        connection.register("stored", escape(table))
        read = connection.execute(f"select {unescaped('payload')} from stored").fetchall()  # noqa: S608
    assert [text for (text,) in read] == texts


@given(TEXTS)
def test_no_text_that_is_stored_has_a_nul(texts: list[str | None]) -> None:
    stored = escape(pa.table({"payload": pa.array(texts, pa.string())}))["payload"].to_pylist()
    assert not any("\0" in text for text in stored if text is not None)


def test_columns_of_another_type_stay_as_they_are() -> None:
    table = pa.table({"offset": [1, 2], "payload": ["a\0", None]})
    assert escape(table)["offset"].equals(table["offset"])
