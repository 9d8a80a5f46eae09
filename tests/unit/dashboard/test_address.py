"""Choices that stand in an address, run by Streamlit without a browser: what is asked for and is not there."""

from __future__ import annotations

import sys

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.address import MOST_LETTERS, nearest

ONE = """
import streamlit as st
from dashboard.address import NotAmongError, choose_one, show_not_among
try:
    st.text(choose_one("Cell", {options}, "cell", {options}[0]))
except NotAmongError as error:
    show_not_among(error)
"""
MANY = """
import streamlit as st
from dashboard.address import NotAmongError, choose_many, show_not_among
try:
    st.text(",".join(choose_many("Cells", ["A_1", "A_2", "B_1"], "cells", ["A_1", "A_2"])))
except NotAmongError as error:
    show_not_among(error)
"""
OPTIONS = ["A_1", "A_2", "B_1"]


@pytest.fixture(autouse=True)
def _main_is_pytest_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit makes the script the main module of the process, which processes that others start would import."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


def run(script: str, **address: str | list[str]) -> AppTest:
    """A page's choices, drawn for the first time at an address."""
    drawn = AppTest.from_string(script, default_timeout=30)
    for key, value in address.items():
        drawn.query_params[key] = value
    return drawn.run()


def texts(drawn: AppTest) -> list[str]:
    return [text.value for text in drawn.text]


def one(**address: str) -> AppTest:
    return run(ONE.format(options=OPTIONS), **address)


def test_without_an_address_the_first_option_is_chosen_and_stands_in_the_address() -> None:
    drawn = one()
    assert texts(drawn) == ["A_1"]
    assert drawn.query_params["cell"] == "A_1"


def test_a_choice_that_is_not_there_is_named_and_no_other_one_is_taken() -> None:
    drawn = one(cell="B_7")
    assert texts(drawn) == []
    (said,) = drawn.warning
    assert "“B_7”, which the address asks for, is not among the choices of “Cell”" in said.value
    drawn.run()  # as when the page renews itself
    assert texts(drawn) == []
    assert "B_7" in drawn.warning[0].value


def test_one_of_those_offered_is_taken_by_its_button_and_the_message_is_gone() -> None:
    drawn = one(cell="b_1")
    assert [button.label for button in drawn.button] == ["B_1", "A_1", "A_2"]
    drawn.button[0].click().run()
    assert texts(drawn) == ["B_1"]
    assert not drawn.warning


def test_what_was_chosen_for_the_visitor_and_is_gone_is_replaced_without_a_word() -> None:
    script = (
        "import streamlit as st\nst.session_state.options = ['x', 'y'] if 'began' not in st.session_state else ['y']\n"
    ) + ONE.format(options="st.session_state.options")
    drawn = run(script)
    assert texts(drawn) == ["x"]
    drawn.session_state["began"] = True
    drawn.run()
    assert texts(drawn) == ["y"]
    assert not drawn.warning


def test_of_several_those_that_are_there_are_taken_and_the_others_named() -> None:
    drawn = run(MANY, cells=["A_2", "C_9"])
    assert texts(drawn) == ["A_2"]
    assert [caption.value for caption in drawn.caption] == [":orange[Not here, so not drawn: C_9.]"]
    drawn.multiselect[0].set_value(["A_2", "B_1"]).run()
    assert texts(drawn) == ["A_2,B_1"]
    assert not drawn.caption


def test_where_none_of_several_is_there_nothing_is_taken() -> None:
    drawn = run(MANY, cells=["C_9"])
    assert texts(drawn) == []
    assert "“C_9”" in drawn.warning[0].value
    drawn.button[2].click().run()
    assert texts(drawn) == ["B_1"]


def test_of_several_that_were_chosen_on_another_page_the_first_is_taken() -> None:
    drawn = AppTest.from_string(ONE.format(options=OPTIONS), default_timeout=30)
    drawn.session_state["cell"] = ["B_1", "A_2"]
    assert texts(drawn.run()) == ["B_1"]


def test_none_of_several_is_a_choice() -> None:
    drawn = run(MANY)
    drawn.multiselect[0].set_value([]).run()
    assert texts(drawn) == [""]
    assert not drawn.warning


def test_options_spelled_alike_are_offered_first() -> None:
    assert nearest(["cs2-35"], ["SIM_01", "CS2_34", "CS2_35"])[0] == "CS2_35"
    assert sorted(nearest(["zzz"], OPTIONS)) == OPTIONS


def test_what_a_very_long_address_asks_for_is_named_by_its_beginning() -> None:
    for script, name in ((ONE.format(options=OPTIONS), "cell"), (MANY, "cells")):
        drawn = run(script, **{name: "x" * 6_000})
        assert len(drawn.warning[0].value) < 300
        assert drawn.warning[0].value.startswith(f"“{'x' * MOST_LETTERS}…”, which the address asks for")
