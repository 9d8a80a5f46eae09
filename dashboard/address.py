"""Choices that stand in the address of a page, so that whoever is sent it sees the same view.

Streamlit binds a widget to a query parameter but leaves the default out. What is chosen at first depends on the data,
so here it is no default: it is set once, and stands in the address like any other choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import streamlit as st

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BOUND: Final = "query-params"


def choose_one(label: str, options: Sequence[str], key: str, first: str, shown: Callable[[str], str] = str) -> str:
    """Let the visitor choose one of the options; the query parameter `key` holds it as it is shown."""
    named = {shown(option): option for option in options}
    if st.session_state.get(key) not in named and st.query_params.get(key) not in named:
        _begin_with(key, shown(first))
    chosen: str | None = st.selectbox(label, list(named), index=None, key=key, bind=BOUND)
    return first if chosen is None else named[chosen]


def choose_many(
    label: str, options: Sequence[str], key: str, first: Sequence[str], most: int | None = None
) -> list[str]:
    """Let the visitor choose any number of the options, at most `most`.

    None is a choice too, but one that the address cannot say: whoever opens it sees the first choice.
    """
    if key not in st.session_state and key not in st.query_params:
        _begin_with(key, list(first))
    return list(st.multiselect(label, options, key=key, bind=BOUND, max_selections=most))


def choose_whether(label: str, key: str, *, first: bool) -> bool:
    """Let the visitor switch something on or off."""
    return bool(st.toggle(label, value=first, key=key, bind=BOUND))


def _begin_with(key: str, value: str | list[str]) -> None:
    """Choose for the visitor who has not chosen yet; the widget would not write that into the address by itself."""
    st.session_state[key] = value
    st.query_params[key] = value
