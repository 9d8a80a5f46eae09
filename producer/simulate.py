"""Simulated ageing cells, as the Arbin workbooks that a lab would hand over, quirks included.

The cells follow the CALCE CS2 protocol: 1.1 Ah, charged at 0.55 A to 4.2 V and held there down to 50 mA, discharged
at 1.1 A to 2.7 V, one pulse for the resistance before and after. Curves are drawn, not solved: what matters is that
counters, currents and voltages agree with each other and age the way real ones do.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Required, TypedDict, Unpack

import numpy as np
import openpyxl
import pyarrow as pa

from kernel.contract.reading import COUNTERS, READING
from producer.readers.base import FILE_COLUMNS, Test
from producer.readers.sheets.titles import HEADER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

CHARGE_A: Final = 0.55
DISCHARGE_A: Final = 1.1
TAPER_A: Final = 0.05
TAPER_LOG_A: Final = 0.05
"""At constant voltage the cycler logs whenever the current has fallen by so much."""

SAMPLE_S: Final = 30.0
"""How often the cycler measures, other than at constant voltage."""

CONSTANT_CURRENT: Final = frozenset({2, 7})
"""The steps of the schedule that charge and discharge at constant current."""

LOG_V: Final = 0.02
"""At constant current the cycler exports every sample at which the voltage has moved by more than so much."""

TOP_UP_AH: Final = 0.035
"""Charge that a full cell takes when a test begins with it: such a cycle's efficiency is above 30."""

SCATTER: Final = 0.001
"""Share by which a capacity differs from that of the cycle before and after."""

REGAINED: Final = 0.006
"""Share of the capacity that is back after the pause between two tests, and lost again within a few cycles."""

CLOCK_DRIFT: Final = 65.0 / (7 * 86_400)
"""The wall clock gains 65 s a week on the test clock."""

FIRST_START: Final = datetime(2010, 8, 16, 13, 44, 57)  # noqa: DTZ001  # a cycler's wall clock has no zone


@dataclass(frozen=True)
class Export:
    """One workbook to be: its name, its test, and what its Info sheet remarks."""

    name: str
    test: Test
    remark: str


@dataclass(frozen=True)
class Ageing:
    """How a cell ages: `fade` of its capacity is lost a cycle, and from about cycle `knee` on much more.

    `fade` is a share of the capacity when new. The faster loss is 0.12 of it at the knee and grows e-fold in `width`
    cycles, so a small width makes a sharp knee. The defaults are those of a typical CALCE CS2 cell.
    """

    fade: float = 0.00025
    knee: float = 700.0
    width: float = 150.0


@dataclass(frozen=True)
class _Health:
    """A cell at one cycle: capacity in Ah, resistance in ohm."""

    capacity: float
    resistance: float


@dataclass(frozen=True)
class _Step:
    """Samples of one step: time since its start in s, current in A, voltage in V."""

    index: int
    time: Floats
    current: Floats
    voltage: Floats
    resistance: float | None = None

    def logged(self, every: int) -> npt.NDArray[np.bool_]:
        """Which samples are exported: at constant current each `every`th, steep ones and the last, elsewhere all."""
        samples = np.arange(len(self.time))
        steep = np.abs(np.diff(self.voltage, prepend=self.voltage[0])) > LOG_V
        logged: npt.NDArray[np.bool_] = steep | (samples % every == 0) | (samples == len(samples) - 1)
        return logged | (self.index not in CONSTANT_CURRENT)


def simulate_tests(
    cell_id: str,
    *,
    cycles: int,
    seed: int = 0,
    cycles_per_file: int = 50,
    ageing: Ageing | None = None,
    log_every: int = 1,
    size: float = 1.0,
) -> list[Export]:
    """Simulate a cell's life as the exports of its tests, in time order; the same arguments give the same bits.

    The last cycle of the first file breaks off before its discharge, so the second file starts with one. In every
    third file a discharge is cut short. After the pause between two files some capacity is back for a few cycles.
    The last file is exported twice under two names.

    Args:
        cell_id: the cell's id; it also varies the cell.
        cycles: how many cycles it lives.
        seed: varies the cell and its noise.
        cycles_per_file: how many cycles an export holds at most.
        ageing: how the cell ages; by default as a typical cell does, at a pace that the seed varies by up to 20 %.
        log_every: at constant current the cycler measures every 30 s and exports one in so many measurements, the
            last, and those at which the voltage moves fast. Its counters take in all of them.
        size: how many times as large as a CS2 cell it is: so many times the current, charge and energy, and the
            resistance divided by as much, at the same times and voltages.

    Raises:
        ValueError: `cycles`, `cycles_per_file` or `log_every` is below 1, or `size` is not a positive number.
    """
    if not 0 < size < np.inf:
        raise ValueError(f"size={size} must be a positive number")
    if cycles < 1 or cycles_per_file < 1 or log_every < 1:
        raise ValueError(
            f"cycles={cycles}, cycles_per_file={cycles_per_file} and log_every={log_every} must all be at least 1"
        )
    noise = np.random.default_rng([seed, zlib.crc32(cell_id.encode())])
    build, pace = noise.normal(1.0, 0.01), noise.uniform(0.8, 1.2)
    if ageing is not None:
        pace = 1.0
    exports: list[Export] = []
    filled = 0.0
    start = FIRST_START + timedelta(days=int(noise.integers(0, 30)), seconds=int(noise.integers(0, 3600)))
    for first in range(1, cycles + 1, cycles_per_file):
        last = min(first + cycles_per_file - 1, cycles)
        steps: list[tuple[int, _Step]] = []
        for cycle in range(first, last + 1):
            rested = REGAINED * np.exp((first - cycle) / 3.0) if first > 1 else 0.0
            health = _health(ageing or Ageing(), cycle * pace, build * float(noise.normal(1.0 + rested, SCATTER)))
            broken_off = first == 1 and cycle == last and last < cycles
            cut_short = len(exports) % 3 == 2 and cycle == first + 1 < last  # noqa: PLR2004  # every third file
            depth = 0.0 if broken_off else 0.4 if cut_short else 1.0
            steps += [(cycle - first + 1, step) for step in _cycle(health, noise, filled=filled, depth=depth)]
            filled = 1.0 - depth
        exported = start + timedelta(seconds=sum(float(step.time[-1]) for _, step in steps), days=1)
        name = _file_name(cell_id, exported, padded=len(exports) % 2 == 1)
        test = _of_size(size, _test(cell_id, name, start, steps, noise, log_every))
        exports.append(Export(name, test, "exported after the test"))
        start = exported + timedelta(hours=float(noise.uniform(26, 60)))
    again = _file_name(cell_id, start, padded=False)
    readings = test.readings.set_column(
        READING.get_field_index("source_file"), READING.field("source_file"), pa.array([again] * test.readings.num_rows)
    )
    exports.append(Export(again, Test(cell_id, test.test_id, test.started_at, readings), "exported once more"))
    return exports


class SimulationOptions(TypedDict, total=False):
    """The options of `simulate_tests`, which `simulate_cell` takes too."""

    cycles: Required[int]
    seed: int
    cycles_per_file: int
    ageing: Ageing | None
    log_every: int
    size: float


def simulate_cell(folder: Path, cell_id: str, **options: Unpack[SimulationOptions]) -> list[Path]:
    """Write a simulated cell's workbooks into a folder; see `simulate_tests`."""
    paths = []
    for number, export in enumerate(simulate_tests(cell_id, **options)):
        path = folder / export.name
        _write(path, export, statistics=number % 2 == 1, channel_sheets=2 if number % 3 == 1 else 1)
        paths.append(path)
    return paths


def _health(ageing: Ageing, cycle: float, build: float) -> _Health:
    """Slow linear fade, then a knee; resistance rises with it."""
    fade = ageing.fade * cycle + 0.12 * np.exp((cycle - ageing.knee) / ageing.width)
    lost = 0.8 * (1.0 - np.exp(-fade / 0.8))  # never all of it
    return _Health(1.14 * build * (1.0 - lost), 0.09 + 0.12 * lost)


def _cycle(health: _Health, noise: np.random.Generator, *, filled: float, depth: float) -> list[_Step]:
    """The nine steps of the schedule.

    Args:
        health: of the cell.
        noise: of the instrument.
        filled: share of the capacity that the cell still holds: 0 after a discharge, 1 when there was none.
        depth: share of the capacity to discharge; 0 leaves the discharge out.
    """
    sag = DISCHARGE_A * (health.resistance - 0.09)
    held = health.capacity * (0.14 + 0.9 * (health.resistance - 0.09)) if filled < 1 else TOP_UP_AH
    steps = [_rest(1, 5, 3.45 + 0.735 * filled + 0.02 * noise.random(), noise)]
    if filled < 1:
        steps.append(_constant_current((1 - filled) * health.capacity - held, filled, noise))
        steps.append(_rest(3, 4, 4.10, noise))
    steps.append(_constant_voltage(held, noise))
    steps.append(_rest(5, 2, 4.191, noise))
    if depth:
        steps.append(_pulse(6, 4.19, health.resistance))
        steps.append(_discharge(health.capacity, sag, depth, noise))
        steps.append(_rest(8, 1, 3.25 if depth == 1 else 3.75, noise))
        steps.append(_pulse(9, 3.26 if depth == 1 else 3.76, 0.94 * health.resistance))
    return steps


def _rest(index: int, samples: int, voltage: float, noise: np.random.Generator) -> _Step:
    time: Floats = SAMPLE_S * np.arange(1, samples + 1, dtype=np.float64)
    return _Step(index, time, np.zeros(samples), voltage + 0.002 * np.exp(-time / 60) + noise.normal(0, 1e-4, samples))


def _sampled(duration: float) -> Floats:
    """Every 30 s, and when the step ends."""
    return np.append(np.arange(SAMPLE_S, duration, SAMPLE_S), duration)


def _constant_current(charge: float, filled: float, noise: np.random.Generator) -> _Step:
    time = _sampled(charge / CHARGE_A * 3600)
    begun = time / time[-1]
    share = filled + (1 - filled) * begun
    voltage = 3.77 + 0.27 * share + 0.16 * share**5 - 0.25 * np.exp(-begun / 0.02) + noise.normal(0, 2e-4, len(time))
    voltage[-1] = 4.2001 + 0.0003 * noise.random()
    return _Step(2, time, CHARGE_A + noise.normal(0, 2e-4, len(time)), np.minimum(voltage, voltage[-1]))


def _constant_voltage(charge: float, noise: np.random.Generator) -> _Step:
    """An exponential taper, whose charge is its time constant times the fall of the current."""
    current = np.arange(CHARGE_A - TAPER_LOG_A, TAPER_A - 1e-9, -TAPER_LOG_A)
    tau = charge * 3600 / (CHARGE_A - TAPER_A)
    voltage = 4.1999 + noise.normal(0, 2e-4, len(current))
    return _Step(4, tau * np.log(CHARGE_A / current), current, voltage)


def _discharge(capacity: float, sag: float, depth: float, noise: np.random.Generator) -> _Step:
    time = _sampled(depth * capacity / DISCHARGE_A * 3600)
    drawn = depth * time / time[-1]
    voltage = 3.94 - sag - 0.42 * drawn - 0.13 * drawn**2 - (0.69 - sag) * np.exp((drawn - 1) / 0.03)
    voltage += 0.12 * np.exp(-drawn / 0.01) + noise.normal(0, 2e-4, len(time))
    if depth == 1.0:
        voltage[-1] = 2.6999 - 0.0006 * noise.random()
    return _Step(7, time, -DISCHARGE_A + noise.normal(0, 2e-4, len(time)), voltage)


def _pulse(index: int, voltage: float, resistance: float) -> _Step:
    return _Step(index, np.array([0.1, 4.9]), np.array([0.0007, -0.00002]), np.full(2, voltage), resistance)


