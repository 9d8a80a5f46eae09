from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from support.warehouse_contract import (  # noqa: F401  # what every kind does
    test_a_broken_key_and_a_table_that_is_missing_are_told_apart,
    test_a_change_answers_with_the_number_of_its_rows,
    test_a_connection_that_failed_leaves_the_warehouse_usable,
    test_a_transaction_is_all_or_nothing,
    test_names_without_a_schema_are_those_of_the_schema_main,
    test_tables_are_made_once,
    test_the_internal_tables_of_the_release_before_move_to_their_schema,
    test_views_of_main_read_what_is_internal_over_any_connection,
    test_what_a_transaction_wrote_is_there_for_the_next_connection,
)

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.edges.warehouse import DuckDBFile, open_warehouse, transaction

if TYPE_CHECKING:
    from collections.abc import Callable

HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process that holds the warehouse until its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "battery.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_file_is_free_as_soon_as_the_block_ends(warehouse: DuckDBFile, tmp_path: Path) -> None:
    with warehouse.connect("test") as connection:
        connection.execute("create table t as select 1 as a")
    with duckdb.connect(str(tmp_path / "battery.duckdb")) as other:
        assert other.execute("from t").fetchall() == [(1,)]


def test_a_held_warehouse_is_waited_for(warehouse: DuckDBFile, holder: subprocess.Popen[str]) -> None:
    opened = threading.Event()

    def wait() -> None:
        with warehouse.connect("test"):
            opened.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not opened.wait(0.3), "opened although another process holds it"
    holder.communicate()
    waiting.join(timeout=20)
    assert opened.is_set()


def test_a_warehouse_that_stays_held_is_one_line_that_says_for_what(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    impatient = DuckDBFile(tmp_path / "battery.duckdb", lock_timeout_seconds=0.2)
    with (
        pytest.raises(BatteryError, match=r"for 0.2 s .*cannot commit"),
        impatient.connect("commit"),
    ):
        pass
    holder.communicate()


def test_a_warehouse_that_another_is_making_is_not_taken_for_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = duckdb.connect
    is_half_made, may_go_on = threading.Event(), threading.Event()
    one_at_a_time = threading.Lock()  # threads of one process share what DuckDB has open

    def connect_slowly(path: str, **options: Any) -> duckdb.DuckDBPyConnection:
        """As DuckDB does: the file is there before anything is in it, and before it is locked."""
        if threading.current_thread() is maker and not Path(path).exists():
            Path(path).touch()
            is_half_made.set()
            assert may_go_on.wait(20)
            Path(path).unlink()
        return connect(path, **options)

    def write(number: int) -> None:
        with DuckDBFile(tmp_path / "battery.duckdb", 20).connect("test") as connection, one_at_a_time:
            connection.execute("create table if not exists t (a integer)")
            connection.execute("insert into t values (?)", [number])

    monkeypatch.setattr(duckdb, "connect", connect_slowly)
    maker = threading.Thread(target=write, args=[1])
    maker.start()
    assert is_half_made.wait(20)
    threading.Timer(0.2, may_go_on.set).start()
    write(2)
    maker.join()
    with connect(str(tmp_path / "battery.duckdb")) as connection:
        assert connection.execute("select a from t order by a").fetchall() == [(1,), (2,)]
    assert not list(tmp_path.glob(".*")), "nothing unfinished stays"


def test_reading_a_warehouse_that_does_not_exist_names_the_command_that_makes_it(warehouse: DuckDBFile) -> None:
    with (
        pytest.raises(BatteryError, match="does not exist yet; `battery stream` makes it"),
        warehouse.connect("look", read_only=True),
    ):
        pass


def test_a_file_that_is_no_warehouse_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "battery.duckdb").write_text("hello" * 1000)
    with (
        pytest.raises(BatteryError, match=r"WAREHOUSE=.* is damaged, or no DuckDB file") as caught,
        DuckDBFile(tmp_path / "battery.duckdb", 1).connect("test"),
    ):
        pass
    assert "\n" not in str(caught.value)


LEAVE_A_WAL = """
import duckdb, os, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("create table t as select range as a, range::varchar as b from range(200000)")
connection.execute("checkpoint")
for number in range(20):
    connection.execute("insert into t values (?, ?)", [number, str(number)])
os._exit(0)
"""


def overwritten(path: Path, start: int, end: int) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:start] + b"\xff" * (end - start) + data[end:])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(b"PK no database " * 1000), "not a valid DuckDB database file"),
        (lambda path: path.write_bytes(b""), "not a valid DuckDB database file"),
        (lambda path: path.write_bytes(path.read_bytes()[:500_000]), "Could not read enough bytes"),
        (lambda path: overwritten(path, 4096, 8192), "Corrupt database file"),
        (lambda path: overwritten(path, 530_000, 700_000), "Corrupt database file"),  # what is read only when asked for
        (lambda path: overwritten(path.with_name(f"{path.name}.wal"), 60, 80), "Failure while replaying WAL file"),
    ],
)
def test_a_damaged_warehouse_is_told_with_its_setting_and_the_way_out(
    warehouse: DuckDBFile, tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "battery.duckdb"
    subprocess.run([sys.executable, "-c", LEAVE_A_WAL, str(path)], check=True)
    damage(path)
    with (
        pytest.raises(BatteryError, match=rf"WAREHOUSE={path} is damaged.*{said}") as raised,
        warehouse.connect("test") as connection,
        transaction(connection),
    ):
        connection.execute("select sum(a), sum(length(b)) from t").fetchall()
    assert f"move it and {path.name}.wal away" in str(raised.value)
    assert "`battery replay --from-beginning`, then start again" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_warehouse_is_what_a_path_names(tmp_path: Path) -> None:
    assert isinstance(open_warehouse(Settings(warehouse=str(tmp_path / "x.duckdb"))), DuckDBFile)


def test_a_path_with_a_question_mark_is_refused_before_anything_is_made_there(tmp_path: Path) -> None:
    file = DuckDBFile(tmp_path / "what?" / "battery.duckdb", lock_timeout_seconds=10)
    with pytest.raises(BatteryError, match=r"battery.duckdb: DuckDB can use no path with a question mark"):
        file.connect("try").__enter__()
    assert not (tmp_path / "what?").exists()
