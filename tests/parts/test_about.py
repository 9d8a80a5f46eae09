"""What a reader says of a test, through the topic to the tables, and again by a replay of the log or the archive."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest
from confluent_kafka import Producer
from support.builders import CELL, TEST, arrow_value, reading
from support.pipeline import take_unit_tests_as_passed

from kernel.contract.about import About, TestAbout
from kernel.contract.message import headers
from kernel.contract.reading import ARROW, COUNTERS, Quality
from kernel.edges.kafka import message_limit, open_producer, open_topic
from producer.send import QueuedTest, SendOptions, SendResult, send
from producer.simulate import simulate_tests
from producer.spool import SpooledTest

if TYPE_CHECKING:
    from pathlib import Path

    from support.pipeline import Pipeline

TURNED = "current is positive while discharging in this file; its sign was turned"
SAID = About("csv", (TURNED, "no counters: computed"), {"channel": "3", "nominal_capacity_ah": "2.2"}, COUNTERS)
INTEGRATED = int(Quality.COUNTER_INTEGRATED)
KEPT = ("battery_about", "battery_ts_cleaned", "_windows")


def publish(pipeline: Pipeline, folder: Path, cell_id: str, about: About, limit: int = 20_000) -> SendResult:
    """Publish a simulated test of which a reader has said something."""
    exported = simulate_tests(cell_id, cycles=3, seed=1)[0]
    readings = exported.test.readings
    path = folder / f"{cell_id}.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, readings.schema) as writer:
        writer.write_table(readings)
    test = SpooledTest(exported.test.started_at, path, readings.num_rows, about=about)
    settings = pipeline.settings
    topic = open_topic(settings, create=True)
    producer = open_producer(settings, message_limit(settings))
    queued = QueuedTest(cell_id, test.started_at, (0, 0, 0), exported.name, 0, "", test)
    return send(producer, [queued], SendOptions(topic.name, limit))


def execute(pipeline: Pipeline, sql: str) -> None:
    with duckdb.connect(str(pipeline.folder / "battery.duckdb")) as connection:
        connection.execute(sql)


@pytest.fixture
def landed(pipeline: Pipeline, tmp_path: Path) -> tuple[Pipeline, int]:
    """A cell of whose file something was said, and one of which nothing was; the messages of the first."""
    sent = publish(pipeline, tmp_path, "SAID", SAID)
    publish(pipeline, tmp_path, "SILENT", About())
    pipeline.battery("stream", "--until-end")
    return pipeline, sent.messages


def test_what_was_said_of_a_test_lands_with_each_of_its_messages_and_flags_its_readings(
    landed: tuple[Pipeline, int],
) -> None:
    pipeline, messages = landed
    assert messages > 1
    assert pipeline.query(
        "select cell_id, reader, assumptions, metadata, integrated, count(*) from battery_about group by all"
    ) == [
        (
            "SAID", "csv", f"{TURNED}\nno counters: computed", '{"channel":"3","nominal_capacity_ah":"2.2"}',
            "\n".join(COUNTERS), messages,
        )
    ]  # fmt: skip
    assert pipeline.query(
        f"select cell_id, count(*) filter (quality & {INTEGRATED} <> 0) = count(*) from battery_ts_cleaned "  # noqa: S608
        "group by all order by all"
    ) == [("SAID", True), ("SILENT", False)]
    assert pipeline.query(
        'select count(*) from battery_about as a semi join battery_ts_cleaned as t on t.kafka_offset = a."offset" '
        "and t.cell_id = a.cell_id and t.test_id = a.test_id and t.source_file = a.source_file "
        "and t.streamed_at = a.streamed_at"
    ) == [(messages,)]
    assert "everything adds up" in pipeline.battery("verify")


@pytest.mark.parametrize("source", ["--from-beginning", "--from-archive"])
def test_a_replay_builds_again_what_was_said(landed: tuple[Pipeline, int], source: str) -> None:
    pipeline, _ = landed
    before = {table: sorted(map(repr, pipeline.query(f"from {table}"))) for table in KEPT}
    execute(pipeline, "delete from battery_about; update battery_ts_cleaned set quality = 0")
    pipeline.battery("replay", source)
    assert {table: sorted(map(repr, pipeline.query(f"from {table}"))) for table in KEPT} == before
    assert "everything adds up" in pipeline.battery("verify")


def test_a_reading_that_is_retried_is_still_known_to_have_computed_counters(pipeline: Pipeline) -> None:
    settings = pipeline.settings
    open_topic(settings, create=True)
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    said = headers(ARROW, "live", about_test=TestAbout(TEST, SAID).to_text())
    value = arrow_value([reading(1), reading(2, **{"voltage(v)": 99.0}), reading(3)])
    producer.produce(settings.battery_topic, value, CELL.encode(), headers=said)
    assert producer.flush(30) == 0
    pipeline.battery("stream", "--until-end")
    pipeline.battery("quarantine", "retry", "0:0:1", "--set", "voltage(v)=3.7")
    pipeline.battery("stream", "--until-end")
    assert pipeline.query("select quality from battery_ts_cleaned where data_point = 2") == [
        (int(Quality.RETRIED | Quality.COUNTER_INTEGRATED),)
    ]
    assert pipeline.query("select count(*), count(distinct metadata) from battery_about") == [(2, 1)]


def test_models_show_what_was_said_by_test_and_by_cell(landed: tuple[Pipeline, int], tmp_path: Path) -> None:
    pipeline, _ = landed
    take_unit_tests_as_passed(pipeline.settings)
    pipeline.battery("transform")
    assert pipeline.query(
        "select cell_id, reader, assumptions, counter_integrated_count = reading_count from battery_tests order by all"
    ) == [("SAID", "csv", f"{TURNED}\nno counters: computed", True), ("SILENT", None, None, False)]
    flags = "select cell_id, flagged_count from battery_cells order by all"
    (said, silent), columns = pipeline.query(flags), "select cell_id, stated, nominal_capacity_ah from battery_cells"
    assert said[1] == silent[1] < 100  # the same readings, and being computed makes none of them doubtful
    assert [(cell, stated and json.loads(stated)) for cell, stated, _ in pipeline.query(f"{columns} order by all")] == [
        ("SAID", {"channel": "3", "nominal_capacity_ah": "2.2"}),
        ("SILENT", None),
    ]
    assert pipeline.query("select count(distinct nominal_capacity_ah) from battery_cells where stated <> ''") == [(0,)]

    # The file is read by a later version, which says more of the same readings.
    publish(pipeline, tmp_path, "SAID", About("csv", ("one line more",), {"channel": "4"}))
    pipeline.battery("stream", "--until-end")
    pipeline.battery("transform")
    assert pipeline.query("select assumptions from battery_tests where cell_id = 'SAID'") == [
        (f"{TURNED}\none line more\nno counters: computed",)
    ]
    ((stated,),) = pipeline.query("select stated from battery_cells where cell_id = 'SAID'")
    assert json.loads(stated) == {"channel": "4", "nominal_capacity_ah": "2.2"}

    # And a later one yet, which knows where the file names its protocol.
    protocols = "select cell_id, tests.protocol, cells.protocol from battery_tests as tests join battery_cells as cells"
    publish(pipeline, tmp_path, "SAID", About("csv", ("one line more",), {"schedule": "C:\\A. Person\\1C cycles.sdu"}))
    pipeline.battery("stream", "--until-end")
    pipeline.battery("transform")
    assert pipeline.query(f"{protocols} using (cell_id) order by all") == [
        ("SAID", "1C cycles.sdu", "1C cycles.sdu"),
        ("SILENT", None, None),
    ]
    pipeline.battery("cells", "set", "SAID", "protocol=fast charging")
    pipeline.battery("transform")
    assert pipeline.query(f"{protocols} using (cell_id) order by all") == [
        ("SAID", "1C cycles.sdu", "fast charging"),
        ("SILENT", None, None),
    ]
