"""What kind of cell it is and how it was tested, in a line: capacity, chemistry, C-rates, temperature, cycler.

The functions are pure, from rows of the marts to words.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dashboard.words.amounts import capacity_amount
from dashboard.words.codes import UNKNOWN, format_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

NOT_KNOWN: Final = "not known"

TOLD: Final = "by what the lab has told, or a file of cells"
"""Where values are from that a lab tells: on the page Cells, by `battery cells`, or in the file of BATTERY_CELLS."""

CHARGES: Final = ("cc_charge", "cccv_charge")
DISCHARGES: Final = ("cc_discharge",)

SAME_RATE: Final = 0.06
"""Rates that differ by less than this share are one rate."""

NEAR_WHOLE: Final = 0.03
"""A rate that is no further from a whole one is that one: 0.98C is 1C, and 4.8C is not 5C."""

LEAST_SHARE: Final = 0.05
"""A rate is told where it moved at least this share of the charge."""

MOST_RATES: Final = 2
"""How many rates are told one by one; of more, the lowest and the highest."""

SAME_TEMPERATURE_C: Final = 3.0
"""Mean temperatures of cycles that lie within this are told as one."""


@dataclass(frozen=True)
class Fact:
    """One fact of a cell: what it is about, what is so, what that goes by, and how it reads in a line with others."""

    about: str
    value: str
    basis: str = ""
    line: str = ""

    def __str__(self) -> str:
        """As it reads in a line."""
        return self.line or self.value


def facts_of(cell: Mapping[str, Any], cycles: pa.Table, steps: pa.Table, tests: pa.Table) -> list[Fact]:
    """What a reader of a cell's figures wants to know first, in this order.

    Args:
        cell: its row of `battery_cells`.
        cycles: its rows of `battery_cycles`.
        steps: its rows of `battery_steps`.
        tests: its rows of `battery_tests`.
    """
    stated = stated_of(cell)
    told_group, stated_group = cell.get("cell_group"), stated.get("group")
    group = told_group or stated_group
    return [
        _capacity(cell, stated),
        Fact(
            "chemistry",
            cell["chemistry"] or NOT_KNOWN,
            f"of the positive electrode, {TOLD}",
        ),
        *([Fact("group", str(group), TOLD if told_group else "as its files state", f"group {group}")] if group else []),
        _rates(cell, stated, steps),
        _temperature(cycles),
        _cycler(stated, tests),
    ]


def in_a_line(facts: Sequence[Fact]) -> str:
    """Facts as one line, what is known of the cell first."""
    unknown = [fact.about for fact in facts if fact.value == NOT_KNOWN]
    told = [str(fact) for fact in facts if fact.value != NOT_KNOWN]
    return " · ".join([*told, f"not known: {', '.join(unknown)}"] if unknown else told)


def stated_of(cell: Mapping[str, Any]) -> dict[str, Any]:
    """What the files of a cell state of it, by key."""
    found: dict[str, Any] = json.loads(cell.get("stated") or "{}")
    return found


def _capacity(cell: Mapping[str, Any], stated: Mapping[str, Any]) -> Fact:
    nominal, in_file = cell["nominal_capacity_ah"], _stated_capacity_ah(stated)
    if nominal is not None:
        value = _short_capacity(nominal)
        return Fact("nominal capacity", value, TOLD, f"{value} nominal")
    firm = (
        "To have the state of health relative to it, tell it on the page Cells or by battery cells set, or write it "
        "into the file that BATTERY_CELLS names."
    )
    if in_file is not None:
        value = f"{_short_capacity(in_file)}, as its file states"
        basis = f"Nothing but C-rates is computed from what a file states. {firm}"
        return Fact("nominal capacity", value, basis, f"{_short_capacity(in_file)} nominal, as its file states")
    return Fact("nominal capacity", NOT_KNOWN, firm)


def _stated_capacity_ah(stated: Mapping[str, Any]) -> float | None:
    try:
        found = float(stated.get("nominal_capacity_ah", ""))
    except ValueError:
        return None
    return found if 0 < found < math.inf else None


def _short_capacity(capacity_ah: float) -> str:
    amount = capacity_amount(capacity_ah)
    return f"{amount.factor * capacity_ah:.4g} {amount.unit}"


def _rates(cell: Mapping[str, Any], stated: Mapping[str, Any], steps: pa.Table) -> Fact:
    nominal = cell["nominal_capacity_ah"] or _stated_capacity_ah(stated)
    basis = nominal or cell["initial_capacity_ah"]
    ways = {
        way: rates
        for way, kinds in (("charge", CHARGES), ("discharge", DISCHARGES))
        if (rates := _rates_in_words(*_currents(steps, kinds), basis))
    }
    words = ", ".join(f"{rates} {way}" for way, rates in ways.items())
    if len(ways) == len(set(ways.values())) + 1:
        words = f"{ways['charge']} charge and discharge"
    if not ways:
        return Fact("C-rates", "no step at constant current", "kinds of steps are told by current and voltage")
    if not basis:
        return Fact("currents", words, "of the steps at constant current; no capacity is known that they are a rate of")
    of = "nominal" if nominal else "initial"
    return Fact(
        "C-rates",
        words if nominal else f"about {words}",
        f"currents of the steps at constant current by the {of} capacity of {_short_capacity(basis)}",
    )


def _currents(steps: pa.Table, kinds: tuple[str, ...]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Magnitudes of the constant currents in A, and the charge that each moved in Ah."""
    chosen = steps.filter(pc.is_in(steps["kind"], pa.array(kinds)))
    name = "current_max_a" if "cccv_charge" in kinds else "current_median_a"
    current = np.abs(_floats(chosen, name))
    by_time = current * _floats(chosen, "duration_s") / 3600
    counted = _floats(chosen, "charge_capacity_ah") + _floats(chosen, "discharge_capacity_ah")
    moved = np.where(np.isfinite(counted) & (counted > 0), counted, by_time)
    usable = np.isfinite(current) & (current > 0) & np.isfinite(moved)
    return current[usable], moved[usable]


