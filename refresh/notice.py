"""The notice of the refresh: a small file that says what is being modelled, since when, and how the last time ended.

`refresh.json` in the folder for dbt's own files can be read at any time, also while dbt has the warehouse. It holds:

- `state`: `idle`, `waiting` (something is new and about to be modelled), `modelling`, or `failed`;
- `since`: when that state began (UTC, ISO 8601);
- `news`: what is new in one line; null where nothing is, or nobody has looked;
- `cells`: the cells of which something is new, at most `MOST_CELLS`; `cell_count` and `test_count`: how many there are;
- `last`: how the last refresh ended: `outcome` (`passed` or `failed`), `at` (UTC), `seconds`, and `error` in one
  line or null; null before the first one;
- `pid`: the process that wrote it, and `at`: when (UTC); a refresh that keeps running writes it every `BEAT_SECONDS`;
- `warehouse`: the name of its file; the notice of another warehouse in the same folder counts as none.

A process that was killed leaves the file as it was. `read_notice` does not believe it then: models are being built only
while somebody holds the lock on them, and are about to be only while the file is new.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import duckdb
import structlog

from kernel.base.errors import BatteryError
from kernel.base.whole_files import replace_file
from refresh.dbt import PUBLISHED, are_models_locked, work_folder
from refresh.host_models import landing_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kernel.base.settings import Settings
    from kernel.edges.warehouse import Warehouse

_log = structlog.get_logger()

MOST_CELLS: Final = 20

BEAT_SECONDS: Final = 15.0
"""How often the notice is written where there is nothing new to say, as a sign that its process runs."""

SILENT_SECONDS: Final = 60.0
"""A process that is about to model, and has written nothing for so long, has ended, or waits for the warehouse."""

_LANDED: Final = """
    select cell_id, test_id, sum(reading_count)::bigint as readings
    from internal._cycles group by cell_id, test_id order by cell_id, test_id
"""

_CHANGED: Final = f"""
    select cell_id, test_id
    from landed_tests left join {PUBLISHED}.battery_tests as tests using (cell_id, test_id)
    where tests.reading_count is distinct from readings
    order by cell_id, test_id
