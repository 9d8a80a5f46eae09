"""What a lab knows of its cells, on an embedded broker: published, landed once, and never lost by another's change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from kernel.base.errors import BatteryError
from kernel.base.ports import free_port
from kernel.base.settings import Settings
from kernel.edges.cells_topic import broker_is_there, open_cells_topic, send_cells
from kernel.edges.kafka import NoBrokerError, open_topic
from kernel.edges.warehouse import DuckDBFile
from sink.cells import change as module
from sink.cells import events
from sink.cells.change import CellChange, change_cells, read_known
from sink.cells.events import land_cell_events, land_where_possible, landed_cells
from sink.cells.history import read_history, read_refused
from sink.tables import create_tables

if TYPE_CHECKING:
    from kernel.contract.cell_metadata import Value
    from kernel.edges.kafka import Topic


@pytest.fixture
def settings(broker: int, tmp_path: Path) -> Settings:
    """A pipeline with topics of its own."""
    return Settings(
        kafka_bootstrap_servers=f"127.0.0.1:{broker}",
        battery_topic=f"t{uuid4().hex}",
        warehouse=str(tmp_path / "battery.duckdb"),
    )


def rows(warehouse: DuckDBFile, sql: str) -> list[tuple[Any, ...]]:
    with warehouse.connect("test", read_only=True) as connection:
        return connection.execute(sql).fetchall()


def send(settings: Settings, *messages: tuple[bytes | None, bytes | None]) -> None:
    """Messages of another sender."""
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for key, value in messages:
        producer.produce(settings.cells_topic, value, key)
    assert producer.flush(30) == 0


def test_a_change_is_known_at_once_and_after_it_only_what_differs_is_published(
    settings: Settings, warehouse: DuckDBFile
) -> None:
    made = change_cells(settings, warehouse, {"A": {"group": "fast", "mass_g": 45.5}, "B": {"lot": "007"}})
    assert made == (CellChange("A", {}, {"group": "fast", "mass_g": 45.5}), CellChange("B", {}, {"lot": "007"}))
    again: dict[str, dict[str, Value | None]] = {"A": {"mass_g": None, "tags": ("x",)}, "B": {"lot": "007"}}
    assert change_cells(settings, warehouse, again) == (
        CellChange("A", {"group": "fast", "mass_g": 45.5}, {"group": "fast", "tags": ("x",)}),
    )
    assert read_known(settings, warehouse) == {"A": {"group": "fast", "tags": ("x",)}, "B": {"lot": "007"}}
    assert rows(warehouse, 'select "offset", cell_id, metadata, fault from battery_cell_events order by all') == [
        (0, "A", '{"group":"fast","mass_g":45.5}', None),
        (1, "B", '{"lot":"007"}', None),
        (2, "A", '{"group":"fast","tags":["x"]}', None),
    ]


def test_a_dry_run_publishes_nothing_and_says_what_would_change(settings: Settings, warehouse: DuckDBFile) -> None:
    assert change_cells(settings, warehouse, {"A": {"group": "fast"}}, dry_run=True) == (
        CellChange("A", {}, {"group": "fast"}),
    )
    change_cells(settings, warehouse, {"A": {"group": "fast"}})
    would = change_cells(settings, warehouse, {"A": {"group": "slow"}}, dry_run=True)
    assert [line for change in would for line in change.lines()] == ["A  group: fast -> slow"]
    assert read_known(settings, warehouse) == {"A": {"group": "fast"}}


def test_a_value_that_others_have_changed_since_it_was_read_is_not_written_over(
    settings: Settings, warehouse: DuckDBFile
) -> None:
    change_cells(settings, warehouse, {"A": {"group": "fast", "mass_g": 45.0}})
    read = read_known(settings, warehouse)
    change_cells(settings, warehouse, {"A": {"mass_g": 46.0, "lot": "007"}})
    for dry_run in (True, False):
        with pytest.raises(module.OvertakenError, match="others have changed mass_g of A since it was read") as raised:
            change_cells(settings, warehouse, {"A": {"mass_g": 47.0}, "B": {"lot": "1"}}, read=read, dry_run=dry_run)
        assert raised.value.now == {"A": {"group": "fast", "mass_g": 46.0, "lot": "007"}}
    assert read_known(settings, warehouse) == raised.value.now
    made = change_cells(settings, warehouse, {"A": {"mass_g": 46.0, "group": "slow"}}, read=read)
    assert [line for change in made for line in change.lines()] == ["A  group: fast -> slow"]


def test_columns_may_be_called_as_in_the_tables_as_a_page_does(settings: Settings, warehouse: DuckDBFile) -> None:
    change_cells(settings, warehouse, {"A": {"group": "fast", "format": "pouch"}})
    change_cells(settings, warehouse, {"A": {"cell_group": "slow", "cell_format": None, "mass_g": 45}})
    assert read_known(settings, warehouse) == {"A": {"group": "slow", "mass_g": 45.0}}
    with pytest.raises(BatteryError, match="cell A: group is there twice"):
        change_cells(settings, warehouse, {"A": {"group": "a", "cell_group": "b"}})
    with pytest.raises(BatteryError, match="cell A: mass is not a column"):
        change_cells(settings, warehouse, {"A": {"mass": 1.0}})


def test_nothing_changes_where_one_of_the_values_contradicts_another(settings: Settings, warehouse: DuckDBFile) -> None:
    change_cells(settings, warehouse, {"B": {"charge_limit_v": 4.2}})
    with pytest.raises(BatteryError, match=r"cell B: discharge_limit_v \(5 V\) is not below charge_limit_v"):
        change_cells(settings, warehouse, {"A": {"group": "fast"}, "B": {"discharge_limit_v": 5.0}})
    assert read_known(settings, warehouse) == {"B": {"charge_limit_v": 4.2}}


def test_messages_land_once_however_often_and_by_whomever_they_are_read(
    settings: Settings, warehouse: DuckDBFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_cells(settings, warehouse, {"A": {"group": "fast"}})
    send(settings, (b"B", b'{"group":"slow"}'))
    assert [land_cell_events(settings, warehouse) for _ in range(2)] == [1, 0]
    anew = DuckDBFile(tmp_path / "anew.duckdb", 30)
    assert land_cell_events(settings, anew) == 2
    with anew.connect("test") as connection:
        connection.execute('delete from battery_cell_events where "offset" = 1')
    # As one who looked how far it was before another landed.
    monkeypatch.setattr(events, "_LANDED", 'select 0, "offset" from battery_cell_events where false and topic_id = ?')
    assert land_cell_events(settings, anew) == 1
    assert read_known(settings, anew) == {"A": {"group": "fast"}, "B": {"group": "slow"}}


def test_a_message_that_cannot_be_read_lands_with_its_fault_and_counts_for_nothing(
    settings: Settings, warehouse: DuckDBFile
) -> None:
    change_cells(settings, warehouse, {"A": {"group": "fast"}, "B": {"group": "fast"}})
    send(settings, (b"A", b'{"mass_g":"x"}'), (None, b"{}"), (b"B", None), (b"C", b"\xff"))
    assert land_cell_events(settings, warehouse) == 4
    assert read_known(settings, warehouse) == {"A": {"group": "fast"}, "B": {}}
    faults = rows(warehouse, 'select fault from battery_cell_events where metadata is null order by "offset"')
    assert [fault.split(";")[0].split(": ")[0] for (fault,) in faults] == [
        "mass_g", "a cell's id has 1 to 1000 bytes", "it is no JSON object of texts, numbers and lists of texts",
    ]  # fmt: skip


def test_messages_that_count_for_nothing_are_listed_and_the_log_is_not_flooded(
    settings: Settings, warehouse: DuckDBFile, capsys: pytest.CaptureFixture[str]
) -> None:
    change_cells(settings, warehouse, {"A": {"group": "fast"}})
    assert read_refused(warehouse) == []
    send(settings, *((b"A", b"[%d" % number) for number in range(12)))
    capsys.readouterr()
    land_cell_events(settings, warehouse)
    said = capsys.readouterr()
    lines = [line for line in (said.out + said.err).splitlines() if "for nothing" in line]
    assert len(lines) == 11
    assert "messages=2" in lines[-1]
    refused = read_refused(warehouse)
    assert [(one.cell_id, one.partition, one.offset) for one in refused] == [("A", 0, place) for place in range(1, 13)]
    assert "A  partition 0, offset 12: it is no JSON object" in str(refused[-1])


def test_what_keeps_new_messages_from_landing_is_told_unless_there_are_none(
    settings: Settings, warehouse: DuckDBFile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    land_where_possible(settings, warehouse)  # no topic yet
    assert "has not landed" not in "".join(capsys.readouterr())
    change_cells(settings, warehouse, {"A": {"group": "fast"}})

    def broken(*_: object) -> None:
        raise BatteryError("the broker stopped answering")

    monkeypatch.setattr(events, "read_cells", broken)
    land_where_possible(settings, warehouse)
    assert "has not landed; the next refresh tries again" in "".join(capsys.readouterr())


def test_what_landed_by_other_rules_is_still_known(settings: Settings, warehouse: DuckDBFile) -> None:
    change_cells(settings, warehouse, {"A": {"group": "fast"}, "B": {"tags": ("x",)}})
    with warehouse.connect("as an earlier release took it") as connection:
        connection.execute("update battery_cell_events set metadata = '{\"note\":\"old\"}' where cell_id = 'A'")
    assert read_known(settings, warehouse) == {"A": {"note": "old"}, "B": {"tags": ("x",)}}
    assert [change.after for _, change in read_history(warehouse, "A")] == [{"note": "old"}]


def test_a_dry_run_makes_no_warehouse(settings: Settings, warehouse: DuckDBFile) -> None:
    assert change_cells(settings, warehouse, {"A": {"group": "fast"}}, dry_run=True)
    assert not Path(settings.warehouse).exists()


def test_what_another_has_changed_in_between_is_kept(
    settings: Settings, warehouse: DuckDBFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_cells(settings, warehouse, {"A": {"group": "fast"}})

    def overtaken(settings: Settings, topic: Topic, values: dict[str, bytes]) -> dict[str, tuple[int, int]]:
        monkeypatch.setattr(module, "send_cells", send_cells)
        send(settings, (b"A", b'{"group":"theirs","notes":"theirs"}'), (b"B", b'{"group":"theirs"}'))
        return send_cells(settings, topic, values)

    monkeypatch.setattr(module, "send_cells", overtaken)
    change_cells(settings, warehouse, {"A": {"mass_g": 45.0, "group": "mine"}})
    assert read_known(settings, warehouse) == {
        "A": {"group": "mine", "notes": "theirs", "mass_g": 45.0},
        "B": {"group": "theirs"},
    }


def test_a_topic_that_was_created_again_gets_all_that_is_known_with_the_first_change(
    settings: Settings, warehouse: DuckDBFile, tmp_path: Path
) -> None:
    change_cells(settings, warehouse, {"A": {"group": "fast"}, "B": {"lot": "007"}, "GONE": {"lot": "1"}})
    change_cells(settings, warehouse, {"GONE": {"lot": None}})
    recreated = settings.model_copy(update={"battery_cells_topic": f"t{uuid4().hex}"})
    change_cells(recreated, warehouse, {"B": {"lot": "008"}})
    anew = DuckDBFile(tmp_path / "anew.duckdb", 30)
    assert read_known(recreated, anew) == {"A": {"group": "fast"}, "B": {"lot": "008"}}
    assert read_known(recreated, warehouse) == read_known(recreated, anew) | {"GONE": {}}


def test_a_topic_that_landed_later_counts_whatever_the_clocks_of_its_senders_say(
    settings: Settings, warehouse: DuckDBFile
) -> None:
    change_cells(settings, warehouse, {"A": {"group": "fast"}, "B": {"group": "fast"}})
    recreated = settings.model_copy(update={"battery_cells_topic": f"t{uuid4().hex}"})
    open_cells_topic(recreated, create=True)
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    producer.produce(recreated.cells_topic, b'{"group":"theirs"}', b"B", timestamp=1)  # a clock that begins in 1970
    assert producer.flush(30) == 0
    assert read_known(recreated, warehouse) == {"A": {"group": "fast"}, "B": {"group": "theirs"}}
    change_cells(recreated, warehouse, {"A": {"group": "slow"}})
    assert read_known(recreated, warehouse) == {"A": {"group": "slow"}, "B": {"group": "theirs"}}
    assert [change.after for _, change in read_history(warehouse, "B")] == [{"group": "fast"}, {"group": "theirs"}]


def test_the_history_of_a_cell_says_what_changed_in_order(settings: Settings, warehouse: DuckDBFile) -> None:
    for group in ("fast", "slow"):
        change_cells(settings, warehouse, {"A": {"group": group}, "B": {"group": group}})
    assert [change for _, change in read_history(warehouse, "A")] == [
        CellChange("A", {}, {"group": "fast"}),
        CellChange("A", {"group": "fast"}, {"group": "slow"}),
    ]


def test_a_change_is_news_also_in_a_warehouse_of_an_earlier_version(settings: Settings, warehouse: DuckDBFile) -> None:
    with warehouse.connect("test") as connection:
        create_tables(connection)
        connection.execute("create or replace view internal._watermark as select 'nothing, 0 rows' as watermark")
        connection.execute("drop view battery_cell_latest; drop table battery_cell_events")
    change_cells(settings, warehouse, {"A": {"group": "fast"}})
    assert rows(warehouse, "from internal._watermark") == [("nothing, 0 rows, 1 changes of cell metadata",)]


def test_before_anything_has_landed_a_change_makes_no_landing_tables(settings: Settings, warehouse: DuckDBFile) -> None:
    change_cells(settings, warehouse, {"A": {"group": "fast"}})
    assert rows(warehouse, "select table_name from information_schema.tables order by all") == [
        ("battery_cell_events",), ("battery_cell_latest",),
    ]  # fmt: skip
    assert landed_cells(warehouse) == frozenset()


def test_a_broker_that_is_away_keeps_nobody_from_what_has_landed(settings: Settings, warehouse: DuckDBFile) -> None:
    land_where_possible(settings, warehouse)  # no topic yet, and no warehouse
    assert not Path(settings.warehouse).exists()
    change_cells(settings, warehouse, {"A": {"group": "fast"}})
    away = settings.model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{free_port()}"})
    assert broker_is_there(settings)
    assert not broker_is_there(away)
    assert read_known(away, warehouse) == {"A": {"group": "fast"}}
    with pytest.raises(NoBrokerError):
        change_cells(away, warehouse, {"A": {"group": "slow"}})


def test_the_topic_of_readings_is_not_taken_for_it(settings: Settings) -> None:
    open_topic(settings, create=True)
    topic = open_cells_topic(settings, create=True)
    assert (topic.name, topic.partitions) == (f"{settings.battery_topic}_cells", (0,))
    with pytest.raises(ValueError, match="BATTERY_CELLS_TOPIC is BATTERY_TOPIC"):
        Settings(battery_topic="same", battery_cells_topic="same")