def _rates_in_words(
    current_a: npt.NDArray[np.float64], moved_ah: npt.NDArray[np.float64], capacity_ah: float | None
) -> str:
    """The rates that moved most of the charge: "C/2", "C/3 and 1C", or "C/20 to 1C"; "" where there is none.

    Without a capacity they are currents: "0.5 A".
    """
    total = moved_ah.sum()
    if not total > 0:
        return ""
    order = np.argsort(current_a)
    currents, moved = current_a[order], moved_ah[order]
    begins = np.flatnonzero(np.diff(currents) > SAME_RATE * currents[:-1]) + 1
    groups = [
        (float(np.average(current, weights=weight)) if weight.sum() > 0 else 0.0, float(weight.sum()))
        for current, weight in zip(np.split(currents, begins), np.split(moved, begins), strict=True)
    ]
    usual = [current for current, weight in groups if weight >= LEAST_SHARE * total]
    usual = usual or [max(groups, key=lambda group: group[1])[0]]
    told = list(dict.fromkeys(c_rate(current / capacity_ah) if capacity_ah else _ampere(current) for current in usual))
    return " and ".join(told) if len(told) <= MOST_RATES else f"{told[0]} to {told[-1]}"


def _ampere(current_a: float) -> str:
    amount = capacity_amount(current_a, "A")
    return f"{amount.factor * current_a:.3g} {amount.unit}"


def c_rate(rate: float) -> str:
    """A current by the capacity as labs write it.

    >>> [c_rate(rate) for rate in (0.0333, 0.1, 0.328, 0.5, 0.65, 0.98, 1.0, 1.48, 4.8)]
    ['C/30', 'C/10', 'C/3', 'C/2', '0.65C', '1C', '1C', '1.5C', '4.8C']
    """
    whole = round(rate)
    if whole and abs(rate - whole) <= NEAR_WHOLE * whole:
        return f"{whole}C"
    if rate >= 1:
        return f"{rate:.2g}C" if rate < 10 else f"{rate:.0f}C"  # noqa: PLR2004  # below, two digits are a decimal
    parts = 1 / rate
    if abs(parts - round(parts)) <= SAME_RATE * parts:
        return f"C/{round(parts)}"
    return f"{rate:.2g}C"


def _temperature(cycles: pa.Table) -> Fact:
    means, highest = _floats(cycles, "temperature_mean_c"), _floats(cycles, "temperature_max_c")
    means, highest = means[np.isfinite(means)], highest[np.isfinite(highest)]
    if not len(means):
        return Fact("temperature", "not measured", "the files have no temperature", "no temperature measured")
    basis = f"mean of the cycles' means; the highest reading is {highest.max():.1f} °C" if len(highest) else ""
    if np.ptp(means) <= SAME_TEMPERATURE_C:
        return Fact("temperature", f"{means.mean():.0f} °C", basis)
    return Fact("temperature", f"{means.min():.0f} to {means.max():.0f} °C", basis)


def _cycler(stated: Mapping[str, Any], tests: pa.Table) -> Fact:
    columns = [
        tests[name].to_pylist() if name in tests.column_names else [None] * tests.num_rows
        for name in ("reader", "source_file")
    ]
    formats = dict.fromkeys(format_of(reader, file) for reader, file in zip(*columns, strict=True))
    formats.pop(UNKNOWN, None)
    files = ", ".join(list(formats)[:MOST_RATES]) + (" and others" if len(formats) > MOST_RATES else "")
    maker = str(stated.get("cycler") or "")
    if maker and files:
        brand, _, rest = files.partition(" ")
        named = maker if maker.casefold().startswith(brand.casefold()) else f"{maker}, {brand}"
        files = f"{named} {rest}".strip()
    return Fact("cycler", files or maker or "live readings", "by the files that its readings came from")


def _floats(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    return table.column(name).cast("float64").to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
