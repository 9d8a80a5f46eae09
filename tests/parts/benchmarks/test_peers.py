"""The peers as processes on an embedded broker: what they land, not how long that takes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import CELL, arrow, arrow_value, as_json
from support.generated import rows
from support.landed import fold
from support.landed import landed as in_memory
from support.pipeline import Pipeline
from support.profiles import examples

from benchmarks.peers import fold as rules
from benchmarks.peers import rowwise, tables
from kernel.contract.message import encode_arrow, encode_json, headers
from kernel.contract.reading import ARROW, JSON, LANDED, READING_NULLABLE
from kernel.edges.kafka import MESSAGE_BYTES, open_producer, open_topic
from producer.simulate import simulate_tests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AS_PEERS_TELL = "case when reason in ('conflict', 'out_of_order') then 'duplicate' else reason end"
"""The peers do not ask what has landed: a reading that comes back is a duplicate to them."""

PARTITIONS = 2


@dataclass(frozen=True)
class Published:
    """What a topic holds: so many messages, and readings by cell, test and data point."""

    messages: int
    readings: list[tuple[str, str, int]]


def opened(folder: Path, broker: int) -> Pipeline:
    """A pipeline whose topic has some partitions."""
    return Pipeline(folder / "pipeline", broker, {"BATTERY_TOPIC_PARTITIONS": str(PARTITIONS)})


def spoilt(readings: pa.Table, chance: np.random.Generator) -> pa.Table:
    """Readings of which some are what pre-cleaning is for: spikes around its limits, gaps, resets, nonsense."""
    spoil = (
        {"voltage(v)": math.nan},
        {"voltage(v)": 11.0},
        {"current(a)": None},
        {"test_time(s)": 0.0},
        {"data_point": 1},
        {"temperature(c)": 1e9},
        {"charge_capacity(ah)": 0.0},
        {"discharge_energy(wh)": None},
        {"date_time": None},
        {"internal_resistance(ohm)": 0.2},
        {"step_index": 12},
        {"cycle_index": 0},
    )
    found, temperature = [], 25.0
    for row in readings.to_pylist():
        temperature += chance.normal(0, 2)
        row["temperature(c)"] = temperature + chance.choice([0, 0, 0, 5, -12])
        row["voltage(v)"] += chance.choice([0, 0, 0, 0.02, 0.1, -0.3])
        row["current(a)"] *= chance.choice([1, 1, 1, 1.1, 0.8])
        if chance.random() < 0.1:
            row.update(spoil[chance.integers(len(spoil))])
        if chance.random() > 0.02:
            found.append(row)
    return pa.Table.from_pylist(found, schema=READING_NULLABLE)


def mistyped(value: bytes, number: int) -> bytes:
    """A JSON message, which at some numbers is as a careless gateway would write it."""
    change = {
        10: {"voltage(v)": "3.7"},
        20: {"date_time": "yesterday"},
        30: {"temperature(c)": "none"},
        40: {"current(a)": {}},
        50: {"step_index": 1.5},
        60: {"is_fc_data": 0.0},
        70: {"date_time": "2024-01-01T08:00:00.25+01:00"},
        80: {"voltage(v)": "11"},
    }.get(number % 90)
    return value if change is None else as_json(json.loads(value) | change)


def publish(
    log: Pipeline, topic: str, encoding: str, cells: dict[str, list[pa.Table]], *, careless: bool = False
) -> Published:
    """Send the tests of cells side by side, as producers of each would; careless ones mistype some JSON."""
    log.extra["BATTERY_TOPIC"] = topic
    open_topic(log.settings, create=True)
    producer = open_producer(log.settings, 2 * MESSAGE_BYTES)
    messages, published = 0, []
    for by_turns in zip(*cells.values(), strict=True):
        for cell, readings in zip(cells, by_turns, strict=True):
            starts = range(0, readings.num_rows, 100)
            encoded = (
                (mistyped(value, number) if careless else value for number, value in enumerate(encode_json(readings)))
                if encoding == JSON
                else (value for at in starts for _, value in encode_arrow(readings.slice(at, 100), MESSAGE_BYTES))
            )
            for value in encoded:
                producer.produce(topic, value, cell, headers=headers(encoding, "CELL.xlsx"))
                messages += 1
            points = readings.select(["cell_id", "test_id", "data_point"]).to_pylist()
            published += [tuple(row.values()) for row in points]
    assert producer.flush(10) == 0
    return Published(messages, published)


def simulated(cell: str) -> list[pa.Table]:
    """The readings of two tests, the second of them exported twice."""
    return [export.test.readings for export in simulate_tests(cell, cycles=2, seed=3, cycles_per_file=1)]


def run(log: Pipeline, messages: int, folder: Path, name: str, *options: str) -> dict[str, Any]:
    """A peer to its end; what it reports."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", f"benchmarks.peers.{name}", "--topic", log.topic),
            *("--bootstrap-servers", f"127.0.0.1:{log.port}", "--partitions", str(PARTITIONS)),
            *("--folder", str(folder), "--messages", str(messages), *options),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    reported: dict[str, Any] = json.loads(line)
    return reported


