"""The dashboard: how every cell ages, and whether the stream is well.

Streamlit runs this file from top to bottom for every visitor and every click. The pages show the published marts, which
hold nobody up, and short looks at the landing tables, each of which gives the warehouse back at once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

import streamlit as st

from dashboard.access import admits, ask
from dashboard.address import begin_page
from dashboard.navigation import remember_pages
from dashboard.pages import cell, cells, compare, cycle, fleet, inbox, stream, unknown
from dashboard.view import head, name_tab
from kernel.base.errors import BatteryError
from kernel.base.settings import load_settings

if TYPE_CHECKING:
    from kernel.base.settings import Settings

UNKNOWN_PAGE: Final = "unknown page"
"""Where the session keeps the name of a page that its first address asked for and that there is not."""


def main() -> None:
    """Draw the page that the address names."""
    name_tab()
    pages = {
        "fleet": st.Page(fleet.show, title="Fleet", icon=":material/grid_view:", url_path="fleet", default=True),
        "cell": st.Page(cell.show, title="Cell", icon=":material/battery_5_bar:", url_path="cell"),
        "cycle": st.Page(cycle.show, title="Cycle", icon=":material/show_chart:", url_path="cycle"),
        "compare": st.Page(compare.show, title="Compare", icon=":material/stacked_line_chart:", url_path="compare"),
        "cells": st.Page(cells.show_page, title="Cells", icon=":material/edit_note:", url_path="cells"),
        "inbox": st.Page(inbox.show_page, title="Inbox", icon=":material/inbox:", url_path="inbox"),
        "stream": st.Page(stream.show_page, title="Stream", icon=":material/stream:", url_path="stream"),
    }
    remember_pages(pages)
    asked = unknown_page(set(pages))
    hidden = (
        [st.Page(partial(unknown.show, asked), title="Unknown page", url_path=asked, visibility="hidden")]
        if asked
        else []
    )
    page = st.navigation([*pages.values(), *hidden])
    begin_page(page.url_path)
    settings = settings_or_none()
    if settings is None or admits(settings):
        page.run()
    else:
        head("Password")
        ask(settings)


def settings_or_none() -> Settings | None:
    """The settings; None where something is wrong with them, which each page says, as it can show nothing then."""
    try:
        return load_settings()
    except BatteryError:
        return None


def unknown_page(known: set[str]) -> str | None:
    """The page that this visitor's first address asks for, where there is none of that name.

    Streamlit would say so in a box over the fleet. A hidden page of that name says it in its place.
    """
    if UNKNOWN_PAGE not in st.session_state:
        path = unquote(urlsplit(st.context.url or "").path).strip("/")
        name = path.rpartition("/")[2]
        st.session_state[UNKNOWN_PAGE] = None if not name or name in known else name
    name = st.session_state[UNKNOWN_PAGE]
    return None if name is None else str(name)


if __name__ == "__main__":
    main()
