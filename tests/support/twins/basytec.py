"""The simulated cell as Basytec's software exports it: lines that begin with ~, then columns between tabs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from support.twins.cell import net, restarted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.twins.cell import TwinCell

PREAMBLE: Final = (
    "~Resultfile from Basytec Battery Test System",
    "~Date and Time of Data Converting: 20.03.2024 10:55:58",
    "~",
    "~Name of Test: cycles at 25 °C",
    "~Battery: cell 12",
    "~Testplan: plan.pln",
    "~Testchannel: 1814 CH14 XCTS_40",
    "~Start of Test: 14.03.2024 09:30:15",
    "~End of Test: 20.03.2024 11:05:04",
    "~Operator (Test): J. Doe",
    "~",
)
TITLES: Final = (
    "~Time[s]", "DataSet", "t-Step[s]", "Line", "Command", "U[V]", "I[A]", "Ah[Ah]", "Ah-Cyc-Charge",
    "Ah-Cyc-Discharge", "Ah-Step", "Wh[Wh]", "Wh-Cyc-Charge", "Wh-Cyc-Discharge", "T1[°C]", "Cyc-Count", "State",
)  # fmt: skip
_COMMANDS: Final = {1: "Charge", -1: "Discharge", 0: "Pause"}


def columns_of(cell: TwinCell, *, seconds_each: float = 1.0) -> dict[str, list[str]]:
    """The columns by their titles; times are in units of so many seconds."""
    per_cycle = {
        "Ah-Cyc-Charge": cell.charge_capacity, "Ah-Cyc-Discharge": cell.discharge_capacity,
        "Wh-Cyc-Charge": cell.charge_energy, "Wh-Cyc-Discharge": cell.discharge_energy,
    }  # fmt: skip
    counters = {title: restarted(counter, cell.cycle) for title, counter in per_cycle.items()}
    counters["Ah[Ah]"] = net(cell.charge_capacity, cell.discharge_capacity)
    counters["Wh[Wh]"] = net(cell.charge_energy, cell.discharge_energy)
    counters["Ah-Step"] = restarted(counters["Ah[Ah]"], cell.step_run)
    numbers = counters | {
        "~Time[s]": cell.test_time / seconds_each, "t-Step[s]": cell.step_time / seconds_each, "U[V]": cell.voltage,
        "I[A]": cell.current, "T1[°C]": cell.temperature,
    }  # fmt: skip
    columns = {title: [f"{value:.12g}" for value in values] for title, values in numbers.items()}
    columns |= {"DataSet": [str(one) for one in cell.data_point], "Line": [str(one + 2) for one in cell.step_run]}
    columns |= {"Command": [_COMMANDS[int(one)] for one in cell.direction], "State": ["1"] * len(cell)}
    return columns | {"Cyc-Count": [str(one) for one in cell.cycle]}


def write_text(
    path: Path,
    columns: dict[str, list[str]],
    *,
    titles: Sequence[str] = TITLES,
    preamble: Sequence[str] = PREAMBLE,
    renamed: dict[str, str] | None = None,
) -> Path:
    """Write columns in Latin-1; `renamed` is what to call some in the header."""
    header = "\t".join((renamed or {}).get(title, title) for title in titles)
    rows = ["\t".join(row) for row in zip(*(columns[title] for title in titles), strict=True)]
    path.write_bytes("\r\n".join([*preamble, header, *rows, ""]).encode("latin-1"))
    return path
