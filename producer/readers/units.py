"""Units: how a number in the unit of a file becomes one in the unit of the contract."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class Unit:
    """How a number in a sheet's unit becomes one in the contract's: times, divided by, plus.

    A thousandth is a division by 1000: 1 mA times 0.001 is not always what 0.001 A is.
    """

    times: float = 1.0
    divided_by: float = 1.0
    plus: float = 0.0

    def convert(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Numbers of this unit in the contract's."""
        if self.times != 1.0:
            values = values * self.times
        if self.divided_by != 1.0:
            values = values / self.divided_by
        return values + self.plus if self.plus else values


SAME: Final = Unit()
_MILLI, _MICRO, _NANO = Unit(divided_by=1e3), Unit(divided_by=1e6), Unit(divided_by=1e9)
_KILO, _MINUTE, _HOUR, _DAY = Unit(times=1e3), Unit(times=60.0), Unit(times=3600.0), Unit(times=86_400.0)

UNITS: Final[dict[str, dict[str, Unit]]] = {
    "s": {
        "s": SAME, "sec": SAME, "secs": SAME, "second": SAME, "seconds": SAME, "ms": _MILLI, "min": _MINUTE,
        "mins": _MINUTE, "minute": _MINUTE, "minutes": _MINUTE, "h": _HOUR, "hr": _HOUR, "hrs": _HOUR, "hour": _HOUR,
        "hours": _HOUR, "decimal hours": _HOUR, "d": _DAY, "day": _DAY, "days": _DAY, "us": _MICRO,
    },
    "a": {"A": SAME, "Amp": SAME, "Amps": SAME, "Ampere": SAME, "mA": _MILLI, "uA": _MICRO, "nA": _NANO, "kA": _KILO},
    "v": {"V": SAME, "Volt": SAME, "Volts": SAME, "mV": _MILLI, "uV": _MICRO},
    "ah": {
        "Ah": SAME, "mAh": _MILLI, "uAh": _MICRO, "C": Unit(divided_by=3600.0), "As": Unit(divided_by=3600.0),
        "mAs": Unit(divided_by=3.6e6),
    },
    "wh": {
        "Wh": SAME, "mWh": _MILLI, "uWh": _MICRO, "kWh": _KILO, "J": Unit(divided_by=3600.0),
        "Ws": Unit(divided_by=3600.0), "mWs": Unit(divided_by=3.6e6),
    },
    "v/s": {"V/s": SAME, "mV/s": _MILLI, "uV/s": _MICRO},
    "w": {"W": SAME, "mW": _MILLI, "kW": _KILO},
    "count": {"1": SAME, "": SAME},
    "ohm": {"Ohm": SAME, "Ohms": SAME, "mOhm": _MILLI, "mOhms": _MILLI, "uOhm": _MICRO},
    "deg": {"Deg": SAME, "degree": SAME, "degrees": SAME, "°": SAME},
    "c": {"C": SAME, "°C": SAME, "degC": SAME, "deg C": SAME, "dC": SAME, "℃": SAME, "\ufffdC": SAME,
          "K": Unit(plus=-273.15)},
}  # fmt: skip
"""For each unit of the contract those that are converted, as they are written; \ufffd stands for a lost degree sign."""

_LETTERS: Final = str.maketrans(
    {"\u00b5": "u", "\u03bc": "u", "\u2126": "Ohm", "\u03a9": "Ohm", ".": "", "\u00b7": "", "\u22c5": "", "*": ""}
)
"""Micro and Greek mu, the sign for ohm and Greek omega, and what some put between A and h."""

_DAMAGED: Final = re.compile(r"[^\x21-\x7e]+")


def unit_of(kind: str, written: str) -> Unit | None:
    """The unit that a header writes, such as `mA.h`, among those of a kind (a key of `UNITS`); None where unknown.

    A degree sign that was damaged on its way through encodings is passed over.

    >>> unit_of("ah", "mA.h") == Unit(divided_by=1000.0), unit_of("a", "V"), unit_of("c", "ÃÂ°C") == SAME
    (True, None, True)
    """
    unit = re.sub(r"\s+", "", written.translate(_LETTERS))
    if kind == "c" and unit[1:].endswith("C"):
        unit = _DAMAGED.sub("", unit)
    units = {re.sub(r"\s+", "", one): value for one, value in UNITS[kind].items()}
    if unit in units:
        return units[unit]
    if kind == "s" or unit.islower() or unit.isupper():  # software that writes all in one case does not mean mega
        lowered = {one.lower(): value for one, value in units.items()}
        return lowered.get(unit.lower())
    return None


def names_of(kind: str) -> str:
    """The units of a kind that are converted, each as it is written most, for a message."""
    by_unit: dict[Unit, str] = {}
    for name, unit in UNITS[kind].items():
        by_unit.setdefault(unit, name)
    return ", ".join(filter(None, by_unit.values()))
