"""What all pages share: cached looks, the frame of a page with its messages, charts and downloads."""

from __future__ import annotations

import io
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import streamlit as st

from dashboard.address import NotAmongError, show_not_among
from dashboard.escaping import literal, spreadsheet_safe
from dashboard.landing import look_at_news
from dashboard.look_cache import Look, LookCache
from dashboard.next_steps import next_step
from kernel.base.errors import BatteryError
from kernel.base.settings import load_settings
from producer.inbox_state import read_inbox
from refresh.marts import NothingYetError
from refresh.publication import Publication, RepublishedError, open_publication
from sink.care.overview import LOOK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    import plotly.graph_objects as go
    import pyarrow as pa
    from streamlit.delta_generator import DeltaGenerator
    from streamlit.elements.plotly_chart import PlotlyState

    from kernel.base.settings import Settings
    from refresh.marts import MartsVersion

T = TypeVar("T")

FRESH_SECONDS: Final = 10.0
"""How long a look is shown to later visitors before the next one is made, s."""

PRODUCT: Final = "Battery degradation"
"""The name of the product in the browser's tab, where there is little room."""

ICON: Final = Path(__file__).with_name("icon.svg")  # for one of Streamlit's, browsers would ask a server of fonts

LOGO: Final = Path(__file__).with_name("logo.svg")

RENEW_SECONDS: Final = 5.0
"""How often an open page looks whether something newer has been published, s; all visitors share the look."""

_TITLE: Final = "place of the title"
_RENEWED: Final = "when the page was renewed"
_EMPTY: Final = "publication that was seen"

STYLE: Final = """
<style>
[data-testid=stMainBlockContainer] { padding-top: 3.5rem; padding-bottom: 2rem; }
.st-key-head h1 { font-size: 1.5rem; padding: 0 0 0.2rem; }
[data-testid=stMainBlockContainer] [data-testid=stHeading] h3 { font-size: 1.15rem; padding: 0.25rem 0; }
.st-key-head { row-gap: 0; }
.st-key-key-figures { row-gap: 0.25rem; }
.st-key-choices > div { flex: 1 1 8.5rem; min-width: 8.5rem; }
.st-key-choices > .st-key-groups { flex-basis: 11.5rem; min-width: 11.5rem; }
[data-testid=stMetricLabel] { min-height: 0; }
@media (max-width: 640px) {
  [data-testid=stMainBlockContainer] { padding-left: 1rem; padding-right: 1rem; }
  .st-key-key-figures { flex-wrap: nowrap; overflow-x: auto; }
  .st-key-key-figures > div { flex: none; }
}
</style>
"""
"""A small head, and on a phone key figures in one line that scrolls, so that the first screen shows a chart."""

UNKNOWN: Final = "-"
"""Shown where there is no value."""

CALCE_CELLS: Final = ("CS2_", "CX2_")
"""How the names of the cells begin that `CITATION` is about."""

CITATION: Final = (
    "CS2 and CX2 cells: CALCE Battery Research Group, University of Maryland; cite it wherever you show them."
)


@st.cache_resource
def _look_cache() -> LookCache:
    """The latest looks of this server."""
    return LookCache()


def look(what: Hashable, make: Callable[[], T], fresh_seconds: float | None = None) -> Look[T]:
    """Look, or reuse what another visitor saw a moment ago; a slow look shows a spinner.

    Raises:
        BatteryError: looking failed, and there is no earlier look.
    """
    with st.spinner("looking"):
        return _look_cache().look(what, make, FRESH_SECONDS if fresh_seconds is None else fresh_seconds)


@st.cache_resource(max_entries=4)
def _place(settings: Settings) -> Publication:
    """Where the publications are; it holds no table."""
    return open_publication(settings, lock_seconds=LOOK_SECONDS)


@st.cache_resource(max_entries=2)
def _publication(settings: Settings, name: str, _version: MartsVersion) -> Publication:  # noqa: ARG001  # the cache's key
    """A publication with the tables that were read of it, for all visitors."""
    return _place(settings).at(_version)


@st.cache_resource(max_entries=64, show_spinner="reading the figures")
def _table(settings: Settings, publication: str, name: str, _version: MartsVersion) -> pa.Table:
    return _publication(settings, publication, _version).table(name)


