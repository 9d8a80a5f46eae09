"""Looks at a warehouse while another process has it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import pytest

from kernel.base.settings import Settings
from kernel.edges.warehouse import HeldError
from sink.care.overview import look_at_overview, renew_overview
from sink.tables import create_tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(warehouse=str(tmp_path / "lab.duckdb"))
    with duckdb.connect(made.warehouse) as connection:
        create_tables(connection)
    quarantine(made, "out_of_range", 3)
    return made


def quarantine(settings: Settings, reason: str, rows: int) -> None:
    with duckdb.connect(settings.warehouse) as connection:
        connection.execute(
            'insert into battery_quarantine (cell_id, reason, detail, topic_id, partition, "offset", row, row_count) '
            "values ('A', ?, 'why', 't', 0, 0, 0, ?)",
            [reason, rows],
        )


def rows_of(settings: Settings) -> list[object]:
    values: list[object] = look_at_overview(settings).tables["reasons"]["rows"].to_pylist()
    return values


@contextmanager
def held(settings: Settings) -> Iterator[None]:
    """Another process has the warehouse until the block ends."""
    command = [sys.executable, "-c", HOLD, settings.warehouse]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.communicate()


def test_a_look_while_another_process_has_the_warehouse_sees_it_as_it_was_and_says_so(settings: Settings) -> None:
    renew_overview(settings)
    quarantine(settings, "duplicate", 5)
    with held(settings):
        assert rows_of(settings) == [3]
        assert "held by another process" in str(look_at_overview(settings).held)
    assert rows_of(settings) == [5, 3]


def test_a_look_at_a_warehouse_that_has_not_changed_does_not_open_it(settings: Settings) -> None:
    renew_overview(settings)
    with held(settings):
        assert look_at_overview(settings).held is None


def test_a_held_warehouse_without_an_overview_cannot_be_looked_at(settings: Settings) -> None:
    short = settings.model_copy(update={"warehouse_lock_timeout_seconds": 0.05})
    with held(settings), pytest.raises(HeldError, match="cannot look at the landing"):
        look_at_overview(short)
