"""The notebook of the documentation, executed by Jupyter's own client on what the main job has published."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbclient import NotebookClient
from support.places import ROOT, SHARED
from support.published import REAL

import battery

if TYPE_CHECKING:
    from pathlib import Path

    from support.published import PublishedFolder

NOTEBOOK = ROOT / "docs" / "examples" / "ageing.ipynb"
SERIES = SHARED / "reference" / "published_CS2_35_capacity.csv"


@pytest.fixture
def outputs(published: PublishedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each code cell gives, by the kind of data."""
    monkeypatch.setenv("OBJECT_STORE", f"file://{published.folder / 'objects'}")
    monkeypatch.setenv("PUBLISHED_SERIES", str(SERIES))
    monkeypatch.setenv("PLOTLY_RENDERER", "plotly_mimetype")
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [output.output_type for cell in cells for output in cell.outputs] == ["execute_result"] * 3 + [
        "display_data"
    ] * 2
    return [output.data for cell in cells for output in cell.outputs]


def figure(output: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = output["application/vnd.plotly.v1+json"]
    return found


def test_the_notebook_runs_and_reproduces_the_published_series(
    published: PublishedFolder, outputs: list[dict[str, Any]]
) -> None:
    _, series, compared, fade, curves = outputs
    if SERIES.exists():
        assert series["text/plain"].startswith(f"'{REAL}: 846 cycles, from 1.1264 to 0.3025 Ah")
        assert compared["text/plain"].startswith("'846 published cycles, the largest difference is ")
    else:
        assert f"{REAL} has not been landed here" in series["text/plain"]
        assert "nothing to compare" in compared["text/plain"]
    lab = battery.open(published.folder)
    cells = lab.cells().query("complete_cycle_count >= 20 and nominal_capacity_ah > 0")
    assert [trace["name"] for trace in figure(fade)["data"]] == [*cells["cell_id"], "knee", "end of life"]
    drawn_cell = figure(curves)["layout"]["legend"]["title"]["text"]
    charged = lab.ica(drawn_cell, cycles="spread 10").query("direction == 'charge'")["cycle_number"].unique()
    assert [trace["name"] for trace in figure(curves)["data"]] == [f"cycle {cycle}" for cycle in sorted(charged)]
    assert len(charged) == 10 or drawn_cell != REAL  # a simulated cell may end in the middle of a cycle
    for drawn in (fade, curves):
        axes = figure(drawn)["layout"]
        assert all(
            "/" in axes[axis]["title"]["text"] or axes[axis]["title"]["text"] == "cycle number"
            for axis in ("xaxis", "yaxis")
        )


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert [cell["source"] for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []
