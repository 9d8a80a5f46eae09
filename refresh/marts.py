"""The published marts, read as the tables of one publication, without holding a warehouse that others need.

A DuckDB file has one user at a time, so its marts are read from the Parquet objects that `marts/manifest.json` names.
MotherDuck admits any number of readers and is read itself.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

import duckdb

from kernel.base.errors import BatteryError
from refresh.dbt import PUBLISHED
from refresh.export import MANIFEST, MARTS, PRESENT
from sink.layout import INTERNAL
from sink.parquet import DamagedObjectError, read_rows
from sink.tables import NoTablesError, require_tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse

_MARKS: Final = f"""
    select model, version from {INTERNAL}._refreshed where model in ('_watermark', '_inputs') order by model
"""  # noqa: S608  # names come from this module alone


class NothingYetError(BatteryError):
    """There is nothing to show yet, which is no fault; the message says what to do."""


@dataclass(frozen=True)
class MartsVersion:
    """The marts of one publication: its id, its time (UTC), and the object or table that holds each mart, by name.

    Marts that a later version of the pipeline added are not among them.
    """

    name: str
    published_at: datetime | None
    places: Mapping[str, str]


class Marts(Protocol):
    """A place from which the published marts are read.

    `keeps_earlier` says whether a table of a publication can still be read after the next one.
    """

    keeps_earlier: bool

    def newest(self) -> MartsVersion:
        """The newest publication.

        Raises:
            NothingYetError: there is none.
            BatteryError: the marts cannot be reached.
        """
        ...

    def table(self, publication: MartsVersion, name: str) -> pa.Table:
        """One table of a publication, sorted by its columns from left to right.

        Raises:
            BatteryError: it cannot be read.
        """
        ...


def nothing_published() -> NothingYetError:
    """The error that says what to do before the first publication."""
    return NothingYetError(
        "no figures have been published yet; `battery transform` builds and publishes them from what has landed"
    )


class ExportedMarts:
    """The Parquet objects that each publication exports."""

    keeps_earlier = True

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def newest(self) -> MartsVersion:
        """What the manifest names."""
        if not any(found.key == MANIFEST for found in self._store.list(MANIFEST)):
            raise nothing_published()
        try:
            manifest = json.loads(self._store.get(MANIFEST))
            return MartsVersion(
                manifest["folder"],
                datetime.fromisoformat(manifest["published_at"]).astimezone(UTC).replace(tzinfo=None),
                {name: found["key"] for name, found in manifest["tables"].items()},
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BatteryError(f"{MANIFEST} is damaged ({error}); `battery publish` writes it again") from None

    def table(self, publication: MartsVersion, name: str) -> pa.Table:
        """Read one object."""
        try:
            key = publication.places[name]
        except KeyError:
            raise BatteryError(f"{MANIFEST} names no {name}: `battery publish` exports the marts again") from None
        try:
            return read_rows(self._store.get(key), key)
        except DamagedObjectError as error:
            raise BatteryError(f"{error}; `battery publish` exports the marts again") from None


class WarehouseMarts:
    """The tables that readers of the warehouse see."""

    keeps_earlier = False

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def newest(self) -> MartsVersion:
        """What the marks of the published models say."""
        with self._warehouse.connect("look at the marts", read_only=True) as connection:
            try:
                marks = connection.execute(_MARKS).fetchall()
                names = {name for (name,) in connection.execute(PRESENT).fetchall()}
                built = connection.execute(
                    "select max(started_at + to_microseconds((seconds * 1e6)::bigint)) "
                    "from internal._dbt_runs where audited"
                ).fetchone()
            except duckdb.CatalogException:
                with suppress(NoTablesError):
                    require_tables(connection)  # what another release has made is another thing than nothing
                raise nothing_published() from None
        if not marks:
            raise nothing_published()
        places = {name: f"{PUBLISHED}.{name}" for name in MARTS if name in names}
        return MartsVersion(repr(marks), built[0] if built else None, places)

    def table(self, publication: MartsVersion, name: str) -> pa.Table:
        """Read one table."""
        if name not in publication.places:
            raise BatteryError(f"there is no {name} among the published models; `battery transform` builds it")
        with self._warehouse.connect("look at the marts", read_only=True) as connection:
            try:
                return connection.sql(f"from {publication.places[name]} order by all").to_arrow_table()
            except duckdb.Error as error:
                raise BatteryError(f"cannot read {name}: {str(error).splitlines()[0]}") from None
