"""An address that names no page: which pages there are."""

from __future__ import annotations

import streamlit as st

from dashboard.escaping import literal
from dashboard.navigation import link_all
from dashboard.view import head


def show(asked: str) -> None:
    """Draw the page.

    Args:
        asked: the page that the address names.
    """
    head("No such page")
    st.warning(f"There is no page “{literal(asked)}” here. These are the pages:", icon=":material/link_off:")
    link_all()
