"""All parts on this machine: broker, worker, watched inbox, refresh and dashboard, until one Ctrl-C.

Each part is a command of this program in its own process. Ctrl-C in the terminal does not reach the parts, since this
module decides the order in which they end. A part ends at SIGTERM, or when its standard input closes, which happens
when this process ends in any way. A part that ends by itself is started again, as often as needed. The broker is not,
since its log is gone.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import structlog

from kernel.base.errors import BatteryError
from kernel.base.extras import missing_extra
from kernel.base.locks import lock_file
from kernel.base.output import LINES, fields_of, say
from kernel.base.plain import plain
from kernel.base.processes import SHORT_LIFE_SECONDS, Restarts, end_process, relay_lines, start_command
from kernel.base.stopping import END_SECONDS, STOP, stop_on_signals
from kernel.edges.broker import READY_SECONDS, answers
from kernel.edges.kafka import open_topic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from kernel.base.settings import Settings

_log = structlog.get_logger()

TICK_SECONDS: Final = 0.05

NAME_COLUMNS: Final = 9

STOP_ORDER: Final = ("inbox", "refresh", "worker", "dashboard", "broker")
"""The inbox ends first, so nothing more comes in; the worker ends before the broker and commits what it has read."""

_ON_THIS_MACHINE: Final = re.compile(r"(?:127\.0\.0\.1|localhost):(\d+)")


class Part:
    """A command of this program that is kept running; its output goes to standard error, each line with its name."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        locks: Sequence[int] = (),
    ) -> None:
        self.name = name
        self._arguments = list(arguments)
        self._environment = dict(environment or {})
        self._locks = locks
        self._process: subprocess.Popen[str] | None = None
        self._relay: threading.Thread | None = None
        self._restarts = Restarts()
        self._due: float | None = 0.0
        self.has_output = threading.Event()

    def start(self) -> None:
        """Start it.

        Raises:
            OSError: the system cannot start another process.
        """
        self._process = start_command(self._arguments, self._environment, output=subprocess.PIPE, locks=self._locks)
        self._restarts.started()
        self._due = None
        if self._process.stdout is not None:
            self._relay = relay_lines(self._process.stdout, self._tell)

    @property
    def exit_code(self) -> int | None:
        """Its exit code; None while it runs."""
        return None if self._process is None else self._process.poll()

    def keep_running(self) -> None:
        """Start it if it does not run and its pause is over."""
        code = self.exit_code
        if self._due is None and code is not None:
            self._pause(self._restarts.ended(), "a part has ended by itself, starting it again", exit_code=code)
        elif self._due is not None and time.monotonic() >= self._due:
            try:
                self.start()
            except OSError as error:
                self._pause(self._restarts.failed(), "a part cannot be started, trying again", error=str(error))

    def _pause(self, seconds: float, what: str, **why: object) -> None:
        self._due = time.monotonic() + seconds
        _log.warning(what, part=self.name, **why, in_seconds=seconds)

    def end(self) -> None:
        """Ask it to end and wait for that; if it does not end, kill it with the processes that it started."""
        if self._process is None:
            return
        if not end_process(self._process):
            _log.warning("a part did not end when asked to and was killed", part=self.name, seconds=END_SECONDS)
        if self._relay is not None:
            self._relay.join(1)
        _log.info("ended", part=self.name, exit_code=self._process.returncode)

    def _tell(self, text: str) -> None:
        self.has_output.set()
        if not text.strip():
            return
        if not LINES.as_json:
            LINES.write(f"{self.name:<{NAME_COLUMNS}} | {plain(text)}\n")
        elif (fields := fields_of(text)) is not None:
            LINES.write(json.dumps({**fields, "part": self.name}) + "\n")
        else:
            _log.info(text, part=self.name)


def up(settings: Settings, inbox: Path, port: int | None, *, debug: bool = False) -> None:
    """Run all parts until SIGTERM or Ctrl-C, which end them one after the other.

    Args:
        settings: where everything is; the broker is started where they name this machine and nothing answers there.
        inbox: the folder whose workbooks are published as they come; made where it is absent.
        port: of the dashboard on 127.0.0.1; None for none.
        debug: have the parts show tracebacks and debug log lines.

    Raises:
        BatteryError: something is in the way, such as another one over the same data, or the broker has ended.
    """
    stop_on_signals()
    inbox = _make_inbox(inbox)
    command = [*(["--debug"] if debug else []), "--with-parent"]
    with _lock_data(settings) as locks, ExitStack() as running:
        if port is not None:
            _require_dashboard(port)
        broker_port = _port_to_serve(settings)
        broker = (
            None
            if broker_port is None
            else Part("broker", [*command, "broker", "--port", str(broker_port)], locks=locks)
        )
        others = [
            Part("worker", [*command, "stream"], locks=locks),
            Part("inbox", [*command, "produce", "--watch", "--skip-landed", str(inbox)], locks=locks),
            # dbt's own log has the hundreds of lines about what it builds; failures are shown in any case.
            Part("refresh", [*command, "transform", "--watch"], {"DBT_QUIET": "true"}, locks=locks),
        ]
        if port is not None:
            dashboard = [*command, "dashboard", "--port", str(port)]
            others.append(Part("dashboard", dashboard, {"BATTERY_LAUNCHER": "up"}, locks=locks))
        parts = ([broker] if broker else []) + others
        for part in sorted(parts, key=lambda part: STOP_ORDER.index(part.name), reverse=True):
            running.callback(part.end)  # the last one first
        if broker is not None and broker_port is not None:
            broker.start()
            _await_broker(broker, broker_port)
        if not STOP.is_set():
            open_topic(settings, create=True)  # its error is one line, before the others start
        _watch_over(broker, others, inbox, port)


