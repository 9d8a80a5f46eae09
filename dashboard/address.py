"""Choices that stand in the address of a page, so that whoever is sent it sees the same view.

Streamlit binds a widget to a query parameter but leaves the default out. What is chosen at first depends on the data,
so here it is no default: it is set once, and stands in the address like any other choice.

An address may ask for what is not here, such as a cell of another laboratory. Streamlit drops that from the address.
It is kept in the session and said until the visitor chooses something else, and nothing is drawn in its place.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from dashboard.escaping import literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BOUND: Final = "query-params"

MOST_OFFERED: Final = 12
"""How many options a message offers; the box above it has all."""

MOST_LETTERS: Final = 60
"""Letters of a text from an address that a message shows."""

_ASKED: Final = "asked for and not there"
_BEGUN: Final = "chosen for the visitor"
_PAGE: Final = "page of these choices"


class NotAmongError(Exception):
    """The address asks for what is not among the options; nothing is chosen, so no figures are to be drawn.

    `key` is the query parameter, `asked` are its unknown values, and `offered` the options, those like it first.
    """

    def __init__(self, label: str, key: str, asked: Sequence[str], options: Sequence[str], *, is_many: bool) -> None:
        super().__init__(f"{label}: {', '.join(asked)}")
        self.label = label
        self.key = key
        self.asked = tuple(asked)
        self.offered = nearest(asked, options)
        self.is_many = is_many


def nearest(asked: Sequence[str], options: Sequence[str]) -> list[str]:
    """All options, those first whose spelling is close to what was asked for.

    >>> nearest(["sim_2"], ["SIM_01", "SIM_02", "CS2_35"])
    ['SIM_02', 'SIM_01', 'CS2_35']
    """
    small: dict[str, list[str]] = {}
    for option in options:
        small.setdefault(option.casefold(), []).append(option)
    close = [
        option
        for one in asked
        for match in get_close_matches(one.casefold(), list(small), n=3)
        for option in small[match]
    ]
    return list(dict.fromkeys([*close, *options]))


def begin_page(name: str) -> None:
    """Forget what an address asked for in vain once the visitor is on another page."""
    if st.session_state.get(_PAGE) != name:
        st.session_state[_PAGE] = name
        st.session_state.pop(_ASKED, None)


def choose_one(label: str, options: Sequence[str], key: str, first: str, shown: Callable[[str], str] = str) -> str:
    """Let the visitor choose one of the options; the query parameter `key` holds it as it is shown.

    Raises:
        NotAmongError: the address asks for another one, and the visitor has not chosen since.
    """
    named = {shown(option): option for option in options}
    if isinstance(st.session_state.get(key), list):  # another page lets the visitor choose several
        several = st.session_state.pop(key)
        if several:
            st.session_state[key] = several[0]
    wanted = st.session_state.get(key, st.query_params.get(key))
    if wanted is not None and wanted not in named and wanted != _memory(_BEGUN).get(key):
        _memory(_ASKED)[key] = [str(wanted)]
        st.session_state.pop(key, None)
    asked = _memory(_ASKED).get(key)
    if asked is None and wanted not in named:
        _memory(_BEGUN)[key] = shown(first)
        _begin_with(key, shown(first))
    chosen: str | None = st.selectbox(label, list(named), index=None, key=key, bind=BOUND, placeholder="choose one")
    if chosen is not None:
        _memory(_ASKED).pop(key, None)
        return named[chosen]
    if asked is not None:
        raise NotAmongError(label, key, asked, list(named), is_many=False)
    return first


def choose_many(
    label: str, options: Sequence[str], key: str, first: Sequence[str], most: int | None = None
) -> list[str]:
    """Let the visitor choose any number of the options, at most `most`.

    None is a choice too, but one that the address cannot say: whoever opens it sees the first choice. Where the address
    asks for some that are there and some that are not, a line says which are not.

    Raises:
        NotAmongError: the address asks for others only, and the visitor has not chosen since.
    """
    if key not in st.session_state and key not in st.query_params:
        _begin_with(key, list(first))
    wanted = st.session_state[key] if key in st.session_state else st.query_params.get_all(key)
    absent = [one for one in wanted if one not in options]
    if absent:
        _memory(_ASKED)[key] = absent
        if key in st.session_state:
            st.session_state[key] = [one for one in wanted if one in options]
    asked = _memory(_ASKED).get(key)
    chosen = list(
        st.multiselect(label, options, key=key, bind=BOUND, max_selections=most, on_change=_forget, args=(key,))
    )
    if asked is not None:
        if not chosen:
            raise NotAmongError(label, key, asked, list(options), is_many=True)
        st.caption(f":orange[Not here, so not drawn: {literal(', '.join(map(shorten, asked[:MOST_OFFERED])))}.]")
    return chosen


def choose_whether(label: str, key: str, *, first: bool) -> bool:
    """Let the visitor switch something on or off."""
    return bool(st.toggle(label, value=first, key=key, bind=BOUND))


def show_not_among(error: NotAmongError) -> None:
    """Say what the address asks for and is not here, and offer what is, the most alike first."""
    label = error.label.partition(" (")[0]
    asked = ", ".join(f"“{literal(shorten(one))}”" for one in error.asked[:MOST_OFFERED])
    more = len(error.offered) - MOST_OFFERED
    st.warning(
        f"{asked}, which the address asks for, is not among the choices of “{literal(label)}”, so nothing is drawn. "
        + ("Choose above, or one of these:" if error.offered else "There is nothing to choose from yet."),
        icon=":material/link_off:",
    )
    with st.container(horizontal=True, gap="small"):
        for option in error.offered[:MOST_OFFERED]:
            st.button(
                literal(option), key=f"instead-{error.key}-{option}", on_click=_choose_instead,
                args=(error.key, [option] if error.is_many else option),
            )  # fmt: skip
    if more > 0:
        st.caption(f"and {more:,} more in the box above")


def shorten(text: str) -> str:
    """A text from an address as long as a line has room for."""
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}…"


def _choose_instead(key: str, value: str | list[str]) -> None:
    _forget(key)
    st.session_state[key] = value


def _forget(key: str) -> None:
    _memory(_ASKED).pop(key, None)


def _memory(name: str) -> dict[str, Any]:
    """What the session keeps under a name."""
    kept: dict[str, Any] = st.session_state.setdefault(name, {})
    return kept


def _begin_with(key: str, value: str | list[str]) -> None:
    """Choose for the visitor who has not chosen yet; the widget would not write that into the address by itself.

    Once it is drawn it does, and nobody else may.
    """
    is_drawn = key in st.session_state
    st.session_state[key] = value
    if not is_drawn:
        st.query_params[key] = value
