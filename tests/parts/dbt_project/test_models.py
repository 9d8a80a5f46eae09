"""The models against a warehouse with every kind of reading that lands, built by the real dbt."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
import sys
import threading
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import jinja2
import pyarrow as pa
import pytest
import yaml
from pydantic import SecretStr
from support.macros import MACROS, macros_of
from support.modelled import BUILD, Row, Warehouse, create_landing, run_dbt
from support.places import ROOT

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.contract.reading import (
    COUNTER_NOISE,
    GAP_SECONDS,
    INSTRUMENT_RANGE,
    LANDED,
    NO_DOUBT,
    RESET_SHARE,
    STEP_RESET_SHARE,
    Quality,
    instrument_range,
)
from kernel.edges.warehouse import open_warehouse
from refresh.dbt import work_folder
from refresh.warned import in_words, warnings_in

if TYPE_CHECKING:
    from pathlib import Path

    from support.warm import WarmDbt

MODELS = ("battery_ts", "battery_cleaned", "battery_features")


def landed_readings() -> list[Row]:
    """Three cells: a workbook in two messages, one with temperature, and a bare live gateway."""
    start = datetime(2010, 8, 24, 14, 0)  # noqa: DTZ001 - a cycler's wall clock has no zone
    rows: list[Row] = []
    for cell, source_file in (("A", "A_8_24_10.xlsx"), ("B", "B_8_24_10.xlsx"), ("LIVE", None)):
        for point in range(120):
            charging = point < 60
            row: Row = dict.fromkeys(LANDED.names)
            row |= {
                "cell_id": cell,
                "test_id": start.isoformat(),
                "source_file": source_file,
                "data_point": point,
                "test_time(s)": 30.0 * point,
                "step_index": 2 if charging else 7,
                "cycle_index": 1,
                "current(a)": 0.55 if charging else -1.1,
                "voltage(v)": 2.68 + 0.026 * point if charging else 4.2156 - 0.027 * (point - 60),
                "quality": 0,
                "streamed_at": start + timedelta(minutes=point // 60),
                "kafka_partition": 0,
                "kafka_offset": len(rows) // 60,
                "kafka_row": len(rows) % 60,
            }
            if source_file:
                row |= {
                    "date_time": start + timedelta(seconds=30 * point),
                    "step_time(s)": 30.0 * (point % 60),
                    "charge_capacity(ah)": 0.0046 * min(point, 60),
                    "discharge_capacity(ah)": 0.0092 * max(point - 60, 0),
                    "internal_resistance(ohm)": 0.094 if point > 60 else None,
                }
            if cell == "B":
                row["temperature(c)"] = 24.0 + 0.01 * point
            rows.append(row)
    for at, quality, changed in (
        (10, Quality.SPIKE, {"voltage(v)": 3.5}),
        (58, Quality.SPIKE | Quality.GAP, {"voltage(v)": 4.6}),  # a spike may be beyond 4.2 V as well
        (60, Quality.COUNTER_RESET | Quality.CLOCK_JUMP | Quality.CYCLE_BACKWARDS, {}),  # at 4.2156 V
        (130, Quality.TEMPERATURE_SPIKE, {"temperature(c)": 240.0}),
        (135, Quality.VALUE_DROPPED, {"temperature(c)": None}),
        (
            150,
            Quality.COUNTER_LEAP | Quality.CHARGE_CAPACITY_LEAP | Quality.VALUE_DROPPED,
            {"charge_capacity(ah)": None},
        ),
    ):
        rows[at] |= {"quality": int(quality), **changed}
    return rows


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    path = tmp_path_factory.mktemp("built") / "battery.duckdb"
    create_landing(path, landed_readings())
    run_dbt(Settings(warehouse=str(path)))
    return Warehouse(path)


@pytest.fixture
def copied(built: Warehouse, tmp_path: Path) -> Warehouse:
    """The built warehouse to change at will, with dbt's parse of the project beside it."""
    shutil.copytree(built.path.parent, tmp_path / "copied")
    return Warehouse(tmp_path / "copied" / built.path.name)


def is_spike(row: Row) -> bool:
    return bool(Quality(row["quality"]) & Quality.SPIKE)


def test_battery_ts_is_the_landing_column_for_column_and_row_for_row(built: Warehouse) -> None:
    shape = "select column_name, column_type from (describe {})"
    assert built.query(shape.format("battery_ts")) == built.query(shape.format("battery_ts_cleaned"))
    assert [name for name, _ in built.query(shape.format("battery_ts"))] == LANDED.names
    assert built.rows("battery_ts") == landed_readings()


