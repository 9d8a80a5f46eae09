"""The benchmark of a drop: what it waits for and leaves out, not how long that takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import drop
from benchmarks.drop import Lab

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figures import Figure


def publish(objects: Path, cells: list[str]) -> None:
    folder = objects / "marts"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"cell_id": cells}), folder / "cycles.parquet")
    manifest = {"tables": {"battery_cycles": {"key": "marts/cycles.parquet"}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_drop_ends_when_the_marts_have_cycles_of_its_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inbox").mkdir()
    workbook = tmp_path / "ONE.xlsx"
    workbook.write_bytes(b"a workbook")
    looks = 0

    def wait(_: float) -> None:
        nonlocal looks
        looks += 1
        assert (tmp_path / "inbox" / "ONE.xlsx").read_bytes() == b"a workbook"
        publish(tmp_path / "objects", ["OTHER"] if looks < 3 else ["OTHER", "ONE"])

    monkeypatch.setattr("time.sleep", wait)
    assert Lab(tmp_path).drop(workbook, "ONE") >= 0
    assert looks == 3


def test_a_drop_that_is_never_seen_is_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "ONE.xlsx").touch()
    monkeypatch.setattr(drop, "LONGEST_SECONDS", -1.0)
    with pytest.raises(ValueError, match=r"ONE.xlsx was dropped .* and has no cycles"):
        Lab(tmp_path).drop(tmp_path / "ONE.xlsx", "ONE")


def test_an_environment_that_cannot_be_made_leaves_the_figure_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drop, "CACHE", tmp_path)
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert drop.cellpy_python(tiny=True) is None
    assert drop.cellpy_python(tiny=False) is None
    assert "bench:" in capfd.readouterr().err


@pytest.mark.nightly
def test_it_measures_what_it_claims_but_for_the_reference_where_that_is_not_installed(tmp_path: Path) -> None:
    figures: list[Figure] = []
    drop.measure(figures.append, tmp_path, tiny=True)
    assert [figure.name for figure in figures][-2:] == ["refresh_one_test", "refresh_idle"]
    assert all(figure.value > 0 and figure.reference > 0 for figure in figures)
