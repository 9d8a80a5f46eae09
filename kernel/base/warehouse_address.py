"""What the setting WAREHOUSE means: which kind of warehouse it names, and what follows from the kind alone.

Nothing is opened here, so the settings can be checked before DuckDB is imported. `kernel.edges.warehouse` opens what an
address names. A further kind is one more class here, its warehouse in `kernel/edges/warehouses`, and a target in
`dbt_project/profiles.yml`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEMAS: Final = frozenset({"main", "internal", "building"})
"""Schemas of the pipeline. DuckDB could not tell a database of the same name from them."""

_KINDS: Final = "the path of a DuckDB file, md:DATABASE or postgresql://HOST/DATABASE"


@dataclass(frozen=True)
class WarehouseAddress(ABC):
    """The address of a warehouse; `text` is the setting WAREHOUSE, which never holds a secret.

    `dbt_target` is the target of `dbt_project/profiles.yml` that connects to this kind. `admits_readers` tells whether
    others can read while a process writes, and `lands_side_by_side` whether commits of one run do not wait for each
    other. `holds_models` tells whether dbt's models are in it; else each host that
    builds them has a DuckDB file for them, and readers find them in the OBJECT_STORE. `required_settings` are the
    settings that this kind needs beside its address, each with what to do where it is missing.
    """

    text: str
    dbt_target: ClassVar[str]
    admits_readers: ClassVar[bool]
    lands_side_by_side: ClassVar[bool] = False
    holds_models: ClassVar[bool] = True
    required_settings: ClassVar[Mapping[str, str]] = {}

    @property
    @abstractmethod
    def file(self) -> Path | None:
        """The file that holds the warehouse, absolute; None where it is a service."""

    @property
    def name(self) -> str:
        """What tells it from other warehouses that have the same work folder."""
        return self.database if self.file is None else self.file.name

    @property
    @abstractmethod
    def database(self) -> str:
        """The name that the database has in SQL."""

    @property
    @abstractmethod
    def dbt_path(self) -> str:
        """How dbt names it, whatever folder dbt works in."""

    @property
    @abstractmethod
    def work_folder(self) -> Path:
        """The folder for files that belong to the warehouse, such as those of dbt; absolute."""

    @abstractmethod
    def require_usable(self) -> None:
        """Check the address by itself.

        Raises:
            ValueError: no warehouse of this kind can have it; says what it must be.
        """


class FileAddress(WarehouseAddress):
    """The path of a DuckDB file on this machine."""

    dbt_target = "local"
    admits_readers = False

    @property
    def file(self) -> Path:
        """The file itself."""
        return Path(self.text).resolve()

    @property
    def database(self) -> str:
        """DuckDB names a database after its file."""
        return Path(self.text).stem

    @property
    def dbt_path(self) -> str:
        """An absolute path, since dbt changes into its project folder."""
        return str(self.file)

    @property
    def work_folder(self) -> Path:
        """The folder of the file."""
        return Path(self.text).parent.resolve()

    def require_usable(self) -> None:
        """Check that a file can have this path."""
        if not self.text or self.text == ":memory:":
            raise ValueError(f"must be {_KINDS}; tables in memory would not outlive a commit")
        scheme, separator, _ = self.text.partition("://")
        if separator:
            raise ValueError(f"is of an unknown kind, {scheme}://; it must be {_KINDS}")


class MotherDuckAddress(WarehouseAddress):
    """`md:DATABASE`, a database of the MotherDuck service."""

    PREFIX: ClassVar[str] = "md:"
    dbt_target = "motherduck"
    admits_readers = True
    required_settings: ClassVar[Mapping[str, str]] = {
        "MOTHERDUCK_TOKEN": "make one in the MotherDuck settings, or use a file such as data/battery.duckdb"
    }

    @property
    def file(self) -> None:
        """There is none on this machine."""

    @property
    def database(self) -> str:
        """The part after `md:`."""
        return self.text.removeprefix(self.PREFIX)

    @property
    def dbt_path(self) -> str:
        """The setting as it is."""
        return self.text

    @property
    def work_folder(self) -> Path:
        """The folder `data` of the working directory."""
        return Path("data").resolve()

    def require_usable(self) -> None:
        """Check the name of the database."""
        if not re.fullmatch(r"\w+", self.database, re.ASCII):
            raise ValueError("must name a database of letters, digits and _, such as md:battery_db")


class PostgresAddress(WarehouseAddress):
    """`postgresql://USER@HOST:PORT/DATABASE`, a PostgreSQL database with the control tables; the rows are objects."""

    PREFIXES: ClassVar[tuple[str, ...]] = ("postgresql://", "postgres://")
    dbt_target = "postgres"
    admits_readers = True
    lands_side_by_side = True
    holds_models = False

    @property
    def file(self) -> None:
        """There is none that holds what has landed."""

    @property
    def database(self) -> str:
        """The path of the URL."""
        return unquote(urlsplit(self.text).path.lstrip("/"))

    @property
    def models_file(self) -> Path:
        """The DuckDB file in which this host builds dbt's models."""
        return self.work_folder / "models" / self.database / "battery.duckdb"  # a stem that SQL needs not quote

    @property
    def dbt_path(self) -> str:
        """The file with the models of this host."""
        return str(self.models_file)

    @property
    def work_folder(self) -> Path:
        """The folder `data` of the working directory."""
        return Path("data").resolve()

    def require_usable(self) -> None:
        """Check that it names a database, and holds no password."""
        try:
            parts = urlsplit(self.text)
            has_password = parts.password is not None or "password" in parts.query.lower()
            _ = parts.port
        except ValueError:
            raise ValueError("is no URL; it must be like postgresql://HOST:5432/DATABASE") from None
        if "options=" in parts.query.lower():
            raise ValueError("must not hold options, which are the pipeline's own; give them to the role instead")
        if has_password:
            raise ValueError(
                "must not hold the password, which would be shown with it; set WAREHOUSE_PASSWORD (or PGPASSWORD, or "
                "~/.pgpass)"
            )
        if not self.database or "/" in self.database:
            raise ValueError("must name a database, such as postgresql://HOST:5432/battery")


def kind_of(text: str) -> type[WarehouseAddress]:
    """Which kind of warehouse a text would be the address of, whether or not one can have it.

    >>> kind_of("md:battery_db").admits_readers, kind_of("data/demo").admits_readers
    (True, False)
    """
    if text.startswith(PostgresAddress.PREFIXES):
        return PostgresAddress
    return MotherDuckAddress if text.startswith(MotherDuckAddress.PREFIX) else FileAddress


def parse_warehouse(text: str) -> WarehouseAddress:
    """The address that a value of WAREHOUSE is.

    >>> parse_warehouse("md:battery_db").database
    'battery_db'
    >>> parse_warehouse("data/battery.duckdb").dbt_target
    'local'
    >>> parse_warehouse("postgresql://lab@db.example/battery").database
    'battery'

    Raises:
        ValueError: nothing can have this address; says what it must be.
    """
    address = kind_of(text)(text)
    address.require_usable()
    if address.database.lower() in _SCHEMAS:
        raise ValueError("must not be named main, internal or building, as the schemas in it are; choose another name")
    return address
