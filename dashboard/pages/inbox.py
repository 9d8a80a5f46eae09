"""The watched inbox: what is done with each file, what is being modelled, and a place to drop files onto."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from dashboard.escaping import literal, spreadsheet_safe
from dashboard.inbox.rows import SILENT_SECONDS, Landing, counts, file_rows
from dashboard.inbox.upload import offer_upload
from dashboard.next_steps import next_step
from dashboard.view import downloads, key_figures, lasting, published_now, show
from kernel.base.errors import BatteryError
from producer.inbox_state import InboxFileState, read_inbox
from refresh.notice import read_notice
from sink.care.overview import OverviewFile

if TYPE_CHECKING:
    from kernel.base.settings import Settings
    from producer.inbox_state import InboxLook

LIVE_SECONDS: Final = 1.5
"""How often an open page looks again, s."""

MOST_REASONS: Final = 5
"""So many files that were refused, or ignored, have their reason below the table, which shows its beginning alone."""

COLUMNS: Final[dict[str, Any]] = {
    "file": st.column_config.TextColumn("file", width=190),
    "state": st.column_config.TextColumn("state", width=230),
    "progress": st.column_config.ProgressColumn(
        "progress", format="%.0f %%", min_value=0, max_value=100, width=110, help="the way to the pages"
    ),
    "since": st.column_config.DatetimeColumn(
        "since (UTC)", format="HH:mm:ss", width=90, help="the day is in the download"
    ),
    "rows": st.column_config.NumberColumn("rows", format="localized", width=90),
    "cells": st.column_config.TextColumn("cells", width=100),
    "megabytes": st.column_config.NumberColumn("size (MB)", format="%.2f", width=80),
    "why": st.column_config.TextColumn("why", width="large"),
}


def show_page() -> None:
    """Draw the page."""
    show("Inbox", _draw)


def _draw(settings: Settings) -> None:
    look = read_inbox(settings)
    offer_upload(settings, look)
    st.fragment(_draw_files, run_every=LIVE_SECONDS)(settings)


def _draw_files(settings: Settings) -> None:
    look = read_inbox(settings)
    _say_what_is_modelled(settings)
    if look is None:
        st.info(f"No inbox has been watched here yet.  \n{next_step(settings, None)}", icon=":material/inbox:")
        return
    _say_whether_watched(settings, look)
    if not look.files:
        st.info(f"The inbox is empty.  \n{next_step(settings, look)}", icon=":material/inbox:")
        return
    landing = _landing(settings)
    key_figures({words: f"{count:,}" for words, count in counts(look, landing).items()})
    table = file_rows(look, landing)
    shown = [name for name in COLUMNS if name in {"file", "state"} or table[name].null_count < table.num_rows]
    st.dataframe(
        spreadsheet_safe(table), hide_index=True, column_config=COLUMNS, column_order=shown, key="inbox-files",
        placeholder="-", alt="The files of the inbox, those being worked on first, then those with the latest news",
    )  # fmt: skip
    if look.left_out:
        st.caption(f"and {look.left_out:,} more, whose news is older")
    _show_reasons(look)
    downloads(table, "inbox")


def _show_reasons(look: InboxLook) -> None:
    """Why files were refused, or ignored, in full."""
    for title, state in (("Refused:", InboxFileState.REFUSED), ("Ignored:", InboxFileState.IGNORED)):
        files = [file for file in look.files if file.state is state]
        if not files:
            continue
        lines = [f"- **{literal(file.name)}**: {literal(file.reason)}" for file in files[:MOST_REASONS]]
        more = len(files) - MOST_REASONS
        st.markdown("\n".join([title, "", *lines, *([f"- and {more:,} more, see the table"] if more > 0 else [])]))
        if state is InboxFileState.REFUSED:
            st.caption(
                "A file that was refused is read again once it changes; `battery quarantine list` has its whole story."
            )


def _say_whether_watched(settings: Settings, look: InboxLook) -> None:
    silent = (datetime.now(UTC) - look.at).total_seconds()
    is_of_host = settings.battery_launcher == "compose"
    folder = "`workbooks` beside docker-compose.yml" if is_of_host else f"`{literal(look.folder)}`"
    if not look.is_watched or silent > SILENT_SECONDS:
        st.warning(
            f"{folder} is not being watched since {look.at:%Y-%m-%d %H:%M:%S} UTC; this is how it was then.  \n"
            f"{next_step(settings, None)}",
            icon=":material/visibility_off:",
        )
    else:
        st.caption(f"Watching {folder}: drop files of your cycler there, or ZIPs of them.")
    if look.trouble:
        st.warning(f"Nothing can be published now, it is tried again: {literal(look.trouble)}", icon=":material/error:")


def _say_what_is_modelled(settings: Settings) -> None:
    notice = read_notice(settings)
    if notice is None:
        return
    since = f"{datetime.fromisoformat(notice.since).astimezone(UTC):%H:%M:%S} UTC"
    if notice.state in {"modelling", "waiting"}:
        named = ", ".join(literal(cell) for cell in notice.cells)
        more = notice.cell_count - len(notice.cells)
        tests = "1 test" if notice.test_count == 1 else f"{notice.test_count:,} tests"
        what = f"{tests} of {named}{f' and {more:,} more cells' if more > 0 else ''}"
        begun = "Being modelled since" if notice.state == "modelling" else "About to be modelled, since"
        st.info(f"{begun} {since}: {what if notice.cell_count else 'all cells'}.", icon=":material/autorenew:")
    elif notice.state == "failed" and notice.last is not None:
        st.error(f"The last refresh failed at {since}: {literal(notice.last.error or '')}", icon=":material/error:")
    elif notice.last is not None:
        age = lasting((datetime.now(UTC) - datetime.fromisoformat(notice.last.at)).total_seconds())
        st.caption(f"Nothing is being modelled; the last refresh ended {age} ago and took {notice.last.seconds:.1f} s.")


def _landing(settings: Settings) -> Landing:
    """How far what was published has come, by files alone: the warehouse is left to those who work on it."""
    offsets: dict[tuple[str, int], int] | None = None
    is_modelled = False
    file = OverviewFile.of(settings.warehouse_address)
    if file is not None:
        kept = file.read()
        offsets = {}
        if kept is not None:
            progress = kept[0].tables["progress"].to_pylist()
            offsets = {(row["topic_id"], row["partition"]): row["last"] for row in progress}
            is_modelled = kept[0].watermark is not None and kept[0].marks.get("_exported") == kept[0].watermark
    sources: set[tuple[str, str]] = set()
    with suppress(BatteryError):  # nothing has been published yet, or it cannot be read now
        tests = published_now(settings).table("battery_tests")
        sources = set(zip(tests["cell_id"].to_pylist(), tests["source_file"].to_pylist(), strict=True))
    return Landing(offsets, sources, is_modelled)
