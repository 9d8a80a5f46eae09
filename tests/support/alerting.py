"""Published alerts and live tests, written as a publication exports them."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from kernel.base.settings import Settings
from kernel.edges.objects import FolderStore
from refresh.export import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOW = datetime(2026, 1, 2, 12)  # noqa: DTZ001  # UTC, as the pipeline's times are

ALERTS = pa.schema(
    {
        "alert_id": pa.string(), "cell_id": pa.string(), "cell_group": pa.string(), "kind": pa.string(),
        "since_cycle": pa.int32(), "since_at": pa.timestamp("us"), "until_cycle": pa.int32(), "is_over": pa.bool_(),
        "value": pa.float64(), "threshold": pa.float64(), "unit": pa.string(), "threshold_from": pa.string(),
        "sentence": pa.string(),
    }
)  # fmt: skip
LIVE = pa.schema(
    {
        "cell_id": pa.string(), "test_id": pa.string(), "cell_group": pa.string(),
        "first_arrived_at": pa.timestamp("us"), "last_arrived_at": pa.timestamp("us"), "last_at": pa.timestamp("us"),
        "message_count": pa.int64(), "pace": pa.float64(), "usual_pause_s": pa.float64(), "threshold": pa.float64(),
        "threshold_from": pa.string(), "silence_s": pa.float64(),
    }
)  # fmt: skip


def knee(cell: str, **columns: Any) -> dict[str, Any]:
    """A row of battery_alerts."""
    return {
        "alert_id": f"{cell}/knee", "cell_id": cell, "kind": "knee", "since_cycle": 98,
        "since_at": datetime(2024, 3, 9),  # noqa: DTZ001
        "is_over": False, "value": 0.75, "threshold": 0.5, "unit": "1", "threshold_from": "default",
        "sentence": "fades faster since a knee at cycle 98",
    } | columns  # fmt: skip


def live(cell: str, hours_ago: float, **columns: Any) -> dict[str, Any]:
    """A row of battery_live_tests: a test that may be silent for an hour."""
    at = NOW - timedelta(hours=hours_ago)
    return {
        "cell_id": cell, "test_id": "t", "first_arrived_at": at - timedelta(hours=5), "last_arrived_at": at,
        "last_at": datetime(2026, 1, 2, 13), "message_count": 300, "pace": 1.0, "usual_pause_s": 60.0,  # noqa: DTZ001
        "threshold": 1.0, "threshold_from": "default", "silence_s": 3600.0,
    } | columns  # fmt: skip


def publish_alerts(folder: Path, alerts: Sequence[dict[str, Any]], tests: Sequence[dict[str, Any]] = ()) -> None:
    """Export them."""
    store, tables = FolderStore(folder / "objects"), {}
    for name, rows, schema in (("battery_alerts", alerts, ALERTS), ("battery_live_tests", tests, LIVE)):
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), buffer)
        store.put(f"marts/one/{name}.parquet", buffer.getvalue())
        tables[name] = {"key": f"marts/one/{name}.parquet"}
    manifest = {"published_at": "2026-01-02T11:00:00+00:00", "folder": "marts/one", "tables": tables}
    store.put(MANIFEST, json.dumps(manifest).encode())


def settings_of(folder: Path, connection: str | None) -> Settings:
    """The settings of the pipeline in a folder."""
    return Settings(
        object_store=f"file://{folder / 'objects'}",
        warehouse=str(folder / "battery.duckdb"),
        airflow_conn_battery_alerts=connection,  # type: ignore[arg-type]
    )