@contextmanager
def _lock_data(settings: Settings) -> Iterator[tuple[int, ...]]:
    """Lock warehouse and recovery store against another `battery up` until this one and its parts have ended.

    Returns:
        The descriptors of the locks, which the parts hold, too.

    Raises:
        BatteryError: another one runs over them, or its parts do not end.
    """
    places = {"RECOVERY_DIR": settings.recovery_dir.resolve()}
    if (file := settings.warehouse_address.file) is not None:
        places["WAREHOUSE"] = file
    with ExitStack() as held:
        yield tuple(held.enter_context(_lock(name, place)) for name, place in places.items())


@contextmanager
def _lock(name: str, place: Path) -> Iterator[int]:
    """Lock what a setting names, by a file beside it that holds the number of the locking process."""
    file = place.with_name(f"{place.name}.up")
    deadline = time.monotonic() + END_SECONDS + SHORT_LIFE_SECONDS
    logged = False

    def wait(seconds: float) -> None:
        nonlocal logged
        process = file.read_text()
        if _runs(process):
            raise BatteryError(
                f"another `battery up` is running over {name}={place} (process {process}); stop that one, or give this "
                "one a WAREHOUSE and a RECOVERY_DIR of its own"
            )
        if time.monotonic() > deadline:
            raise BatteryError(
                f"the parts of an earlier `battery up` (process {process}) still run over {name}={place}; end them, "
                "then try again"
            )
        if not logged:
            logged = True
            _log.info("waiting for the parts of an earlier `battery up` to end", **{name: str(place)})
        if STOP.wait(seconds):
            sys.exit(0)

    with ExitStack() as held:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context(lock_file(file, wait))
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
        except OSError as error:
            raise BatteryError(f"{name}={place} cannot be used: {file}: {error.strerror}") from None
        yield lock


def _runs(process: str) -> bool:
    """Whether another process of that number runs; the text is empty while that process is taking the lock."""
    if not process.isdigit() or int(process) == os.getpid():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _watch_over(broker: Part | None, others: Sequence[Part], inbox: Path, port: int | None) -> None:
    """Start the parts and keep them running until this process is to stop; print once where everything is.

    Raises:
        BatteryError: the broker has ended.
    """
    shown = False
    while not STOP.wait(TICK_SECONDS):
        if broker is not None and broker.exit_code is not None:
            raise BatteryError(
                f"the embedded broker ended by itself (exit code {broker.exit_code}); its log is gone. What has landed "
                "is whole: `battery up` publishes the inbox to a new log"
            )
        for part in others:
            part.keep_running()
        if not shown and _all_answer(others, port):
            shown = True
            where = [] if port is None else [f"dashboard  http://127.0.0.1:{port}"]
            say("", *where, f"inbox      {inbox}  (drop workbooks or ZIPs here)", "Ctrl-C stops all", "")


def _all_answer(others: Sequence[Part], port: int | None) -> bool:
    """Whether the worker and the inbox have begun, which their first output shows, and the dashboard serves."""
    if not all(part.has_output.is_set() for part in others if part.name in {"worker", "inbox"}):
        return False
    if port is None:
        return True
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004
    except (urllib.error.URLError, OSError):
        return False


def _make_inbox(inbox: Path) -> Path:
    try:
        inbox.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BatteryError(f"--inbox {inbox} cannot be made: {error.strerror}") from None
    return inbox.resolve()


def _require_dashboard(port: int) -> None:
    """Check that the dashboard can serve.

    Raises:
        BatteryError: its extra is not installed, or the port is taken.
    """
    if find_spec("streamlit") is None or find_spec("plotly") is None:
        raise BatteryError(f"{missing_extra('the dashboard', 'dashboard')}; or leave it out with --no-dashboard")
    if answers(port):
        raise BatteryError(f"port {port} is taken: something answers at 127.0.0.1:{port}; choose another with --port")


def _port_to_serve(settings: Settings) -> int | None:
    """The port for a broker of our own; None where the settings name another machine, or something answers there."""
    servers = settings.kafka_bootstrap_servers
    local = _ON_THIS_MACHINE.fullmatch(servers)
    if local is None:
        _log.info("using the broker that the settings name", KAFKA_BOOTSTRAP_SERVERS=servers)
        return None
    if answers(int(local[1])):
        _log.info("using the broker that answers there already", KAFKA_BOOTSTRAP_SERVERS=servers)
        return None
    return int(local[1])


def _await_broker(broker: Part, port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS + SHORT_LIFE_SECONDS  # where it fails it prints the reason and ends
    while not answers(port) and not STOP.is_set():
        if broker.exit_code is not None or time.monotonic() > deadline:
            raise BatteryError(f"no embedded broker came up at 127.0.0.1:{port}; its output is above")
        STOP.wait(TICK_SECONDS)
