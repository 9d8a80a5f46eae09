"""MotherDuck without the service: what every warehouse does, and how it says that it cannot be reached."""

from __future__ import annotations

import base64
import json
import socket
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from pydantic import SecretStr
from support.warehouse_contract import (  # noqa: F401  # what every kind does
    test_a_broken_key_and_a_table_that_is_missing_are_told_apart,
    test_a_change_answers_with_the_number_of_its_rows,
    test_a_connection_that_failed_leaves_the_warehouse_usable,
    test_a_transaction_is_all_or_nothing,
    test_names_without_a_schema_are_those_of_the_schema_main,
    test_tables_are_made_once,
    test_the_internal_tables_of_the_release_before_move_to_their_schema,
    test_views_of_main_read_what_is_internal_over_any_connection,
    test_what_a_transaction_wrote_is_there_for_the_next_connection,
)

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.edges.warehouse import MotherDuck, open_warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class LocalMotherDuck(MotherDuck):
    """MotherDuck with a local file in place of the service, attached under the name of the database."""

    def __init__(self, folder: Path) -> None:
        super().__init__("battery_db", SecretStr("hush"))
        self._folder = folder

    def _attach(self, purpose: str, *, create: bool) -> duckdb.DuckDBPyConnection:  # noqa: ARG002
        connection = duckdb.connect()
        connection.execute(f"attach '{self._folder / 'service.duckdb'}' as battery_db")
        return connection


@pytest.fixture
def warehouse(tmp_path: Path) -> MotherDuck:
    return LocalMotherDuck(tmp_path)


def token(**claims: Any) -> str:
    """A token as MotherDuck makes them; its signature is anything."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "x"}, claims)
    ]
    return ".".join([*parts, "hush"])


def attach(value: str) -> None:
    settings = Settings(warehouse="md:battery_db", motherduck_token=SecretStr(value))
    with open_warehouse(settings).connect("commit"):
        pass


@pytest.fixture
def never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("kernel.edges.warehouses.motherduck.socket.create_connection", ask)


@pytest.mark.usefixtures("never_asked")
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("hush one", "MOTHERDUCK_TOKEN holds quotes, spaces"),
        ("'hush'", "MOTHERDUCK_TOKEN holds quotes, spaces"),
        (token(exp=1_700_000_000), "MOTHERDUCK_TOKEN expired on 2023-11-14; make a new one"),
    ],
)
def test_a_token_that_cannot_be_good_is_told_without_the_network_and_is_not_shown(value: str, said: str) -> None:
    with pytest.raises(BatteryError, match=said) as caught:
        attach(value)
    assert "hush" not in str(caught.value)


def refused(*_: Any, **__: Any) -> None:
    raise ConnectionRefusedError(111, "Connection refused")


def unresolved(*_: Any, **__: Any) -> None:
    raise socket.gaierror(-3, "Temporary failure in name resolution")


@pytest.mark.parametrize("failure", [refused, unresolved])
@pytest.mark.parametrize("value", ["no-json-web-token", token(exp=9_999_999_999), token(readOnly=False)])
def test_a_machine_without_a_network_is_one_line_before_any_extension_is_loaded(
    monkeypatch: pytest.MonkeyPatch, failure: Callable[..., None], value: str
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("kernel.edges.warehouses.motherduck.socket.create_connection", failure)
    with pytest.raises(
        BatteryError, match=r"cannot reach MotherDuck to commit: api\.motherduck\.com does not"
    ) as caught:
        attach(value)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)
