"""Two hosts that refresh one warehouse in PostgreSQL at the same time, and readers beside them.

The scenario is played once. While one host is in the middle of its refresh more lands, another host refreshes from
nothing and publishes, and readers read. The first host then ends its own refresh, which is of the older landing.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.pipeline import Pipeline, take_unit_tests_as_passed

import refresh.dbt
from kernel.base.errors import BatteryError
from kernel.base.ports import free_port
from kernel.edges.broker import embedded_broker
from kernel.edges.objects import FolderStore
from producer.simulate import simulate_cell
from refresh.dbt import lock_models
from refresh.export import LATEST, MARTS
from refresh.host_models import landing_of, open_models
from refresh.news import is_up_to_date
from refresh.publication import open_publication
from refresh.publish import publish
from refresh.readings import INDEX
from refresh.stage import stage_models
from refresh.status import status
from sink.care.overview import look_at_overview
from sink.parquet import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from support.postgres import Postgres

    from kernel.base.settings import Settings
    from kernel.edges.warehouse import Warehouse
    from refresh.dbt import Runner
    from refresh.publish import PublishResult

CELLS = ("SIM_01", "SIM_02")


@dataclass
class Host:
    """A host that refreshes, with a folder of its own."""

    folder: Path
    settings: Settings

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.chdir(self.folder):
            self.models: Warehouse = open_models(self.settings)
            take_unit_tests_as_passed(self.settings)

    @property
    def store(self) -> FolderStore:
        return FolderStore(Path(self.settings.object_store.removeprefix("file://")))

    def refresh(self, runner: Runner | None = None) -> PublishResult:
        """What `battery transform` does on this host."""
        with contextlib.chdir(self.folder), lock_models(self.settings) as lock:
            assert stage_models(self.settings, self.models, ("build",), lock, runner).audited
            return publish(self.models, self.store)

    def is_up_to_date(self) -> bool:
        with contextlib.chdir(self.folder):
            return is_up_to_date(self.settings, self.models)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query finds in the file of this host."""
        with contextlib.chdir(self.folder), self.models.connect("look", read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def exported(self) -> dict[str, pa.Table]:
        """The marts that readers find in the store."""
        return {name: read_rows(self.store.get(f"{LATEST}/{name}.parquet"), name) for name in MARTS}


@dataclass
class Played:
    """The hosts of the scenario, that of a pipeline in a DuckDB file which has read the same log, and what was seen."""

    slow: Host
    fast: Host
    file: Host
    password: str
    first: PublishResult
    landed_meanwhile: int
    of_the_fast: dict[str, pa.Table]
    refused: PublishResult
    after_the_refusal: dict[str, pa.Table]
    index: bytes
    index_after: bytes
    in_the_slow: int
    before: pa.Table
    of_the_open_reader: pa.Table


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, postgres_server: Postgres, only_our_dbt: None) -> Iterator[Played]:  # noqa: ARG001
    folder = tmp_path_factory.mktemp("hosts")
    port = free_port()
    database = postgres_server.database()
    shared = Pipeline(folder / "shared", port, database.places)
    alone = Pipeline(folder / "alone", port)
    workbooks = [simulate_cell(folder, cell, cycles=6, seed=5, cycles_per_file=2) for cell in CELLS]

    def land(files: Sequence[Path]) -> None:
        shared.battery("produce", *map(str, files))
        shared.battery("stream", "--until-end")

    parts = [[path for paths in workbooks for path in paths[at]] for at in (slice(1), slice(1, 2), slice(2, None))]
    with embedded_broker(port):
        land(parts[0])
        slow, fast = (Host(folder / name, shared.settings) for name in ("slow", "fast"))
        first = slow.refresh()
        land(parts[1])
        seen: dict[str, Any] = {}

        def meanwhile(options: Sequence[str], environment: Mapping[str, str], lock: int) -> int:
            """What happens between the moment in which the slow host has taken the landing, and its dbt."""
            reader = open_publication(shared.settings)
            seen["before"] = reader.table("battery_cells")
            land(parts[2])
            fast.refresh()
            seen["of_the_open_reader"] = reader.table("battery_cycles")
            seen["of_the_fast"], seen["index"] = fast.exported(), fast.store.get(INDEX)
            return refresh.dbt._run_alone(options, environment, lock)  # noqa: SLF001  # what a refresh does by itself

        refused = slow.refresh(meanwhile)
        seen["index_after"], seen["after_the_refusal"] = slow.store.get(INDEX), slow.exported()
        ((in_the_slow,),) = slow.query("select sum(reading_count)::bigint from main.battery_tests")
        with landing_of(slow.models).connect("count", read_only=True) as connection:
            ((landed,),) = connection.execute("select count(*) from battery_ts_cleaned").fetchall()
        slow.refresh()
        alone.battery("stream", "--until-end")
        file = Host(folder / "alone", alone.settings)
        file.refresh()
    yield Played(
        slow=slow, fast=fast, file=file, password=database.password, first=first, refused=refused,
        in_the_slow=in_the_slow, landed_meanwhile=landed, **seen,
    )  # fmt: skip
    postgres_server.drop(database)


