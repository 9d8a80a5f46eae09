"""A warehouse that is a database of the MotherDuck service, which many may use at once."""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import duckdb

from kernel.base.errors import BatteryError
from kernel.base.warehouse_address import MotherDuckAddress
from kernel.edges.duckdb_objects import load_extension

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from pydantic import SecretStr

MOTHERDUCK_HOST: Final = "api.motherduck.com"
NETWORK_SECONDS: Final = 5.0


class MotherDuck:
    """A MotherDuck database; many may use it at once, so one connection is kept."""

    def __init__(self, database: str, token: SecretStr | None) -> None:
        self._database = database
        self._token = token
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._attaching = threading.Lock()

    @contextmanager
    def connect(self, purpose: str, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend a cursor of the one connection; one that has failed is not used again."""
        with self._attaching:
            if self._connection is None:
                self._connection = self._attach(purpose, create=not read_only)
            connection = self._connection
        try:
            with connection.cursor() as cursor:
                cursor.execute(f'use "{self._database}"')
                yield cursor
        except duckdb.Error:
            with self._attaching:
                if self._connection is connection:
                    self._connection = None
            raise

    def judge(self, purpose: str) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Lend a cursor to change it."""
        return self.connect(purpose)

    def _attach(self, purpose: str, *, create: bool) -> duckdb.DuckDBPyConnection:
        token = self._token.get_secret_value() if self._token else ""
        _require_token(token)
        _require_network(purpose)
        connection = duckdb.connect()
        try:
            load_extension(connection, "motherduck")
            connection.execute(f"set motherduck_token = '{token.replace(chr(39), chr(39) * 2)}'")
            connection.execute(f"attach '{MotherDuckAddress.PREFIX}'")
            if create:
                connection.execute(f'create database if not exists "{self._database}"')
        except duckdb.Error as error:
            reason = str(error).splitlines()[0].replace(token, "***") if token else str(error).splitlines()[0]
            raise BatteryError(f"cannot reach MotherDuck to {purpose}: {reason}") from None
        return connection


def _require_token(token: str) -> None:
    """Check a token without the network; MotherDuck itself checks the rest.

    Raises:
        BatteryError: it holds characters that no token has, or it has expired.
    """
    if not token.isascii() or any(letter.isspace() or letter in "'\"" for letter in token):
        raise BatteryError("MOTHERDUCK_TOKEN holds quotes, spaces or letters that are in no token; copy it again")
    expires = _expiry(token)
    if expires is not None and expires < time.time():
        when = datetime.fromtimestamp(expires, UTC).date()
        raise BatteryError(f"MOTHERDUCK_TOKEN expired on {when}; make a new one in the MotherDuck settings")


def _expiry(token: str) -> float | None:
    """When a token expires, in s since 1970 UTC; None where it does not say. It is a JSON Web Token (RFC 7519)."""
    try:
        _, body, _ = token.split(".")
        expires = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"]
    except (ValueError, KeyError, TypeError):
        return None
    return float(expires) if isinstance(expires, int | float) else None


def _require_network(purpose: str) -> None:
    """Connect to the service's port first: DuckDB's extension takes half a minute to report that it cannot.

    Raises:
        BatteryError: nothing answers there.
    """
    if any(name.lower() in {"https_proxy", "all_proxy"} for name in os.environ):
        return  # a proxy makes the connection; only the extension knows how to use it
    try:
        socket.create_connection((MOTHERDUCK_HOST, 443), timeout=NETWORK_SECONDS).close()
    except OSError as error:
        raise BatteryError(
            f"cannot reach MotherDuck to {purpose}: {MOTHERDUCK_HOST} does not answer ({error.strerror or error}); "
            "is this machine online?"
        ) from None
