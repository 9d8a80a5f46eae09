"""Links from one page to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import streamlit as st

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamlit.navigation.page import StreamlitPage

PAGES: Final = "pages of the dashboard"


def remember_pages(pages: Mapping[str, StreamlitPage]) -> None:
    """Note the pages of this run by name, so that each can lead to another."""
    st.session_state[PAGES] = dict(pages)


def go(page: str, **choices: str) -> None:
    """Leave for another page, with what is chosen there."""
    for key, value in choices.items():
        st.session_state[key] = value
    st.switch_page(st.session_state[PAGES][page], query_params=choices)


def link_all() -> None:
    """Draw a link to each page."""
    for page in st.session_state.get(PAGES, {}).values():
        st.page_link(page)
