"""A landing of many small commits: two cells in two lanes, two runs, with rows that were refused and came again."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
from support.builders import TEST, TOPIC_ID, arrow, reading
from support.generated import BAD, ORIGIN
from support.landed import clean_cell
from support.one_connection import OneConnection

from dataflows.fold.state import CellState
from kernel.base.settings import Settings
from kernel.contract.about import About, TestAbout
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import DuckDBFile
from sink.care.compare import KEYS, content_of
from sink.care.verify import landing_checks
from sink.commit import Landing
from sink.manifest import landing_objects, read_manifest
from sink.tables import full_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dataflows.fold.states import CellStates
    from kernel.contract.results import Cleaned
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse
    from sink.manifest import Manifest

WINDOW = 600
CELLS = ("CELL_1", "CELL_2")
"""Each with a lane and a partition of its own, of its place here."""

SAID = TestAbout(TEST, About("csv", ("its sign was turned",), {"channel": "3"}, ("charge_capacity(ah)",)))


@dataclass
class Landed:
    """A landing in a folder: its store, its warehouse, and settings for both."""

    folder: Path

    @property
    def store(self) -> FolderStore:
        return FolderStore(self.folder / "objects")

    @property
    def warehouse(self) -> DuckDBFile:
        return DuckDBFile(self.folder / "battery.duckdb", lock_timeout_seconds=30)

    @property
    def settings(self) -> Settings:
        return self.settings_with("replay")

    def settings_with(self, replay: str) -> Settings:
        """Settings with another REPLAY_DIR, as on another machine."""
        return Settings(
            object_store=f"file://{self.folder / 'objects'}",
            warehouse=str(self.folder / "battery.duckdb"),
            replay_dir=self.folder / replay,
            kafka_bootstrap_servers="127.0.0.1:1",
        )

    def worker(self) -> Worker:
        """A run of the worker that begins now."""
        return Worker(self.store, self.warehouse)

    def manifest(self) -> Manifest:
        with self.warehouse.connect("look", read_only=True) as connection:
            return read_manifest(connection)

    def named(self) -> set[str]:
        """Keys of the objects that the manifest names."""
        return {found.key for commit in self.manifest().commits for found in commit.objects}

    def kept(self) -> set[str]:
        """Keys of the objects that the store holds."""
        return {found.key for found in landing_objects(self.store)}

    def contents(self) -> dict[str, tuple[int, int]]:
        """Row count and checksum of every landing table."""
        with self.warehouse.connect("look", read_only=True) as connection:
            return {table: content_of(connection, full_name(table)) for table in KEYS}

    def faults(self) -> list[str]:
        """What does not add up."""
        with self.warehouse.connect("look", read_only=True) as connection:
            return [f"{check.name}: {check.detail}" for check in landing_checks(connection, self.store) if not check.ok]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self.warehouse.connect("look") as connection:
            return connection.execute(sql).fetchall()


@dataclass
class Worker:
    """One run of the worker, which lands messages of three rows, one refused.

    Every fourth message is a retry, and says something of its test.
    """

    store: ObjectStore
    warehouse: Warehouse
    landing: Landing = field(init=False)
    states: dict[str, CellState] = field(init=False)
    next_seq: dict[int, int] = field(init=False)
    of: InitVar[Landing | None] = None

    def __post_init__(self, of: Landing | None) -> None:
        self.landing = of or Landing(self.store, self.warehouse, WINDOW)
        standing = self.landing.begin()
        self.states = {cell: CellState.from_json(text) for cell, text in standing.states.items()}
        self.next_seq = dict(standing.next_seq)

    def folded(self, lane: int, topic_id: str = TOPIC_ID) -> Cleaned[CellStates]:
        """The next message of a lane's cell, folded and not landed yet."""
        cell = CELLS[lane]
        state = self.states.get(cell, CellState())
        offset = state.offsets.get(topic_id, {}).get(lane, -1) + 1
        of: dict[str, Any] = {"offset": offset, "partition": lane, "key": cell.encode(), "topic_id": topic_id}
        if offset % 4 == 3:  # the row that the last message was refused comes again
            message = arrow([reading(3 * offset - 1, cell_id=cell)], retry_of=ORIGIN, about=SAID, **of)
        else:
            rows = [reading(3 * offset + point, cell_id=cell) for point in (1, 2, 3)]
            rows[1] |= BAD
            message = arrow(rows, **of)
        found = clean_cell(state, [message])
        assert found is not None
        return found

    def commit(self, *lanes: int, topic_id: str = TOPIC_ID) -> None:
        """Land the next message of each of some lanes, a commit each."""
        for lane in lanes:
            result = self.folded(lane, topic_id)
            seq = self.next_seq.get(lane, 1)
            self.landing.commit(lane, seq, [result])
            self.next_seq[lane] = seq + 1
            self.states |= result.states


class Kept(OneConnection):
    """A warehouse whose file stays open, which makes many commits cheap."""

    def __init__(self, path: Path) -> None:
        self._connection = duckdb.connect(str(path))

    @contextmanager
    def connect(self, purpose: str, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:  # noqa: ARG002
        with self._connection.cursor() as cursor:
            yield cursor

    def close(self) -> None:
        self._connection.close()


def land_two_runs(folder: Path) -> None:
    """Two runs of the worker, ten commits each, five a lane."""
    landed, warehouse = Landed(folder), Kept(folder / "battery.duckdb")
    for _ in range(2):
        Worker(landed.store, warehouse).commit(*[0, 1] * 5)
    warehouse.close()
