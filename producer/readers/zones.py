"""What dates say of their time zone: an offset behind the time, as in 2024-03-14T09:35:15+01:00, or a Z."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import pyarrow as pa

_SAMPLED: Final = 512
"""So many dates of a column, evenly apart, and the last, tell its offsets: summer time changes them twice a year."""

_OFFSET: Final = re.compile(
    r":\d{2}(?:[.,]\d+)?\s*(?:(?P<utc>Z)|(?P<sign>[+-])(?P<hour>\d{2}):?(?P<minute>\d{2})?)\s*$"
)


def zone_of(dates: pa.Array | pa.ChunkedArray) -> str:
    """The time zone that dates say, such as UTC or UTC+01:00; several stand in their order; empty where none is said.

    Args:
        dates: as the file has them, shape (n,): texts, or timestamps; those with a zone are taken as UTC here.

    >>> zone_of(pa.array(["2024-03-30T12:00:00+01:00", "", "2024-04-02T12:00:00.5+02:00"]))
    'UTC+01:00, UTC+02:00'
    >>> zone_of(pa.array(["2024-03-30 12:00:00Z"])), zone_of(pa.array(["2024-03-30 12:00"]))
    ('UTC', '')
    """
    if pa.types.is_timestamp(dates.type):
        return "UTC" if dates.type.tz else ""
    if not pa.types.is_string(dates.type):
        return ""
    count = len(dates)
    at = np.unique(np.append(np.arange(0, count, max(1, count // _SAMPLED)), max(0, count - 1)))[:count]
    found = (_OFFSET.search(text) for text in dates.take(pa.array(at)).to_pylist() if text)
    return ", ".join(dict.fromkeys(_shown(match) for match in found if match is not None))


def _shown(match: re.Match[str]) -> str:
    offset = f"{match['sign']}{match['hour']}:{match['minute'] or '00'}"
    return "UTC" if match["utc"] or offset in {"+00:00", "-00:00"} else f"UTC{offset}"