class Published:
    """The tables of the newest publication, as one page's run sees them."""

    def __init__(self, settings: Settings, seen: Look[MartsVersion]) -> None:
        self._settings = settings
        self.seen = seen

    def table(self, name: str) -> pa.Table:
        """One of its tables.

        Raises:
            RepublishedError: it was not read before the next publication.
            BatteryError: it cannot be read.
        """
        return _table(self._settings, self.seen.value.name, name, self.seen.value)

    def readings(self, cell: str, cycles: Sequence[tuple[str, int]]) -> pa.Table:
        """The readings of some cycles of a cell, each named by its test and its number within it, in their order.

        They are those that the last publication has left in the object store. Where it has not got as far as the marts
        yet, the warehouse is asked.

        Raises:
            BatteryError: the store does not answer, or the warehouse cannot be looked at.
        """
        return _place(self._settings).readings_by_test(cell, cycles)


def head(title: str) -> DeltaGenerator:
    """Draw the head of a page: the product's name, the title, and beside it a place for a muted line.

    Returns:
        The place for the line.
    """
    st.logo(str(LOGO), size="large", icon_image=str(LOGO))
    st.html(STYLE)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="head"):
        st.session_state[_TITLE] = st.empty()
        aside = st.container(width="stretch")
    retitle(title)
    return aside


def retitle(title: str) -> None:
    """Call the page, and the browser's tab, by another title, such as `Cell CS2_35`; once its head is drawn."""
    name_tab(title)
    st.session_state[_TITLE].title(literal(title), anchor=False, width="content")


def name_tab(subject: str = "") -> None:
    """Name the browser's tab after what the page shows, such as `Cell CS2_35`."""
    st.set_page_config(page_title=f"{subject} · {PRODUCT}" if subject else PRODUCT, page_icon=str(ICON), layout="wide")


def show(title: str, body: Callable[[Settings], None]) -> None:
    """Draw a page: its title and its body, or the error that prevents it and what to do about it."""
    _show(title, lambda settings, _: body(settings))


def _show(title: str, body: Callable[[Settings, DeltaGenerator], None]) -> None:
    aside = head(title)
    settings = None
    try:
        settings = load_settings()
        body(settings, aside)
    except NotAmongError as error:
        show_not_among(error)
    except NothingYetError as nothing:
        show_nothing_yet(str(nothing), settings)
    except BatteryError as error:
        st.error(literal(str(error)), icon=":material/error:")


def show_nothing_yet(what: str, settings: Settings | None) -> None:
    """Say that there is nothing to show yet and what to do next, and renew the page once there is something."""
    if settings is None:
        st.info(literal(what), icon=":material/hourglass_empty:")
        return
    st.info(f"{literal(what)}  \n{next_step(settings, read_inbox(settings))}", icon=":material/hourglass_empty:")
    st.fragment(_renew_at_first, run_every=RENEW_SECONDS)(settings)


def show_marts(title: str, body: Callable[[Settings, Published], None]) -> None:
    """Draw a page of what was published last; it renews itself when something newer is."""

    def of_marts(settings: Settings, aside: DeltaGenerator) -> None:
        try:
            with st.spinner("looking"):
                seen = _newest(settings, FRESH_SECONDS)
        except NothingYetError:
            raise NothingYetError("No figures have been published yet.") from None
        published = Published(settings, seen)
        try:
            if not published.table("battery_cells").num_rows:
                raise NothingYetError("No cell has been published yet.")
            body(settings, published)
            if any(cell.startswith(CALCE_CELLS) for cell in published.table("battery_cells")["cell_id"].to_pylist()):
                st.caption(CITATION)
        except RepublishedError:  # a warehouse that admits readers holds the newest publication alone
            _look_cache().expire(("marts", settings))
            st.rerun()
        finally:
            with aside:  # drawn last, since it may have to wait for the warehouse
                st.fragment(_show_age, run_every=RENEW_SECONDS)(settings, seen)

    _show(title, of_marts)


def _newest(settings: Settings, fresh_seconds: float) -> Look[MartsVersion]:
    """The newest publication, shared by all visitors."""
    return _look_cache().look(("marts", settings), lambda: _place(settings).newest(), fresh_seconds)


def published_now(settings: Settings) -> Published:
    """The newest publication, as this server saw it a moment ago.

    Raises:
        NothingYetError: nothing has been published yet.
        BatteryError: it cannot be read.
    """
    return Published(settings, _newest(settings, RENEW_SECONDS - 1))