def test_the_thresholds_are_published_with_what_the_models_were_built_with(built: Warehouse) -> None:
    variables = yaml.safe_load((ROOT / "dbt_project" / "dbt_project.yml").read_text())["vars"]
    numbers = {name: value for name, value in variables.items() if isinstance(value, int | float)}
    found = built.rows("battery_thresholds", "name")
    limits = {"instrument_max_current_a": 10_000.0, "instrument_max_voltage_v": 10.0}
    assert {row["name"]: row["value"] for row in found} == numbers | limits
    assert [row for row in found if not row["unit"] or not row["description"]] == []


def test_the_flags_of_each_test_are_counted(built: Warehouse) -> None:
    flags = [flag for flag in Quality if f"{flag.name}_count".lower() in built.rows("battery_tests", "all")[0]]
    assert Quality.COUNTER_LEAP in flags
    for row in built.rows("battery_tests", "all"):
        mine = [reading["quality"] for reading in landed_readings() if reading["cell_id"] == row["cell_id"]]
        expected = {flag.name: sum(bool(quality & flag) for quality in mine) for flag in flags}
        assert {flag.name: row[f"{flag.name}_count".lower()] for flag in flags} == expected


def test_battery_ts_still_works_in_a_renamed_file(built: Warehouse, tmp_path: Path) -> None:
    renamed = Warehouse(tmp_path / "backup.duckdb")
    shutil.copy(built.path, renamed.path)
    assert len(renamed.rows("battery_ts")) == 360


def test_only_voltage_spikes_are_missing_from_battery_cleaned(built: Warehouse) -> None:
    kept = [(row["cell_id"], row["data_point"]) for row in landed_readings() if not is_spike(row)]
    assert len(kept) == 358
    assert [(row["cell_id"], row["data_point"]) for row in built.rows("battery_cleaned")] == kept


def test_a_suspicion_at_the_end_of_a_discharge_is_kept(copied: Warehouse) -> None:
    with duckdb.connect(copied.path) as connection:
        connection.execute("update battery_ts_cleaned set quality = 1 where cell_id = 'A' and data_point >= 115")
    run_dbt(copied.settings, ("run",))
    assert copied.query("select count(*) from battery_cleaned where cell_id = 'A' and data_point >= 115") == [(5,)]


def test_a_filter_that_drops_more_than_two_readings_in_a_hundred_is_warned_of(
    copied: Warehouse, capfd: pytest.CaptureFixture[str]
) -> None:
    run_dbt(copied.settings, ("test", "--exclude-resource-type", "unit_test"))
    assert "WARN" not in capfd.readouterr().out.replace("WARN=0", "")
    with duckdb.connect(copied.path) as connection:
        connection.execute(
            'update battery_ts_cleaned set quality = 1, "voltage(v)" = 3.9 '
            "where cell_id = 'A' and data_point between 5 and 40 and data_point % 5 = 0"
        )
    run_dbt(copied.settings, ("build", "--select", "+battery_tests", "--exclude-resource-type", "unit_test"))
    assert "WARN 1 cleaning_drops_few_readings" in capfd.readouterr().out
    target = work_folder(copied.settings) / "target"
    warned = warnings_in(target / "run_results.json", target / "manifest.json")
    said = in_words(open_warehouse(copied.settings), warned)
    assert said == "1 warning: cleaning_drops_few_readings: 1 row of A"


def test_no_good_reading_beyond_the_protocol_limits_is_dropped(built: Warehouse) -> None:
    def beyond(rows: list[Row]) -> list[Row]:
        return [row for row in rows if not 2.7 <= row["voltage(v)"] <= 4.2 and not is_spike(row)]

    expected = beyond(landed_readings())
    assert min(row["voltage(v)"] for row in expected) < 2.7
    assert max(row["voltage(v)"] for row in expected) == 4.2156
    assert beyond(built.rows("battery_cleaned")) == expected


def test_a_temperature_spike_costs_the_temperature_and_nothing_else(built: Warehouse) -> None:
    expected = [row for row in landed_readings() if not is_spike(row)]
    for row in expected:
        if row["quality"] & Quality.TEMPERATURE_SPIKE:
            row["temperature(c)"] = None
    assert built.rows("battery_cleaned") == expected