@dataclass(frozen=True)
class Both:
    """What the pipeline and the peer made of one log, side by side in one connection, and what the peer reported."""

    log: Pipeline
    published: Published
    reported: dict[str, Any]
    folder: Path
    connection: duckdb.DuckDBPyConnection

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()


@pytest.fixture(scope="module", params=["arrow", "json"])
def both(broker: int, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("rowwise")
    log = opened(folder, broker)
    chance = np.random.default_rng(3)
    whole = {"CELL_1": simulated("CELL_1"), "CELL_2": [test.slice(200) for test in simulated("CELL_2")]}
    tests = {cell: [spoilt(test, chance) for test in found] for cell, found in whole.items()}
    published = publish(
        log, f"spoilt-{request.param}", {"arrow": ARROW, "json": JSON}[request.param], tests, careless=True
    )
    reported = run(log, published.messages, folder, "rowwise", "--encoding", request.param)
    log.battery("stream", "--until-end")
    with duckdb.connect() as connection:
        connection.execute(f"attach '{folder / 'rowwise.duckdb'}' as peer (read_only)")
        connection.execute(f"attach '{log.folder / 'battery.duckdb'}' as pipeline (read_only)")
        yield Both(log, published, reported, folder, connection)


def parquet(folder: Path) -> str:
    """The files of a table, for a query."""
    return f"read_parquet('{folder}/*/*/*.parquet')"


def test_quix_without_state_writes_every_reading_exactly_once(broker: int, tmp_path: Path) -> None:
    log = opened(tmp_path, broker)
    cells = {cell: [test.slice(0, 15) for test in simulated(cell)] for cell in ("CELL_1", "CELL_2", "CELL_3")}
    published = publish(log, "json", JSON, cells)
    reported = run(log, published.messages, tmp_path, "quix", "--stateless")
    written = ds.dataset(tmp_path / tables.READINGS, format="parquet").to_table()
    names = ["cell_id", "test_id", "data_point"]
    assert sorted(tuple(row.values()) for row in written.select(names).to_pylist()) == sorted(published.readings)
    assert reported["rows"] == len(published.readings)
    assert 0 < reported["seconds"] < reported["wall_seconds"]


@pytest.mark.parametrize("both", ["json"], indirect=True)
def test_quix_keeps_flags_refuses_and_sums_up_as_the_pipeline_and_rowwise_do(both: Both, tmp_path: Path) -> None:
    reported = run(both.log, both.published.messages, tmp_path, "quix")
    assert reported["rows"] == len(both.published.readings)
    cleaned, landed = f"from {parquet(tmp_path / tables.READINGS)}", "from pipeline.battery_ts_cleaned"
    assert both.query(f"{cleaned} except all {landed}") == both.query(f"{landed} except all {cleaned}") == []
    refused, expected = f"from {parquet(tmp_path / tables.QUARANTINE)}", "from peer.battery_quarantine"
    assert both.query(f"{refused} except all {expected}") == both.query(f"{expected} except all {refused}") == []
    for table, keys in ((tables.WINDOWS, tables.WINDOW_KEYS), (tables.CYCLES, tables.CYCLE_KEYS)):
        # One that a cell came back to is in several rows.
        both.query(f"create table {table} as from peer.{table} limit 0")
        both.query(f"""
            create or replace view staged as
            from {parquet(tmp_path / table)} select *, row_number() over (order by as_of_offset) as part
        """)
        both.query(rowwise.STATEMENTS[table])
        closed = f"""
            from peer.{table} qualify row_number() over (partition by cell_id order by as_of_offset desc, is_final) > 1
        """
        alike(
            both.query(f"from {table} semi join ({closed}) using ({', '.join(keys)}) order by all"),
            both.query(f"from ({closed}) order by all"),
        )


def test_rowwise_lands_every_reading_exactly_once_or_refuses_it(both: Both) -> None:
    [(landed, refused, distinct)] = both.query("""
        select count(*) filter (landed), count(*) filter (not landed), count(distinct (p, o, r)) from (
            select true as landed, kafka_partition as p, kafka_offset as o, kafka_row as r from peer.battery_ts_cleaned
            union all select false, "partition", "offset", "row" from peer.battery_quarantine
        )
    """)
    assert landed + refused == distinct == both.reported["rows"] == len(both.published.readings)
    assert landed > refused > 0
    files = {
        table: ds.dataset(sorted(both.folder.glob(f"{table}-*.parquet"))).count_rows()
        for table in ("battery_ts_cleaned", "battery_quarantine")
    }
    assert files == {"battery_ts_cleaned": landed, "battery_quarantine": refused}


def test_rowwise_lands_the_same_rows_as_the_pipeline(both: Both) -> None:
    for one, other in (("peer", "pipeline"), ("pipeline", "peer")):
        assert both.query(f"from {one}.battery_ts_cleaned except from {other}.battery_ts_cleaned") == []
    [(flags,)] = both.query("select count(distinct quality) from peer.battery_ts_cleaned")
    assert flags > 4


def test_rowwise_refuses_for_the_same_reasons_as_the_pipeline(both: Both) -> None:
    refused = both.query("select reason, count(*) from peer.battery_quarantine group by all order by all")
    assert refused == both.query(f"""
        select {AS_PEERS_TELL} as reason, sum(row_count)::bigint from pipeline.battery_quarantine
        group by all order by all
    """)  # noqa: S608  # our own text


def test_rowwise_sums_up_windows_and_cycles_as_the_pipeline_does(both: Both) -> None:
    windows = """
        select cell_id, window_start, reading_count, flagged_count, is_final,
            voltage_min_v, voltage_max_v, voltage_last_v, current_min_a, current_max_a, current_last_a,
            temperature_min_c, temperature_max_c, temperature_last_c, charge_throughput_ah, energy_throughput_wh,
            {voltage}, {current}, {temperature}
        from {of}.battery_cell_windows order by all
    """
    summed = windows.format(
        of="peer",
        voltage="voltage_sum_v / reading_count",
        current="current_sum_a / reading_count",
        temperature="temperature_sum_c / nullif(temperature_count, 0)",
    )
    mean = windows.format(
        of="pipeline", voltage="voltage_mean_v", current="current_mean_a", temperature="temperature_mean_c"
    )
    alike(both.query(summed), both.query(mean))
    cycles = """
        select cell_id, test_id, cycle_index, reading_count, is_final, started_at, ended_at,
            charge_capacity_ah, discharge_capacity_ah, charge_energy_wh, discharge_energy_wh,
            voltage_min_v, voltage_max_v, temperature_min_c, temperature_max_c, {resistance}
        from {of}.battery_cell_cycles order by all
    """
    summed = cycles.format(of="peer", resistance="resistance_sum_ohm / nullif(resistance_count, 0)")
    mean = cycles.format(of="pipeline", resistance="internal_resistance_ohm")
    alike(both.query(summed), both.query(mean))


def alike(found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> None:
    """Equal but for the last digits."""
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one == tuple(
            pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value for value in other
        )


@given(log=st.lists(rows(), min_size=1, max_size=3))
@examples(1)
def test_the_peers_judge_any_log_as_the_pipeline_does(log: list[list[dict[str, Any]]]) -> None:
    cell, items = rules.Cell(CELL), []
    for offset, body in enumerate(log):
        message = SimpleNamespace(
            key=CELL.encode,
            value=lambda body=body: arrow_value(body),
            headers=lambda: [("source-file", b"CELL_1_1_1_24.xlsx")],
            partition=lambda: 0,
            offset=lambda offset=offset: offset,
            timestamp=lambda offset=offset: (1, 1_700_000_000_000 + offset),
        )
        for _, row in rowwise.arrow_readings(message):  # type: ignore[arg-type]  # as much of one as is asked for
            # What is remembered goes through JSON, as it does in a store.
            cell = rules.Cell.from_remembered(CELL, json.loads(json.dumps(cell.remembered(), allow_nan=False)))
            items += cell.take(row)
    landed = [row for table, row in items if table == tables.READINGS]
    refused = [row for table, row in items if table == tables.QUARANTINE]
    (cleaned,) = fold([[arrow(body, offset=offset) for offset, body in enumerate(log)]])
    with in_memory([[cleaned]]) as connection:
        judged = connection.execute(f"""
            select "offset", "row", row_count, {AS_PEERS_TELL} from battery_quarantine order by "offset", "row"
        """).fetchall()  # noqa: S608  # our own text
    assert pa.Table.from_pylist(landed, LANDED).to_pylist() == cleaned.landed.to_pylist()
    assert [(row["offset"], row["row"], row["reason"]) for row in refused] == [
        (offset, row + number, reason) for offset, row, row_count, reason in judged for number in range(row_count)
    ]
