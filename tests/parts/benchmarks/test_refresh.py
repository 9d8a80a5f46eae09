"""The benchmark of the refresh on tiny histories: what it prints and what it lands, not how long that takes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from benchmarks import refresh
from benchmarks.__main__ import main as run_all
from benchmarks.refresh import History, Life, live
from benchmarks.simulated import TESTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.base.settings import Settings


@pytest.fixture(scope="module")
def life() -> Life:
    return live(TESTS)


def talkative(settings: Settings, _warehouse: object, command: Sequence[str], _lock: int, _runner: object) -> None:
    """A dbt that does nothing but talk, as the real one does on its stdout."""
    subprocess.run(["/bin/echo", *command], check=True)
    results = Path(settings.warehouse).parent / "dbt" / "target" / "run_results.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps({"results": [{"unique_id": "model.battery.some", "execution_time": 0.1}]}))


def test_stdout_has_one_json_line_a_figure_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(refresh, "stage_models", talkative)
    monkeypatch.setattr(refresh, "publish", lambda *_: None)
    run_all(["--tiny", "refresh"], standalone_mode=False)
    printed = capfd.readouterr()
    (figure,) = [json.loads(line) for line in printed.out.splitlines()]
    assert list(figure) == ["name", "value", "unit", "reference", "ratio"]
    assert (figure["name"], figure["unit"]) == ("refresh", "s")
    assert figure["ratio"] > 0
    assert printed.err.splitlines().count("build") == 2 + 5
    assert printed.err.splitlines().count("build --full-refresh") == 1
    assert "model.battery.some" in printed.err


def test_the_tests_of_all_cells_land_by_turns_and_new_ones_behind_them(life: Life, tmp_path: Path) -> None:
    history = History(tmp_path / "three", life, 3 * life.readings.num_rows)
    before = history.rows
    landed = history.append(300)
    with duckdb.connect(tmp_path / "three" / "battery.duckdb") as connection:
        tests = connection.execute(
            "select cell_id, count(distinct test_id), min(test_id) = strftime(min(date_time), '%Y-%m-%dT%H:%M:%S'), "
            "arg_max(test_id, rowid) = max(test_id) from battery_ts_cleaned group by cell_id order by cell_id"
        ).fetchall()
        [(rows, messages)] = connection.execute(
            "select count(*), count(distinct (kafka_offset, kafka_row)) from battery_ts_cleaned"
        ).fetchall()
    assert tests == [
        ("BENCH_000", TESTS + 1, True, True),
        ("BENCH_001", TESTS, True, True),
        ("BENCH_002", TESTS, True, True),
    ]
    assert landed >= 300
    assert before == 3 * life.readings.num_rows
    assert rows == messages == history.rows == before + landed


@pytest.mark.nightly
def test_histories_pass_all_data_tests_and_so_do_their_streamed_cycles(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("DBT_")]:
        monkeypatch.delenv(name)
    history = History(tmp_path / "one", life, 1)
    history.append(300)
    nodes = history.refresh().nodes
    assert "test.battery.streamed_cycles_agree_with_those_from_rows" in nodes
    with duckdb.connect(tmp_path / "one" / "battery.duckdb") as connection:
        [(reconciled, cycles)] = connection.execute(
            "select count(*) filter (streamed.reading_count = cycles.row_count), count(*) "
            "from battery_cycles as cycles "
            "left join battery_cell_cycles as streamed using (cell_id, test_id, cycle_index)"
        ).fetchall()
    assert reconciled == cycles == TESTS + 1