def test_battery_features_adds_power_and_total_capacity_to_each_cleaned_reading(built: Warehouse) -> None:
    expected = built.rows("battery_cleaned")
    for row in expected:
        row["power_watt"] = row["voltage(v)"] * row["current(a)"]
        counters = row["charge_capacity(ah)"], row["discharge_capacity(ah)"]
        row["total_capacity"] = None if None in counters else sum(counters)
    features = built.rows("battery_features")
    assert features == expected
    assert {row["power_watt"] > 0 for row in features if row["step_index"] == 2} == {True}
    assert {row["total_capacity"] for row in features if row["cell_id"] == "LIVE"} == {None}


def test_the_published_count_per_workbook_runs_verbatim(built: Warehouse) -> None:
    answer = built.query("SELECT source_file, COUNT(*) FROM battery_ts GROUP BY source_file;")
    assert dict(answer) == {"A_8_24_10.xlsx": 120, "B_8_24_10.xlsx": 120, None: 120}


def test_the_published_maximum_voltage_per_message_runs_verbatim(built: Warehouse) -> None:
    answer = built.query(
        'SELECT MAX("voltage(v)"), streamed_at FROM battery_ts GROUP BY streamed_at ORDER BY streamed_at DESC;'
    )
    start = datetime(2010, 8, 24, 14, 0)  # noqa: DTZ001 - streamed_at is a TIMESTAMP without zone
    assert answer == [(4.2156, start + timedelta(minutes=1)), (4.6, start)]


def test_the_published_power_query_runs_verbatim(built: Warehouse) -> None:
    answer = built.query(
        'SELECT "voltage(v)" * "current(a)" AS power FROM battery_ts '
        'WHERE "voltage(v)" IS NOT NULL AND "current(a)" IS NOT NULL;'
    )
    assert Counter(power for (power,) in answer) == Counter(
        row["voltage(v)"] * row["current(a)"] for row in landed_readings()
    )


def test_the_flags_in_sql_are_those_of_the_reading_contract() -> None:
    has_flag = macros_of("has_flag.sql").has_flag
    everything = int(sum(Quality))
    for flag in Quality:
        qualities = [int(flag), everything, everything - flag, 0]
        holds = has_flag(str(flag.name).lower())
        answers = duckdb.from_arrow(pa.table({"quality": qualities})).project(holds).fetchall()
        assert answers == [(True,), (True,), (False,), (False,)], flag


def test_a_reading_is_flagged_in_sql_by_every_flag_but_those_that_are_no_doubt() -> None:
    is_flagged = macros_of("has_flag.sql").is_flagged()
    qualities = [0, *map(int, Quality), *(int(flag | NO_DOUBT) for flag in Quality)]
    answers = duckdb.from_arrow(pa.table({"quality": qualities})).project(is_flagged).fetchall()
    assert answers == [(bool(quality & ~NO_DOUBT),) for quality in qualities]
    assert answers.count((False,)) == 3


def test_no_test_of_the_models_takes_the_default_limits_of_the_instrument_for_all() -> None:
    for path in (MACROS.parent / "models").rglob("*.yml"):
        for model in yaml.safe_load(path.read_text()).get("models", []):
            for column in model.get("columns", []):
                for test in column.get("data_tests", []) if column["name"] in LIMITED else []:
                    limits = test.get("accepted_range", {}).get("arguments", {}) if isinstance(test, dict) else {}
                    assert all("instrument_max" in str(limit) for limit in limits.values()), (path.name, column["name"])


LIMITED = {"current(a)", "voltage(v)", "power_watt"}
"""Columns whose values may be as large as the instrument reports."""


@pytest.mark.parametrize("column", ["test_time(s)", "current(a)", "voltage(v)"])
def test_the_limits_in_sql_are_those_of_the_reading_contract(column: str) -> None:
    project = yaml.safe_load((MACROS.parent / "dbt_project.yml").read_text())
    given = jinja2.Environment(autoescape=True).from_string
    defaults = {n: given(str(v)).render(env_var=lambda _, default: default) for n, v in project["vars"].items()}
    for settings, ranges in (
        (defaults, INSTRUMENT_RANGE),
        (
            {"instrument_max_voltage_v": "1500.0", "instrument_max_current_a": "10000.0"},
            instrument_range(1_500, 10_000),
        ),
    ):
        within = macros_of("within_instrument_range.sql", var=settings.__getitem__).within_instrument_range
        check_limits(within, column, ranges[column].low, ranges[column].high)


