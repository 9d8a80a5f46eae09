"""Files of a cell's readings: what is in them, what they are called, and what is refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bdf.io import load
from bdf.validate import validate_df
from pyarrow import csv

from battery.backup import back_up
from battery.export import cycle_numbers, encoded, export_cell, file_names
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.contract.reading import LANDED
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import DuckDBFile
from producer.readers.base import ReadOptions
from producer.readers.bdf import READER
from producer.readers.make import UNDATED
from refresh.bdf import LABELS, as_bdf, number_steps
from refresh.export import MARTS, export_marts
from refresh.readings import FOLDER, INDEX, export_readings, readings_of_test
from sink.tables import create_tables

if TYPE_CHECKING:
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse

START = datetime(2026, 3, 1, 8, 30)  # noqa: DTZ001  # the wall clock of a cycler
STARTED = START.isoformat()
CELL = "LAB/7, a"
TIMES = [0.1 * n / 3 for n in range(8)]
UNKNOWN = {"Step Time / s", "Record Index / 1", "Cell ID"}
"""Columns that version 0.1.0 of the validator passes over."""


def landed(test: str, first: datetime | None) -> pa.Table:
    """Eight readings of two cycles, with values that take all digits of a double; the fourth is no good."""
    n = range(8)
    half = [place % 4 for place in n]
    return pa.Table.from_pylist(
        [
            {
                "cell_id": CELL, "test_id": test, "source_file": "a.csv", "data_point": 3 + place,
                "test_time(s)": TIMES[place], "step_time(s)": 0.1 * half[place] / 3,
                "date_time": first and first + timedelta(seconds=place), "step_index": 1 + place // 4,
                "cycle_index": 1 + place // 4, "current(a)": 1 / 3, "voltage(v)": 3 + place / 7,
                "charge_capacity(ah)": place / 9, "discharge_capacity(ah)": place / 11,
                "charge_energy(wh)": place / 13, "discharge_energy(wh)": place / 17,
                "internal_resistance(ohm)": 0.1 / 3 if place > 4 else None, "temperature(c)": 25 + place / 3,
                "quality": 0, "streamed_at": START, "kafka_partition": 0, "kafka_offset": 0, "kafka_row": place,
            }
            for place in n
        ],
        schema=LANDED,
    )  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A pipeline that has published two tests of one cell; the models leave out the fourth reading of each."""
    monkeypatch.chdir(tmp_path)
    warehouse = DuckDBFile(tmp_path / "lab.duckdb", lock_timeout_seconds=1)
    store = FolderStore(tmp_path / "objects")
    with warehouse.connect("make it") as connection:
        create_tables(connection)
        connection.register("landed", pa.concat_tables([landed(STARTED, START), landed("by hand", None)]))
        connection.execute("insert into battery_ts_cleaned from landed")
        connection.execute("create table battery_cleaned as from battery_ts_cleaned where data_point <> 6")
        for name in MARTS:
            connection.execute(f"create table {name} (cell_id varchar)")
        connection.execute(
            "create or replace table battery_tests as select cell_id, test_id, count(*) as reading_count "
            "from battery_ts_cleaned group by all"
        )
        connection.execute(
            "create or replace table battery_cycles as select distinct on (test_id, cycle_index) cell_id, test_id, "
            "cycle_index, cycle_index + if(test_id = 'by hand', 2, 0) as cycle_number from battery_ts_cleaned"
        )
        connection.execute(
            "create table internal._refreshed as "
            "select 'battery_cleaned' as model, cell_id, test_id, 'x' as built_by, 'x' as version from battery_tests"
        )
    export_marts(warehouse, store)
    export_readings(warehouse, store)
    return Settings(warehouse=str(tmp_path / "lab.duckdb"), object_store=f"file://{tmp_path / 'objects'}")


def exported(settings: Settings, form: str = "bdf", **options: object) -> dict[str, Path]:
    """The files that an export writes, by name."""
    files = export_cell(settings, CELL, Path("out"), form, **options)  # type: ignore[arg-type]
    return {file.path.name: file.path for file in files}


NAMES = ["LAB%2F7%2C a__2026-03-01T083000", "LAB%2F7%2C a__by hand"]


