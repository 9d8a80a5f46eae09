"""The catalog: which Iceberg tables there are, and which state of each is the newest.

ICEBERG_CATALOG says where it is: `sql` for the database of the warehouse, or `http://…` for a REST catalog.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError, RESTError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from kernel.base.errors import BatteryError
from kernel.base.extras import missing_extra
from kernel.base.masking import mask_urls
from refresh.iceberg.files import storage_properties

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

    from kernel.base.settings import Settings

NAME: Final = "battery"
"""The catalog's own name, which a catalog in a SQL database keeps with each table: engines must say it, too."""

SQLITE_SECONDS: Final = 60
"""How long to wait for another process that writes to a catalog in SQLite, in s."""

_POSTGRES: Final = ("postgresql://", "postgres://")


def catalog_place(settings: Settings) -> str:
    """Where the catalog is, as a URL without a password."""
    if settings.iceberg_catalog is not None and settings.iceberg_catalog.startswith("http"):
        return settings.iceberg_catalog
    address = settings.warehouse_address
    if address.text.startswith(_POSTGRES):
        return f"postgresql+psycopg://{address.text.partition('://')[2]}"
    return f"sqlite:///{address.work_folder / Path(address.name).stem}.iceberg.sqlite"


def open_catalog(settings: Settings) -> Catalog:
    """The catalog, with the namespace in it; both are made where they are missing.

    Raises:
        BatteryError: it cannot be reached, or an extra that it needs is not installed.
    """
    logging.getLogger("pyiceberg").setLevel(logging.ERROR)  # it tells of each file, and of each column of an empty one
    place = catalog_place(settings)
    with reported(f"the Iceberg catalog {mask_urls(place)} cannot be used"):
        catalog = _rest(place, settings) if place.startswith("http") else _sql(place, settings)
        _make_namespace(catalog, settings.iceberg_namespace)
    return catalog


def _sql(place: str, settings: Settings) -> Catalog:
    url = make_url(place)
    if url.drivername == "sqlite":
        url = url.update_query_dict({"timeout": str(SQLITE_SECONDS)})
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    elif find_spec("psycopg") is None:
        raise missing_extra("an Iceberg catalog in PostgreSQL", "postgres")
    elif settings.warehouse_password is not None:
        url = url.set(password=settings.warehouse_password.get_secret_value())
    properties = {"uri": url.render_as_string(hide_password=False), **storage_properties(settings)}
    try:
        return SqlCatalog(NAME, **properties)
    except SQLAlchemyError:  # two at once make the tables of the catalog: the second one finds them now
        return SqlCatalog(NAME, **properties)


def _rest(place: str, settings: Settings) -> Catalog:
    properties = {"uri": place, **storage_properties(settings)}
    if settings.iceberg_warehouse:
        properties["warehouse"] = settings.iceberg_warehouse
    secrets = {"token": settings.iceberg_token, "credential": settings.iceberg_credential}
    properties |= {name: secret.get_secret_value() for name, secret in secrets.items() if secret is not None}
    return RestCatalog(NAME, **properties)


def _make_namespace(catalog: Catalog, namespace: str) -> None:
    if catalog.namespace_exists(namespace):
        return
    with suppress(Exception):  # another publisher may make it at the same time, which each catalog tells in its own way
        catalog.create_namespace(namespace)
    if not catalog.namespace_exists(namespace):
        catalog.create_namespace(namespace)


def load_table(catalog: Catalog, namespace: str, name: str) -> Table | None:
    """A table of the catalog in its newest state; None where there is none."""
    try:
        return catalog.load_table((namespace, name))
    except NoSuchTableError:
        return None


@contextmanager
def reported(what: str) -> Iterator[None]:
    """Raise as one line what goes wrong in pyiceberg and below it.

    Raises:
        BatteryError: `what`, and why.
    """
    try:
        yield
    except (RESTError, NoSuchNamespaceError, NoSuchTableError, SQLAlchemyError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BatteryError(mask_urls(f"{what}: {reason}")) from error
