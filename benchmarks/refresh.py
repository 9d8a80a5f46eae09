"""The hourly refresh: its time after new readings in a long history, compared with a short history.

The goal: after 1 % of new readings, the refresh of a history of 20 million readings takes at most 1.5 times as long as
that of 1 million. A refresh is everything that `battery transform` does: dbt's start, all data tests, the publication.
Only the first build runs dbt's unit tests, as every first refresh with changed code does.

One cell is simulated and folded as the worker does it. Every cell of a history is a copy of it under its own name, some
days later than the cell before. Tests land in their usual order: the first of every cell, then the second. `_cycles` is
copied with the readings, so that the data test that compares the two has all of its work. Windows, commits and states
stay empty, because no model reads them.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import click
import duckdb
import pyarrow as pa

from benchmarks.figures import Figure, figures_alone, tell
from benchmarks.simulated import CELL, CYCLES, TESTS, exports_of_a_life
from dataflows.fold.clean import clean
from dataflows.fold.states import GroupStates
from kernel.base.settings import Settings
from kernel.contract.batch import decode_poll
from kernel.contract.message import encode_arrow, headers
from kernel.contract.poll import Message, Poll
from kernel.contract.reading import ARROW
from kernel.edges.kafka import MESSAGE_BYTES
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from refresh.dbt import lock_models
from refresh.publish import publish
from refresh.stage import stage_models
from sink.tables import create_tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.figures import Show
    from refresh.dbt import Runner

HISTORY: Final = 20_000_000
BASE: Final = 1_000_000
ROUNDS: Final = 3

SHARE: Final = 100
"""Readings of the history for each new one."""

CYCLE_READINGS: Final = 300
"""Readings of a cycle, roughly."""

NEW_TEST_READINGS: Final = 10_000
"""Readings of a new test, roughly; each new test is of another cell."""

SLOWEST: Final = 15
"""Nodes of dbt's graph that are shown."""

_COPY: Final = """
    insert into {table}
    select * exclude (number, cell, later) replace (
        printf('%s_%03d', cell_id, cell) as cell_id,
        strftime(test_id::timestamp + to_days(cell + later), '%Y-%m-%dT%H:%M:%S') as test_id,
        {replaced}
    )
    from (
        select life.*, copies.number, ($first + copies.number) % $cells as cell, $later as later
        from {life} as life cross join range($copies) as copies (number)
        where life.test_id = $test_id and life.cycle_index <= $last_cycle
    ) as copied
    order by number, {order}
"""
"""Lands a simulated test as `$copies` tests of as many cells, `$later` days after its own time.
Messages of all cells alternate in the log, as those of cells on test side by side do."""

_COPY_READINGS: Final = _COPY.format(
    table="battery_ts_cleaned",
    life="readings",
    replaced="""
        replace(source_file, '.xlsx', printf('_%03d_%d.xlsx', cell, later)) as source_file,
        date_time + to_days(cell + later) as date_time,
        streamed_at + to_days(later) as streamed_at,
        (later * $messages + kafka_offset) * $cells + cell as kafka_offset
    """,
    order="data_point",
)

_COPY_CYCLES: Final = _COPY.format(
    table="internal._cycles",
    life="cycles",
    replaced="""
        started_at + to_days(cell + later) as started_at,
        ended_at + to_days(cell + later) as ended_at,
        (later * $messages + as_of_offset) * $cells + cell as as_of_offset
    """,
    order="cycle_index",
)

_TESTS: Final = "select test_id, max(cycle_index) from cycles group by test_id order by test_id"

_WHOLE_CYCLES: Final = """
    select cycle_index, sum(reading_count) over (order by cycle_index)::bigint as so_far
    from cycles where test_id = $test_id
    qualify so_far - reading_count < $readings
    order by cycle_index desc limit 1
"""


@dataclass(frozen=True)
class Life:
    """The landed rows of a simulated cell: its readings, its cycles, and the number of its messages."""

    readings: pa.Table
    cycles: pa.Table
    messages: int


@dataclass(frozen=True)
class Refresh:
    """The time of a dbt run in s, and of each node of its graph."""

    seconds: float
    nodes: Mapping[str, float]


