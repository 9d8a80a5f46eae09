"""Dead letters by their commands: listed, shown, and published again after a fix, traced to where they came from."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer
from support.builders import CELL, TEST, arrow_value, as_json, reading
from support.pipeline import Pipeline

from dataflows.replay.replay import replay
from dataflows.replay.report import Outcome
from dataflows.replay.start import Start
from kernel.base.errors import BatteryError
from kernel.contract.message import Place, headers
from kernel.contract.reading import ARROW, JSON
from kernel.edges.consumer import read_log
from kernel.edges.kafka import open_topic
from kernel.edges.warehouse import open_warehouse
from sink.care.quarantine import QuarantineEntry, RetryStatus, by_id, find_refused
from sink.care.retry import Fix, Retry, publish_again, retries_of

if TYPE_CHECKING:
    from pathlib import Path

KEY = CELL.encode()


def charged(point: int, **changes: Any) -> dict[str, Any]:
    return reading(point, **{"charge_capacity(ah)": point / 10, "cycle_index": 1 + point // 5, **changes})


MESSAGES = (
    (as_json(charged(1)), JSON, KEY, None),
    (as_json(charged(2, **{"voltage(v)": "high"})), JSON, KEY, None),
    (arrow_value([charged(3), charged(4, **{"voltage(v)": math.nan}), charged(5)]), ARROW, KEY, None),
    (arrow_value([charged(6), charged(7)]), ARROW, None, None),
    (b"garbage", JSON, KEY, None),
    (as_json(charged(8)), JSON, KEY, "2"),
    (as_json(charged(9)), JSON, KEY, None),
    (as_json(charged(9)), JSON, KEY, None),
    (as_json(charged(1, cell_id="CELL_2", **{"voltage(v)": 99})), JSON, b"CELL_2", None),
)
"""Value, encoding, key and schema-version (None: the right one)."""


def read(folder: Path, broker: int, topic: str) -> Pipeline:
    """A pipeline that has refused some of what it read."""
    pipeline = Pipeline(folder, broker, {"BATTERY_TOPIC": topic})
    settings = pipeline.settings
    open_topic(settings, create=True)
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for value, encoding, key, version in MESSAGES:
        said = [
            (name, version if version and name == "schema-version" else was) for name, was in headers(encoding, "a")
        ]
        producer.produce(settings.battery_topic, value=value, key=key, headers=said)
    assert producer.flush(30) == 0
    pipeline.battery("stream", "--until-end")
    return pipeline


@pytest.fixture
def refused(broker: int, tmp_path: Path) -> Pipeline:
    return read(tmp_path, broker, tmp_path.name)


@pytest.fixture(scope="module")
def shown(broker: int, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """One for all tests that publish nothing."""
    return read(tmp_path_factory.mktemp("shown"), broker, "shown")


def entries(pipeline: Pipeline) -> list[QuarantineEntry]:
    return find_refused(open_warehouse(pipeline.settings))


def entry(pipeline: Pipeline, name: str) -> QuarantineEntry:
    return by_id(entries(pipeline), name)


def retry(pipeline: Pipeline, *names: str, columns: tuple[str, ...] = (), named: tuple[str, ...] = ()) -> None:
    settings = pipeline.settings
    chosen = [entry(pipeline, name) for name in names]
    publish_again(settings, retries_of(settings, chosen, Fix.read(columns, named)))
    pipeline.battery("stream", "--until-end")


def test_the_list_says_what_was_refused_and_why(shown: Pipeline) -> None:
    lines = shown.battery("quarantine", "list").splitlines()
    topic_id = open_topic(shown.settings).topic_id
    beyond = "voltage(v) is 99.0, beyond the instrument's -10 to 10; where it is real, set INSTRUMENT_MAX_VOLTAGE_V=100"
    known = f"data point 9 of test {TEST} has landed with the same values"
    assert lines == [
        f"{topic_id}:0:1:0  CELL_1  1 row  not_a_number, refused: voltage(v) is 'high', not a number",
        f"{topic_id}:0:2:1  CELL_1  1 row  not_finite, refused: voltage(v) is nan",
        f"{topic_id}:0:3:0  (no cell)  2 rows  missing_value, refused: the message has no key; the key is the cell_id",
        f"{topic_id}:0:4:0  CELL_1  1 row  undecodable, refused: not JSON: Expecting value: line 1 column 1 (char 0)",
        f"{topic_id}:0:5:0  CELL_1  1 row  unknown_schema, refused: schema-version is '2', this worker reads 1",
        f"{topic_id}:0:7:0  CELL_1  1 row  duplicate, refused: {known}",
        f"{topic_id}:0:8:0  CELL_2  1 row  out_of_range, refused: {beyond}",
        "8 rows in 7 entries",
    ]


def test_the_list_is_filtered_by_reason_and_cell(shown: Pipeline) -> None:
    assert shown.battery("quarantine", "list", "--cell", "CELL_2").splitlines()[-1] == "1 rows in 1 entries"
    assert shown.battery("quarantine", "list", "--reason", "duplicate").splitlines()[-1] == "1 rows in 1 entries"
    both = shown.battery("quarantine", "list", "--reason", "duplicate", "--cell", "CELL_2").splitlines()
    assert both == ["0 rows in 0 entries"]
    assert (
        shown.battery("quarantine", "list", "--limit", "2").splitlines()[-1] == "8 rows in 7 entries, the first 2 shown"
    )
    as_lines = [json.loads(line) for line in shown.battery("quarantine", "list", "--json").splitlines()]
    assert [line["reason"] for line in as_lines if line["cell_id"] == "CELL_2"] == ["out_of_range"]
    assert "there is no reason typo; it is one of undecodable" in shown.battery(
        "quarantine", "list", "--reason", "typo", code=2
    )


def test_an_entry_is_shown_with_its_payload(shown: Pipeline) -> None:
    output = shown.battery("quarantine", "show", "0:1:0")
    assert "not_a_number" in output
    assert '"voltage(v)": "high"' in output
    assert "the quarantine holds no 0:99:0" in shown.battery("quarantine", "show", "0:99:0", code=2)


def test_a_mended_reading_lands_in_its_place_and_is_traced_to_its_origin(refused: Pipeline) -> None:
    out = refused.battery("quarantine", "retry", "0:1:0", "0:2:1", "--set", "voltage(v)=3.75")
    assert out == "published 2 rows again in 2 messages\n"
    refused.battery("stream", "--until-end")
    topic_id = open_topic(refused.settings).topic_id
    assert refused.query(
        'select t.data_point, t."voltage(v)", t.quality & 256, r.origin_topic_id, r.origin_offset, r.origin_row '
        'from battery_ts_cleaned as t join battery_retries as r on t.kafka_offset = r."offset" order by all'
    ) == [(2, 3.75, 256, topic_id, 1, 0), (4, 3.75, 256, topic_id, 2, 1)]
    # Data point 4 is the last of its cycle: with it, the cycle has the charge that the cell took in it.
    cycles = "select charge_capacity_ah from battery_cell_cycles where cell_id = 'CELL_1' order by cycle_index"
    assert [round(charge, 9) for (charge,) in refused.query(cycles)] == [0.4, 0.5]
    assert "0:1:0" not in refused.battery("quarantine", "list")
    assert f"retried at   {topic_id}:0:9:0" in refused.battery("quarantine", "show", "0:1:0")
    assert "everything adds up" in refused.battery("verify")


def test_a_retry_that_is_refused_again_stays_in_the_list(refused: Pipeline) -> None:
    retry(refused, "0:1:0")
    assert (entry(refused, "0:1:0").retry_status, entry(refused, "0:9:0").retry_status) == (
        RetryStatus.RETRIED,
        RetryStatus.REFUSED,
    )
    retry(refused, "0:9:0", columns=("voltage(v)=3.7",))
    assert entry(refused, "0:9:0").retry_status is RetryStatus.LANDED


def test_what_became_of_a_row_is_followed_along_the_retries_of_its_retries(refused: Pipeline) -> None:
    retry(refused, "0:1:0")
    retry(refused, "0:9:0", columns=("voltage(v)=3.7",))
    assert (entry(refused, "0:1:0").retry_status, entry(refused, "0:9:0").retry_status) == (
        RetryStatus.LANDED,
        RetryStatus.LANDED,
    )


def test_texts_are_mended_by_texts_and_numbers_by_numbers() -> None:
    fix = Fix.read(["cell_id=1E2", "test_id=1.10", "voltage(v)=3.70", "date_time=2024-01-01 08:00:00"], [])
    assert fix.columns == {
        "cell_id": "1E2",
        "test_id": "1.10",
        "voltage(v)": 3.7,
        "date_time": "2024-01-01 08:00:00",
    }


def test_a_reading_of_the_wrong_cell_is_mended_in_its_body_and_its_key(refused: Pipeline) -> None:
    settings = refused.settings
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    producer.produce(
        settings.battery_topic, as_json(charged(2, cell_id="STRANGER")), b"CELL_2", headers=headers(JSON, "a")
    )
    assert producer.flush(30) == 0
    refused.battery("stream", "--until-end")
    retry(refused, "0:9:0", columns=("cell_id=CELL_2",))
    assert refused.query("select cell_id, data_point from battery_ts_cleaned where cell_id <> 'CELL_1'") == [
        ("CELL_2", 2)
    ]


def test_more_retries_than_the_client_holds_at_a_time_go_out(refused: Pipeline) -> None:
    settings = refused.settings
    (one,) = retries_of(settings, [entry(refused, "0:5:0")], Fix.read([], []))
    publish_again(settings, [Retry(one.origin, one.key, b"x" * 900_000, one.headers)] * 150)
    assert sum(len(poll) for poll in read_log(settings, open_topic(settings), 0)) == len(MESSAGES) + 150


def test_a_message_without_a_key_goes_out_whole_under_the_key_it_is_given(refused: Pipeline) -> None:
    retry(refused, "0:3:0", columns=("cell_id=CELL_1",))
    assert refused.query("select data_point from battery_ts_cleaned where quality & 256 <> 0 order by all") == [
        (6,),
        (7,),
    ]
    assert entry(refused, "0:3:0").retry_status is RetryStatus.LANDED


def test_a_message_goes_out_as_it_was_but_for_the_headers_that_were_mended(refused: Pipeline) -> None:
    retry(refused, "0:5:0", named=("schema-version=1",))
    assert refused.query("select data_point from battery_ts_cleaned where quality & 256 <> 0") == [(8,)]


def test_a_filter_retries_all_that_is_left_and_no_duplicates(refused: Pipeline) -> None:
    retry(refused, "0:1:0", columns=("voltage(v)=3.7",))
    shown = refused.battery("quarantine", "retry", "--cell", "CELL_1", "--dry-run").splitlines()
    assert [line.split(" as ")[0].split(":", 1)[1] for line in shown] == ["0:2:1", "0:4:0", "0:5:0"]
    assert open_topic(refused.settings).topic_id in shown[0]
    assert "lag 0" in refused.battery("status"), "a dry run has published something"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["0:7:0"], "is a duplicate: there is nothing to retry"),
        (
            ["0:4:0", "--set", "voltage(v)=3.7"],
            "cannot be published again: what the quarantine shows of it is no reading",
        ),
        (["0:1:0", "--set", "volts=3.7"], "--set volts=3.7 is not COLUMN=VALUE with one of cell_id, test_id"),
        (["0:1:0", "--header", "schema-version"], "--header schema-version is not NAME=VALUE"),
        (["0:1:0", "--reason", "not_finite"], "say what to retry: ids, or --reason or --cell"),
        ([], "say what to retry: ids, or --reason or --cell"),
    ],
)
def test_what_cannot_be_retried_says_why(shown: Pipeline, arguments: list[str], said: str) -> None:
    assert said in shown.battery("quarantine", "retry", *arguments, code=2)


def test_a_reading_can_be_retried_after_its_log_has_gone_and_a_whole_message_cannot(shown: Pipeline) -> None:
    settings = shown.settings.model_copy(update={"battery_topic": "another-log"})
    open_topic(settings, create=True)
    (again,) = retries_of(settings, [entry(shown, "0:1:0")], Fix.read(["voltage(v)=3.7"], []))
    assert json.loads(again.value)["voltage(v)"] == 3.7
    with pytest.raises(BatteryError, match="not a message that the topic still has; publish its source again"):
        retries_of(settings, [entry(shown, "0:4:0")], Fix.read([], []))


def test_a_replay_takes_retries_as_they_were(refused: Pipeline) -> None:
    retry(refused, "0:1:0", "0:2:1", columns=("voltage(v)=3.7",))
    retry(refused, "0:5:0", named=("schema-version=1",))
    for start in (Start(beginning=True), Start(archive=True), Start(offsets={0: 6})):
        assert replay(refused.settings, start).outcome is Outcome.IDENTICAL


def test_an_id_that_several_logs_have_must_name_its_log() -> None:
    found = [
        QuarantineEntry(Place(log, 0, 1, 0), 1, CELL, None, "not_finite", "", None, RetryStatus.REFUSED, ())
        for log in "AB"
    ]
    assert by_id(found, "B:0:1:0").place.topic_id == "B"
    with pytest.raises(BatteryError, match="0:1:0 is in 2 logs: say which, A:0:1:0 or B:0:1:0"):
        by_id(found, "0:1:0")
