"""The notebook's way in: `battery.open` gives the published tables of a pipeline as data frames.

>>> import battery
>>> lab = battery.open("data/demo")
>>> lab.cycles("SIM_01")[["cycle_number", "discharge_capacity_ah", "soh"]]
   cycle_number  discharge_capacity_ah    soh
0             1                   1.10  1.000
1             2                   1.05  0.955

The command `battery` starts here, too, so nothing is imported before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from battery.frames import FrameKind
    from battery.lab import Lab
    from kernel.base.errors import BatteryError
    from kernel.base.settings import Settings

__all__ = ["BatteryError", "Lab", "open"]

_LATER: Final = {"BatteryError": "kernel.base.errors", "Lab": "battery.lab"}
"""Where the public names come from that are imported when they are first used."""


def open(place: str | Path | Settings | None = None, *, as_: FrameKind = "pandas") -> Lab:  # noqa: A001  # battery.open
    """The published tables of a pipeline, without holding its warehouse: worker and refresh go on.

    >>> battery.open("data/demo", as_="arrow").cells().column_names[:3]
    ['cell_id', 'chemistry', 'nominal_capacity_ah']

    Args:
        place: whose tables. None takes the settings, from the environment and `.env`. A folder is that of a pipeline,
            such as `data` or `data/demo`, or of its objects or marts. `s3://BUCKET` or `s3://BUCKET/PREFIX` is an
            object store, with MINIO_ENDPOINT, MINIO_ACCESS_KEY and MINIO_SECRET_KEY in the environment.
            `md:DATABASE` is a MotherDuck database, with MOTHERDUCK_TOKEN. `demo` is what `battery demo` made here.
        as_: what the answers are: `pandas`, `polars` or `arrow`. Each question can say otherwise.

    Raises:
        BatteryError: there is no pipeline at that place, or it cannot be reached; says what to do.
    """
    from battery.lab import open_lab  # noqa: PLC0415  # `import battery` is the start of every command

    return open_lab(place, as_)


def __getattr__(name: str) -> Any:  # noqa: ANN401  # a name's type stands above, for type checkers
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
