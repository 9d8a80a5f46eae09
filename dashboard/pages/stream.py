"""The stream: how fast rows land and how many wait, what was refused and why, and how the refreshes went."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

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
from kernel.base.errors import BatteryError
from refresh.marts import NothingYetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from dashboard.landing import StreamLook
    from dashboard.look_cache import Look
    from kernel.base.settings import Settings

LIVE_SECONDS: Final = 10
RATE_SECONDS: Final = 60.0
"""Over so long the rate at the top of the page is taken, in s."""


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
        st.caption(f":material/update: As of {at:%H:%M:%S} UTC, {lasting(_age(at))} ago: {literal(complaint)}")
    left, right = st.columns(2)
    with left:
        st.subheader("Rows by second")
        chart(figures.rates(seen.value.commits), "stream-rates", "Rows landed and quarantined by second, by commit")
    with right:
        st.subheader("Objects")
        chart(figures.objects(seen.value.commits), "stream-objects", "Size of the objects of each commit")
    downloads(seen.value.commits, "commits")


def _draw_quarantine(settings: Settings, stream: StreamLook) -> None:
    st.subheader("Quarantine")
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
    summary = f"{refused} files have been refused, {files.num_rows - refused} of other kinds passed over."
    (st.warning if refused else st.info)(summary, icon=":material/draft:")
    st.dataframe(spreadsheet_safe(files), hide_index=True, key="files", alt="Files that were refused or passed over")
    st.caption(
        "A file leaves the list when it, or one of the same content, is taken; `battery quarantine dismiss ID` puts "
        "it aside."
    )
    downloads(files, "files")


def _draw_refused_rows(stream: StreamLook, reasons: Sequence[str]) -> None:
    left, right = st.columns([1, 2])
    with left:
        chart(figures.refused(stream.reasons), "quarantine", "Rows in the quarantine by reason")
        first = next((reason for reason in reasons if reason != "duplicate"), reasons[0])
        reason = choose_one("Look into", reasons, "reason", first)
    refusals = stream.refusals(reason)
    with right:
        st.dataframe(spreadsheet_safe(refusals), hide_index=True, key="refusals", alt=f"Refused as {reason}")
        st.caption(
            "`battery quarantine show ID` has all of an entry; `battery quarantine retry ID` publishes it again."
        )
        downloads(refusals, f"quarantine-{reason}")


def _draw_runs(settings: Settings, stream: StreamLook) -> None:
    st.subheader("dbt")
    if not stream.runs.num_rows:
        st.info(
            "dbt has not run yet: `battery transform`, or the hourly refresh of Airflow, builds and tests the marts."
        )
        return
    news = look(("news", settings), lambda: look_at_news(settings)).value
    if news:
        st.info(
            f"The marts are not the newest: {literal(news)}. The next refresh, or `battery transform`, brings them up "
            "to date."
        )
    st.dataframe(
        spreadsheet_safe(stream.runs.drop_columns(["run"])), hide_index=True, key="runs", alt="The newest dbt runs"
    )
    starts = {
        run: f"{at:%Y-%m-%d %H:%M:%S} UTC, {command}, {outcome}"
        for run, at, command, outcome in zip(
            *(stream.runs[name].to_pylist() for name in ("run", "started_at", "command", "outcome")), strict=True
        )
    }
    run = choose_one("Results of", list(starts), "run", next(iter(starts)), lambda one: starts[one])
    st.dataframe(
        spreadsheet_safe(stream.results(run)), hide_index=True, key="results", alt="What became of each model and test"
    )