def check_limits(within: Any, column: str, low: float, high: float) -> None:
    values = [low, high, low - 1e-6, high + 1e-6, float("nan"), float("inf"), None]
    answers = duckdb.from_arrow(pa.table({column: values})).project(within(column)).fetchall()
    assert [answer for (answer,) in answers] == [True, True, False, False, False, False, None]


def test_counters_start_anew_in_sql_where_they_do_in_the_stream() -> None:
    macros = macros_of("counters.sql")
    is_reset = macros.counter_is_reset("counter", "c")
    for step_before, share in ((1, RESET_SHARE), (0, STEP_RESET_SHARE)):
        values = [share - 1e-7, share + 1e-7, 1 - COUNTER_NOISE / 2, 1.0]
        rows = {"counter": values, "c_before": [1.0] * 4, "c_step_before": [step_before] * 4, "step_number": [1] * 4}
        rows["largest_a"] = [1.0] * 4
        answers = duckdb.from_arrow(pa.table(rows)).project(is_reset).fetchall()
        assert [answer for (answer,) in answers] == [True, False, False, False], share
    # A counter that has hardly begun loses what is noise, more than the share of it that counts elsewhere.
    for largest_a in (1e-5, 1.0, 1e4):
        noise = COUNTER_NOISE * largest_a
        rows = {"counter": [499.5 * noise, 498 * noise], "c_before": [500 * noise] * 2, "largest_a": [largest_a] * 2}
        rows |= {"c_step_before": [0] * 2, "step_number": [1] * 2}
        assert duckdb.from_arrow(pa.table(rows)).project(is_reset).fetchall() == [(False,), (True,)], largest_a
    times = [GAP_SECONDS, GAP_SECONDS + 1]
    first = {"counter": [7.0] * 2, "c_before": [None] * 2, "c_step_before": [None] * 2, "step_number": [1] * 2}
    first["largest_a"] = [1.0] * 2
    rows = pa.table(first | {"test_time(s)": times})
    rows = rows.cast(pa.schema([(name, pa.float64()) for name in rows.column_names]))
    gains = duckdb.from_arrow(rows).project(macros.counter_gain("counter", "c")).fetchall()
    assert gains == [(7 * 10**18,), (0,)]


def test_capacities_differ_by_more_than_their_last_digits_whatever_their_size() -> None:
    differs = macros_of("steps.sql").differs("one", "other")
    pairs: list[tuple[float | None, float | None, bool]] = [
        (1.1e-5, 1.1e-5 + 2e-11, True),
        (1.0, 1.0 + 2e-11, True),
        (1.0, 1.0 + 5e-12, False),
        (1.5e7, 1.5e7 + 4e-9, False),
        (1.5e7, 1.5e7 + 1, True),
        (None, 1.0, True),
        (None, None, False),
    ]
    table = pa.table({"one": [pair[0] for pair in pairs], "other": [pair[1] for pair in pairs]})
    answers = duckdb.from_arrow(table).project(differs).fetchall()
    assert [answer for (answer,) in answers] == [expected for *_, expected in pairs]


def test_a_second_build_gives_the_same_tables(copied: Warehouse) -> None:
    before = [copied.rows(model) for model in MODELS]
    run_dbt(copied.settings)
    assert [copied.rows(model) for model in MODELS] == before


def test_a_duplicate_reading_fails_the_build_by_name_and_leaves_the_tables(copied: Warehouse) -> None:
    with duckdb.connect(copied.path) as connection:
        connection.execute("insert into battery_ts_cleaned from battery_ts_cleaned where data_point = 5 limit 1")
    with pytest.raises(BatteryError) as failure:
        run_dbt(copied.settings)
    message = str(failure.value)
    assert f"dbt {' '.join(BUILD)} failed: test no_reading_landed_twice" in message
    assert "Got 1 result" in message
    assert "\n" not in message
    assert len(copied.rows("battery_features")) == 358


def test_empty_landing_tables_build_into_empty_models(tmp_path: Path, built: Warehouse) -> None:
    empty = Warehouse(tmp_path / "battery.duckdb")
    shutil.copytree(built.path.parent / "dbt", tmp_path / "dbt")
    create_landing(empty.path, [])
    run_dbt(empty.settings)
    assert [empty.rows(model) for model in MODELS] == [[], [], []]
    for model in ("battery_steps", "battery_tests", "battery_cycles", "battery_cells", "battery_ica", "bdf_timeseries"):
        assert empty.rows(model, "all") == [], model


