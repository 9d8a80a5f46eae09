"""Real servers that stand between a device and the gateway: Mosquitto from Debian's packages, Benthos from its source.

Benthos is the free core of Redpanda Connect, and runs the same configurations as far as they name its own parts.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

from support.servers import Process, benthos_binary, mosquitto_files

from kernel.base.ports import free_port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Mosquitto(Process):
    """An MQTT broker on 127.0.0.1 that keeps its sessions while it runs."""

    port: int = field(default_factory=free_port)

    def start(self) -> None:
        """Start it; it answers when this returns."""
        files = mosquitto_files()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser {os.environ.get('USER', 'root')}\n"
        )
        libraries = {str(path.parent) for path in files.glob("usr/lib/**/*.so.*")}
        libraries |= {str(path.parent) for path in files.glob("lib/**/*.so.*")}
        command = [str(files / "usr" / "sbin" / "mosquitto"), "-c", "mosquitto.conf"]
        self._start(command, lambda: _listens(self.port), LD_LIBRARY_PATH=":".join(sorted(libraries)))


@dataclass
class Benthos(Process):
    """Benthos with a configuration; `given` are the variables that it names."""

    configuration: Path = Path()
    given: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    def start(self) -> None:
        """Start it; it answers when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [str(benthos_binary()), "run", str(self.configuration)]
        self._start(command, lambda: _listens(self.port), **{**self.given, "LISTEN": f"127.0.0.1:{self.port}"})
