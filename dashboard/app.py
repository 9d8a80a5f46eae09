"""The dashboard: how every cell ages, and whether the stream is well.

Streamlit runs this file from top to bottom for every visitor and every click. The pages show the published marts, which
hold nobody up, and short looks at the landing tables, each of which gives the warehouse back at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import streamlit as st

from dashboard.navigation import remember_pages
from dashboard.pages import cell, compare, cycle, fleet, stream

ICON: Final = Path(__file__).with_name("icon.svg")  # for one of Streamlit's, browsers would ask a server of fonts


def main() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="Battery degradation", page_icon=str(ICON), layout="wide")
    pages = {
        "fleet": st.Page(fleet.show, title="Fleet", icon=":material/grid_view:", url_path="fleet", default=True),
        "cell": st.Page(cell.show, title="Cell", icon=":material/battery_5_bar:", url_path="cell"),
        "cycle": st.Page(cycle.show, title="Cycle", icon=":material/show_chart:", url_path="cycle"),
        "compare": st.Page(compare.show, title="Compare", icon=":material/stacked_line_chart:", url_path="compare"),
        "stream": st.Page(stream.show_page, title="Stream", icon=":material/stream:", url_path="stream"),
    }
    remember_pages(pages)
    st.navigation(list(pages.values())).run()


if __name__ == "__main__":
    main()