def _renew_at_first(settings: Settings) -> None:
    """Draw the page again once something has been published."""
    try:
        newest = _newest(settings, RENEW_SECONDS - 1)
    except BatteryError:
        return
    if newest.value.name != st.session_state.get(_EMPTY):
        st.session_state[_EMPTY] = newest.value.name  # once: it may have no cells
        st.rerun()


def _show_age(settings: Settings, seen: Look[MartsVersion]) -> None:
    """Say in one muted line how old the figures are; draw the page again where there are newer ones."""
    with suppress(BatteryError):
        newest = _newest(settings, RENEW_SECONDS - 1)
        if newest.value.name != seen.value.name:
            st.session_state[_RENEWED] = datetime.now(UTC)
            st.rerun()
        seen = newest
    said, why = [], []
    at = seen.value.published_at
    if at is not None:
        age = lasting((datetime.now(UTC).replace(tzinfo=None) - at).total_seconds())
        said.append(f"figures of {age} ago")
        why.append(f"Published {at:%Y-%m-%d %H:%M:%S} UTC.")
    renewed = st.session_state.get(_RENEWED)
    if renewed is not None:
        said.append(f"renewed at {renewed:%H:%M:%S} UTC")
    if seen.complaint:
        said.append(f":orange[newer ones cannot be read since {seen.at:%H:%M:%S} UTC: {literal(seen.complaint)}]")
    try:
        landed = _look_cache().look(("news", settings), lambda: look_at_news(settings), FRESH_SECONDS)
    except BatteryError as error:
        said.append("unknown whether more has landed since")
        why.append(literal(str(error)))
    else:
        if landed.value:
            said.append(news_in_words(landed.value))
            why.append(f"{literal(landed.value)}. The hourly refresh does it, or `battery transform` at once.")
    if said:
        line = " · ".join(said)
        st.caption(line[0].upper() + line[1:], help="  \n".join(why) or None)


def news_in_words(news: str) -> str:
    """What `look_at_news` found in a few words: new readings, or other rules for those that are there.

    >>> news_in_words("landed: 12; published: 11")
    'more has landed since'
    """
    return "more has landed since" if news.startswith("landed") else "a refresh is due"


def lasting(seconds: float) -> str:
    """A duration in the largest unit of which it has at least two."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} s"


def key_figures(figures: Mapping[str, str]) -> None:
    """Draw key figures with their labels side by side, as far as there is room."""
    with st.container(horizontal=True, gap="medium", key="key-figures"):
        for label, figure in figures.items():
            st.metric(label, figure, width="content")


def choices(name: str = "choices") -> DeltaGenerator:
    """A place for the boxes of choices above a chart: side by side, on a phone two in a row.

    Args:
        name: another one for each further place on a page.
    """
    return st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=name)


def chart(figure: go.Figure, name: str, alt: str, *, selectable: bool = False) -> list[dict[str, Any]]:
    """Draw a figure; the camera among its buttons saves it as `name`.png.

    Args:
        figure: to draw.
        name: of its element and of its picture.
        alt: what it shows, for those who cannot see it.
        selectable: whether a visitor can choose a point of it.

    Returns:
        The points that the visitor has chosen.
    """
    drawn = st.plotly_chart(
        figure,
        on_select="rerun" if selectable else "ignore",
        selection_mode="points",
        key=f"chart-{name}",
        alt=alt,
        config={
            "displaylogo": False,
            "displayModeBar": True,
            "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
            "toImageButtonOptions": {"format": "png", "filename": name, "scale": 2},
        },
    )
    return [dict(point) for point in cast("PlotlyState", drawn)["selection"]["points"]] if selectable else []


def downloads(table: pa.Table, name: str) -> None:
    """Offer a table as CSV, safe to open in a spreadsheet, and as Parquet; each is made on demand."""

    def as_csv() -> bytes:
        buffer = io.BytesIO()
        pa_csv.write_csv(spreadsheet_safe(table), buffer)
        return buffer.getvalue()

    def as_parquet() -> bytes:
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        return buffer.getvalue()

    with st.container(horizontal=True):
        st.download_button(
            "CSV", as_csv, f"{name}.csv", "text/csv", key=f"csv-{name}", on_click="ignore", icon=":material/download:"
        )
        st.download_button(
            "Parquet", as_parquet, f"{name}.parquet", "application/vnd.apache.parquet", key=f"parquet-{name}",
            on_click="ignore", icon=":material/download:",
        )  # fmt: skip