def test_motherduck_is_a_target_whose_token_travels_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    calls: list[Any] = []
    real_run = subprocess.run

    def run(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        calls.append((arguments, options["env"]))
        done: subprocess.CompletedProcess[bytes] = real_run(arguments, **options)
        return done

    monkeypatch.setattr("refresh.dbt.subprocess.run", run)
    run_dbt(Settings(warehouse="md:battery_db", motherduck_token=SecretStr("t0ken")), ("parse",))

    [(arguments, environment)] = calls
    assert arguments[arguments.index("--target") + 1] == "motherduck"
    assert "t0ken" not in " ".join(arguments)
    assert (environment["WAREHOUSE"], environment["MOTHERDUCK_TOKEN"]) == ("md:battery_db", "t0ken")
    assert (tmp_path / "data" / "dbt" / "target" / "manifest.json").is_file()


def test_a_dbt_that_ends_early_is_not_blamed_on_the_results_of_an_earlier_run(
    copied: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = copied.path.parent / "dbt" / "target" / "run_results.json"
    results.write_text(results.read_text().replace('"status": "pass"', '"status": "fail"'))
    monkeypatch.setattr("refresh.dbt.subprocess.run", lambda arguments, **_: subprocess.CompletedProcess(arguments, 2))
    with pytest.raises(BatteryError, match=r"^dbt build failed: it ended before it ran anything; see .*dbt\.log$"):
        run_dbt(copied.settings, ("build",))


def test_a_relative_warehouse_is_made_absolute_and_a_profiles_folder_of_ones_own_wins(
    built: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def run(arguments: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        calls.append((arguments, options["env"]))
        return subprocess.CompletedProcess(arguments, 0)

    monkeypatch.setattr("refresh.dbt.subprocess.run", run)
    monkeypatch.chdir(built.path.parent)
    run_dbt(Settings(warehouse="battery.duckdb"))
    monkeypatch.setenv("DBT_PROFILES_DIR", "elsewhere")
    run_dbt(Settings(warehouse="battery.duckdb"))

    (ours, environment), (theirs, _) = calls
    assert environment["WAREHOUSE"] == str(built.path.resolve())
    assert "--profiles-dir" in ours
    assert "--profiles-dir" not in theirs


class ClosedWatch:
    """Tells when any process next closes a file, which is what DuckDB does on finding it locked."""

    _IN_CLOSE = 0x18

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_CLOEXEC)
        if libc.inotify_add_watch(self._descriptor, os.fsencode(path), self._IN_CLOSE) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")

    def wait(self) -> None:
        event = os.read(self._descriptor, 4096)
        assert struct.unpack_from("iI", event)[1] & self._IN_CLOSE
        os.close(self._descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="sees dbt meet the lock through inotify")
def test_dbt_waits_for_a_lock_that_another_process_holds(
    copied: Warehouse, monkeypatch: pytest.MonkeyPatch, warm_dbt: WarmDbt
) -> None:
    warm_run = warm_dbt.run
    hold = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read(1)"
    let_go = threading.Event()
    with subprocess.Popen(
        [sys.executable, "-c", hold, copied.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"

        def run(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[Any]:
            watch = ClosedWatch(copied.path)

            def release() -> None:
                watch.wait()
                holder.communicate(b".")
                let_go.set()

            threading.Thread(target=release, daemon=True).start()
            return warm_run(arguments, **options)

        monkeypatch.setattr("refresh.dbt.subprocess.run", run)
        try:
            run_dbt(copied.settings, ("run",))
        finally:
            holder.kill()
    assert let_go.is_set()
    assert len(copied.rows("battery_features")) == 358


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cell,capacity\nA,1\n", "must begin with the line cell_pattern,chemistry,.*; it begins with cell,capacity"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_of_cells_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, text: str | None, complaint: str
) -> None:
    cells = tmp_path / "cells.csv"
    if text is not None:
        cells.write_text(text)
    with pytest.raises(BatteryError, match=rf"^BATTERY_CELLS={cells} {complaint}"):
        run_dbt(Settings(warehouse=str(tmp_path / "battery.duckdb"), battery_cells=cells))
