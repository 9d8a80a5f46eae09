"""Real servers that stand between a device and the gateway: Mosquitto from Debian's packages, Benthos from its source.

Benthos is the free core of Redpanda Connect, and runs the same configurations as far as they name its own parts.
"""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass, field
from pathlib import Path

from support.servers import Process, _made_once, _run, tool

from kernel.base.ports import free_port

BENTHOS = "github.com/redpanda-data/benthos/v4/cmd/benthos"
BENTHOS_VERSION = "v4.60.0"
PACKAGES = ("mosquitto", "libcjson1", "libmosquitto1", "libdlt2", "libwrap0")
"""Mosquitto, and what it needs that a small Debian has not."""


def mosquitto_files() -> Path:
    """The folder of Mosquitto and its libraries: Debian's packages, unpacked, not installed: that needs no rights."""
    apt = tool("apt-get", "a real MQTT broker comes as Debian's package")
    dpkg = tool("dpkg", "a real MQTT broker comes as Debian's package")

    def fetch(folder: Path) -> None:
        lists = folder / "apt"  # of our own: a machine may have none, and only root may bring its own up to date
        for needed in ("lists/partial", "archives/partial"):
            (lists / needed).mkdir(parents=True)
        places = {"Dir::State": lists, "Dir::State::status": "/var/lib/dpkg/status", "Dir::Cache": lists}
        asked = [apt, "-qq", *(word for name, place in places.items() for word in ("-o", f"{name}={place}"))]
        _run([*asked, "update"])
        _run([*asked, "download", *PACKAGES], folder)
        for package in folder.glob("*.deb"):
            _run([dpkg, "-x", str(package), str(folder)])
            package.unlink()
        shutil.rmtree(lists)

    return _made_once("mosquitto", fetch)


def benthos_binary() -> Path:
    """Benthos, built in a module of its own: `go install` asks for a list of versions, which not every proxy has."""
    go = tool("go", "Benthos is built from its source")

    def build(folder: Path) -> None:
        module = folder / "module"
        module.mkdir()
        _run([go, "mod", "init", "benthos"], module)
        _run([go, "get", f"{BENTHOS}@{BENTHOS_VERSION}"], module)
        _run([go, "build", "-o", str(folder / "benthos"), BENTHOS], module)
        shutil.rmtree(module)

    return _made_once(f"benthos@{BENTHOS_VERSION}", build) / "benthos"


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
