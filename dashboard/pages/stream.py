"""The stream: how fast rows land and how many wait, what was refused and why, and how the refreshes went."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import streamlit as st

from dashboard.address import choose_one, choose_whether
from dashboard.escaping import literal, spreadsheet_safe
from dashboard.figures import stream as figures
from dashboard.landing import (
    look_at_files,
    look_at_news,
    look_at_status,
    look_at_stream,
)
from dashboard.view import UNKNOWN, chart, downloads, key_figures, lasting, look, show
from dashboard.words.codes import NODES, words_of
from dashboard.words.tables import show_table
from kernel.base.errors import BatteryError
from refresh.marts import NothingYetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.elements.lib.column_types import ColumnConfig

    from dashboard.landing import StreamLook
    from dashboard.look_cache import Look
    from kernel.base.settings import Settings

LIVE_SECONDS: Final = 10
RATE_SECONDS: Final = 60.0
"""Over so long the rate at the top of the page is taken, in s."""

_TIME: Final = "YYYY-MM-DD HH:mm:ss"

_FILES: Final[dict[str, ColumnConfig | str]] = {
    "state": "state",
    "file": st.column_config.TextColumn("file", width="medium"),
    "reason": st.column_config.TextColumn("why", width="large"),
    "last_at": st.column_config.DatetimeColumn("last time (UTC)", format=_TIME),
    "count": "times",
    "cell_id": "cell",
    "id": st.column_config.TextColumn("ID", help="for `battery quarantine dismiss ID`"),
}

_RUNS: Final[dict[str, ColumnConfig | str]] = {
    "started_at": st.column_config.DatetimeColumn("start (UTC)", format=_TIME),
    "outcome": st.column_config.TextColumn("outcome", width="small"),
    "seconds": st.column_config.NumberColumn("duration (s)", format="%.1f"),
    "models": st.column_config.NumberColumn("tables", help="tables and views that it built"),
    "tests": st.column_config.NumberColumn("checks", help="checks of the data and of the rules that it ran"),
    "failed": st.column_config.NumberColumn("failed", help="tables and checks that failed"),
    "failure": st.column_config.TextColumn("what failed", width="large"),
    "command": st.column_config.TextColumn("command", help="the dbt command"),
}

_RESULTS: Final[dict[str, ColumnConfig | str]] = {
    "what": st.column_config.TextColumn("what it is", width="small"),
    "name": st.column_config.TextColumn("table or check", width="large"),
    "outcome": st.column_config.TextColumn("outcome", width="small"),
    "rows": st.column_config.NumberColumn("rows that failed"),
    "seconds": st.column_config.NumberColumn("duration (s)", format="%.2f"),
    "message": st.column_config.TextColumn("message", width="large"),
}


def show_page() -> None:
    """Draw the page."""
    show("Stream", _draw)


def _draw(settings: Settings) -> None:
    live = choose_whether(f"Look again every {LIVE_SECONDS} s", "live", first=True)
    try:
        stream = _look(settings).value
    except NothingYetError:  # files may have been refused all the same
        if _look_at_files(settings).num_rows:
            _draw_files(_look_at_files(settings))
        raise
    again = LIVE_SECONDS if live else None
    # Side by side with the rest: where no broker answers, it takes some seconds to say so.
    st.fragment(_draw_figures, run_every=again, parallel=True)(settings)
    st.fragment(_draw_commits, run_every=again)(settings)
    _draw_quarantine(settings, stream)
    _draw_runs(settings, stream)


def _look(settings: Settings) -> Look[StreamLook]:
    return look(("stream", settings), lambda: look_at_stream(settings))


def _draw_figures(settings: Settings) -> None:
    try:
        status = look(("status", settings), lambda: look_at_status(settings)).value
        rate = _look(settings).value.rate(RATE_SECONDS, datetime.now(UTC).replace(tzinfo=None))
    except BatteryError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    age = None if status.last_commit is None else _age(status.last_commit)
    shown = {
        f"rows/s, last {RATE_SECONDS:.0f} s": f"{rate:,.0f}",
        "lag (messages)": "unknown" if status.lag is None else f"{status.lag:,}",
        "last commit": "never" if age is None else f"{lasting(age)} ago",
        "commits": f"{status.commits:,}",
        "rows landed": f"{status.rows:,}",
        "rows quarantined": f"{sum(status.quarantined.values()):,}",
        "files refused": UNKNOWN
        if status.files is None or status.files.refused is None
        else f"{status.files.refused:,}",
        "cells": f"{status.cells:,}",
        "newest reading": "none" if status.freshness is None else f"{lasting(status.freshness)} old",
    }
    key_figures(shown)
    for complaint in status.complaints(settings.max_lag_messages, settings.max_commit_age_seconds):
        st.warning(literal(complaint), icon=":material/warning:")


def _age(at: datetime) -> float:
    return (datetime.now(UTC).replace(tzinfo=None) - at).total_seconds()


def _draw_commits(settings: Settings) -> None:
    try:
        seen = _look(settings)
    except BatteryError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    if (complaint := seen.complaint or seen.value.complaint) is not None:
        at = seen.value.overview.at
        st.caption(
            f":material/update: As of {at:%H:%M:%S} UTC, {lasting(_age(at))} ago: the warehouse is in use.",
            help=literal(complaint),
        )
    commits = seen.value.commits
    if commits.num_rows < 2:  # noqa: PLR2004  # a rate needs two
        st.caption("There is one commit so far; a rate takes two." if commits.num_rows else "Nothing has landed yet.")
        return
    left, right = st.columns(2)
    with left:
        st.subheader("Rows by second")
        chart(figures.rates(commits), "stream-rates", "Rows landed and quarantined by second, by commit")
    with right:
        st.subheader("Size of commits")
        chart(figures.objects(commits), "stream-objects", "Size of the objects of each commit")
    downloads(commits, "commits")


def _draw_quarantine(settings: Settings, stream: StreamLook) -> None:
    st.subheader("Rows that were refused")
    reasons = stream.reasons["reason"].to_pylist()
    try:
        files = _look_at_files(settings)
    except BatteryError as error:
        st.warning(f"Which files were refused is unknown: {literal(str(error))}", icon=":material/warning:")
        files = None
    if reasons:
        _draw_refused_rows(stream, reasons)
    elif files is not None and not files.num_rows:
        st.success("Nothing has been refused.")
    else:
        st.info("No row has been refused.")
    if files is not None and files.num_rows:
        _draw_files(files)


def _look_at_files(settings: Settings) -> pa.Table:
    return look(("files", settings), lambda: look_at_files(settings)).value


def _draw_files(files: pa.Table) -> None:
    """Files that were refused or passed over before any row of them was read."""
    refused = files["state"].to_pylist().count("refused")
    st.subheader("Files")
    summary = f"{_files(refused)} been refused; {_files(files.num_rows - refused)} been passed over, of other kinds."
    (st.warning if refused else st.info)(summary[0].upper() + summary[1:], icon=":material/draft:")
    st.dataframe(
        spreadsheet_safe(files), hide_index=True, key="files", alt="Files that were refused or passed over",
        placeholder=UNKNOWN, column_order=list(_FILES), column_config=_FILES,
    )  # fmt: skip
    st.caption(
        "A file leaves the list when it, or one of the same content, is taken; `battery quarantine dismiss ID` puts "
        "it aside."
    )
    downloads(files, "files")


def _files(count: int) -> str:
    return "1 file has" if count == 1 else f"{count:,} files have" if count else "no file has"


def _draw_refused_rows(stream: StreamLook, reasons: Sequence[str]) -> None:
    left, right = st.columns([2, 3])
    with left:
        chart(figures.refused(stream.reasons), "quarantine", "Rows that were refused, by reason")
        first = next((reason for reason in reasons if reason != "duplicate"), reasons[0])
        reason = choose_one("Look into", reasons, "reason", first, lambda code: words_of("reason", code))
    refusals = stream.refusals(reason)
    with right:
        show_table(
            refusals, "battery_quarantine", refusals.column_names, key="refusals",
            alt=f"Rows that were refused: {words_of('reason', reason)}",
        )  # fmt: skip
        st.caption(
            "The newest of them. `battery quarantine show ID` has all of an entry; `battery quarantine retry ID` "
            "publishes it again."
        )
        downloads(refusals, f"quarantine-{reason}")


def _draw_runs(settings: Settings, stream: StreamLook) -> None:
    st.subheader("Refreshes of the tables")
    if not stream.runs.num_rows:
        st.info(
            "The tables have not been built yet: `battery transform`, or the hourly refresh, builds and checks them."
        )
        return
    news = look(("news", settings), lambda: look_at_news(settings)).value
    if news:
        st.caption(f":material/update: {literal(news)}. The next refresh, or `battery transform`, takes that in.")
    runs = stream.runs
    runs = runs.set_column(
        runs.schema.get_field_index("outcome"), "outcome",
        pa.array([words_of("outcome", code) for code in runs["outcome"].to_pylist()], pa.string()),
    )  # fmt: skip
    st.dataframe(
        spreadsheet_safe(runs), hide_index=True, key="runs", alt="The newest refreshes", placeholder=UNKNOWN,
        column_order=list(_RUNS), column_config=_RUNS,
    )  # fmt: skip
    with st.expander("What became of each table and check"):
        starts = {
            run: f"{at:%Y-%m-%d %H:%M:%S} UTC, {outcome}"
            for run, at, outcome in zip(
                *(runs[name].to_pylist() for name in ("run", "started_at", "outcome")), strict=True
            )
        }
        run = choose_one("Refresh", list(starts), "run", next(iter(starts)), lambda one: starts[one])
        st.dataframe(
            spreadsheet_safe(_in_words(stream.results(run))), hide_index=True, key="results", placeholder=UNKNOWN,
            alt="What became of each table and check", column_config=_RESULTS,
        )  # fmt: skip


def _in_words(results: pa.Table) -> pa.Table:
    """The results of a refresh with kinds and outcomes in words, and names without what dbt puts around them."""
    rows = [
        {
            "what": NODES.get(row["kind"], row["kind"]),
            "name": name_of(row["node"]),
            "outcome": words_of("status", row["status"]),
            "rows": row["failures"] or None,
            "seconds": row["seconds"],
            "message": None if row["message"] in {"OK", ""} else row["message"],
        }
        for row in results.to_pylist()
    ]
    schema = pa.schema(
        {
            "what": pa.string(), "name": pa.string(), "outcome": pa.string(), "rows": pa.int64(),
            "seconds": pa.float64(), "message": pa.string(),
        }
    )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schema)


def name_of(node: str) -> str:
    """The name of a table or check, as a person reads it.

    >>> name_of("model.battery.battery_cycles")
    'battery_cycles'
    >>> name_of("test.battery.unique_combination_battery_cells_cell_id.3ddf4bc18a")
    'unique combination battery_cells cell_id'
    """
    kind, _, name = node.split(".", 2)
    if kind != "test":
        return name
    name = name.partition(".")[0]
    table = re.search(r"(battery|bdf)_[a-z]+", name)
    if table is None:
        return name.replace("_", " ")
    before, after = name[: table.start()].strip("_").replace("_", " "), name[table.end() :].strip("_")
    return " ".join(word for word in (before, table[0], after) if word)