def _test(
    cell_id: str,
    name: str,
    start: datetime,
    steps: list[tuple[int, _Step]],
    noise: np.random.Generator,
    log_every: int,
) -> Test:
    """Put steps end to end; counters accumulate over the whole test, as a cycler's do."""

    def joined(samples: Callable[[_Step], Floats]) -> Floats:
        """The samples of all steps, one after the other."""
        return np.concatenate([samples(step) for _, step in steps])

    lengths = [len(step.time) for _, step in steps]
    began = np.concatenate(([0.0], np.cumsum([step.time[-1] for _, step in steps])[:-1]))
    step_time, current, voltage = (joined(attrgetter(name)) for name in ("time", "current", "voltage"))
    test_time = np.repeat(began, lengths) + step_time
    elapsed = joined(lambda step: np.diff(step.time, prepend=0.0))
    # The taper of the current between two samples is exponential, and elsewhere the current is constant; so the mean
    # of neighbours is close enough.
    previous = joined(lambda step: np.concatenate((step.current[:1], step.current[:-1])))
    moved = (current + previous) / 2 * elapsed / 3600
    counters = {
        "charge_capacity(ah)": np.cumsum(np.maximum(moved, 0)),
        "discharge_capacity(ah)": np.cumsum(np.maximum(-moved, 0)),
        "charge_energy(wh)": np.cumsum(np.maximum(moved * voltage, 0)),
        "discharge_energy(wh)": np.cumsum(np.maximum(-moved * voltage, 0)),
    }
    resistance, latest = [], 0.0
    for _, step in steps:
        latest = step.resistance or latest
        resistance.append(latest)
    # Arbin's own clock stamps have a resolution of a second, and drift.
    seconds = np.floor(test_time * (1 + CLOCK_DRIFT)).astype(np.int64)
    clock = (seconds + int((start - datetime(1970, 1, 1)).total_seconds())) * 1_000_000  # noqa: DTZ001
    samples = len(test_time)
    slope = np.gradient(voltage, test_time) if samples > 1 else np.zeros(samples)
    measured = {
        "test_time(s)": test_time,
        "date_time": clock,
        "step_time(s)": step_time,
        "step_index": np.repeat([step.index for _, step in steps], lengths),
        "cycle_index": np.repeat([cycle for cycle, _ in steps], lengths),
        "current(a)": current,
        "voltage(v)": voltage,
        **counters,
        "dv/dt(v/s)": np.round(slope + noise.normal(0, 1e-6, samples), 6),
        "internal_resistance(ohm)": np.repeat(resistance, lengths),
    }
    logged = np.concatenate([step.logged(log_every) for _, step in steps])
    rows = int(logged.sum())
    first = datetime(1970, 1, 1) + timedelta(microseconds=int(clock[0]))  # noqa: DTZ001
    columns: dict[str, object] = {
        "cell_id": [cell_id] * rows,
        "test_id": [first.isoformat()] * rows,
        "source_file": [name] * rows,
        "data_point": np.arange(1, rows + 1),
        **{column: values[logged] for column, values in measured.items()},
        "is_fc_data": np.zeros(rows),
        "ac_impedance(ohm)": np.zeros(rows),
        "aci_phase_angle(deg)": np.zeros(rows),
        "temperature(c)": np.full(rows, np.nan),
    }
    arrays = [
        pa.array(_exportable(columns[field.name]) if pa.types.is_floating(field.type) else columns[field.name])
        .cast(field.type)
        for field in READING
    ]  # fmt: skip
    return Test(cell_id, first.isoformat(), first, pa.Table.from_arrays(arrays, schema=READING))


def _of_size(size: float, test: Test) -> Test:
    """The test of a cell that is so many times as large."""
    if size == 1.0:
        return test
    readings = test.readings
    for name in ("current(a)", *COUNTERS, "internal_resistance(ohm)"):
        values = readings[name].to_numpy()
        scaled = values / size if name.endswith("(ohm)") else values * size
        readings = readings.set_column(
            READING.get_field_index(name), READING.field(name), pa.array(_exportable(scaled), pa.float64())
        )
    return replace(test, readings=readings)


def _exportable(values: object) -> list[float | None]:
    """As many digits as a workbook keeps (openpyxl writes 16); what was not measured is empty."""
    return [None if np.isnan(value) else float(f"{value:.15g}") for value in np.asarray(values).tolist()]


def _file_name(cell_id: str, exported: datetime, *, padded: bool) -> str:
    """Export dates are zero-padded or not, as in real files."""
    date = f"{exported:%m_%d_%y}" if padded else f"{exported.month}_{exported.day}_{exported:%y}"
    return f"{cell_id}_{date}.xlsx"


def _write(path: Path, export: Export, *, statistics: bool, channel_sheets: int) -> None:
    """Write a workbook; a big test goes on in the next channel sheet."""
    book = openpyxl.Workbook(write_only=True)
    info = book.create_sheet("Info")
    info.append(["TEST REPORT", None, "Simulated cell, CS2 protocol"])
    info.append(["Remark", None, export.remark])
    sheet_columns = [name for name in READING.names if name not in (*FILE_COLUMNS, "temperature(c)")]
    rows = export.test.readings.select(sheet_columns).to_pydict()
    held = -(-export.test.readings.num_rows // channel_sheets)
    for number, row in enumerate(zip(*rows.values(), strict=True)):
        if number % held == 0:
            channel = book.create_sheet("Channel_1-008" + (f"_{number // held}" if number else ""))
            channel.append(HEADER)
        channel.append(row)
    if statistics:
        sheet = book.create_sheet("Statistics_1-008")
        shown = ("Cycle_Index", "Charge_Capacity(Ah)", "Discharge_Capacity(Ah)")
        sheet.append(shown)
        cycle = rows["cycle_index"]
        for index, number in enumerate(cycle):
            if index + 1 == len(cycle) or cycle[index + 1] != number:
                sheet.append([number, rows["charge_capacity(ah)"][index], rows["discharge_capacity(ah)"][index]])
    book.save(path)
