"""The password of the pages, asked for by Streamlit without a browser."""

from __future__ import annotations

import sys

import pytest
from streamlit.testing.v1 import AppTest

SCRIPT = """
import streamlit as st
from dashboard.access import admits, ask
from kernel.base.settings import load_settings
if admits(load_settings()):
    st.text("inside")
else:
    ask(load_settings())
"""


@pytest.fixture
def visited(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr("dashboard.access.WRONG_SECONDS", 0.0)
    monkeypatch.setenv("DASHBOARD_PASSWORD", "open sesame")
    return AppTest.from_string(SCRIPT, default_timeout=30).run()


def enter(visited: AppTest, password: str) -> AppTest:
    visited.text_input[0].input(password)
    return visited.button[0].click().run()


def test_a_wrong_password_keeps_the_pages_closed(visited: AppTest) -> None:
    assert not visited.text
    for wrong in ("", "open", "open sesame "):
        enter(visited, wrong)
        assert not visited.text
    assert [error.value for error in visited.error] == ["That is not the password."]


def test_the_password_is_asked_for_once_a_session(visited: AppTest) -> None:
    enter(visited, "open sesame")
    assert [text.value for text in visited.text] == ["inside"]
    visited.run()
    assert [text.value for text in visited.text] == ["inside"]
    assert not visited.text_input


def test_another_password_closes_the_pages_again(visited: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(visited, "open sesame")
    monkeypatch.setenv("DASHBOARD_PASSWORD", "another one")
    visited.run()
    assert not visited.text


def test_without_a_password_the_pages_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setenv("DASHBOARD_PASSWORD", "")
    assert [text.value for text in AppTest.from_string(SCRIPT, default_timeout=30).run().text] == ["inside"]