def test_the_marts_of_a_warehouse_in_postgresql_are_those_of_a_duckdb_file(played: Played) -> None:
    published, expected = played.slow.exported(), played.file.exported()
    assert published["battery_cycles"].num_rows == 12
    assert {name: table.to_pylist() for name, table in published.items()} == {
        name: table.to_pylist() for name, table in expected.items()
    }


def test_a_host_without_models_builds_them_all_and_publishes_what_others_would(played: Played) -> None:
    assert played.of_the_fast == played.slow.exported()


def test_dbt_sees_the_landing_of_one_moment_while_more_lands_and_another_host_publishes(played: Played) -> None:
    assert 0 < played.in_the_slow < played.landed_meanwhile


def test_what_is_of_an_older_landing_does_not_replace_what_is_of_a_newer_one(played: Played) -> None:
    assert played.after_the_refusal == played.of_the_fast
    assert played.refused.exported == played.refused.readings == 0
    assert played.index_after == played.index


def test_a_reader_goes_on_with_the_publication_that_it_has_begun_to_read(played: Played) -> None:
    cycles = {(row["cell_id"], row["cycle_number"]) for row in played.of_the_open_reader.to_pylist()}
    assert cycles == {(cell, number) for cell in CELLS for number in (1, 2)}
    assert played.before["cycle_count"].to_pylist() == [2, 2]


def test_a_refresh_builds_again_only_the_tests_in_which_something_has_landed(played: Played) -> None:
    built = played.slow.query(
        "select count(distinct built_by) from internal._refreshed where model = 'battery_cleaned'"
    )
    assert (played.first.tests, built) == (2, [(3,)])


def test_a_host_that_has_published_nothing_newer_finds_news_until_it_has_built_what_landed(played: Played) -> None:
    assert played.slow.is_up_to_date()
    assert played.fast.is_up_to_date()
    with contextlib.chdir(played.slow.folder):
        told = status(played.slow.settings, look_at_overview(played.slow.settings))
    assert told.models is not None
    assert told.models.news is None
    assert told.models.run is not None
    assert told.models.run.outcome == "passed"


def test_readers_on_other_hosts_have_the_readings_of_all_tests_from_the_store_alone(played: Played) -> None:
    seen = open_publication(played.fast.settings, lock_seconds=0)
    cycles = seen.rows("battery_cycles", ["SIM_01"])
    readings = seen.readings("SIM_01", cycles)
    ((landed,),) = played.file.query("select count(*) from battery_ts_cleaned where cell_id = 'SIM_01'")
    assert readings.num_rows == landed


def test_hosts_that_build_the_same_name_the_readings_alike(played: Played) -> None:
    assert played.index == played.slow.store.get(INDEX)


def test_no_file_of_a_host_holds_the_password_of_the_warehouse(played: Played) -> None:
    files = [path for host in (played.slow, played.fast) for path in host.folder.rglob("*") if path.is_file()]
    assert any(path.name == "battery.duckdb" for path in files)
    assert [path for path in files if played.password.encode() in path.read_bytes()] == []


def test_models_that_were_not_built_yet_are_named_before_anything_is_published(
    postgres_server: Postgres, tmp_path: Path
) -> None:
    database = postgres_server.database()
    host = Host(tmp_path, Pipeline(tmp_path / "none", 1, database.places).settings)
    with contextlib.chdir(tmp_path), pytest.raises(BatteryError, match="holds no landing tables yet; run `battery str"):
        publish(host.models, host.store)
    postgres_server.drop(database)
