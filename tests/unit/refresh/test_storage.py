"""The room that a pipeline takes, and how fast it grows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from kernel.base.settings import Settings
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import open_warehouse
from refresh.storage import StorageStatus, storage_status
from sink.care.overview import Overview, read_overview
from sink.tables import create_tables

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.now(UTC).replace(tzinfo=None)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(warehouse=str(tmp_path / "lab.duckdb"), object_store=f"file://{tmp_path / 'objects'}")


def overview_of(settings: Settings, commits: dict[timedelta, tuple[str, int, int]]) -> Overview:
    """The overview of a warehouse with commits of some age, each with its kind, rows and bytes."""
    warehouse = open_warehouse(settings)
    with warehouse.connect("make it") as connection:
        create_tables(connection)
        for seq, (age, (kind, rows, size)) in enumerate(commits.items()):
            connection.execute(
                "insert into internal._commits values (?, 0, ?, 1, ?, ?, ?, ?, '', [], ?)",
                [f"{seq}", seq, f"{seq}.parquet", kind, rows, size, NOW - age],
            )
    return read_overview(warehouse)


@pytest.mark.parametrize(
    ("first", "rows_per_day", "bytes_per_day"),
    [(timedelta(days=30), 1_000.0, 2_000.0), (timedelta(hours=1), 7_000.0, 114_000.0)],
    ids=["a month old", "an hour old"],
)
def test_growth_is_what_the_commits_of_the_last_week_brought_a_day(
    settings: Settings, first: timedelta, rows_per_day: float, bytes_per_day: float
) -> None:
    overview = overview_of(
        settings,
        {
            first: ("battery_ts_cleaned", 0, 100_000),
            timedelta(minutes=5): ("battery_ts_cleaned", 7_000, 13_000),
            timedelta(minutes=4): ("battery_quarantine", 50, 1_000),
        },
    )
    found = storage_status(settings, overview, None)
    assert found.objects == 114_000
    assert (found.rows_per_day, found.bytes_per_day) == pytest.approx((rows_per_day, bytes_per_day))


def test_sizes_are_those_of_files_and_objects(settings: Settings, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "objects")
    for key, size in {"raw/a": 3, "raw/b/c": 4, "readings/index.parquet": 5, "marts/manifest.json": 100}.items():
        store.put(key, b"x" * size)
    found = storage_status(settings, overview_of(settings, {}), store)
    assert (found.raw, found.readings, found.objects) == (7, 5, 0)
    assert found.warehouse == sum(path.stat().st_size for path in tmp_path.glob("lab.duckdb*"))
    assert (found.rows_per_day, found.bytes_per_day) == (None, None)
    assert found.free is not None


def test_the_lines_tell_sizes_and_growth_in_units() -> None:
    found = StorageStatus(141_832_192, 9_400_000, 8_600_000, 49_000_000, 45_502.3, 1_300_000.0, 56_600_000_000)
    assert list(found.lines()) == [
        "storage      warehouse 141.8 MB, objects 9.4 MB, readings 8.6 MB, raw files 49.0 MB; 56.6 GB free",
        "growth       45,502 rows and 1.3 MB of objects a day, over the last 7 days",
    ]
    nothing = StorageStatus(None, 0, 0, 0, None, None, None)
    assert list(nothing.lines()) == ["storage      objects 0 B, readings 0 B, raw files 0 B"]