@pytest.mark.parametrize(("form", "ending"), [("bdf", ".bdf.csv"), ("bdf-parquet", ".bdf.parquet")])
def test_files_of_the_battery_data_format_read_back_as_the_readings_that_landed(
    settings: Settings, form: str, ending: str
) -> None:
    files = exported(settings, form)
    assert sorted(files) == [f"{name}{ending}" for name in NAMES]
    for path, (test_id, first) in zip(files.values(), ((STARTED, START), ("by hand", None)), strict=True):
        (test,) = READER.read(path, ReadOptions("renamed.csv")).tests
        assert test.cell_id == CELL
        assert test.test_id == (test_id if first else UNDATED.isoformat())
        expected = landed(test_id, first)
        for name in test.readings.schema.names:
            if name not in {"cell_id", "test_id", "source_file", "quality"}:  # told above, or of this pipeline alone
                assert test.readings[name].to_pylist() == expected[name].to_pylist(), name


@pytest.mark.parametrize("form", ["bdf", "bdf-parquet"])
def test_the_validator_of_the_format_accepts_the_files(settings: Settings, form: str) -> None:
    for path in exported(settings, form).values():
        report = validate_df(load(path))
        assert report["ok"]
        assert (report["missing"], report["legacy_labels"]) == ([], [])
        assert set(report["extras"]) <= UNKNOWN
        assert report["time_stats"]["monotonic"]
        assert report["n_rows"] == 8


def test_the_validator_of_the_format_knows_every_label_but_those_that_are_named() -> None:
    table = pa.table({label: [1.0] for label in LABELS.values()})
    assert set(validate_df(table.to_pandas())["extras"]) == UNKNOWN


def test_csv_and_parquet_hold_the_names_of_the_pipeline_and_whether_the_models_keep_a_reading(
    settings: Settings,
) -> None:
    (text, _), (parquet, _) = (list(exported(settings, form).values()) for form in ("csv", "parquet"))
    table = pq.read_table(parquet)
    assert table["is_kept"].to_pylist() == [True] * 3 + [False] + [True] * 4
    assert table.schema.metadata[b"cell_id"] == CELL.encode()
    assert csv.read_csv(text)["charge_energy_counter_wh"].to_pylist() == [place / 13 for place in range(8)]
    assert csv.read_csv(text)["cell_id"].to_pylist() == [CELL] * 8


def test_readings_that_the_models_leave_out_can_be_left_out(settings: Settings) -> None:
    path = exported(settings, "bdf-parquet", kept=True, tests=["by hand"])[f"{NAMES[1]}.bdf.parquet"]
    assert pq.read_table(path)["Record Index / 1"].to_pylist() == [3, 4, 5, 7, 8, 9, 10]


@pytest.mark.parametrize("left", [["by hand"], []])
def test_a_test_of_which_no_reading_is_left_has_no_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, left: list[str]
) -> None:
    def kept(store: ObjectStore | None, warehouse: Warehouse, cell: str, test: str) -> pa.Table:
        readings = readings_of_test(store, warehouse, cell, test)
        keeps = pa.array([test in left] * readings.num_rows)
        return readings.set_column(readings.column_names.index("is_kept"), "is_kept", keeps)

    monkeypatch.setattr("battery.export.readings_of_test", kept)
    if left:
        assert list(exported(settings, kept=True)) == [f"{NAMES[1]}.bdf.csv"]
    else:
        with pytest.raises(BatteryError, match="has no readings to write: the models keep none of them"):
            exported(settings, kept=True)


def test_an_id_that_a_spreadsheet_would_compute_is_guarded_in_csv_alone() -> None:
    table = pa.table({"cell_id": ["=1+1"], "current_a": [-1.0]})
    assert encoded(table, "csv", "=1+1", "1") == b"cell_id,current_a\n'=1+1,-1\n"
    assert encoded(table, "bdf", "=1+1", "1") == b"cell_id,current_a\n=1+1,-1\n"


