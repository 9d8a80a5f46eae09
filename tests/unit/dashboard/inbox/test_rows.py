"""How far the files of an inbox have come, in words and in percent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dashboard.inbox.rows import (
    AWAITS,
    LANDED,
    NOTHING_NEW,
    ON_PAGES,
    Landing,
    counts,
    file_rows,
    progress_percent,
    state_in_words,
)
from producer.inbox_state import InboxFile, InboxFileState, InboxLook

PUBLISHED = InboxFile(
    "lab/A.xlsx", 1_500_000, InboxFileState.PUBLISHED, "2026-11-30T12:00:00.000+00:00", rows=10, sent=10, cells=("A",),
    topic_id="log", offsets={"0": 7, "1": 2},
)  # fmt: skip
ALL = {("log", 0): 7, ("log", 1): 9}


@pytest.mark.parametrize(
    ("landing", "words", "percent"),
    [
        (Landing({("log", 0): 7}, ()), AWAITS, 50),
        (Landing({("another log", 0): 7, ("log", 1): 2}, ()), AWAITS, 50),
        (Landing(ALL, ()), LANDED, 75),
        (Landing(ALL, {("A", "B.xlsx")}), LANDED, 75),
        (Landing(ALL, {("A", "B.xlsx")}, is_modelled=True), NOTHING_NEW, 100),
        (Landing(ALL, {("A", "A.xlsx")}), ON_PAGES, 100),
        (Landing(None, ()), "published", 100),
    ],
)
def test_what_was_published_lands_and_comes_onto_the_pages(landing: Landing, words: str, percent: float) -> None:
    assert state_in_words(PUBLISHED, landing) == words
    assert progress_percent(PUBLISHED, landing) == percent


def test_a_zip_is_on_the_pages_when_all_of_its_cells_are() -> None:
    archive = replace(PUBLISHED, name="all.zip", cells=("A", "B"))
    assert state_in_words(archive, Landing(ALL, {("A", "A.xlsx")})) == LANDED
    assert state_in_words(archive, Landing(ALL, {("A", "A.xlsx"), ("B", "B.xlsx")})) == ON_PAGES


def test_rows_that_are_being_sent_are_counted() -> None:
    sending = replace(PUBLISHED, state=InboxFileState.SENDING, rows=30_000, sent=12_000)
    assert state_in_words(sending, Landing({}, ())) == "being sent: 12,000 of 30,000 rows"
    assert progress_percent(sending, Landing({}, ())) == pytest.approx(44)


def test_a_file_that_was_known_is_on_the_pages_where_they_have_it() -> None:
    known = replace(PUBLISHED, state=InboxFileState.KNOWN, cells=(), offsets={})
    assert state_in_words(known, Landing({}, {("A", "A.xlsx")})) == ON_PAGES
    assert state_in_words(known, Landing({}, ())) == "published before"


def test_files_are_a_table_with_what_is_unknown_left_open() -> None:
    refused = InboxFile("b.xlsx", 12, InboxFileState.REFUSED, "2026-11-30T13:00:00.000+01:00", reason="it is cut off")
    look = InboxLook("/in", datetime(2026, 11, 30, tzinfo=UTC), (PUBLISHED, refused))
    first, second = file_rows(look, Landing(ALL, ())).to_pylist()
    assert (first["file"], first["rows"], first["cells"], first["megabytes"]) == ("lab/A.xlsx", 10, "A", 1.5)
    assert first["since"] == second["since"] == datetime(2026, 11, 30, 12)  # noqa: DTZ001  # in UTC
    assert (second["state"], second["progress"], second["rows"], second["why"]) == (
        "refused",
        None,
        None,
        "it is cut off",
    )


def test_each_file_is_counted_once() -> None:
    files = tuple(replace(PUBLISHED, state=state) for state in InboxFileState)
    look = InboxLook("/in", datetime(2026, 11, 30, tzinfo=UTC), files)
    for landing in (Landing({}, ()), Landing(ALL, ()), Landing(None, ())):
        assert sum(counts(look, landing).values()) == len(files)
    assert counts(look, Landing({}, ()))["waiting to land"] == 1
