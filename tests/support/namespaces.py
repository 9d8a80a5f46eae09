"""Hosts of a cluster on one machine: network namespaces, which share the file system and nothing else of the network.

Each host has two links: one to what all use, such as the broker, and one to the other hosts. Either can be cut: what is
sent then gets lost, and no connection is closed. A host that loses its power closes none either.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from typing import IO, TYPE_CHECKING, Self

import pytest
from support.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

PORT = 2101
SAYS_SECONDS = 120.0
"""How long a host may take to say what a test waits for: it may have been the machine's turn to be slow."""
LOOK_SECONDS = 0.02


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


@cache
def _refusal() -> str | None:
    """Why this machine does not let us make networks; None where it does."""
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    name = f"bat{secrets.token_hex(3)}"
    try:
        _ip("netns", "add", name)
        try:
            _ip("-n", name, "link", "add", "name", "bridge0", "type", "bridge")
        finally:
            _ip("netns", "delete", name)
    except subprocess.CalledProcessError as error:
        return str(error.stderr).strip() or "ip netns failed"
    return None


def require_namespaces() -> None:
    """Skip the test where no networks can be made here; a failure in CI."""
    refusal = _refusal()
    if refusal is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no skip in CI: {refusal}")
        pytest.skip(f"hosts need network namespaces: {refusal}")


def _free_subnet() -> str:
    """The first three numbers of addresses that are kept for tests of networks (RFC 2544) and are not in use here."""
    used = _ip("-4", "-o", "address") if shutil.which("ip") else ""
    subnets = (f"198.{18 + secrets.randbelow(2)}.{secrets.randbelow(256)}" for _ in range(1000))
    return next(subnet for subnet in subnets if f" {subnet}." not in used)


class Network:
    """Two bridges: one to what all use, on which this machine has the address `address`, and one between the hosts.

    Used as a context manager, which removes them.
    """

    def __init__(self) -> None:
        self.tag = secrets.token_hex(3)
        self._subnet = _free_subnet()
        self.shared, self.between = f"b{self.tag}s", f"b{self.tag}p"
        self.address = self.shared_address(1)

    def shared_address(self, number: int) -> str:
        """An address on the bridge to what all use."""
        return f"{self._subnet}.{number}"

    def address_between(self, number: int) -> str:
        """An address on the bridge between the hosts; this machine has none there."""
        return f"192.0.2.{number}"

    def __enter__(self) -> Self:
        require_namespaces()
        for bridge in (self.shared, self.between):
            _ip("link", "add", bridge, "type", "bridge")
            _ip("link", "set", bridge, "up")
        _ip("address", "add", f"{self.address}/24", "dev", self.shared)
        return self

    def __exit__(self, *_: object) -> None:
        for bridge in (self.shared, self.between):
            subprocess.run(["ip", "link", "delete", bridge], check=False, capture_output=True)


