"""The simulated cell as BioLogic's EC-Lab writes it: .mpt as text, and .mpr in the layout of its modules."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from support.twins.cell import START, restarted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from support.twins.cell import Integers, TwinCell

FULL: Final = (
    "mode", "ox/red", "error", "control changes", "Ns changes", "counter inc.", "Ns", "I Range", "time/s",
    "control/V/mA", "Ecell/V", "I/mA", "dq/mA.h", "(Q-Qo)/mA.h", "|Energy|/W.h", "Q charge/discharge/mA.h",
    "half cycle", "Temperature/\N{DEGREE SIGN}C", "Energy charge/W.h", "Energy discharge/W.h", "Q discharge/mA.h",
    "Q charge/mA.h", "cycle number", "P/W",
)  # fmt: skip
"""The titles of a whole export."""

BINARY: Final = (
    "flags", "Ns", "time/s", "dq/mA.h", "(Q-Qo)/mA.h", "Ewe/V", "Q charge/discharge/mA.h", "half cycle",
)  # fmt: skip
"""The columns of an .mpr file of galvanostatic cycling: no current among them, and no cycle."""

IDS: Final = {
    "flags": (1, "u1"), "Ns": (131, "<u2"), "time/s": (4, "<f8"), "dq/mA.h": (7, "<f8"), "(Q-Qo)/mA.h": (13, "<f8"),
    "control/V/mA": (5, "<f4"), "Ewe/V": (6, "<f4"), "I/mA": (8, "<f4"), "Q charge/discharge/mA.h": (467, "<f8"),
    "half cycle": (468, "<u4"), "freq/Hz": (32, "<f4"), "unknown": (60000, "<f8"), "unknown too": (60001, "<f4"),
}  # fmt: skip
"""The number and the type of columns in .mpr."""

_HEADER: Final = """\
EC-Lab ASCII FILE
Nb header lines : {count}

{technique}

Run on channel : 13 (SN 77439)
User : A. Person
CE vs. WE compliance from -10 V to 10 V
Acquisition started on : {started}
Loaded Setting File : C:\\Users\\A. Person\\cell.mps
Device : MPG-2 (SN 0365)
Comments : made by A. Person
Mass of active material : {mass}
Battery capacity : 1000.000 mA.h
Cycle Definition : Charge/Discharge alternance
"""


def half_cycles(cell: TwinCell) -> Integers:
    """Numbers from 0: one more with each turn of the direction, and none with a rest."""
    direction = cell.direction
    moved = np.maximum.accumulate(np.where(direction == 0, 0, np.arange(len(cell))))
    last = direction[moved]
    return np.cumsum(np.concatenate(([False], (last[1:] != last[:-1]) & (last[:-1] != 0))))


def biologic_columns(cell: TwinCell, *, starts_at: float = 0.0) -> dict[str, npt.NDArray[Any]]:
    """All columns of an export, by their titles, shape (n,) each; the test's time begins at `starts_at`, s."""
    half = half_cycles(cell)
    charge, discharge = 1000 * cell.charge_capacity, 1000 * cell.discharge_capacity
    net, energy = charge - discharge, cell.charge_energy + cell.discharge_energy
    zero = np.zeros(len(cell), np.int64)
    return {
        "mode": np.where(cell.direction == 0, 3, 1),
        **dict.fromkeys(("ox/red", "error", "control changes", "Ns changes", "counter inc."), zero),
        "Ns": cell.step - 1,
        "I Range": zero + 10,
        "time/s": cell.test_time + starts_at,
        "control/V/mA": 1000 * cell.current,
        **dict.fromkeys(("Ecell/V", "Ewe/V", "<Ewe>/V"), cell.voltage),
        **dict.fromkeys(("I/mA", "<I>/mA"), 1000 * cell.current),
        "dq/mA.h": np.diff(net, prepend=0.0),
        "(Q-Qo)/mA.h": net,
        "(Q-Qo)/C": 3.6 * net,
        "|Energy|/W.h": restarted(energy, half),
        "Q charge/discharge/mA.h": restarted(charge, half) - restarted(discharge, half),
        "half cycle": half,
        "Temperature/\N{DEGREE SIGN}C": cell.temperature,
        "Energy charge/W.h": restarted(cell.charge_energy, half),
        "Energy discharge/W.h": restarted(cell.discharge_energy, half),
        "Q discharge/mA.h": restarted(discharge, cell.cycle),
        "Q charge/mA.h": restarted(charge, cell.cycle),
        "cycle number": cell.cycle.astype(np.float64),
        "P/W": cell.current * cell.voltage,
        "freq/Hz": zero + 1000.0,
        "x": zero.astype(np.float64),
    }


def write_mpt(
    path: Path,
    columns: Mapping[str, npt.NDArray[Any]],
    titles: Sequence[str] = FULL,
    *,
    header: bool = True,
    comma: bool = False,
    technique: str = "Galvanostatic Cycling with Potential Limitation",
    started: str = "03/14/2024 09:30:15.000",
    mass: str = "21.100 mg",
    more_lines: int = 0,
) -> Path:
    """Write an .mpt file: Latin-1, tabs, one behind the titles too, decimals behind a point or a comma."""
    texts = [[str(one) if one.dtype.kind == "i" else f"{one:.15E}" for one in columns[title]] for title in titles]
    rows = ["\t".join(row) for row in zip(*texts, strict=True)]
    if comma:
        rows = [row.replace(".", ",") for row in rows]
        mass = mass.replace(".", ",")
    lines = []
    if header:
        count = _HEADER.count("\n") + more_lines + 2
        text = _HEADER.format(count=count, technique=technique, started=started, mass=mass)
        lines = [*text.split("\n"), *["Ns                  0                   1"] * more_lines]
        lines = lines[: count - 1] + [""] * (count - 1 - len(lines))
    path.write_text("\r\n".join([*lines, "\t".join(titles) + "\t", *rows, ""]), encoding="latin-1", newline="")
    return path


def write_mpr(
    path: Path,
    columns: Mapping[str, npt.NDArray[Any]],
    titles: Sequence[str] = (
        "flags",
        "Ns",
        "time/s",
        "dq/mA.h",
        "(Q-Qo)/mA.h",
        "Ewe/V",
        "Q charge/discharge/mA.h",
        "half cycle",
    ),
    *,
    log: bool = True,
) -> Path:
    """Write an .mpr file of EC-Lab 10's layout, as the library galvani reads it: settings, data and log."""
    layout = np.dtype([(title, IDS[title][1]) for title in titles])
    size = len(columns["time/s"])
    data = np.zeros(size, layout)
    for title in titles:
        data[title] = columns["mode"] if title == "flags" else columns.get(title, np.zeros(size))
    head = struct.pack("<IB", size, len(titles)) + np.array([IDS[title][0] for title in titles], "<u2").tobytes()
    days = (START - np.datetime64("1899-12-30", "us")) / np.timedelta64(1, "D")
    record = bytearray(700)
    record[465:473] = struct.pack("<d", days)
    content = b"BIO-LOGIC MODULAR FILE\x1a".ljust(48) + bytes(4)
    content += _module(b"VMP Set", b"VMP settings", bytes(400), 0)
    content += _module(b"VMP data", b"VMP data", head.ljust(405, b"\0") + data.tobytes(), 2)
    if log:
        content += _module(b"VMP LOG", b"VMP LOG", bytes(record), 0)
    path.write_bytes(content)
    return path


def _module(short: bytes, long: bytes, data: bytes, version: int) -> bytes:
    return b"MODULE" + short.ljust(10) + long.ljust(25) + struct.pack("<II", len(data), version) + b"03/14/24" + data
