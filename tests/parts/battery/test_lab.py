"""The notebook's way in on what the main job has published, while others hold the warehouse."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import duckdb
import pyarrow.compute as pc
import pytest
from support import notebooks
from support.places import ROOT
from support.published import CYCLES

import battery
from battery.lab import Lab
from kernel.base.settings import load_settings
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from refresh.export import MARTS
from refresh.marts import WarehouseMarts
from refresh.publication import Publication

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.published import PublishedFolder

HEAVY = ("dashboard", "duckdb", "numpy", "pandas", "polars", "pyarrow", "pydantic")

HOLD = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def held(published: PublishedFolder) -> Iterator[PublishedFolder]:
    """The folder while another process has the DuckDB file, as the worker has it when it commits."""
    file = str(published.folder / "battery.duckdb")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(duckdb.IOException):
            duckdb.connect(file, read_only=True)
        yield published
        holder.communicate()


def test_importing_battery_imports_nothing_that_takes_time() -> None:
    script = f"import sys, battery; print([name for name in {HEAVY} if name in sys.modules])"
    started = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    assert started.stdout.strip() == "[]"


def test_everything_can_be_asked_while_another_process_holds_the_warehouse(held: PublishedFolder) -> None:
    lab = battery.open(held.folder)
    assert lab.tables == MARTS
    assert len(lab.cycles("SIM_01")) == CYCLES
    assert len(lab.readings("SIM_01")) == lab.cycles("SIM_01")["row_count"].sum()
    assert len(lab.ica("SIM_01", cycles="last")) > 0
    assert lab.sql("select count(*) as n from battery_steps")["n"].tolist() == [len(lab.steps())]


def test_nobody_waits_for_a_notebook(published: PublishedFolder) -> None:
    lab = battery.open(published.pipeline().settings)
    lab.readings("SIM_01", cycles="first")
    with open_warehouse(published.pipeline().settings).connect("commit beside a notebook"):
        lab.readings("SIM_02", cycles="first")


def test_a_warehouse_that_admits_readers_gives_the_same_answers(published: PublishedFolder) -> None:
    warehouse = open_warehouse(published.pipeline().settings)
    asked = Lab(Publication(WarehouseMarts(warehouse), None, warehouse), "md:lab")
    lab = battery.open(published.folder)
    assert asked.cycles().equals(lab.cycles())
    assert asked.readings("SIM_01", "1-3").equals(lab.readings("SIM_01", "1-3"))


def test_readings_are_those_of_the_landing(published: PublishedFolder) -> None:
    readings = battery.open(published.folder).readings("SIM_02", cycles=[3, 20], as_="arrow")
    landed = published.pipeline().query(
        'select "voltage(v)", "current(a)" from battery_ts_cleaned join battery_cycles using (cell_id, test_id, '
        "cycle_index) where cell_id = 'SIM_02' and cycle_number in (3, 20) order by cycle_number, data_point"
    )
    assert list(zip(readings["voltage_v"].to_pylist(), readings["current_a"].to_pylist(), strict=True)) == landed
    assert set(readings["cycle_number"].to_pylist()) == {3, 20}


def test_features_are_those_of_the_mart_in_the_warehouse(published: PublishedFolder) -> None:
    features = battery.open(published.folder).features("SIM_02", as_="arrow")
    mart = published.pipeline().query(
        'select test_id, data_point, power_watt, total_capacity, "voltage(v)", "temperature(c)" '
        "from battery_features where cell_id = 'SIM_02' order by all"
    )
    names = ("test_id", "data_point", "power_watt", "total_capacity_ah", "voltage_v", "temperature_c")
    assert sorted(zip(*(features[name].to_pylist() for name in names), strict=True)) == mart


def test_what_was_discharged_by_readings_is_what_the_mart_has_of_the_cycle(published: PublishedFolder) -> None:
    lab = battery.open(published.folder)
    moved = lab.readings("SIM_03").groupby("cycle_number")["discharge_ah"].max()
    capacity = lab.cycles("SIM_03").set_index("cycle_number")["discharge_capacity_ah"]
    assert moved.to_numpy() == pytest.approx(capacity.to_numpy(), abs=1e-9)


def test_computed_curves_are_those_of_the_mart(published: PublishedFolder) -> None:
    lab = battery.open(published.folder, as_="arrow")
    of_mart = lab.ica("SIM_01")
    numbers = pc.unique(of_mart["cycle_number"]).slice(0, 2)
    expected = of_mart.filter(pc.is_in(of_mart["cycle_number"], value_set=numbers))
    computed = lab.ica("SIM_01", cycles=numbers.to_pylist())
    assert computed.schema.names == expected.schema.names
    order = [(name, "ascending") for name in ("cycle_number", "direction", "voltage_v")]
    computed, expected = computed.sort_by(order), expected.sort_by(order)
    for name in ("cycle_number", "direction", "voltage_v", "is_peak"):
        assert computed[name].to_pylist() == expected[name].to_pylist()
    for name in ("capacity_ah", "dqdv_ah_per_v"):
        assert computed[name].to_pylist() == pytest.approx(expected[name].to_pylist())
    with pytest.raises(battery.BatteryError, match="among the cycles of one cell"):
        lab.ica(cycles="last")


def test_a_bucket_is_asked_by_its_name_or_by_where_its_marts_are(
    s3_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIO_ENDPOINT", f"127.0.0.1:{s3_port}")
    monkeypatch.setenv("MINIO_ACCESS_KEY", "access-key")
    monkeypatch.setenv("MINIO_SECRET_KEY", "secret-key")
    monkeypatch.setenv("MINIO_SECURE", "false")
    notebooks.export(notebooks.make(tmp_path / "lab"), open_store(load_settings(object_store="s3://notebook/lab")))
    for place in ("s3://notebook/lab", "s3://notebook/lab/marts", "s3://notebook/lab/marts/latest/"):
        lab = battery.open(place)
        assert lab.cycles().equals(battery.open(tmp_path / "lab").cycles())
        assert len(lab.readings("SIM_01", cycles="last")) == 2
        assert repr(lab) == "<battery.Lab at s3://notebook/lab>"
    with pytest.raises(battery.BatteryError, match="there is no bucket notebok at MINIO_ENDPOINT"):
        battery.open("s3://notebok")
