"""A plugin of dbt-duckdb: lets dbt read the objects with the readings, where it builds in a file of a host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbt.adapters.duckdb.plugins import BasePlugin

from kernel.base.settings import Settings
from kernel.edges.duckdb_objects import unlock_objects
from refresh.landing_objects import list_objects

if TYPE_CHECKING:
    import duckdb


class Plugin(BasePlugin):
    """The plugin, as dbt-duckdb finds it by its name; the settings are in dbt's environment."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:  # noqa: ARG002
        """Read the settings."""
        self._settings = Settings()

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Give the connection the key to the object store."""
        unlock_objects(conn, self._settings)

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Let a cursor see the readings."""
        if self.creds is not None:
            list_objects(cursor, self._settings, Path(self.creds.path))
