"""The running worker: what it does with bad messages, new logs and contradictory places."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING

import duckdb
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from support.builders import CELL, arrow_value, as_json, reading
from support.earlier import to_first_layout
from support.harness import finish, says_that_the_topic_was_recreated, wait_until_committed
from support.pipeline import Pipeline
from support.places import ROOT

from kernel.base.ports import free_port
from kernel.contract.message import headers
from kernel.contract.reading import ARROW, JSON
from kernel.edges.broker import embedded_broker
from kernel.edges.kafka import open_topic
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from sink.care.verify import verify

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kernel.base.settings import Settings


def send(settings: Settings, values: Sequence[tuple[bytes | None, str, bytes | None]]) -> None:
    """Messages as a foreign gateway would send them: value, encoding, key."""
    open_topic(settings, create=True)
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for value, encoding, key in values:
        producer.produce(settings.battery_topic, value=value, key=key, headers=headers(encoding, "live"))
    assert producer.flush(30) == 0


def test_bad_messages_are_quarantined_with_their_reason_and_the_worker_goes_on(pipeline: Pipeline) -> None:
    key = CELL.encode()
    settings = pipeline.settings
    send(
        settings,
        [
            (as_json(reading(1)), JSON, key),
            (b"\x00\xff garbage", ARROW, key),
            (b"{garbage", JSON, key),
            (None, JSON, key),
            (as_json(reading(2, **{"voltage(v)": math.nan})), JSON, key),
            (as_json(reading(3, **{"voltage(v)": "high"})), JSON, key),
            (as_json({k: v for k, v in reading(4).items() if k != "voltage(v)"}), JSON, key),
            (as_json(reading(5, **{"voltage(v)": 99})), JSON, key),
            (as_json(reading(6)), JSON, None),
            (as_json([reading(7), reading(8, data_point="8")]), JSON, key),
            (arrow_value([reading(9), reading(10)]), ARROW, key),
            (as_json(reading(9)), JSON, key),
            (as_json(reading(11, **{"test_time(s)": 1})), JSON, key),
        ],
    )
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    producer.produce(
        settings.battery_topic,
        value=as_json(reading(12)),
        key=key,
        headers=[("content-type", JSON), ("schema-version", "2")],
    )
    assert producer.flush(30) == 0
    pipeline.battery("stream", "--until-end")
    assert pipeline.query("select data_point from battery_ts_cleaned order by all") == [(1,), (7,), (8,), (9,), (10,)]
    found = pipeline.query('select "offset", reason, row_count from battery_quarantine order by all')
    assert found == [
        (1, "undecodable", 1),
        (2, "undecodable", 1),
        (3, "undecodable", 1),
        (4, "not_finite", 1),
        (5, "not_a_number", 1),
        (6, "missing_value", 1),
        (7, "out_of_range", 1),
        (8, "missing_value", 1),
        (11, "duplicate", 1),
        (12, "time_backwards", 1),
        (13, "unknown_schema", 1),
    ]
    assert "16 rows in = 5 landed + 11 quarantined" in pipeline.battery("verify")


def test_a_retry_header_that_names_no_place_makes_an_ordinary_message(pipeline: Pipeline) -> None:
    settings = pipeline.settings
    open_topic(settings, create=True)
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for point, place in enumerate(
        ("", "a", "a:0:1", "a:0:1:-1", f"a:0:0:{'9' * 5000}", "a:0:0:٣", f"a:0:{1 << 63}:0"), 1
    ):
        said = [*headers(JSON, "live"), ("retry-of", place.encode())]
        producer.produce(settings.battery_topic, as_json(reading(point)), CELL.encode(), headers=said)
    assert producer.flush(30) == 0
    pipeline.battery("stream", "--until-end")
    assert pipeline.query("select count(*), sum(quality) from battery_ts_cleaned") == [(7, 0)]
    assert pipeline.query("select count(*) from battery_retries") == [(0,)]


def test_a_warehouse_of_an_earlier_version_says_what_to_do_and_is_brought_up_to_date(pipeline: Pipeline) -> None:
    send(pipeline.settings, [(as_json(reading(1)), JSON, CELL.encode())])
    pipeline.battery("stream", "--until-end")
    with duckdb.connect(str(pipeline.folder / "battery.duckdb")) as connection:
        to_first_layout(connection)
        for sql in ("drop table battery_retries", "drop table battery_about", "drop table _retired",
                    "alter table _writers drop kind", "alter table _writers drop run_id"):  # fmt: skip
            connection.execute(sql)
    assert "`battery stream --until-end` adds what it lacks" in pipeline.battery("verify", code=2)
    pipeline.battery("stream", "--until-end")
    assert "everything adds up" in pipeline.battery("verify")


def test_the_consumer_group_of_the_worker_shows_its_lag_to_foreign_tools(pipeline: Pipeline) -> None:
    settings = pipeline.settings
    send(settings, [(as_json(reading(point)), JSON, CELL.encode()) for point in range(1, 8)])
    pipeline.battery("stream", "--until-end")
    foreign = Consumer({"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": "battery"})
    (place,) = foreign.committed([TopicPartition(settings.battery_topic, 0)], timeout=20)
    foreign.close()
    assert place.offset == 7


def test_several_partitions_and_lanes_land_every_cell_once(pipeline: Pipeline) -> None:
    pipeline.extra |= {"BATTERY_TOPIC_PARTITIONS": "4", "LANES": "3"}
    cells = [f"CELL_{number}" for number in range(12)]
    send(
        pipeline.settings,
        [(as_json(reading(point, cell_id=cell)), JSON, cell.encode()) for point in range(1, 6) for cell in cells],
    )
    pipeline.battery("stream", "--until-end")
    assert pipeline.query(
        "select count(*), count(distinct cell_id), count(distinct kafka_partition) > 1 from battery_ts_cleaned"
    ) == [(60, 12, True)]
    assert pipeline.query("select count(distinct lane) > 1 from internal._commits") == [(True,)]
    assert "everything adds up" in pipeline.battery("verify")


def test_a_run_may_have_other_lanes_than_the_one_before(pipeline: Pipeline) -> None:
    cells = [f"CELL_{number}" for number in range(8)]
    for point, lanes in enumerate(("1", "3", "2", "1"), start=1):
        pipeline.extra |= {"LANES": lanes}
        send(
            pipeline.settings,
            [(as_json(reading(point, cell_id=cell)), JSON, cell.encode()) for cell in cells],
        )
        pipeline.battery("stream", "--until-end")
    assert pipeline.query("select count(*), count(distinct cell_id) from battery_ts_cleaned") == [(32, 8)]
    assert "everything adds up" in pipeline.battery("verify")


def test_a_cell_that_comes_over_two_partitions_is_told_of(pipeline: Pipeline) -> None:
    pipeline.extra |= {"BATTERY_TOPIC_PARTITIONS": "2"}
    settings = pipeline.settings
    open_topic(settings, create=True)
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for partition in (0, 1):
        producer.produce(
            settings.battery_topic,
            as_json(reading(1, test_id=f"test {partition}")),
            CELL.encode(),
            partition=partition,
            headers=headers(JSON, "live"),
        )
    assert producer.flush(30) == 0
    assert "a cell came over more than one partition" in pipeline.battery("stream", "--until-end")
    assert "1 cells came over more than one partition of a log: their readings have no order" in pipeline.battery(
        "verify"
    )


def test_several_threads_of_one_process_are_one_run(pipeline: Pipeline) -> None:
    pipeline.extra |= {"BATTERY_TOPIC_PARTITIONS": "4", "LANES": "4", "STREAM_UNTIL_END": "true"}
    cells = [f"CELL_{number}" for number in range(24)]
    values = [(as_json(reading(point, cell_id=cell)), JSON, cell.encode()) for point in range(1, 6) for cell in cells]
    send(pipeline.settings, values)
    worker = subprocess.run(
        [sys.executable, "-m", "bytewax.run", "dataflows.battery", "-w", "4"],
        env=pipeline.environment | {"PYTHONPATH": str(ROOT)},
        cwd=pipeline.folder.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert worker.returncode == 0, worker.stderr
    assert pipeline.query("select count(*), count(distinct cell_id) from battery_ts_cleaned") == [(120, 24)]
    assert pipeline.query("select count(*) from internal._writers") == [(1,)]
    assert "everything adds up" in pipeline.battery("verify")


def test_a_broker_that_comes_back_with_another_log_loses_no_reading(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, free_port())

    def sent(points: range) -> None:
        send(pipeline.settings, [(as_json(reading(point)), JSON, CELL.encode()) for point in points])

    with embedded_broker(pipeline.port):
        worker = pipeline.start("stream")
        sent(range(1, 6))
        wait_until_committed(worker, 5)
    with embedded_broker(pipeline.port):
        sent(range(101, 111))  # among them messages beyond the offset at which the worker stands
        output = finish(worker, 2)
        assert says_that_the_topic_was_recreated(output, pipeline.topic), output
        pipeline.battery("stream", "--until-end")
        assert pipeline.query("select list(data_point order by data_point) from battery_ts_cleaned") == [
            ([*range(1, 6), *range(101, 111)],)
        ]


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        ("delete from battery_ts_cleaned where data_point = 3", "conservation"),
        ("insert into battery_ts_cleaned from battery_ts_cleaned where data_point = 3", "once"),
        ('update battery_ts_cleaned set "voltage(v)" = 3.6 where data_point = 3', "battery_ts_cleaned = its objects"),
        ("update internal._windows set reading_count = reading_count + 1", "windows"),
        ("update internal._windows set charge_throughput_pah = charge_throughput_pah + 1000", "windows"),
        ("update internal._windows set energy_throughput_pwh = 0", "windows"),
        ("update internal._windows set voltage_last_v = 99", "windows"),
        ("update internal._windows set temperature_sum_nc = temperature_sum_nc + 1000", "windows"),
        ("update internal._windows set current_max_a = 9", "windows"),
        ("update internal._cycles set voltage_max_v = 5", "cycles"),
        ("update internal._cycles set discharge_capacity_pah = 0", "cycles"),
        ("update internal._cycles set charge_capacity_pah = null", "cycles"),
        ("update internal._cycles set charge_energy_pwh = charge_energy_pwh + 1000", "cycles"),
        ("update internal._cycles set resistance_sum_no = resistance_sum_no + 1000", "cycles"),
        ("update internal._cycles set temperature_max_c = 99", "cycles"),
        ("delete from internal._cycles", "cycles"),
        ("delete from internal._progress", "progress"),
        ('update internal._progress set "offset" = 0', "progress"),
        ("delete from internal._cell_state", "progress"),
        ("update battery_quarantine set reason = 'duplicate' where reason = 'conflict'", "reasons"),
        ("update battery_quarantine set reason = 'duplicate' where reason = 'out_of_order'", "reasons"),
        ("update battery_quarantine set reason = 'out_of_order' where reason = 'duplicate'", "reasons"),
        ("delete from battery_ts_cleaned where data_point = 1", "reasons"),
        ("update internal._commits set sha256 = 'x'", "objects"),
        (("update internal._commits set offsets = [{'topic_id': o.topic_id, 'partition': o.\"partition\", "
         "'first': o.\"first\", 'last': o.\"last\", 'rows': o.\"rows\" + 1} for o in offsets]"), "log"),
    ],
)  # fmt: skip
def test_verify_notices(damaged: Pipeline, damage: str, check: str) -> None:
    path = damaged.folder / "battery.duckdb"
    sound = path.read_bytes()
    with duckdb.connect(str(path)) as connection:
        connection.execute(damage)
    try:
        checks = verify(damaged.settings, open_store(damaged.settings), open_warehouse(damaged.settings))
    finally:
        path.write_bytes(sound)
    wrong = {found.name: found.detail for found in checks if not found.ok}
    assert check in wrong
    assert "battery replay --from-beginning" in wrong.get("reasons", "battery replay --from-beginning")


@pytest.fixture(scope="module")
def damaged(broker: int, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A small sound pipeline, for tests that damage a copy of its warehouse."""
    pipeline = Pipeline(tmp_path_factory.mktemp("damaged"), broker, {"BATTERY_TOPIC": "damaged"})
    rows = [
        reading(
            point,
            **{
                "charge_capacity(ah)": min(point, 15) / 7,
                "discharge_capacity(ah)": max(point - 15, 0) / 7,
                "charge_energy(wh)": min(point, 15) / 2,
                "discharge_energy(wh)": max(point - 15, 0) / 2,
                "internal_resistance(ohm)": 0.09,
                "temperature(c)": 25.0 + point / 100,
            },
        )
        for point in range(1, 30)
    ]
    send(
        pipeline.settings,
        [
            (arrow_value(rows[:20]), ARROW, CELL.encode()),
            (arrow_value(rows[20:]), ARROW, CELL.encode()),
            (
                as_json([rows[0], rows[1], rows[2] | {"voltage(v)": 3.1}, rows[0] | {"data_point": 0}]),
                JSON,
                CELL.encode(),
            ),
        ],
    )
    pipeline.battery("stream", "--until-end")
    assert pipeline.query("select reason, row_count from battery_quarantine order by all") == [
        *(("conflict", 1), ("duplicate", 2), ("out_of_order", 1))
    ]
    said = pipeline.battery("verify")
    assert "4 readings of the log came back after their test had gone on, of which 0 have another reason" in said
    assert "everything adds up" in said
    return pipeline


def test_verify_counts_a_message_that_was_refused_whole_as_it_was_judged(pipeline: Pipeline) -> None:
    rows = [reading(point) for point in range(1, 21)]
    send(pipeline.settings, [(arrow_value(rows), ARROW, CELL.encode()), (as_json(rows[:2]), JSON, CELL.encode())])
    pipeline.extra["MESSAGE_MAX_ROWS"] = "10"
    pipeline.battery("stream", "--until-end")
    assert pipeline.query("select reason, row_count from battery_quarantine") == [("too_large", 1)]
    del pipeline.extra["MESSAGE_MAX_ROWS"]
    assert "3 rows in 2 messages" in pipeline.battery("verify")


def test_verify_notices_messages_that_have_not_landed(damaged: Pipeline) -> None:
    send(damaged.settings, [(as_json(reading(40)), JSON, CELL.encode())])
    assert "FAIL  lag: 1 messages not landed yet" in damaged.battery("verify", code=1)
    assert json.loads(damaged.battery("status", "--json").splitlines()[-1])["lag"] == 1
