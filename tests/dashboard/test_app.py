from __future__ import annotations

import json
import signal
import socket
import sys
import urllib.error
import urllib.request
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from conftest import Pipeline
from streamlit.testing.v1 import AppTest

import battery.dashboard
from battery.broker import free_port
from battery.errors import BatteryError
from battery.settings import Settings
from producer.simulate import simulate_cell
from sink.tables import create_tables
from sink.warehouse import open_warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CELLS = ["SIM_01", "SIM_02"]
START_SECONDS = 60
END_SECONDS = 20


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory, broker: int) -> Iterator[Pipeline]:
    """Two simulated cells, landed."""
    folder = tmp_path_factory.mktemp("dashboard")
    workbooks = folder / "workbooks"
    workbooks.mkdir()
    for number, cell in enumerate(CELLS, start=1):
        simulate_cell(workbooks, cell, cycles=8 + number, seed=number, cycles_per_file=4)
    pipeline = Pipeline(folder / "pipeline", broker)
    pipeline.battery("produce", str(workbooks))
    pipeline.battery("stream", "--until-end")
    yield pipeline
    pipeline.end()


def page(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page on a pipeline's places; nothing has been drawn yet."""
    for name in Settings.model_fields:
        if name.upper() in pipeline.environment:
            monkeypatch.setenv(name.upper(), pipeline.environment[name.upper()])
    return AppTest.from_file(battery.dashboard.PAGE, default_timeout=60)


def lines(drawn: AppTest) -> dict[str, tuple[list[int], list[float]]]:
    """The lines of the chart: x and y by name."""
    [chart] = drawn.get("plotly_chart")
    return {line["name"]: (line["x"], line["y"]) for line in json.loads(chart.proto.spec)["data"]}


def rows(drawn: AppTest, table: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = drawn.dataframe[table].value.to_dict("records")
    return found


def test_the_table_holds_every_cell_with_its_figures(landed: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = page(landed, monkeypatch).run()
    assert not drawn.exception
    shown = rows(drawn, 0)
    assert [row["cell"] for row in shown] == CELLS
    for row in shown:
        full = landed.query(
            "select discharge_capacity_ah from battery_cell_cycles where voltage_min_v <= 2.8 "  # noqa: S608
            f"and discharge_capacity_ah > 0.3 and cell_id = '{row['cell']}' order by started_at"
        )
        [(landed_rows,)] = landed.query(f"select count(*) from battery_ts_cleaned where cell_id = '{row['cell']}'")  # noqa: S608
        [(refused,)] = landed.query(f"select sum(row_count) from battery_quarantine where cell_id = '{row['cell']}'")  # noqa: S608
        (first,), (last,) = full[0], full[-1]
        assert row["full_cycles"] == len(full) > 5
        assert (row["first_ah"], row["last_ah"]) == (first, last)
        assert 90 < row["relative_percent"] < 110
        assert row["relative_percent"] == pytest.approx(100 * last / first)
        assert (row["landed"], row["quarantined"]) == (landed_rows, refused)
        assert refused > 0


def test_the_chart_has_a_line_a_cell_over_its_whole_life(landed: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = page(landed, monkeypatch).run()
    shown = lines(drawn)
    assert list(shown) == CELLS
    for cell, (cycle, capacity) in shown.items():
        lived = landed.query(
            "select discharge_capacity_ah from battery_cell_cycles "  # noqa: S608
            f"where cell_id = '{cell}' order by started_at, cycle_index"
        )
        discharged = [(number, found) for number, (found,) in enumerate(lived, start=1) if found > 0]
        assert list(zip(cycle, capacity, strict=True)) == discharged
        assert len(discharged) == len(lived) - 1  # the one that broke off before its discharge
    layout = json.loads(drawn.get("plotly_chart")[0].proto.spec)["layout"]
    assert layout["xaxis"]["title"]["text"] == "cycle number"
    assert layout["yaxis"]["title"]["text"] == "discharge capacity (Ah)"


def test_the_address_holds_the_chosen_cells(landed: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = page(landed, monkeypatch)
    drawn.query_params["cell"] = ["SIM_02", "GONE"]
    drawn.run()
    assert drawn.multiselect[0].value == ["SIM_02"]
    assert list(lines(drawn)) == ["SIM_02"]
    drawn.multiselect[0].select("SIM_01").run()
    assert drawn.query_params["cell"] == ["SIM_02", "SIM_01"]
    assert list(lines(drawn)) == ["SIM_02", "SIM_01"]
    drawn.multiselect[0].set_value([]).run()
    assert drawn.query_params["cell"] == ""
    assert lines(drawn) == {}
    assert not drawn.exception
    again = page(landed, monkeypatch)
    again.query_params["cell"] = drawn.query_params["cell"]
    assert lines(again.run()) == {}


def test_the_stream_section_agrees_with_the_warehouse(landed: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = page(landed, monkeypatch).run()
    shown = {metric.label: metric.value for metric in drawn.metric}
    [(commits, last)] = landed.query('select count(distinct "commit"), max(committed_at) from _commits')
    [(landed_rows,)] = landed.query("select count(*) from battery_ts_cleaned")
    [(refused,)] = landed.query("select sum(row_count) from battery_quarantine")
    assert shown == {
        "commits": f"{commits:,}",
        "last commit (UTC)": f"{last:%Y-%m-%d %H:%M:%S}",
        "rows landed": f"{landed_rows:,}",
        "rows quarantined": f"{refused:,}",
    }
    assert rows(drawn, 1) == [{"reason": "duplicate", "rows quarantined": refused}]


def test_the_page_gives_the_warehouse_back(landed: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not page(landed, monkeypatch).run().exception
    landed.battery("stream", "--until-end")  # another process, which needs it to itself


def test_a_page_without_anything_to_show_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline(tmp_path, 1)

    def said() -> list[str]:
        drawn = page(pipeline, monkeypatch).run()
        assert not drawn.exception
        return [info.value for info in drawn.info]

    missing = f"WAREHOUSE={tmp_path / 'battery.duckdb'} does not exist yet; `battery stream` makes it"
    assert said() == [missing]
    with open_warehouse(pipeline.settings).connect("make it"):
        pass
    assert said() == ["the WAREHOUSE holds no landing tables yet; run `battery stream` first"]
    with open_warehouse(pipeline.settings).connect("make the tables") as connection:
        create_tables(connection)
    [empty] = said()
    assert empty.startswith("no cell has landed yet; publish workbooks with `battery produce`")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_with_exit_code_0(landed: Pipeline, number: signal.Signals) -> None:
    port = free_port()
    process = landed.start("dashboard", "--port", str(port))
    deadline = monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1) as answer:
                assert answer.status == 200
                break
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, process.communicate()[0]
            assert monotonic() < deadline, "the dashboard did not answer"
    process.send_signal(number)
    said, _ = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 0, said
    assert f"http://127.0.0.1:{port}" in said
    assert "Traceback" not in said


def test_what_keeps_it_from_serving_is_one_line(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, 1, {"WINDOW_SECONDS": "ten"})
    assert pipeline.battery("dashboard", code=2).startswith("battery: invalid settings: WINDOW_SECONDS: ")
    pipeline.extra.clear()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = pipeline.battery("dashboard", "--port", port, code=2)
    assert said == (
        f"battery: cannot serve the dashboard at 127.0.0.1:{port}: Address already in use; "
        "choose another address with --host and --port\n"
    )


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setitem(sys.modules, "streamlit.web", None)
    with pytest.raises(BatteryError, match=r"is an extra: pip install 'battery-pipeline\[dashboard\]'"):
        battery.dashboard.serve("127.0.0.1", free_port())
