"""The verification of cell metadata: what it finds after a deliberate break, where, and that a replay mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from kernel.base.ports import free_port
from kernel.base.settings import Settings
from kernel.edges.cells_topic import open_cells_topic
from kernel.edges.warehouse import DuckDBFile
from sink.care import cell_events as module
from sink.care.cell_events import REMEDY, cell_checks, mend_cell_events
from sink.cells.change import change_cells
from sink.cells.events import land_cell_events
from sink.tables import create_tables


@pytest.fixture
def settings(broker: int, tmp_path: Path) -> Settings:
    """A pipeline with topics of its own, in which two cells were told of, and one of them again."""
    settings = Settings(
        kafka_bootstrap_servers=f"127.0.0.1:{broker}",
        battery_topic=f"t{uuid4().hex}",
        warehouse=str(tmp_path / "battery.duckdb"),
    )
    warehouse = warehouse_of(settings)
    with warehouse.connect("test") as connection:
        create_tables(connection)
    change_cells(settings, warehouse, {"A": {"group": "fast"}, "B": {"group": "slow"}})
    change_cells(settings, warehouse, {"A": {"group": "slow"}})
    return settings


def warehouse_of(settings: Settings) -> DuckDBFile:
    return DuckDBFile(Path(settings.warehouse), lock_timeout_seconds=1)


def execute(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with warehouse_of(settings).connect("test") as connection:
        return connection.execute(sql).fetchall()


def verified(settings: Settings, *, live: bool = False) -> dict[str, tuple[bool, str]]:
    checks = cell_checks(settings, warehouse_of(settings), live=live)
    return {check.name: (check.ok, check.detail) for check in checks}


def sound(settings: Settings, messages: int, rows: int, cells: int = 2) -> dict[str, tuple[bool, str]]:
    return {
        "cell metadata": (True, f"{messages} messages of {settings.cells_topic}, {rows} rows"),
        "cell metadata, latest": (True, f"{cells} cells, 0 are other than their last message says"),
        "cell metadata, lag": (True, "0 messages not landed yet"),
    }


def test_what_has_landed_as_it_was_told_adds_up(settings: Settings) -> None:
    assert verified(settings) == sound(settings, 3, 3)
    assert mend_cell_events(settings, warehouse_of(settings)) == 0


@pytest.mark.parametrize(
    ("broken", "place", "latest"),
    [
        (
            'delete from battery_cell_events where "offset" = 1',
            "partition 0, offset 1, cell B: it has not landed, though a later one has",
            'partition 0, offset 1, cell B: battery_cell_latest has nothing, it says {"group":"slow"}',
        ),
        (
            """update battery_cell_events set metadata = '{"group":"none"}' where "offset" = 2""",
            "partition 0, offset 2, cell A: its row has another metadata",
            'partition 0, offset 2, cell A: battery_cell_latest has {"group":"none"}, it says {"group":"slow"}',
        ),
        (
            """update battery_cell_events set cell_id = 'C', changed_at = changed_at + interval 1 second
            where "offset" = 0""",
            "partition 0, offset 0, cell A: its row has another cell_id, changed_at",
            None,
        ),
        (
            """insert into battery_cell_events select topic_id, "partition", 3, 'C', changed_at, '{"group":"x"}', null
            from battery_cell_events where "offset" = 2""",
            "partition 0, offset 3, cell C: its row has no message",
            None,
        ),
        (
            """create or replace table battery_cell_events as from battery_cell_events;
            insert into battery_cell_events from battery_cell_events where "offset" = 0""",
            "partition 0, offset 0, cell A: it has landed 2 times",
            None,
        ),
    ],
    ids=[
        "a row is gone",
        "a row was altered",
        "a row is of another cell",
        "a row has no message",
        "a row is there twice",
    ],
)
def test_a_break_is_told_with_its_place_and_what_to_do_and_is_mended(
    settings: Settings, broken: str, place: str, latest: str | None
) -> None:
    before = execute(settings, "from battery_cell_events order by all")
    execute(settings, broken)
    found = verified(settings)
    ok, detail = found["cell metadata"]
    assert not ok
    assert detail.endswith(f"; {place}; {REMEDY}")
    if latest is not None:
        assert found["cell metadata, latest"][0] is False
        assert latest in found["cell metadata, latest"][1]
    assert mend_cell_events(settings, warehouse_of(settings)) == 1
    assert execute(settings, "from battery_cell_events order by all") == before
    assert verified(settings) == sound(settings, 3, 3)


def test_many_breaks_are_counted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHOWN", 1)
    execute(settings, "update battery_cell_events set fault = 'x'")
    assert verified(settings)["cell metadata"][1].endswith(f"its row has another fault; 2 more; {REMEDY}")


def test_messages_that_have_not_landed_are_told_and_are_no_fault_while_producers_run(settings: Settings) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    producer.produce(settings.cells_topic, b'{"group":"late"}', b"B")
    assert producer.flush(30) == 0
    assert verified(settings)["cell metadata, lag"] == (
        False,
        "1 messages not landed yet: `battery cells list` lands them",
    )
    assert verified(settings, live=True)["cell metadata, lag"][0]
    land_cell_events(settings, warehouse_of(settings))
    assert verified(settings) == sound(settings, 4, 4)


def test_a_message_that_counts_for_nothing_has_its_row_like_any_other(settings: Settings) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for value in (b"no JSON", None):
        producer.produce(settings.cells_topic, value, b"B")
    assert producer.flush(30) == 0
    land_cell_events(settings, warehouse_of(settings))
    assert verified(settings) == sound(settings, 5, 5)


def test_rows_outlive_messages_that_a_compaction_has_dropped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first message of A was replaced, and the last of B took everything away, which brokers drop after a while."""
    change_cells(settings, warehouse_of(settings), {"B": {"group": None}})
    whole = module._messages(settings, open_cells_topic(settings))  # noqa: SLF001
    compacted = whole.filter([False, True, True, False])
    monkeypatch.setattr(module, "_messages", lambda *_: compacted)
    assert verified(settings)["cell metadata"] == (True, f"2 messages of {settings.cells_topic}, 4 rows")
    assert mend_cell_events(settings, warehouse_of(settings)) == 0


def test_a_topic_that_was_created_again_is_compared_alone(settings: Settings) -> None:
    execute(settings, "update battery_cell_events set topic_id = 'earlier', changed_at = '2020-01-01'")
    change_cells(settings, warehouse_of(settings), {"B": {"group": "new"}})
    found = verified(settings)
    assert found["cell metadata"] == (
        True,
        f"4 messages of {settings.cells_topic}, 4 rows and 3 of earlier topics of that name, which are not compared",
    )


def test_without_a_topic_nothing_is_compared(settings: Settings) -> None:
    untold = settings.model_copy(update={"battery_cells_topic": f"t{uuid4().hex}"})
    detail = f"3 changes have landed; there is no topic {untold.cells_topic} to compare them with"
    assert verified(untold) == {"cell metadata": (True, detail)}
    assert mend_cell_events(untold, warehouse_of(untold)) == 0
    away = settings.model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{free_port()}"})
    assert mend_cell_events(away, warehouse_of(away)) == 0
