"""Who may edit what is told of cells, and what a page says of when it stands in the tables."""

from __future__ import annotations

from typing import Literal

import pytest
import streamlit as st
from pydantic import SecretStr

from dashboard.cells.rights import when_in_tables, why_no_editing
from kernel.base.settings import Settings


@pytest.mark.parametrize(
    ("address", "password", "may"),
    [("127.0.0.1", None, True), ("0.0.0.0", None, False), ("0.0.0.0", "open sesame", True), ("", None, False)],  # noqa: S104
)
def test_who_may_drop_files_may_edit(
    monkeypatch: pytest.MonkeyPatch, address: str, password: str | None, *, may: bool
) -> None:
    monkeypatch.setattr(st, "get_option", {"server.address": address}.__getitem__)
    settings = Settings(dashboard_password=None if password is None else SecretStr(password))
    reason = why_no_editing(settings, has_broker=True)
    assert (reason is None) == may
    assert may or "set `DASHBOARD_PASSWORD`, or serve it at 127.0.0.1" in str(reason)


@pytest.mark.parametrize(
    ("launcher", "step"),
    [
        ("alone", "`battery up` starts one, or set"),
        ("up", "`battery up` starts one; it has"),
        ("compose", "docker compose"),
    ],
)
def test_without_a_broker_a_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, launcher: Literal["alone", "up", "compose"], step: str
) -> None:
    monkeypatch.setattr(st, "get_option", {"server.address": "127.0.0.1"}.__getitem__)
    settings = Settings(battery_launcher=launcher, kafka_bootstrap_servers="lab:9092")
    reason = why_no_editing(settings, has_broker=False)
    assert reason is not None
    assert step in reason
    assert "no broker answers at `lab:9092`" in reason


def test_when_it_stands_in_the_tables_depends_on_how_the_pipeline_was_started() -> None:
    assert "`battery transform` at once" in when_in_tables(Settings())
    assert "within seconds" in when_in_tables(Settings(battery_launcher="up"))
    assert "docker compose run --rm producer transform" in when_in_tables(Settings(battery_launcher="compose"))