@dataclass
class Host:
    """One host, and the supervisor that it runs.

    Args:
        network: which it is connected to.
        index: which of the hosts it is.
        folder: what is its own: its output and its recovery store.
    """

    network: Network
    index: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    _read: IO[str] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Of its namespace."""
        return f"bat{self.network.tag}-{self.index}"

    @property
    def address(self) -> str:
        """Where the other hosts find it."""
        return self.network.address_between(10 + self.index)

    @property
    def output(self) -> Path:
        """What it says."""
        return self.folder / f"host-{self.index}.log"

    def _links(self) -> Iterator[tuple[str, str, str, str]]:
        """Our end of each link, the bridge that it belongs to, the host's end, and its address there."""
        network, number = self.network, 10 + self.index
        yield f"{network.shared}{self.index}", network.shared, "eth0", network.shared_address(number)
        yield f"{network.between}{self.index}", network.between, "eth1", network.address_between(number)

    def connect(self) -> None:
        """Make it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.output.touch()
        self._read = self.output.open()
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "set", "lo", "up")
        for ours, bridge, theirs, address in self._links():
            _ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", self.name)
            _ip("link", "set", ours, "master", bridge, "up")
            _ip("-n", self.name, "address", "add", f"{address}/24", "dev", theirs)
            _ip("-n", self.name, "link", "set", theirs, "up")

    def remove(self) -> None:
        """End all that runs on it, and remove it."""
        self._kill_all()
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)
        for ours, *_ in self._links():
            subprocess.run(["ip", "link", "delete", ours], check=False, capture_output=True)
        if self._read is not None:
            self._read.close()

    def start(self, environment: Mapping[str, str], *arguments: str) -> None:
        """Run a `battery` command on it."""
        command = ["ip", "netns", "exec", self.name, sys.executable, "-m", "battery", *arguments]
        own = {"RECOVERY_DIR": str(self.folder / f"recovery-{self.index}"), "PYTHONPATH": str(ROOT)}
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                env={**environment, **own},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_for(self, *texts: str) -> str:
        """Read what it says until a line holds one of the texts; that line."""
        assert self._read is not None
        deadline = time.monotonic() + SAYS_SECONDS
        partial, text = "", " or ".join(texts)
        while True:
            ended = self.process is None or self.process.poll() is not None  # before what it said last is read
            while line := self._read.readline():
                partial += line
                if partial.endswith("\n"):
                    line, partial = partial, ""
                    if any(text in line for text in texts):
                        return line
            assert not ended, f"host {self.index} ended without saying {text}:\n{self.output.read_text()}"
            assert time.monotonic() < deadline, f"host {self.index} has not said {text}:\n{self.output.read_text()}"
            time.sleep(LOOK_SECONDS)

    def finish(self, code: int = 0) -> str:
        """Wait for the end of its command; all that it has said."""
        assert self.process is not None
        try:
            self.process.wait(SAYS_SECONDS)
        except subprocess.TimeoutExpired:
            pytest.fail(f"host {self.index} has not ended:\n{self.output.read_text()}")
        output = self.output.read_text()
        assert self.process.returncode == code, output
        return output

    def stop(self) -> None:
        """Ask its command to end."""
        assert self.process is not None
        self.process.terminate()

    @property
    def processes(self) -> list[int]:
        """The process ids of the worker processes that its supervisor has started last."""
        started = re.findall(r"started a cluster .*processes=\[([\d, ]+)\]", self.output.read_text())
        return [int(pid) for pid in started[-1].split(",")]

    def signal_supervisor(self, sign: signal.Signals) -> None:
        """Send the supervisor alone a signal."""
        assert self.process is not None
        self.process.send_signal(sign)

    def cut(self) -> None:
        """Cut its link to the other hosts; whatever all use stays in reach."""
        self._unplug(f"{self.network.between}{self.index}")

    def heal(self) -> None:
        """Put its links back."""
        for ours, bridge, _, _ in self._links():
            _ip("link", "set", ours, "master", bridge)

    def lose_power(self) -> None:
        """End all that runs on it at once, and let no other host hear of that."""
        for ours, *_ in self._links():
            self._unplug(ours)
        self._kill_all()
        if self.process is not None:
            self.process.wait()

    def return_power(self) -> None:
        """Have it again, as it is after a start: nothing runs on it."""
        self.heal()

    def slow_down(self, bits_per_second: int) -> None:
        """Let its links carry no more than that, in both directions."""
        limit = ["root", "tbf", "rate", f"{bits_per_second}bit", "burst", "16kbit", "latency", "2s"]
        for ours, _, theirs, _ in self._links():
            for command in (
                ["tc", "qdisc", "add", "dev", ours, *limit],
                ["tc", "-n", self.name, "qdisc", "add", "dev", theirs, *limit],
            ):
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    pytest.skip(f"links cannot be slowed down here: {done.stderr.strip()}")

    def _unplug(self, ours: str) -> None:
        _ip("link", "set", ours, "nomaster")

    def _kill_all(self) -> None:
        """Until nothing runs there: a process may start another one just then."""
        listed = ["ip", "netns", "pids", self.name]
        while pids := subprocess.run(listed, capture_output=True, text=True, check=False).stdout.split():
            for pid in pids:
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    continue
            if self.process is not None:
                self.process.poll()  # a child of ours that has ended counts until we have asked
            time.sleep(LOOK_SECONDS)


class Cluster:
    """Some hosts of a network; a context manager.

    Args:
        network: theirs.
        count: how many.
        folder: where they keep what is their own.
        environment: the settings of all.
    """

    def __init__(self, network: Network, count: int, folder: Path, environment: Mapping[str, str]) -> None:
        self.hosts = [Host(network, index, folder) for index in range(count)]
        self.environment = dict(environment)

    def __enter__(self) -> Self:
        try:
            for host in self.hosts:
                host.connect()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self.hosts:
            host.remove()

    def start(self, index: int, *arguments: str, **environment: str) -> Host:
        """Start the supervisor of a host."""
        places = ",".join(f"{host.address}:{PORT}" for host in self.hosts)
        host = self.hosts[index]
        host.start(
            self.environment | environment, "stream", "--hosts", places, "--index", str(index), *arguments
        )  # fmt: skip
        return host
