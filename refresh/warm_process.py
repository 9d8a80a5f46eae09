"""The process that keeps dbt warm: it imports dbt and reads the project once, and then runs one command after another.

It is started by `refresh.warm`, with the process that it ends with and the descriptor of a socket as its arguments.
Each request on that socket is the length of its text in eight bytes, which come with the lock on the models, and the
text, JSON with dbt's arguments and its environment. An empty line says that the command begins. The lock is held here,
too, until the answer: a line of JSON with the exit code that dbt's own command would have, and the memory that this
process has then.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

from kernel.base.orphans import end_with_parent

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

EXIT_FAILED: Final = 1
EXIT_ERROR: Final = 2
"""dbt's exit codes where a node has failed, and where something else has."""


def main() -> None:
    """Attend to the requests of the process that started this one until it ends or closes the socket."""
    end_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this process ends it
    with socket.socket(fileno=int(sys.argv[2])) as asked:
        manifest = _parse(json.loads(sys.argv[3]))
        while True:
            size, descriptors, _, _ = socket.recv_fds(asked, 8, 1)
            if not size:
                return
            try:
                request = asked.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
                asked.sendall(b"\n")
                code = _run(manifest, **json.loads(request))
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            asked.sendall(json.dumps({"code": code, "bytes": _resident_bytes()}).encode() + b"\n")


def _parse(options: list[str]) -> Manifest | None:
    """Read the project; None where that fails: then every run reads it, and says what is wrong with it."""
    from dbt.cli.main import dbtRunner  # noqa: PLC0415  # after the process has been told when to end

    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        out, err = os.dup(1), os.dup(2)
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        try:
            parsed = dbtRunner().invoke(["--quiet", "parse", *options])
        finally:
            sys.stdout.flush()
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.close(out)
            os.close(err)
    manifest: Manifest | None = parsed.result if parsed.success else None  # type: ignore[assignment]
    return manifest


def _run(manifest: Manifest | None, arguments: list[str], environment: dict[str, str]) -> int:
    """Run a command as dbt's own command line does; the warehouse is free again afterwards."""
    from dbt.cli.main import dbtRunner  # noqa: PLC0415

    os.environ.clear()
    os.environ.update(environment)
    try:
        done = dbtRunner(manifest).invoke(arguments)
    finally:
        _release_warehouse()
        sys.stdout.flush()
        sys.stderr.flush()
    if done.success:
        return 0
    return EXIT_FAILED if done.exception is None else EXIT_ERROR


def _release_warehouse() -> None:
    """Let go of the connection that the adapter keeps as long as its process lives."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager  # noqa: PLC0415
    from dbt.adapters.factory import reset_adapters  # noqa: PLC0415

    environment: Any = DuckDBConnectionManager._ENV  # noqa: SLF001  # there is no other way to it
    DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
    if environment is not None:
        environment.close()
    reset_adapters()  # type: ignore[no-untyped-call]
    gc.collect()


def _resident_bytes() -> int:
    """The memory that this process has; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as sizes:  # noqa: PTH123
            return int(sizes.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


if __name__ == "__main__":
    main()
