"""What a Neware .nda or .ndax file states of its test, and which zone its clock is of.

Older software counts the seconds of its clock in local time, newer software in UTC. Which of both a file has, the start
time that it states as a text of local time tells.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from producer.readers.neware_names import stated_quantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_KEYS: Final[Mapping[str, tuple[str, str]]] = {
    "barcode": ("barcode", ""),
    "sn": ("item", ""),
    "pn": ("item", ""),
    "battno": ("item", ""),
    "test_name": ("test_name", ""),
    "testname": ("test_name", ""),
    "processname": ("schedule", ""),
    "step_name": ("schedule", ""),
    "stepname": ("schedule", ""),
    "active_mass_mg": ("mass_g", "mg"),
    "scq": ("mass_g", "ug"),
    "multcap": ("nominal_capacity_ah", "mAs"),
    "nominal_capacity_mah": ("nominal_capacity_ah", "mAh"),
    "server_version": ("cycler", ""),
    "bts_version": ("cycler", ""),
    "svrver": ("cycler", ""),
}
"""What fastnda's metadata, or an XML file of an .ndax, calls what is taken, and the unit. Persons are not among it."""

_CHANNEL: Final = ("devid", "unitid", "chlid")
_STARTS: Final = ("starttime", "start_time", "begintime")
_START: Final = re.compile(r"(\d{4})[-./](\d{1,2})[-./](\d{1,2})[ T]+(\d{1,2}):(\d{2}):(\d{2})")
_MEMBER: Final = re.compile(r"(?:^|/)(\d{4})(\d{2})(\d{2})_(\d{2})(\d{2})(\d{2})_[^/]*\.ndc$")

_QUARTER: Final = 900.0
_SLACK: Final = 300.0
"""So many s may lie between the stated start and the first reading; zones differ by quarters of an hour."""

_MOST: Final = 14 * 3600.0


def stated_in(metadata: Mapping[str, Any]) -> dict[str, str]:
    """What is taken of a file's metadata, with the keys of `About`."""
    found: dict[str, str] = {}
    place: dict[str, str] = {}
    for key, text in _walk(metadata):
        if key in _KEYS:
            name, unit = _KEYS[key]
            value = stated_quantity(name, text, unit)
            if value:
                found.setdefault(name, value)
        elif key in _CHANNEL:
            place.setdefault(key, text)
    if "chlid" in place:
        found["channel"] = "-".join(place[key] for key in _CHANNEL if key in place)
    return found


def stated_start(metadata: Mapping[str, Any], members: Iterable[str] = ()) -> datetime | None:
    """When the test began by the wall clock, as the file states it; None where it does not.

    Args:
        metadata: as fastnda gives it.
        members: names of the files in an .ndax, which may begin with that time.
    """
    for key, text in _walk(metadata):
        if key in _STARTS and not text.endswith(("+00:00", "Z")):
            start = _time(_START.search(text))
            if start is not None:
                return start
    return next((start for member in members if (start := _time(_MEMBER.search(member))) is not None), None)


def local_clock(us: pa.Array, start: datetime | None) -> tuple[pa.Array, str, str | None]:
    """The wall clock of the cycler (timestamp in us), what is known of its zone, and what was assumed, if anything.

    Args:
        us: the clock as the file counts it, us since 1970, shape (n,).
        start: when the test began by the wall clock, if the file states it.
    """
    stamps = us.cast(pa.timestamp("us"))
    if start is None:
        return stamps, "", "the file does not say whether its clock is local or UTC; it was taken as it is"
    first = next(stamp.as_py() for stamp in stamps if stamp.is_valid)
    ahead = (start - first).total_seconds()
    zone = round(ahead / _QUARTER) * _QUARTER
    if abs(ahead - zone) > _SLACK or abs(zone) > _MOST:
        return stamps, "", f"the file states that it began at {start:%Y-%m-%d %H:%M:%S}, its clock says otherwise"
    if not zone:
        return stamps, "local time", None
    minutes = round(abs(zone) / 60)
    name = f"UTC{'+' if zone > 0 else '-'}{minutes // 60:02}:{minutes % 60:02}"
    numbers = np.asarray(us.fill_null(0).to_numpy(zero_copy_only=False)) + int(
        timedelta(seconds=zone) / timedelta(microseconds=1)
    )
    shifted = pa.array(numbers, pa.int64(), mask=np.asarray(us.is_null().to_numpy(zero_copy_only=False)))
    return (
        shifted.cast(pa.timestamp("us")),
        name,
        f"the clock counts UTC; it was set to the local time of its start, {name}",
    )


def _time(match: re.Match[str] | None) -> datetime | None:
    if match is None:
        return None
    try:
        return datetime(*(int(part) for part in match.groups()))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return None


def _walk(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """All texts and numbers of nested metadata, with their keys in lower case; `Value` has the key of its parent.

    What its software has not selected is passed over.
    """
    for key, value in metadata.items():
        if isinstance(value, dict):
            if value.get("Is_Select") == "0":
                continue
            for inner, text in _walk(value):
                yield (key.casefold() if inner == "value" else inner), text
        elif isinstance(value, str | int | float) and str(value).strip():
            yield key.casefold(), str(value).strip()
