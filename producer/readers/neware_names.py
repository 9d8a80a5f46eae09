"""What Neware's software calls its columns and its steps, in the words of BTS 5 to 8 and BTSDA."""

from __future__ import annotations

import csv
import math
import re
from itertools import product
from typing import TYPE_CHECKING, Final

from producer.readers.tables.titles import base_and_unit
from producer.readers.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from producer.readers.tables.table import Table
    from producer.readers.tables.titles import Column, Names

_QUANTITIES: Final[Mapping[tuple[str, str], str]] = {
    ("data_point", ""): "DataPoint, Record Index, Record ID, Record number, Record No",
    ("cycle", ""): "Cycle Index, Cycle ID, Cycle, Cycle No",
    ("step", ""): "Step Index, Step ID, Step, Steps, Step No",
    ("state", ""): "Step Type, Step Name, Status, State, Work mode",
    ("step_time", ""): "Time, Relative Time, Step Time",
    ("test_time", ""): "Total Time, Cumulative Time",
    ("date_time", ""): "Date, Absolute Time, Real Time, Realtime, Date Time",
    ("current", "A"): "Current, Cur, Curr",
    ("voltage", "V"): "Voltage, Vol, Volt",
    ("capacity", "Ah"): "Capacity, Cap",
    ("energy", "Wh"): "Energy, Engy",
    ("charge_capacity", "Ah"): "Chg. Cap., Charge Capacity, Cap_Chg, CapaCity of charge, Chg Capacity, Capacitance_Chg",
    (
        "discharge_capacity",
        "Ah",
    ): "DChg. Cap., Discharge Capacity, Cap_DChg, CapaCity of discharge, DChg Capacity, Capacitance_DChg",
    ("charge_energy", "Wh"): "Chg. Energy, Charge Energy, Engy_Chg, Chg. Engy.",
    ("discharge_energy", "Wh"): "DChg. Energy, Discharge Energy, Engy_DChg, DChg. Engy.",
    ("temperature", "C"): "T1, Temperature, Temp, Auxiliary channel TU1 T, Aux T1, temp1_1",
}
"""Quantities with the unit where a title writes none, and the titles that name them."""

_CHINESE: Final[Mapping[str, str]] = {
    "data_point": "数据序号, 记录序号, 记录号, 记录ID, 数据点",
    "cycle": "循环号, 循环序号, 循环ID, 循环",
    "step": "工步号, 工步序号, 工步ID, 工步, 步次",
    "state": "工步类型, 工步名称, 状态, 工作模式",
    "step_time": "时间, 相对时间, 工步时间",
    "test_time": "总时间, 累计时间, 测试时间",
    "date_time": "绝对时间, 系统时间, 实时时间, 日期",
    "current": "电流",
    "voltage": "电压",
    "capacity": "容量",
    "energy": "能量",
    "charge_capacity": "充电容量",
    "discharge_capacity": "放电容量",
    "charge_energy": "充电能量",
    "discharge_energy": "放电能量",
    "temperature": "温度",
}
"""The titles of each quantity where the software speaks Chinese; their units are those of the English ones."""

NAMES: Final[Names] = {
    base_and_unit(title)[0]: quantity
    for quantity, titles in _QUANTITIES.items()
    for title in [*titles.split(", "), *_CHINESE.get(quantity[0], "").split(", ")]
    if title
}

NEEDED: Final = ("current", "voltage")
"""Quantities without which a table holds no records; times of the test or of its steps are needed as well."""

_CHINESE_MODES: Final = ("", "恒流", "恒压", "恒流恒压", "恒功率", "恒阻", "恒功率恒压", "恒阻恒压", "cc", "cv", "cccv")
_MODES: Final = ("cc", "cv", "cccv", "cp", "cr", "cpcv", "crcv", "pcccv")
STATES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("rest", "ocv", "pause"), 0),
    **dict.fromkeys(("charge", "chg"), 1),
    **dict.fromkeys(("discharge", "dchg"), -1),
    **{f"{mode}{mark}{way}": 1 for mode, mark, way in product(_MODES, ("_", " ", "-"), ("chg", "charge"))},
    **{f"{mode}{mark}{way}": -1 for mode, mark, way in product(_MODES, ("_", " ", "-"), ("dchg", "discharge"))},
    **dict.fromkeys(("搁置", "静置", "暂停"), 0),
    **{f"{mode}充电": 1 for mode in _CHINESE_MODES},
    **{f"{mode}放电": -1 for mode in _CHINESE_MODES},
}
"""What a step's type says that was done; a pulse, a simulation or a control step may do anything."""

_POINTS: Final = frozenset(base for base, quantity in NAMES.items() if quantity[0] == "data_point")
_PECULIAR: Final = frozenset({
    "steptype", "stepname", "chgcap", "dchgcap", "relativetime", "jumpto", "jump", "capacitancechg",
    "工步类型", "工步名称", "相对时间", "跳转",
})  # fmt: skip
_DEGREES: Final = re.compile(r"(?<![A-Za-z])(T\d+|Temperature)\(([^()]*)\)")

