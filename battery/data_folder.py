"""The folder of a pipeline that keeps all of its data in one place, as the demo does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def places(data_dir: Path) -> dict[str, str]:
    """The settings that say where a pipeline in a folder keeps everything.

    >>> from pathlib import Path
    >>> places(Path("/srv/lab"))["WAREHOUSE"]
    '/srv/lab/battery.duckdb'
    """
    data_dir = data_dir.resolve()
    return {
        "OBJECT_STORE": f"file://{data_dir / 'objects'}",
        "WAREHOUSE": str(data_dir / "battery.duckdb"),
        "RECOVERY_DIR": str(data_dir / "recovery"),
        "REPLAY_DIR": str(data_dir / "replay"),
    }
