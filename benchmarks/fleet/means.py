"""What the figures of `make bench-scale` mean: for people, by their names."""

from __future__ import annotations

from typing import Final

from benchmarks.fleet.judge import TABLES
from benchmarks.fleet.simulation import MIXES
from benchmarks.fleet.sizes import FLEETS, MESSAGES

_FEWER: Final = "the same with 10,000 channels"

MEANS: Final = {
    **{
        f"fold_{mix.name}": (f"decode and fold, {mix.words}, time of a processor", MESSAGES[-1].words)
        for mix in MESSAGES
    },
    **{f"bytes_log_{mix.name}": (f"in the log, {mix.words}", MESSAGES[-1].words) for mix in MESSAGES},
    **{
        f"bytes_object_{channels}": (f"in the objects of commits of 10 s of {channels:,} channels", "merged")
        for channels in FLEETS
    },
    "manifest_read": ("read the manifest of 100,000 commits, time of a processor", "of 10,000"),
    "manifest_memory": ("memory of the process that has read it", "of 10,000"),
    "bytes_commits": ("a commit in `_commits` of a DuckDB file", "where there are 10,000"),
    **{f"fleet_{mix.name}": (f"one worker beside 100,000 channels, {mix.words}", _FEWER) for mix in MIXES},
    **{f"fleet_close_{mix.name}": (f"closing an epoch of 10 s, {mix.words}", _FEWER) for mix in MIXES},
    **{f"fleet_memory_{mix.name}": (f"most memory of that worker, {mix.words}", _FEWER) for mix in MIXES},
    "bytes_battery_ts_cleaned": ("a reading in a DuckDB file", _FEWER),
    "bytes_cell_state": ("a cell in `_cell_state` of a DuckDB file", _FEWER),
    "bytes_progress": ("a cell in `_progress` of a DuckDB file", _FEWER),
    "bytes_windows": ("a window in `_windows` of a DuckDB file", _FEWER),
    "bytes_cycles": ("a cycle in `_cycles` of a DuckDB file", _FEWER),
    **{
        f"pg_bytes{table}": (f"a row of `{table}` in PostgreSQL, with its indexes, after six commits", "packed")
        for table in TABLES
    },
    "fleet_begin": ("begin a run on the states of 100,000 cells", _FEWER),
    "fleet_first_epoch": ("fold its first epoch, which loads these states", _FEWER),
    "refresh_cells": ("refresh after 10,000 new readings beside 1 million of 2,638 cells", "of 145 cells"),
    "refresh_new": ("refresh after 360,000 new readings beside 1 million", "after 10,000 new readings"),
}
"""By the name of a figure: what its value measures, and what its reference."""
