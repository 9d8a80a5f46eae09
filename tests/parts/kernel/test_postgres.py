"""A warehouse in PostgreSQL: what every kind does, what DuckDB sees of it, and how it says that it cannot be used."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import duckdb
import pytest
import trustme
from pydantic import SecretStr, ValidationError
from support.postgres import PASSWORD
from support.proxy import TlsFront
from support.warehouse_contract import (  # noqa: F401  # what every kind does
    test_a_broken_key_and_a_table_that_is_missing_are_told_apart,
    test_a_change_answers_with_the_number_of_its_rows,
    test_a_connection_that_failed_leaves_the_warehouse_usable,
    test_a_transaction_is_all_or_nothing,
    test_names_without_a_schema_are_those_of_the_schema_main,
    test_tables_are_made_once,
    test_views_of_main_read_what_is_internal_over_any_connection,
    test_what_a_transaction_wrote_is_there_for_the_next_connection,
)

from kernel.base.errors import BatteryError
from kernel.base.ports import free_port
from kernel.base.settings import Settings
from kernel.edges.duckdb_objects import sql_text
from kernel.edges.warehouse import DuckDBFile, Postgres, Warehouse, open_warehouse, transaction
from sink.tables import create_tables

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Database
    from support.postgres import Postgres as Server

SCHEMA = """
select schema_name, table_name, column_name, data_type from duckdb_columns()
where database_name = current_database() and schema_name in ('main', 'internal') and not internal
order by schema_name, table_name, column_index
"""


def at(database: Database, folder: Path, **other: object) -> Settings:
    """Settings with that database as the warehouse."""
    given = {"warehouse": database.address, "warehouse_password": SecretStr(database.password)}
    return Settings(**{"object_store": f"file://{folder / 'objects'}", **given, **other})  # type: ignore[arg-type]


@pytest.fixture
def warehouse(postgres_database: Database, tmp_path: Path) -> Postgres:
    with postgres_database.connect() as owner:
        owner.execute("create schema main")  # in which names without a schema are
    warehouse = open_warehouse(at(postgres_database, tmp_path))
    assert isinstance(warehouse, Postgres)
    return warehouse


def made(warehouse: Warehouse) -> Warehouse:
    """A warehouse with its landing tables."""
    with warehouse.judge("write") as judge, transaction(judge):
        create_tables(judge)
    return warehouse


def test_duckdb_sees_the_tables_of_a_duckdb_file_column_for_column(warehouse: Postgres, tmp_path: Path) -> None:
    file = made(DuckDBFile(tmp_path / "battery.duckdb", lock_timeout_seconds=30))
    found = []
    for kind in (file, made(warehouse)):
        with kind.connect("look", read_only=True) as connection:
            found.append(connection.execute(SCHEMA).fetchall())
    tables = {row[:2] for row in found[0]}
    assert [row for row in found[1] if row[:2] in tables] == found[0]


def test_one_look_is_of_one_moment(warehouse: Postgres) -> None:
    made(warehouse)
    with warehouse.connect("look", read_only=True) as connection:
        assert connection.execute("select count(*) from _progress").fetchone() == (0,)
        with warehouse.judge("write") as judge:
            judge.execute("insert into internal._progress values ('A', 'log', 0, 7)")
        assert connection.execute("select count(*) from _progress").fetchone() == (0,)
    with warehouse.connect("look", read_only=True) as connection:
        assert connection.execute("select count(*) from _progress").fetchone() == (1,)


def test_a_look_changes_nothing(warehouse: Postgres) -> None:
    made(warehouse)
    for sql in ("delete from _progress", "delete from judge.internal._progress", "drop table judge.internal._progress"):
        with pytest.raises(duckdb.Error), warehouse.connect("look", read_only=True) as connection:
            connection.execute(sql)


def test_looks_read_the_footer_of_an_object_once(warehouse: Postgres) -> None:
    made(warehouse)
    for _ in range(2):
        with warehouse.connect("look", read_only=True) as connection:
            assert connection.execute("select current_setting('parquet_metadata_cache')").fetchone() == (True,)


def test_a_look_leaves_nothing_in_the_working_directory(
    warehouse: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    made(warehouse)
    with warehouse.connect("look", read_only=True) as connection:
        connection.execute("set memory_limit = '64MB'")
        connection.execute("create temporary table many as select hash(i) as hash from range(20_000_000) as t(i)")
        ((spilled,),) = connection.execute("select sum(size) from duckdb_temporary_files()").fetchall()
        assert spilled > 0
        assert list((tmp_path / "work").iterdir()) == []


def test_a_look_at_a_database_without_tables_finds_none(warehouse: Postgres) -> None:
    with warehouse.connect("look", read_only=True) as connection:
        assert connection.execute(SCHEMA).fetchall() == []
    made(warehouse)
    with warehouse.connect("look", read_only=True) as connection:
        assert connection.execute("from _progress").fetchall() == []


def test_a_warehouse_is_used_again_after_its_connections_have_been_ended(
    warehouse: Postgres, postgres_database: Database
) -> None:
    made(warehouse)
    with warehouse.connect("look", read_only=True) as connection:
        connection.execute("from _progress").fetchall()
    with postgres_database.connect() as other:
        other.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where usename = current_user and pid <> pg_backend_pid()"
        )
    with pytest.raises(duckdb.Error), warehouse.judge("write") as judge, transaction(judge):
        judge.execute("insert into internal._progress values ('A', 'log', 0, 7)")
    with warehouse.judge("write") as judge, transaction(judge):
        judge.execute("insert into internal._progress values ('A', 'log', 0, 7)")
    with warehouse.connect("look", read_only=True) as connection:
        assert connection.execute("select count(*) from _progress").fetchone() == (1,)


def test_times_that_a_role_is_given_for_all_it_does_end_nothing_of_ours(
    warehouse: Postgres, postgres_database: Database
) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_session_timeout")
    with postgres_database.connect() as owner:
        for name in names:
            owner.execute(f"alter role current_user in database {postgres_database.name} set {name} = '60s'".encode())
    asked = f"select {', '.join(f'current_setting({sql_text(name)}) as {name}' for name in names)}"
    made(warehouse)
    with warehouse.judge("write") as judge:
        assert judge.execute(asked).fetchone() == ("0", "0", "0")
    with warehouse.connect("look", read_only=True) as connection:
        told = connection.execute(f"from postgres_query('judge', {sql_text(asked)})").fetchall()
    assert told == [("0", "0", "0")]


def test_what_postgresql_says_inside_a_look_is_not_taken_for_a_lost_object(warehouse: Postgres) -> None:
    made(warehouse)
    look, said = warehouse.connect("look", read_only=True), pytest.raises(duckdb.Error, match="division by zero")
    with said, look, warehouse.judge("write") as judge:
        judge.execute("select 1 / 0")


def test_a_connection_that_is_ended_inside_a_look_is_not_taken_for_a_lost_object(
    warehouse: Postgres, postgres_database: Database
) -> None:
    """What is lost does not come back, but a server does: such a look is tried again."""
    made(warehouse)
    look, said = warehouse.connect("look", read_only=True), pytest.raises(duckdb.Error, match=r"server closed|terminat")
    with said, look as connection:
        connection.execute("from _progress").fetchall()
        with postgres_database.connect() as other:
            other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where usename = current_user and pid <> pg_backend_pid()"
            )
        connection.execute("from _progress").fetchall()


def test_a_role_may_have_any_encoding(warehouse: Postgres, postgres_database: Database) -> None:
    with postgres_database.connect() as owner:
        name = postgres_database.name
        owner.execute(f"alter role current_user in database {name} set client_encoding = 'sql_ascii'".encode())
    made(warehouse)
    with warehouse.judge("write") as judge:
        judge.execute("insert into internal._progress values ('Zelle ä', 'log', 0, 7)")
    with warehouse.connect("look", read_only=True) as connection:
        assert connection.execute("select cell_id from _progress").fetchall() == [("Zelle ä",)]


def test_the_first_connection_that_has_broken_gives_up_all_that_are_idle(
    warehouse: Postgres, postgres_database: Database
) -> None:
    """A commit is tried a few times only, and each of them would be one of these."""
    with warehouse.judge("first") as first, warehouse.judge("second") as second:
        backends = [judge.execute("select pg_backend_pid()").fetchall()[0][0] for judge in (first, second)]
    with postgres_database.connect() as owner:
        for backend in backends:
            owner.execute("select pg_terminate_backend(%s, 10000)", [backend])
    with pytest.raises(duckdb.Error), warehouse.judge("break") as judge:
        judge.execute("select 1")
    with warehouse.judge("go on") as judge:
        assert judge.execute("select 1").fetchall() == [(1,)]


def refused(settings: Settings) -> str:
    """Why a warehouse cannot be used, whoever asks for it."""
    said = set()
    for lend in (open_warehouse(settings).judge, open_warehouse(settings).connect):
        with pytest.raises(BatteryError) as caught, lend("try it"):
            pass
        said.add(str(caught.value))
    (line,) = said
    assert PASSWORD not in line
    assert "\n" not in line
    return line


def test_a_database_that_does_not_exist_is_one_line(postgres_database: Database, tmp_path: Path) -> None:
    postgres_database.name += "_of_nobody"
    line = refused(at(postgres_database, tmp_path))
    assert f'database "{postgres_database.name}" does not exist' in line
    assert line.startswith("cannot try it: WAREHOUSE=postgresql://")
    postgres_database.name = postgres_database.name.removesuffix("_of_nobody")


def test_a_wrong_password_is_one_line_that_does_not_show_it(postgres_database: Database, tmp_path: Path) -> None:
    line = refused(at(postgres_database, tmp_path, warehouse_password=SecretStr("hush-another")))
    assert 'password authentication failed for user "battery"' in line
    assert "hush" not in line


def test_the_password_may_stand_where_those_who_know_postgresql_put_it(
    postgres_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", postgres_database.password)
    warehouse = made(open_warehouse(at(postgres_database, tmp_path, warehouse_password=None)))
    with warehouse.connect("look", read_only=True) as connection:
        assert connection.execute("from _progress").fetchall() == []


def test_a_missing_password_is_one_line(postgres_database: Database, tmp_path: Path) -> None:
    assert "no password supplied" in refused(at(postgres_database, tmp_path, warehouse_password=None))


def test_all_goes_over_tls_to_a_server_that_an_authority_of_our_own_vouches_for(
    postgres_database: Database, postgres_server: Server, tmp_path: Path
) -> None:
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    other.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(certificate)
    front = TlsFront(postgres_server.port, certificate)
    front.start()
    address = f"{postgres_database.behind(front.port)}?sslmode=verify-full&sslrootcert={tmp_path}"
    made(open_warehouse(at(postgres_database, tmp_path, warehouse=f"{address}/ca.pem")))
    changed = front.served
    with open_warehouse(at(postgres_database, tmp_path, warehouse=f"{address}/ca.pem")).connect("look") as connection:
        assert connection.execute("from _progress").fetchall() == []
    assert 0 < changed < front.served, "PostgreSQL was changed over it, and DuckDB looked over it"
    distrusting = open_warehouse(at(postgres_database, tmp_path, warehouse=f"{address}/other.pem"))
    said = r"cannot look: WAREHOUSE=.* cannot be used: .*certificate verify failed"
    with pytest.raises(BatteryError, match=said), distrusting.connect("look"):
        pass
    front.cut()


def test_a_server_that_is_down_is_one_line_at_once(postgres_database: Database, tmp_path: Path) -> None:
    address = postgres_database.behind(free_port())
    assert "refused" in refused(at(postgres_database, tmp_path, warehouse=address, warehouse_lock_timeout_seconds=60))


def test_a_role_that_may_not_create_tables_is_one_line(postgres_database: Database, tmp_path: Path) -> None:
    with postgres_database.connect() as database:
        database.execute(f"revoke create on database {postgres_database.name} from battery, public".encode())
    warehouse = open_warehouse(at(postgres_database, tmp_path))
    with pytest.raises(BatteryError, match=r"cannot be created in the WAREHOUSE: .*permission denied") as caught:
        made(warehouse)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (f"postgresql://battery:{PASSWORD}@db.example/battery", "must not hold the password"),
        (f"postgresql://battery@db.example/battery?password={PASSWORD}", "must not hold the password"),
        ("postgresql://battery@db.example/battery?options=-csearch_path%3Dlab", "must not hold options"),
        ("postgresql://battery@db.example", "must name a database"),
        ("postgresql://battery@db.example:port/battery", "is no URL"),
        ("mysql://battery@db.example/battery", "of an unknown kind, mysql://"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_at_the_start(address: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings(warehouse=address)
