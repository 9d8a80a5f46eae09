"""Publications of several hosts to one store: who may replace what, and what is put right after a host stood still."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from support.committed import Worker

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import open_warehouse
from refresh.alerts.send import send_alerts
from refresh.audit import start_run
from refresh.export import LATEST, MANIFEST, export_marts
from refresh.host_models import HostModels, open_models
from refresh.news import news
from refresh.turns import be_alone

if TYPE_CHECKING:
    from support.postgres import Database


@dataclass
class Host:
    """A host with a folder of its own, whose published models are one mart of its name."""

    folder: Path
    settings: Settings

    def __post_init__(self) -> None:
        self.folder.mkdir()
        with contextlib.chdir(self.folder):
            models = open_models(self.settings)
        assert isinstance(models, HostModels)
        self.models = models

    def take(self) -> None:
        """Take the landing, and publish models of it in the file of this host."""
        self.models.take_landing()
        with self.models.connect("build by hand") as connection:
            connection.execute(f"create or replace table main.battery_cells as select '{self.folder.name}' as cell_id")
            connection.execute(
                "create or replace table internal._refreshed as select '_taken' as model, '' as cell_id, "
                "'' as test_id, number::varchar as version from internal._taken union all "
                "select '_watermark', '', '', watermark from internal._watermark"
            )

    def export(self, store: FolderStore | None = None) -> int:
        return export_marts(self.models, store or self.store)

    @property
    def store(self) -> FolderStore:
        return FolderStore(self.folder.parent / "objects")

    @property
    def shown(self) -> str:
        """The host whose marts the manifest names."""
        key = json.loads(self.store.get(MANIFEST))["tables"]["battery_cells"]["key"]
        assert self.store.get(key) == self.store.get(f"{LATEST}/battery_cells.parquet")
        return "first" if b"first" in self.store.get(key) else "second"


@pytest.fixture
def settings(tmp_path: Path, postgres_database: Database) -> Settings:
    """A pipeline in PostgreSQL in which something has landed."""
    settings = Settings(
        object_store=f"file://{tmp_path / 'objects'}",
        warehouse=postgres_database.address,
        warehouse_password=SecretStr(postgres_database.password),
        kafka_bootstrap_servers="127.0.0.1:1",
    )
    land(settings)
    return settings


def land(settings: Settings) -> None:
    Worker(FolderStore(_folder(settings)), open_warehouse(settings)).commit(0, 1)


def _folder(settings: Settings) -> Path:
    return Path(settings.object_store.removeprefix("file://"))


@pytest.fixture
def hosts(tmp_path: Path, settings: Settings) -> tuple[Host, Host]:
    return Host(tmp_path / "first", settings), Host(tmp_path / "second", settings)


def test_of_two_hosts_the_one_that_took_the_landing_later_is_shown_whichever_exports_last(
    hosts: tuple[Host, Host],
) -> None:
    first, second = hosts
    first.take()
    second.take()
    assert second.export() == 1
    assert first.export() == 0
    assert first.shown == "second"
    first.take()
    assert first.export() == 1
    assert first.shown == "first"


def test_what_is_refused_leaves_no_objects_and_what_is_shown_keeps_its_own(hosts: tuple[Host, Host]) -> None:
    first, second = hosts
    first.take()
    second.take()
    second.export()
    kept = {stored.key for stored in first.store.list("marts/")}
    first.export()
    assert {stored.key for stored in first.store.list("marts/")} == kept


def test_an_older_publication_that_overtook_a_newer_one_is_replaced_by_it_again(hosts: tuple[Host, Host]) -> None:
    first, second = hosts
    first.take()
    first.export()
    older = {stored.key: first.store.get(stored.key) for stored in first.store.list("marts/")}
    second.take()
    second.export()
    for key in (MANIFEST, f"{LATEST}/battery_cells.parquet"):  # as a host does that had stood still in its turn
        first.store.put(key, older[key])
    assert first.shown == "first"
    first.export()
    assert first.shown == "second"


def test_a_publication_whose_turn_was_ended_is_told_and_made_again(hosts: tuple[Host, Host]) -> None:
    first, _ = hosts
    first.take()

    class Slow:
        """A store that takes so long that PostgreSQL ends the turn meanwhile."""

        def __getattr__(self, name: str) -> Any:
            return getattr(first.store, name)

        def put(self, key: str, data: bytes) -> None:
            first.store.put(key, data)
            if key == MANIFEST:
                with first.models.landing.judge("end the others") as judge:
                    judge.execute(
                        "select pg_terminate_backend(pid) from pg_stat_activity "
                        "where datname = current_database() and pid <> pg_backend_pid()"
                    )

    with pytest.raises(BatteryError, match=r"could not be recorded: .*the next one puts it right"):
        first.export(Slow())  # type: ignore[arg-type]
    assert first.export() == 1
    assert first.shown == "first"


def test_a_host_that_is_overtaken_while_it_writes_shows_what_it_publishes_and_keeps_it(
    hosts: tuple[Host, Host],
) -> None:
    first, second = hosts
    first.take()
    second.take()

    class Overtaken:
        """A store to which the other host publishes before this one has its turn."""

        def __getattr__(self, name: str) -> Any:
            return getattr(second.store, name)

        def put(self, key: str, data: bytes) -> None:
            second.store.put(key, data)
            if key.endswith("battery_cells.parquet") and LATEST not in key:
                first.export()

    second.export(Overtaken())  # type: ignore[arg-type]
    assert second.shown == "second"
    names = json.loads(second.store.get(MANIFEST))["tables"]
    assert {table["key"] for table in names.values()} <= {stored.key for stored in second.store.list("marts/")}


def test_after_an_older_copy_of_the_warehouse_was_restored_what_is_taken_then_is_the_newest(
    hosts: tuple[Host, Host],
) -> None:
    first, second = hosts
    for _ in range(3):
        first.take()
    with first.models.landing.judge("restore an older copy") as judge:
        judge.execute("update internal._refreshed set version = '1' where model = '_taken'")
    first.export()  # of a landing that the restored warehouse has never given
    second.take()
    assert second.export() == 1
    assert second.shown == "second"


def test_the_landing_of_a_host_stays_until_it_takes_another(hosts: tuple[Host, Host], settings: Settings) -> None:
    first, _ = hosts
    first.take()

    def counts() -> list[tuple[Any, ...]]:
        with first.models.connect("look", read_only=True) as connection:
            return connection.execute(
                "select (select count(*) from battery_ts_cleaned), (select count(*) from battery_quarantine)"
            ).fetchall()

    before = counts()
    land(settings)
    assert counts() == before
    first.take()
    assert counts() == [(2 * before[0][0], 2 * before[0][1])]


def test_news_is_told_by_what_has_landed_by_now(hosts: tuple[Host, Host], settings: Settings) -> None:
    first, _ = hosts
    assert news(settings, first.models) == "no models have been published yet"
    first.take()
    with first.models.connect("look", read_only=True) as connection:
        ((watermark,),) = connection.execute("select watermark from internal._watermark").fetchall()
    land(settings)
    told = news(settings, first.models)
    assert told is not None
    assert told.startswith("landed: ")
    assert told.endswith(f"published: {watermark}")


def test_models_of_a_database_that_was_made_anew_are_not_taken_for_those_of_its_pipeline(
    hosts: tuple[Host, Host],
) -> None:
    first, _ = hosts
    first.take()
    with first.models.landing.judge("begin another pipeline") as judge:
        judge.execute("update internal._pipeline set pipeline = 'another'")
    first.models.take_landing()
    with first.models.connect("look", read_only=True) as connection:
        assert connection.execute(
            "select count(*) from duckdb_tables() where table_name = 'battery_cells'"
        ).fetchall() == [(0,)]


def test_a_damaged_file_of_models_is_named_with_what_mends_it_and_built_anew(hosts: tuple[Host, Host]) -> None:
    first, _ = hosts
    first.take()
    (file,) = first.folder.rglob("battery.duckdb")
    file.write_bytes(b"damaged" * 1000)
    with pytest.raises(
        BatteryError, match=r"^the file of the models, .*; move it and battery\.duckdb\.wal away, and start"
    ):
        first.export()
    file.unlink()
    first.take()
    assert first.export() == 1


def test_a_run_of_dbt_is_on_record_for_the_status_on_any_host(hosts: tuple[Host, Host]) -> None:
    first, second = hosts
    first.take()
    run = start_run(first.models, ("build",))
    with second.models.landing.connect("look", read_only=True) as connection:
        assert connection.execute("select run, failure, results from internal._dbt_runs").fetchall() == [
            (run, "it was ended in the middle", [])
        ]


def test_of_several_hosts_one_at_a_time_sends_alerts(hosts: tuple[Host, Host], settings: Settings) -> None:
    first, _ = hosts
    told = settings.model_copy(update={"airflow_conn_battery_alerts": SecretStr("http://127.0.0.1:1/")})
    with contextlib.chdir(first.folder):
        with be_alone(first.models.landing) as is_alone:
            assert is_alone
            assert send_alerts(told).nothing == "another process is sending the alerts"
        nothing = send_alerts(told).nothing
    assert nothing is not None
    assert nothing.startswith("no figures have been published yet")


def test_a_warehouse_without_landing_tables_is_named(tmp_path: Path, postgres_database: Database) -> None:
    settings = Settings(
        object_store=f"file://{tmp_path / 'objects'}",
        warehouse=postgres_database.address,
        warehouse_password=SecretStr(postgres_database.password),
    )
    with pytest.raises(BatteryError, match="holds no landing tables yet; run `battery stream` first"):
        news(settings, Host(tmp_path / "first", settings).models)