_CYCLE: Final = re.compile(r"^\s*\"?(cycle( index| id|)|循环(号|序号|id|))\"?\s*(?P<mark>[,;\t])", re.IGNORECASE)


def names_records(titles: Iterable[object]) -> bool:
    """Whether titles are those of Neware's records: numbered, with current and voltage, and a title of its own.

    >>> names_records(["DataPoint", "Step Type", "Current(A)", "Voltage(V)"])
    True
    >>> names_records(["Data_Point", "Step_Index", "Current(A)", "Voltage(V)"])
    False
    """
    bases = {base_and_unit(str(title))[0] for title in titles}
    named = {NAMES[base][0] for base in bases if base in NAMES}
    has_own = (bool(bases & _POINTS) and bool(bases & _PECULIAR)) or {"recordid", "stepid"} <= bases
    return has_own and {"current", "voltage"} <= named and "testtime" not in bases


def names_cycles(titles: Sequence[object]) -> bool:
    """Whether titles are those of Neware's cycles, which come first in layers.

    >>> names_cycles(["Cycle Index", "Chg. Cap.(Ah)", "DChg. Cap.(Ah)"])
    True
    """
    bases = [base_and_unit(str(title))[0] for title in titles]
    first = "".join(bases[:1])
    return first in {"cycleindex", "cycleid", "循环号", "循环序号"} and bool(
        {"chgcap", "capchg", "充电容量"} & set(bases)
    )


def mended(header: str) -> str:
    """A header line in which temperatures have a unit that is known: degree signs get lost on the way.

    >>> mended("T1(?),T2(oC),T3(K),CPU(?)")
    'T1(°C),T2(°C),T3(K),CPU(?)'
    """
    return _DEGREES.sub(lambda match: match[0] if unit_of("c", match[2]) else f"{match[1]}(°C)", header)


def quantity_of(title: str) -> str:
    """The quantity that a title names; empty where it names none."""
    return NAMES.get(base_and_unit(title)[0], ("", ""))[0]


def titles_of(line: str) -> list[str]:
    """The titles of a line that may be a header."""
    mark = next((mark for mark in ("\t", ";", ",") if mark in line), ",")
    return next(csv.reader([line], delimiter=mark), [])


def head_of_layers(lines: Sequence[str]) -> int | None:
    """The index of the first of the three headers of a text in layers; None where there are none."""
    for index in range(len(lines) - 2):
        match = _CYCLE.match(lines[index])
        if match is None:
            continue
        mark = match["mark"]
        is_step = lines[index + 1].startswith(mark) and not lines[index + 1].startswith(mark * 2)
        if is_step and lines[index + 2].startswith(mark * 2):
            return index
    return None


def require_times(table: Table, found: Mapping[str, Column]) -> None:
    """Have a table of records hold times.

    Raises:
        BadWorkbookError: it has none.
    """
    if not {"test_time", "step_time"} & found.keys():
        raise table.error(None, "has no column of times; export Time or Total Time with the records")


def untold(states: pa.Array) -> npt.NDArray[np.bool_]:
    """Where the type of a step does not tell what was done, shape (n,)."""
    import numpy as np  # noqa: PLC0415  # the parent only asks for titles

    encoded = states.dictionary_encode()
    known = np.array([text.casefold() not in STATES for text in encoded.dictionary.to_pylist()], np.bool_)
    found: npt.NDArray[np.bool_] = known[encoded.indices.to_numpy()]
    return found


_GRAMS: Final = {"mg": 1e-3, "g": 1.0, "kg": 1e3, "ug": 1e-6, "µg": 1e-6}
_AMPERE_HOURS: Final = {"ah": 1.0, "mah": 1e-3, "as": 1 / 3600, "mas": 1 / 3.6e6}


def stated_quantity(key: str, text: str, unit: str) -> str:
    """What is stated, as text in the unit of its key; empty where it is nothing, or no number that it should be.

    >>> stated_quantity("mass_g", "12.5mg", "mg"), stated_quantity("nominal_capacity_ah", "2 Ah", "mAh")
    ('0.0125', '2')
    >>> stated_quantity("mass_g", "0", "mg"), stated_quantity("barcode", "A-1", "")
    ('', 'A-1')
    """
    if key not in {"mass_g", "nominal_capacity_ah"}:
        return text
    match = re.match(r"^\s*([-+0-9.eE]+)\s*([A-Za-zµ]*)", text)
    if match is None:
        return ""
    try:
        number = float(match[1])
    except ValueError:
        return ""
    unit = match[2] or unit
    if key == "mass_g":
        number *= _GRAMS.get(unit.casefold(), 0.0)
    else:
        number *= _AMPERE_HOURS.get(unit.casefold(), 0.0)
    return f"{number:.9g}" if 0 < number < math.inf else ""