"""  # noqa: S608  # names come from this module alone


@dataclass(frozen=True)
class Outcome:
    """How a refresh ended, at a time (UTC), after some seconds; `error` is None where it passed."""

    outcome: str
    at: str
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class Notice:
    """What `refresh.json` says; see the module."""

    state: str
    since: str
    news: str | None = None
    cells: tuple[str, ...] = ()
    cell_count: int = 0
    test_count: int = 0
    last: Outcome | None = None
    pid: int = 0
    at: str = ""
    warehouse: str = ""


def notice_file(settings: Settings) -> Path:
    """The file of the notice, which need not exist."""
    return work_folder(settings) / "refresh.json"


def read_notice(settings: Settings) -> Notice | None:
    """What the refresh says of itself; None where none has run, or an earlier version.

    Where it was killed in the middle, nothing is being modelled, and nothing is about to be: the state is `idle` then.
    """
    notice = _read(settings)
    if notice is None or _is_true(settings, notice):
        return notice
    return replace(notice, state="idle", since=notice.at, news=None, cells=(), cell_count=0, test_count=0)


def _read(settings: Settings) -> Notice | None:
    """What the file says."""
    try:
        found = json.loads(notice_file(settings).read_bytes())
        last = found.pop("last")
        notice = Notice(**found | {"cells": tuple(found["cells"]), "last": Outcome(**last) if last else None})
        for at in (notice.since, notice.at, *([notice.last.at] if notice.last else [])):
            datetime.fromisoformat(at).astimezone(UTC)
        is_ours = notice.warehouse == settings.warehouse_address.name
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return notice if is_ours else None


def _is_true(settings: Settings, notice: Notice) -> bool:
    """Whether what the file says of a refresh may still go on."""
    if notice.state == "modelling":
        return are_models_locked(settings)
    age = (datetime.now(UTC) - datetime.fromisoformat(notice.at)).total_seconds()
    return notice.state != "waiting" or abs(age) < SILENT_SECONDS


class Board:
    """Where the refresh of a pipeline leaves its notice; one that cannot be written is no harm.

    Another process may model as well, such as `battery transform` beside the refresh that keeps running. What it says
    stays until it has ended, and how it ended is kept.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        earlier = read_notice(settings)
        last, name = None if earlier is None else earlier.last, settings.warehouse_address.name
        self._notice = Notice("idle", _now(), last=last, pid=os.getpid(), warehouse=name)
        self._written: tuple[int, int] | None = None
        self._due = 0.0

    def idle(self) -> None:
        """Say that there is nothing to do."""
        self._write(replace(self._notice, state="idle", news=None, cells=(), cell_count=0, test_count=0))

    def waiting(self, news: str) -> None:
        """Say that something is new, and is about to be modelled."""
        if self._notice.state != "failed" or self._notice.news != news:
            self._write(replace(self._notice, state="waiting", news=news))

    @contextmanager
    def modelling(self, warehouse: Warehouse, news: str | None = None) -> Iterator[None]:
        """Say that models are being built until the block ends, and then how it ended.

        The lock on the models must be held: without it nobody believes that they are being built.
        """
        began = time.monotonic()
        changed = changed_tests(warehouse)
        cells = sorted({cell for cell, _ in changed})
        self._write(
            replace(
                self._notice,
                state="modelling",
                news=news,
                cells=tuple(cells[:MOST_CELLS]),
                cell_count=len(cells),
                test_count=len(changed),
            )
        )
        try:
            yield
        except BatteryError as error:
            last = Outcome("failed", _now(), round(time.monotonic() - began, 3), str(error))
            self._write(replace(self._notice, state="failed", last=last))
            raise
        except BaseException:  # such as a signal that ends this process
            self.idle()
            raise
        self._notice = replace(self._notice, last=Outcome("passed", _now(), round(time.monotonic() - began, 3)))
        self.idle()

    def _write(self, notice: Notice) -> None:
        """Write what is new, or what is to be said again; leave alone what another process says that is modelling."""
        is_ours = self._written == self._mark()
        if notice == self._notice and is_ours and time.monotonic() < self._due:
            return
        other = None if is_ours else read_notice(self._settings)
        if other is not None and other.pid != os.getpid():
            if other.state == "modelling" and notice.state in {"idle", "waiting"}:
                return
            if other.last is not None and (notice.last is None or notice.last.at < other.last.at):
                notice = replace(notice, last=other.last)
        since = notice.since if notice.state == self._notice.state else _now()
        self._notice = replace(notice, since=since, at=_now())
        self._due = time.monotonic() + BEAT_SECONDS
        try:
            replace_file(notice_file(self._settings), json.dumps(asdict(self._notice)).encode())
        except OSError as error:
            _log.debug("the notice of the refresh could not be written", error=str(error))
        self._written = self._mark()

    def _mark(self) -> tuple[int, int] | None:
        """What tells the file that this process wrote from that of another one; None where there is none."""
        with suppress(OSError):
            status = notice_file(self._settings).stat()
            return status.st_ino, status.st_mtime_ns
        return None


def changed_tests(warehouse: Warehouse) -> list[tuple[str, str]]:
    """Cell and test of which more, or less, has landed than readers have; none where that cannot be told.

    It goes by the number of readings, and is for people: what is built, dbt decides by checksums.
    """
    try:
        with landing_of(warehouse).connect("look at what is new", read_only=True) as connection:
            landed = connection.execute(_LANDED).to_arrow_table()
        with warehouse.connect("look at what is new", read_only=True) as connection:
            connection.register("landed_tests", landed)
            try:
                return connection.execute(_CHANGED).fetchall()
            except duckdb.CatalogException:  # nothing has been published yet
                return list(zip(landed["cell_id"].to_pylist(), landed["test_id"].to_pylist(), strict=True))
    except (BatteryError, duckdb.Error) as error:
        _log.debug("cannot tell which tests have changed", error=str(error))
        return []


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