def test_cycles_are_those_of_the_cell_over_all_of_its_tests(settings: Settings) -> None:
    files = exported(settings, "bdf-parquet", cycles=[2, 3])
    found = [pq.read_table(path)["Record Index / 1"].to_pylist() for path in files.values()]
    assert found == [[7, 8, 9, 10], [3, 4, 5, 6]]
    counts = [pq.read_table(path)["Step Count / 1"].to_pylist() for path in files.values()]
    assert counts == [[2] * 4, [1] * 4]  # as in the whole test
    with pytest.raises(BatteryError, match="has none of these cycles in these tests; it has 1 to 4"):
        exported(settings, cycles=[5])


def test_a_file_that_is_there_is_replaced_only_by_force(settings: Settings) -> None:
    (first, *_) = exported(settings).values()
    first.write_text("mine")
    with pytest.raises(BatteryError, match="is there already; --force replaces it"):
        exported(settings)
    assert first.read_text() == "mine"
    exported(settings, force=True)
    assert len(first.read_text().splitlines()) == 9


def test_nothing_is_asked_of_the_warehouse_where_the_readings_have_been_published(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "lab.duckdb").unlink()
    assert len(exported(settings)) == 2


def test_what_the_store_does_not_have_comes_from_the_warehouse(settings: Settings, tmp_path: Path) -> None:
    before = {name: path.read_bytes() for name, path in exported(settings).items()}
    store = FolderStore(tmp_path / "objects")
    for stored in list(store.list(FOLDER)):
        if stored.key != INDEX:
            store.delete(stored.key)
    assert {name: path.read_bytes() for name, path in exported(settings, force=True).items()} == before


def test_an_unknown_cell_or_test_is_told_with_those_that_there_are(settings: Settings) -> None:
    with pytest.raises(BatteryError, match="no cell LAB has been published; there are LAB/7, a"):
        list(export_cell(settings, "LAB", Path("out"), "bdf"))
    with pytest.raises(BatteryError, match=f"has no test 9; it has .*{STARTED}"):
        exported(settings, tests=["9"])
    assert not Path("out").exists()


def test_a_folder_that_cannot_be_written_is_told_in_one_line(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(BatteryError, match=r"cannot write out/.*choose another folder with --out"):
        exported(settings)


def test_names_differ_where_tests_do() -> None:
    names = file_names("A", ["1:2", "12", "../x"])
    assert len(set(names.values())) == 3
    assert not any(sign in name for name in names.values() for sign in "/\\:")


@pytest.mark.parametrize("text", ["", "0", "3-1", "1-", "a", "1,,2", "1-99999999"])
def test_what_is_no_range_of_cycles_is_refused(text: str) -> None:
    with pytest.raises(BatteryError, match="--cycles"):
        cycle_numbers(text)


def test_steps_count_from_one_and_a_repeated_step_counts_again() -> None:
    readings = pa.table({"step_index": [1, 1, 1, 2], "cycle_index": [1, 1, 1, 1], "step_time_s": [1.0, 2.0, 0.5, None]})
    assert number_steps(readings).to_pylist() == [1, 1, 2, 3]
    assert number_steps(readings.slice(0, 0)).to_pylist() == []


def test_a_column_without_values_is_left_out() -> None:
    table = landed("by hand", None)
    names = {"current(a)": "current_a", "voltage(v)": "voltage_v", "test_time(s)": "test_time_s"}
    names |= {"step_time(s)": "step_time_s"}
    renamed = table.rename_columns([names.get(name, name) for name in table.schema.names])
    assert "Unix Time / s" not in as_bdf(renamed).schema.names
    assert encoded(as_bdf(renamed), "bdf", "A", "1").startswith(b'"Test Time / s","Voltage / V"')  # the id has a comma
    plain = as_bdf(renamed).drop_columns(["Cell ID"])
    assert encoded(plain, "bdf", "A", "1").startswith(b"Test Time / s,Voltage / V")


def test_who_asks_a_pipeline_that_is_not_there_does_not_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    absent = Settings(warehouse="data/lab.duckdb", object_store="file://data/objects")
    with pytest.raises(BatteryError, match="no figures have been published yet"):
        list(export_cell(absent, CELL, Path("out"), "bdf"))
    with pytest.raises(BatteryError, match="does not exist yet"):
        back_up(absent, Path("backup"))
    assert list(tmp_path.iterdir()) == []
