"""The simulated cell as Novonix's software exports it: blocks of a summary and a protocol, then the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from support.twins.cell import net

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.twins.cell import Floats, TwinCell

SUMMARY: Final = (
    "[Summary]", "Novonix UHPC data file", "Novonix", "Channel: 01", "Cell: LOT7_CH01.csv", "Serial Number: ",
    "Description: LGM50LT-1C", "Protocol: cycles.pro4", "Mass (g): 1.250", "Capacity (Ah): 5", "Area (cm2): 1.000",
    "CellID: ", "Started: 2024-03-14 09:30:15", "Operator: J. Doe", "Version: 2.13.0", "[End Summary]",
)  # fmt: skip
PROTOCOL: Final = ("[Protocol]", '{"Version":"UHPC Control: 2.13.0","Charger":3}', "[End Protocol]")
TITLES: Final = (
    "Date and Time", "Cycle Number", "Step Type", "Run Time (h)", "Step Time (h)", "Current (A)", "Potential (V)",
    "Capacity (Ah)", "Temperature (°C)", "Circuit Temperature (°C)", "Energy (Wh)", "dVdt (V/h)", "Step Number",
    "Step position",
)  # fmt: skip


def columns_of(cell: TwinCell, capacity: Floats | None = None, energy: Floats | None = None) -> dict[str, list[str]]:
    """The columns by their titles; capacity and energy are net counters of the test where not given."""
    capacity = net(cell.charge_capacity, cell.discharge_capacity) if capacity is None else capacity
    energy = net(cell.charge_energy, cell.discharge_energy) if energy is None else energy
    numbers = {
        "Run Time (h)": cell.test_time / 3600, "Step Time (h)": cell.step_time / 3600, "Current (A)": cell.current,
        "Potential (V)": cell.voltage, "Capacity (Ah)": capacity, "Temperature (°C)": cell.temperature,
        "Energy (Wh)": energy,
    }  # fmt: skip
    columns = {title: [f"{value:.8f}" for value in values] for title, values in numbers.items()}
    columns["Date and Time"] = [f"{stamp:%Y-%m-%d %H:%M:%S}" for stamp in cell.date_time.tolist()]
    columns |= {"Cycle Number": [str(one) for one in cell.cycle], "Step Number": [str(one) for one in cell.step]}
    size = len(cell)
    columns |= {"Step Type": [str(7 + int(one)) for one in cell.direction], "Step position": ["0"] * size}
    return columns | {"Circuit Temperature (°C)": ["31.5"] * size, "dVdt (V/h)": ["0.0"] * size}


def write_text(
    path: Path,
    columns: dict[str, list[str]],
    *,
    titles: Sequence[str] = TITLES,
    summary: Sequence[str] = SUMMARY,
    renamed: dict[str, str] | None = None,
) -> Path:
    """Write columns below the blocks; `renamed` is what to call some in the header."""
    header = ",".join((renamed or {}).get(title, title) for title in titles)
    rows = [",".join(row) for row in zip(*(columns[title] for title in titles), strict=True)]
    path.write_text("\n".join([*summary, *PROTOCOL, "[Data]", header, *rows]) + "\n", encoding="utf-8")
    return path