def live(cycles: int) -> Life:
    """Simulate a cell and fold its messages, as producer and worker do.

    Args:
        cycles: as `exports_of_a_life` has it.
    """
    messages: list[Message] = []
    for export, readings in exports_of_a_life(cycles):
        marks = tuple((name, str(value).encode()) for name, value in headers(ARROW, export))
        for _, value in encode_arrow(readings, MESSAGE_BYTES):
            offset = len(messages)
            stamp_ms = 1_700_000_000_000 + 1000 * offset
            messages.append(Message("bench", 0, offset, stamp_ms, CELL.encode(), marks, value))
    (batch,) = decode_poll(Poll.of(messages), most_rows=sys.maxsize)
    cleaned = clean(GroupStates(), batch, Settings().window_seconds)
    if cleaned is None:
        raise ValueError(f"{cycles} cycles left no readings")
    return Life(
        pa.Table.from_batches([cleaned.landed]), pa.Table.from_batches([cleaned.cycles]), messages=len(messages)
    )


class History:
    """A warehouse of cells that are copies of one cell, each under its own name and some days later."""

    def __init__(self, folder: Path, life: Life, readings: int) -> None:
        folder.mkdir(parents=True)
        self._path = folder / "battery.duckdb"
        self._life = life
        self._cells = max(1, round(readings / life.readings.num_rows))
        self._appended = 0
        self._first = 0
        self.rows = 0
        with duckdb.connect(self._path) as connection:
            create_tables(connection)
        for test_id, last_cycle in self._ask(_TESTS):
            self._land(test_id, last_cycle, self._cells, later=0)

    def append(self, readings: int) -> int:
        """Land new tests of some of the cells: whole cycles of at least so many readings in all.

        Returns:
            How many readings landed.
        """
        tests = self._ask(_TESTS)
        test_id, _ = tests[len(tests) // 2]
        copies = max(1, round(readings / NEW_TEST_READINGS))
        [(last_cycle, each)] = self._ask(_WHOLE_CYCLES, {"test_id": test_id, "readings": -(-readings // copies)})
        if copies > self._cells or each * copies < readings:
            raise ValueError(f"{self._cells} cells have no room for {readings} new readings at a time")
        # The middle of the simulated tests, moved behind their end; batches of one cell follow each other.
        self._land(test_id, last_cycle, copies, later=120 + 15 * self._appended)
        self._appended += 1
        self._first += copies
        return int(each * copies)

    @property
    def settings(self) -> Settings:
        """The settings of a pipeline over it."""
        return Settings(warehouse=str(self._path), object_store=f"file://{self._path.parent / 'objects'}")

    def refresh(self, *options: str, runner: Runner | None = None) -> Refresh:
        """Run `battery transform --again`, with further options of `dbt build` where there are any.

        `runner` is what runs dbt, by default a process of its own.
        """
        settings = self.settings
        warehouse = open_warehouse(settings)
        started = time.perf_counter()
        with lock_models(settings) as lock:
            stage_models(settings, warehouse, ("build", *options), lock, runner)
            publish(warehouse, open_store(settings))
        seconds = time.perf_counter() - started
        results = json.loads((self._path.parent / "dbt" / "target" / "run_results.json").read_text())["results"]
        return Refresh(seconds, {result["unique_id"]: result["execution_time"] for result in results})

    @property
    def bytes(self) -> int:
        """Size of the warehouse file."""
        return self._path.stat().st_size

    def _ask(self, sql: str, values: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        with duckdb.connect() as connection:
            connection.register("cycles", self._life.cycles)
            return connection.execute(sql, values).fetchall()

    def _land(self, test_id: str, last_cycle: int, copies: int, *, later: int) -> None:
        values = {
            "test_id": test_id,
            "last_cycle": last_cycle,
            "copies": copies,
            "first": self._first,
            "cells": self._cells,
            "later": later,
            "messages": self._life.messages,
        }
        with duckdb.connect(self._path) as connection:
            connection.register("readings", self._life.readings)
            connection.register("cycles", self._life.cycles)
            landed = connection.execute(_COPY_READINGS, values).fetchone()
            connection.execute(_COPY_CYCLES, values)
        self.rows += landed[0] if landed else 0


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Refresh a long history and a short one, and show the ratio of their times.

    Args:
        show: prints a figure.
        folder: where the warehouses are made.
        tiny: take few rows, for a quick check.
    """
    history, base, rounds = (20_000, 5_000, 1) if tiny else (HISTORY, BASE, ROUNDS)
    compare(show, folder, history=history, base=base, rounds=rounds)


@click.command
@click.option("--history", type=click.IntRange(min=1), default=HISTORY, show_default=True, help="Old readings.")
@click.option("--base", type=click.IntRange(min=5000), default=BASE, show_default=True, help="Of the reference.")
@click.option(
    "--rounds", type=click.IntRange(min=1), default=ROUNDS, show_default=True, help="Of which the median counts."
)
@click.option("--folder", type=click.Path(path_type=Path), help="Where to; removed at the end unless it is named here.")
def main(history: int, base: int, rounds: int, folder: Path | None) -> None:
    """Measure the refresh of a long history, compared with a short one."""
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary, figures_alone() as show:
        compare(show, folder or Path(temporary), history=history, base=base, rounds=rounds)


def compare(show: Show, folder: Path, *, history: int, base: int, rounds: int) -> None:
    """Make both histories, refresh them in turn, and show the figures.

    Args:
        show: prints a figure.
        folder: where the warehouses are made, each in a folder of its own that does not exist yet.
        history: readings of the long history.
        base: readings of the short one.
        rounds: how often each refresh is timed.
    """
    life = live(min(CYCLES, max(TESTS, base // CYCLE_READINGS)))
    short = _begin("short", folder, life, base)
    long = _begin("long", folder, life, history)

    few: list[Refresh] = []
    share: list[Refresh] = []
    same: list[Refresh] = []
    short_idle: list[Refresh] = []
    long_idle: list[Refresh] = []
    for _ in range(rounds):  # in turn, so that a machine that slows down slows both
        few.append(_refresh("short, 1 % new", short, base // SHARE))
        share.append(_refresh("long, 1 % new", long, history // SHARE))
        same.append(_refresh("long, as many new as for the short", long, base // SHARE))
        short_idle.append(_refresh("short, nothing new", short))
        long_idle.append(_refresh("long, nothing new", long))

    show(Figure("refresh", _seconds(share), "s", reference=_seconds(few)))
    tell(f"as many new as for the short: {_seconds(same):.1f} s against {_seconds(few):.1f} s")
    tell(f"nothing new: {_seconds(long_idle):.1f} s against {_seconds(short_idle):.1f} s")
    _tell_nodes("1 % new", few[-1], share[-1])
    _tell_nodes("nothing new", short_idle[-1], long_idle[-1])
    rebuilt = _refresh("long, --full-refresh", long, 0, "--full-refresh")
    tell(f"all rebuilt: {rebuilt.seconds:.1f} s")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # Linux counts KiB
    tell(f"dbt took at most {peak / 1e9:.1f} GB of memory; the long warehouse is {long.bytes / 1e9:.1f} GB")


def _begin(name: str, folder: Path, life: Life, readings: int) -> History:
    """A history after its first refresh, which builds everything and is not measured."""
    started = time.perf_counter()
    history = History(folder / name, life, readings)
    landed = time.perf_counter() - started
    tell(f"{name}: {history.rows:,} readings, {history.bytes / 1e9:.2f} GB, landed in {landed:.1f} s")
    first = history.refresh()
    tell(f"{name}: first build {first.seconds:.1f} s, {history.rows / first.seconds:,.0f} rows/s")
    return history


def _refresh(what: str, history: History, new: int = 0, *options: str) -> Refresh:
    landed = history.append(new) if new else 0
    found = history.refresh(*options)
    tell(f"{what} ({landed:,} readings): {found.seconds:.1f} s")
    return found


def _seconds(refreshes: list[Refresh]) -> float:
    return median(refresh.seconds for refresh in refreshes)


def _tell_nodes(what: str, short: Refresh, long: Refresh) -> None:
    """Report the nodes that took longest on the long history, with their time on the short one."""
    tell(f"{what}: s on the short history, s on the long one, node")
    slowest = sorted(long.nodes, key=lambda node: -long.nodes[node])[:SLOWEST]
    rows = [(short.nodes.get(node, 0.0), long.nodes[node], node) for node in slowest]
    rows += [(sum(short.nodes.values()), sum(long.nodes.values()), f"all {len(long.nodes)} nodes")]
    rows += [(short.seconds, long.seconds, "with dbt's own start and end")]
    for before, after, node in rows:
        tell(f"{before:9.2f} {after:9.2f}  {node}")


if __name__ == "__main__":
    main()
