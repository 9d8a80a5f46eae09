"""Real servers for the tests: Kafka from its jars, MinIO and Benthos from source, others as Debian's packages.

Each is a process in a folder of its own.

Jars and binaries are made once and kept outside the project, in a folder that BATTERY_SERVERS_DIR names
(`~/.cache/battery-servers` where it does not). `make servers` does that before the tests run, since MinIO takes some
minutes to build; a test that finds none makes it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from filelock import FileLock

from kernel.base.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("BATTERY_SERVERS_DIR") or Path.home() / ".cache" / "battery-servers")
MINIO = "github.com/minio/minio@v0.0.0-20250907161309-07c3a429bfed"
"""RELEASE.2025-09-07T16-13-09Z, the one that docker-compose.yml runs."""
MC = "github.com/minio/mc@v0.0.0-20250313080218-cf909e1063a9"
"""MinIO's own client at the version that MinIO itself is built with."""
BENTHOS = "github.com/redpanda-data/benthos/v4/cmd/benthos@v4.60.0"
"""The free core of Redpanda Connect, which runs the same configurations as far as they name its own parts."""
SPARK = "pyspark==4.1.4"
"""The newest one for which there is a runtime of Iceberg, the one of spark-pom.xml."""

READY_SECONDS = 240.0
"""A machine that is busy with other things takes many times what an idle one does."""
STOP_SECONDS = 30.0
ACCESS_KEY, SECRET_KEY = "key", "hush-secret"
FLAGS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Small, and quick to start: these brokers live for seconds."""
JVM = (*FLAGS, f"-Dlog4j2.configurationFile={HERE}/log4j2.properties")


class ToolMissingError(Exception):
    """A server cannot be had: what it is made with, or runs on, is not on this machine or does not do."""


def tool(name: str, purpose: str) -> str:
    """The path of a program.

    Raises:
        ToolMissingError: it is not there; says what it is for.
    """
    found = shutil.which(name) or shutil.which(name, path="/usr/local/go/bin")
    if found is None:
        raise ToolMissingError(f"{name} is not installed: {purpose}")
    return found


def kafka_jars() -> Path:
    """The folder of Kafka's jars."""
    pom = HERE / "pom.xml"
    tool("java", "a real Kafka runs on Java 17")
    maven = tool("mvn", "the jars of a real Kafka come by Maven")

    def fetch(folder: Path) -> None:
        _run([maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={folder}"])

    return _made_once(f"kafka-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}", fetch)


@cache
def kafka_archive() -> Path:
    """The archive of Kafka's classes, with which it starts in half the time.

    It is made once for each Kafka and Java, by a broker that is started and stopped.
    """
    version = subprocess.run(
        [tool("java", "a real Kafka runs on Java 17"), "-version"], capture_output=True, check=True
    )
    made_of = (HERE / "pom.xml").read_bytes() + version.stderr + " ".join(FLAGS).encode()

    def dump(folder: Path) -> None:
        broker = Kafka(folder / "broker", jvm=(*JVM, f"-XX:ArchiveClassesAtExit={folder / 'classes.jsa'}"))
        broker.start()
        broker.stop()
        shutil.rmtree(broker.folder)

    return _made_once(f"kafka-classes-{hashlib.sha256(made_of).hexdigest()[:12]}", dump) / "classes.jsa"


def spark_files() -> Path:
    """The folder of an environment with Spark alone, and of the jars with which it reads Iceberg tables."""
    pom, purpose = HERE / "spark-pom.xml", "Spark reads the Iceberg tables"
    tool("java", purpose)
    maven = tool("mvn", f"{purpose} with jars that come by Maven")

    def fetch(folder: Path) -> None:
        _run([sys.executable, "-m", "venv", str(folder / "environment")])
        _run([str(folder / "environment" / "bin" / "python"), "-m", "pip", "install", "--quiet", SPARK])
        _run([maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={folder}/jars"])

    made_of = pom.read_bytes() + SPARK.encode()
    return _made_once(f"spark-{hashlib.sha256(made_of).hexdigest()[:12]}", fetch)


def minio_binary() -> Path:
    """The MinIO server."""
    return _go_install(MINIO) / "minio"


def mc_binary() -> Path:
    """MinIO's own client."""
    return _go_install(MC) / "mc"


def prometheus_programs() -> Path:
    """The folder of Prometheus and its promtool."""
    return _debian("prometheus", "a real Prometheus") / "usr" / "bin"


def mosquitto_files() -> Path:
    """The folder of Mosquitto and its libraries."""
    return _debian("mosquitto", "a real MQTT broker", "libcjson1", "libmosquitto1", "libdlt2", "libwrap0")


def benthos_binary() -> Path:
    """Benthos, built in a module of its own: `go install` asks for a list of versions, which not every proxy has."""
    go = tool("go", "Benthos is built from its source")

    def build(folder: Path) -> None:
        module = folder / "module"
        module.mkdir()
        _run([go, "mod", "init", "benthos"], module)
        _run([go, "get", BENTHOS], module)
        _run([go, "build", "-o", str(folder / "benthos"), BENTHOS.partition("@")[0]], module)
        shutil.rmtree(module)

    return _made_once(BENTHOS.partition("v4/cmd/")[2], build) / "benthos"


def _debian(package: str, what: str, *more: str) -> Path:
    """The folder of a package of Debian and of more that it needs, unpacked and not installed: that needs no rights."""
    apt = tool("apt-get", f"{what} comes as Debian's package")
    dpkg = tool("dpkg", f"{what} comes as Debian's package")

    def fetch(folder: Path) -> None:
        lists = folder / "apt"  # of our own: a machine may have none, and only root may bring its own up to date
        for needed in ("lists/partial", "archives/partial"):
            (lists / needed).mkdir(parents=True)
        places = {"Dir::State": lists, "Dir::State::status": "/var/lib/dpkg/status", "Dir::Cache": lists}
        asked = [apt, "-qq", *(word for name, place in places.items() for word in ("-o", f"{name}={place}"))]
        _run([*asked, "update"])
        _run([*asked, "download", package, *more], folder)
        for downloaded in folder.glob("*.deb"):
            _run([dpkg, "-x", str(downloaded), str(folder)])
            downloaded.unlink()
        shutil.rmtree(lists)

    return _made_once(package, fetch)


def _quick() -> tuple[str, ...]:
    return (*JVM, f"-XX:SharedArchiveFile={kafka_archive()}", "-Xlog:cds*=off")


def _go_install(module: str) -> Path:
    go = tool("go", "a real MinIO is built from its source")

    def build(folder: Path) -> None:
        _run([go, "install", module], GOBIN=str(folder))

    return _made_once(module.rpartition("/")[2], build)


def _made_once(name: str, make: Callable[[Path], None]) -> Path:
    """A folder that is there whole or not at all, whoever asks for it at the same time."""
    folder = CACHE / name
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{name}.lock"):
        if not folder.is_dir():
            partial = CACHE / f"{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            make(partial)
            partial.rename(folder)
    return folder


def _run(command: Sequence[str], folder: Path | None = None, **environment: str) -> None:
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise ToolMissingError(f"{' '.join(command)} failed: {last}")


@dataclass
class Process:
    """A server process, its output in a file of its folder."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def _start(self, command: Sequence[str], answers: Callable[[], bool], **environment: str) -> None:
        said = self.folder / "output.log"
        with said.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                env=os.environ | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                **self._manner(),
            )
        deadline = time.monotonic() + READY_SECONDS
        while not answers():
            assert self.process.poll() is None, f"{command[0]} ended:\n{said.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"{command[0]} did not answer:\n{said.read_text()[-2000:]}"
            time.sleep(0.05)

    def _manner(self) -> dict[str, Any]:
        """How the process is started, as arguments of `subprocess.Popen`."""
        return {}

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """End it, gracefully or not, and wait until it has; one that has ended already is left alone."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(sign)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


MISSED_SOON = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "300"}
"""Options of brokers that a test kills: the controller misses them soon, and takes them back."""


@dataclass
class Kafka(Process):
    """One Kafka node in KRaft mode: a broker, and the controller unless `controller` names another node's port.

    With `broker=False` it is the controller alone. `port` is where clients in plain text are served, `secure_port`
    where `secure` describes a listener that is not (its properties, without their prefix). `options` are properties of
    the broker that differ from the tests' own, `jvm` Java's options where they differ. `host` is the address of this
    machine at which clients in plain text find it.
    """

    node: int = 1
    controller: int | None = None
    broker: bool = True
    secure: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    format_arguments: Sequence[str] = ()
    jvm: Sequence[str] | None = None
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    secure_port: int = field(default_factory=free_port)
    controller_port: int = field(default_factory=free_port)

    @property
    def address(self) -> str:
        """Where clients in plain text connect."""
        return f"{self.host}:{self.port}"

    @property
    def properties(self) -> dict[str, str]:
        """What stands in its server.properties."""
        serving, ruling = [], []
        if self.broker:
            serving.append(f"PLAINTEXT://{self.address}")
        if self.secure:
            serving.append(f"SECURE://127.0.0.1:{self.secure_port}")
        if self.controller is None:
            ruling.append(f"CONTROLLER://127.0.0.1:{self.controller_port}")
        return {
            "process.roles": ",".join(["broker"] * self.broker + ["controller"] * (self.controller is None)),
            "node.id": str(self.node),
            "listeners": ",".join(serving + ruling),
            "advertised.listeners": ",".join(serving or ruling),
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller or self.controller_port}",
            "log.dirs": str(self.folder / "log"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            # Most of the time a broker of the tests has nothing to do, and should not take a processor for it.
            "metadata.max.idle.interval.ms": "0",
            **({"inter.broker.listener.name": "PLAINTEXT"} if self.broker else {}),
            **{f"listener.name.secure.{name}": value for name, value in self.secure.items()},
            **self.options,
        }

    def start(self) -> None:
        """Start it, on a new log the first time and on its own from then on; it answers when this returns."""
        java = tool("java", "a real Kafka runs on Java 17")
        jars = ["-cp", f"{kafka_jars()}/*"]
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self.folder / "server.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in self.properties.items()))
        if not (self.folder / "log").exists():
            cluster = ["-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", str(properties), *self.format_arguments]
            _run([java, *(JVM if self.jvm else _quick()), *jars, "kafka.tools.StorageTool", "format", *cluster])
        admin: list[AdminClient] = []

        def answers() -> bool:
            with socket.socket() as probe:
                place = (self.host, self.port) if self.broker else ("127.0.0.1", self.controller_port)
                if probe.connect_ex(place):
                    return False
            if not self.broker:
                return True
            if not admin:
                admin.append(AdminClient({"bootstrap.servers": self.address, "log_level": 0}))
            try:
                return self.node in admin[0].list_topics(timeout=1).brokers
            except KafkaException:
                return False

        self._start([java, *(self.jvm or _quick()), *jars, "kafka.Kafka", str(properties)], answers)

    def tool(self, name: str, *arguments: str) -> str:
        """One of Kafka's own command line tools, by its class; its output."""
        java = tool("java", "a real Kafka runs on Java 17")
        command = [java, *_quick(), "-cp", f"{kafka_jars()}/*", name, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@dataclass
class MinIO(Process):
    """One MinIO server; with `certificates`, a folder of public.crt and private.key, it speaks TLS."""

    certificates: Path | None = None
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)

    def start(self) -> None:
        """Start it on its own folder; it answers when this returns."""
        binary = str(minio_binary())
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        command = [binary, "server", str(data), "--address", f"{self.host}:{self.port}"]
        if self.certificates is not None:
            command += ["--certs-dir", str(self.certificates)]
        self._start(
            command,
            self._answers,
            MINIO_ROOT_USER=ACCESS_KEY,
            MINIO_ROOT_PASSWORD=SECRET_KEY,
            MINIO_BROWSER="off",
            MINIO_UPDATE="off",
            HOME=str(self.folder),
        )

    def settings(self, bucket: str = "battery-data") -> dict[str, str]:
        """The settings of a pipeline that keeps its objects there."""
        return {
            "OBJECT_STORE": f"s3://{bucket}",
            "MINIO_ENDPOINT": f"{self.host}:{self.port}",
            "MINIO_ACCESS_KEY": ACCESS_KEY,
            "MINIO_SECRET_KEY": SECRET_KEY,
            "MINIO_SECURE": "true" if self.certificates else "false",
        }

    def _answers(self) -> bool:
        if self.certificates is not None:
            with socket.socket() as probe:
                return probe.connect_ex((self.host, self.port)) == 0
        try:
            urllib.request.urlopen(f"http://{self.host}:{self.port}/minio/health/ready", timeout=1).close()
        except OSError:
            return False
        return True


@dataclass
class Prometheus(Process):
    """One Prometheus server, started by `arguments` that name its configuration."""

    arguments: Sequence[str] = ()
    port: int = field(default_factory=free_port)

    def start(self) -> None:
        """Start it; it answers when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        listen = f"--web.listen-address=127.0.0.1:{self.port}"
        self._start([str(prometheus_programs() / "prometheus"), *self.arguments, listen], self._answers)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=1).close()
        except OSError:
            return False
        return True


def make_ready() -> bool:
    """Make all servers before the tests run, and say which cannot be made here."""
    complete = True
    for make in (
        kafka_jars,
        kafka_archive,
        minio_binary,
        mc_binary,
        prometheus_programs,
        mosquitto_files,
        benthos_binary,
    ):
        try:
            print(f"ready: {make()}", flush=True)  # noqa: T201  # the command's result
        except ToolMissingError as error:
            complete = False
            print(f"tests on real servers will be skipped: {error}", file=sys.stderr)  # noqa: T201
    return complete


if __name__ == "__main__":
    sys.exit(0 if make_ready() or os.environ.get("CI") != "true" else 1)
