"""BioLogic's .mpt files: what they look like, what their columns mean, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.twins.biologic import FULL, biologic_columns, half_cycles, write_mpt
from support.twins.cell import assert_same_cycles, restarted, twin_cell

from producer.readers.base import BadWorkbookError, FileSample, ReadOptions
from producer.readers.biologic import READER

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import Test

ENERGIES = {"charge_energy(wh)", "discharge_energy(wh)"}


def read(path: Path, **options: Any) -> Test:
    (test,) = READER.read(path, ReadOptions(path.name, **options)).tests
    return test


def without(*titles: str) -> tuple[str, ...]:
    assert set(titles) <= set(FULL)
    return tuple(title for title in FULL if title not in titles)


@pytest.mark.parametrize(
    "variety",
    [{}, {"comma": True}, {"header": False}, {"comma": True, "header": False}, {"more_lines": 900}],
    ids=str,
)
def test_an_export_gives_the_cycles_of_the_cell_with_its_header_and_without_it(
    tmp_path: Path, variety: dict[str, Any]
) -> None:
    cell = twin_cell()
    test = read(write_mpt(tmp_path / "CELL_1.mpt", biologic_columns(cell), **variety))
    assert_same_cycles(test, cell, 1e-9)
    assert test.readings["test_time(s)"].to_numpy() == pytest.approx(cell.test_time)
    assert test.readings["temperature(c)"].to_numpy() == pytest.approx(cell.temperature)
    assert test.readings["step_index"].to_numpy().tolist() == (cell.step - 1).tolist()
    if variety.get("header", True):
        assert test.readings["date_time"].to_numpy().tolist() == cell.date_time.tolist()
    else:
        assert test.readings["date_time"].null_count == len(cell)


QS = ("Q charge/discharge/mA.h", "(Q-Qo)/mA.h", "Q charge/mA.h", "Q discharge/mA.h")


@pytest.mark.parametrize(
    ("titles", "said"),
    [
        (without(*QS[1:]), "Q charge/discharge has a sign"),
        (without(*QS[1:], "half cycle"), "Q charge/discharge has a sign"),
        (without(QS[0], *QS[2:]), "(Q-Qo) counts charge up"),
        ((*without(*QS), "(Q-Qo)/C"), "(Q-Qo) counts charge up"),
        (without(*QS[:2]), "counters begin again with each cycle"),
        (without(*QS), "capacities are sums of dq"),
    ],
)
def test_every_counter_gives_the_same_capacities(tmp_path: Path, titles: tuple[str, ...], said: str) -> None:
    cell = twin_cell()
    test = read(write_mpt(tmp_path / "a.mpt", biologic_columns(cell), titles))
    assert_same_cycles(test, cell, 1e-9)
    assert any(line.startswith(said) for line in test.about.assumptions)
    assert test.about.integrated == ()


def counted(tmp_path: Path, **columns: list[float]) -> list[list[float]]:
    """What a text of few readings gives as charge and discharge, mAh; names are those of the columns without units."""
    titles = {"q": "Q charge/discharge/mA.h", "net": "(Q-Qo)/mA.h", "half": "half cycle", "i": "I/mA"}
    size = len(columns["i"])
    arrays = {titles[name]: np.array(values) for name, values in columns.items()}
    arrays |= {"mode": np.ones(size, np.int64), "time/s": 10.0 * np.arange(size), "Ewe/V": np.linspace(3.0, 3.1, size)}
    readings = read(write_mpt(tmp_path / "a.mpt", arrays, tuple(arrays))).readings
    return [(1000 * readings[f"{way}_capacity(ah)"].to_numpy()).tolist() for way in ("charge", "discharge")]


def test_a_half_cycle_begins_again_though_its_first_value_is_larger_than_the_last_before(tmp_path: Path) -> None:
    charge, discharge = counted(tmp_path, i=[1.0, 1.0, 1.0, 1.0], q=[0.1, 0.2, 0.3, 0.4], half=[0, 0, 1, 1])
    assert charge == pytest.approx([0.1, 0.2, 0.5, 0.6])
    assert discharge == [0.0] * 4


def test_a_leap_within_a_half_cycle_is_no_charge_where_the_net_counter_says_so(tmp_path: Path) -> None:
    charge, discharge = counted(
        tmp_path, i=[1.0, 1.0, 1.0, 1.0], q=[0.1, 0.2, 0.05, 0.1], net=[0.1, 0.2, 0.25, 0.3], half=[0, 0, 0, 0]
    )
    assert charge == pytest.approx([0.1, 0.2, 0.25, 0.3])
    assert discharge == [0.0] * 4


def test_capacities_are_integrals_where_nothing_counts(tmp_path: Path) -> None:
    cell = twin_cell()
    test = read(write_mpt(tmp_path / "a.mpt", biologic_columns(cell), without(*QS, "dq/mA.h")))
    assert_same_cycles(test, cell, 1e-3)
    assert set(test.about.integrated) == {"charge_capacity(ah)", "discharge_capacity(ah)"}


@pytest.mark.parametrize("titles", [without("I/mA"), without("I/mA", "(Q-Qo)/mA.h"), without("I/mA", "dq/mA.h")])
def test_a_current_that_is_absent_is_what_flowed_over_the_time(tmp_path: Path, titles: tuple[str, ...]) -> None:
    cell = twin_cell()
    test = read(write_mpt(tmp_path / "a.mpt", biologic_columns(cell), titles))
    assert_same_cycles(test, cell, 1e-9)
    steady = (np.diff(cell.step_run, prepend=0) == 0) & np.isin(cell.step, (1, 2, 5, 7, 9))
    assert test.readings["current(a)"].to_numpy()[steady] == pytest.approx(cell.current[steady], rel=1e-9)
    assert any(line.startswith("the file has no current") for line in test.about.assumptions)


def test_a_reading_at_the_time_of_the_one_before_has_the_current_of_the_next(tmp_path: Path) -> None:
    cell = twin_cell()
    columns = biologic_columns(cell)
    at = int(np.flatnonzero((cell.step == 2) & (cell.cycle == 1))[0])
    columns["time/s"][at], columns["dq/mA.h"][at] = columns["time/s"][at - 1], 0.0
    test = read(write_mpt(tmp_path / "a.mpt", columns, without("I/mA", "(Q-Qo)/mA.h")))
    assert test.readings["current(a)"][at].as_py() == test.readings["current(a)"][at + 1].as_py() > 0


def test_dq_of_one_reading_alone_is_not_taken_for_what_flowed_where_readings_were_left_out(tmp_path: Path) -> None:
    cell = twin_cell()
    kept = np.flatnonzero((np.arange(len(cell)) % 5 == 0) | (np.diff(cell.step_run, append=0) != 0))
    columns = {title: values[kept] for title, values in biologic_columns(cell).items()}
    test = read(write_mpt(tmp_path / "a.mpt", columns, without("I/mA", *QS[2:])))
    constant = np.isin(cell.step[kept], (5, 7)) & (np.diff(cell.step_run[kept], prepend=0) == 0)
    assert test.readings["current(a)"].to_numpy()[constant] == pytest.approx(cell.current[kept][constant])
    gained = test.readings["discharge_capacity(ah)"].to_numpy()
    assert gained[-1] == pytest.approx(cell.discharge_capacity[-1])


def test_cycles_are_told_by_half_cycles_where_the_file_has_none(tmp_path: Path) -> None:
    cell = twin_cell()
    assert half_cycles(cell).max() == 5
    test = read(write_mpt(tmp_path / "a.mpt", biologic_columns(cell), without("cycle number")))
    begins = np.flatnonzero(np.diff(test.readings["cycle_index"].to_numpy()))
    charges = np.flatnonzero((np.diff(cell.step_run) != 0) & (cell.step[1:] == 2))
    assert begins.tolist() == charges[1:].tolist()
    assert test.readings["cycle_index"][0].as_py() == 0
    assert any("two half cycles make one" in line for line in test.about.assumptions)


def test_a_cell_that_is_discharged_first_has_cycles_of_discharge_and_charge(tmp_path: Path) -> None:
    cell = twin_cell()
    columns = biologic_columns(cell)
    columns |= {title: -columns[title] for title in (*QS[:2], "I/mA", "dq/mA.h")}
    test = read(write_mpt(tmp_path / "a.mpt", columns, without("cycle number", *QS[2:])))
    assert test.readings["cycle_index"].to_numpy().tolist() == (half_cycles(cell) // 2).tolist()


def test_a_pulse_is_a_half_cycle_and_no_cycle(tmp_path: Path) -> None:
    cell = twin_cell()
    way = np.array(cell.current)
    pulse = np.flatnonzero((cell.step == 9) & (cell.cycle == 2))
    way[pulse] = 0.001
    way[pulse[1::2]] = -0.001
    moved = way * np.diff(cell.test_time, prepend=0.0) / 3600
    charge, discharge = np.cumsum(moved.clip(min=0)), np.cumsum((-moved).clip(min=0))
    pulsed = replace(cell, current=way, charge_capacity=charge, discharge_capacity=discharge)
    test = read(write_mpt(tmp_path / "a.mpt", biologic_columns(pulsed), without("cycle number")))
    assert half_cycles(pulsed).max() > 10
    assert np.unique(test.readings["cycle_index"].to_numpy()).tolist() == [0, 1, 2]


@pytest.mark.parametrize("pair", [True, False])
def test_energies_are_those_of_the_file_or_integrals(tmp_path: Path, *, pair: bool) -> None:
    cell = twin_cell()
    absent = ("|Energy|/W.h",) if pair else ("Energy charge/W.h", "Energy discharge/W.h")
    test = read(write_mpt(tmp_path / "a.mpt", biologic_columns(cell), without(*absent)))
    assert_same_cycles(test, cell, 1e-9)
    none = read(
        write_mpt(
            tmp_path / "b.mpt",
            biologic_columns(cell),
            without("|Energy|/W.h", "Energy charge/W.h", "Energy discharge/W.h"),
        )
    )
    assert set(none.about.integrated) == ENERGIES
    assert_same_cycles(none, cell, 1e-2)


def test_an_energy_that_never_begins_again_counts_the_test(tmp_path: Path) -> None:
    cell = twin_cell()
    columns = biologic_columns(cell) | {"|Energy|/W.h": cell.charge_energy + cell.discharge_energy}
    test = read(write_mpt(tmp_path / "a.mpt", columns, without("Energy charge/W.h", "Energy discharge/W.h")))
    assert_same_cycles(test, cell, 1e-9)


def test_energies_that_stayed_zero_while_current_flowed_are_computed(tmp_path: Path) -> None:
    cell = twin_cell()
    zero = np.zeros(len(cell))
    columns = biologic_columns(cell) | {"|Energy|/W.h": zero, "Energy charge/W.h": zero, "Energy discharge/W.h": zero}
    assert set(read(write_mpt(tmp_path / "a.mpt", columns)).about.integrated) == ENERGIES


def test_a_time_that_starts_high_stays_and_the_clock_counts_from_the_start_of_the_acquisition(tmp_path: Path) -> None:
    cell = twin_cell()
    columns = biologic_columns(cell, starts_at=86_400.0)
    test = read(write_mpt(tmp_path / "a.mpt", columns))
    assert test.readings["test_time(s)"][0].as_py() == 86_400.0 + cell.test_time[0]
    assert test.readings["date_time"].to_numpy()[0] == cell.date_time[0] + np.timedelta64(1, "D")


@pytest.mark.parametrize(
    ("started", "first"),
    [("03.14.2024 09:30:15.250", "2024-03-14T09:30:15.250000"), ("03-04-2024 09:30:15", "2024-03-04T09:30:15")],
)
def test_the_start_has_the_month_first_between_any_marks(tmp_path: Path, started: str, first: str) -> None:
    columns = biologic_columns(twin_cell(), starts_at=-float(twin_cell().test_time[0]))
    assert read(write_mpt(tmp_path / "a.mpt", columns, started=started)).test_id == first


def test_absolute_times_are_the_clock_and_the_test_begins_with_the_first(tmp_path: Path) -> None:
    cell = twin_cell()
    path = write_mpt(tmp_path / "a.mpt", biologic_columns(cell))
    lines = path.read_text(encoding="latin-1").split("\n")
    at = FULL.index("time/s")
    head = next(index for index, line in enumerate(lines) if line.startswith("mode\t"))
    for row, stamp in enumerate(cell.date_time.astype("datetime64[ms]").tolist(), head + 1):
        cells = lines[row].split("\t")
        cells[at] = stamp.strftime("%m/%d/%Y %H:%M:%S.%f")[:-2]
        lines[row] = "\t".join(cells)
    path.write_text("\n".join(lines), encoding="latin-1")
    test = read(path)
    assert test.readings["date_time"].to_numpy().tolist() == cell.date_time.tolist()
    assert test.readings["test_time(s)"].to_numpy() == pytest.approx(cell.test_time - cell.test_time[0])
    assert_same_cycles(test, cell, 1e-9)


@pytest.mark.parametrize(
    ("file", "schedule"), [("C:\\Lab\\A. Person\\1C cycles.mps", "1C cycles.mps"), ("1C.mps", "1C.mps"), ("NONE", None)]
)
def test_the_settings_file_is_the_schedule_without_its_folders(tmp_path: Path, file: str, schedule: str | None) -> None:
    path = write_mpt(tmp_path / "a.mpt", biologic_columns(twin_cell()))
    before, title, after = path.read_bytes().partition(b"Loaded Setting File : ")
    path.write_bytes(before + title + file.encode() + after[after.index(b"\r\n") :])
    assert read(path).about.metadata.get("schedule") == schedule


def test_a_step_number_that_goes_on_where_the_direction_changes_tells_no_steps(tmp_path: Path) -> None:
    cell = twin_cell()
    test = read(write_mpt(tmp_path / "a.mpt", biologic_columns(cell) | {"Ns": np.zeros(len(cell), np.int64)}))
    assert len(set(test.readings["step_index"].to_pylist())) > 10
    assert any(line.startswith("Ns goes on") for line in test.about.assumptions)
    assert_same_cycles(test, cell, 1e-9)


def test_what_the_header_states_is_kept_but_no_person_comment_or_path(tmp_path: Path) -> None:
    test = read(write_mpt(tmp_path / "a.mpt", biologic_columns(twin_cell()), comma=True))
    assert test.about.metadata == {
        "schedule": "cell.mps",
        "technique": "Galvanostatic Cycling with Potential Limitation",
        "channel": "13",
        "mass_g": "0.0211",
        "nominal_capacity_ah": "1",
        "cycler": "BioLogic MPG-2 (SN 0365)",
    }
    assert (
        "mass_g"
        not in read(write_mpt(tmp_path / "b.mpt", biologic_columns(twin_cell()), mass="0.001 mg")).about.metadata
    )


@pytest.mark.parametrize(("header", "technique"), [(True, "Open Circuit Voltage"), (False, "")])
def test_a_rest_needs_no_current(tmp_path: Path, technique: str, *, header: bool) -> None:
    columns = biologic_columns(twin_cell()) | {"mode": np.full(len(twin_cell()), 3)}
    titles = ("mode", "ox/red", "error", "time/s", "Ewe/V")
    test = read(write_mpt(tmp_path / "a.mpt", columns, titles, technique=technique, header=header))
    assert set(test.readings["current(a)"].to_pylist()) == {0.0}


def test_the_voltage_of_the_cell_comes_before_that_of_one_electrode(tmp_path: Path) -> None:
    cell = twin_cell()
    columns = biologic_columns(cell)
    columns |= {"Ewe/V": cell.voltage + 1, "Ewe-Ece/V": cell.voltage}
    test = read(write_mpt(tmp_path / "a.mpt", columns, ("Ewe/V", *without("Ecell/V"), "Ewe-Ece/V"), header=True))
    assert test.readings["voltage(v)"].to_numpy() == pytest.approx(cell.voltage)


def test_energies_of_one_electrode_are_not_those_of_the_cell(tmp_path: Path) -> None:
    cell = twin_cell()
    columns = biologic_columns(cell)
    columns |= {f"Energy we-ce {way}/W.h": columns[f"Energy {way}/W.h"] for way in ("charge", "discharge")}
    columns |= {"Energy charge/W.h": 2 * cell.charge_energy, "Ewe-Ece/V": cell.voltage, "Ewe/V": cell.voltage + 1}
    titles = ("Ewe/V", *without("Ecell/V"), "Ewe-Ece/V")
    assert set(read(write_mpt(tmp_path / "a.mpt", columns, titles)).about.integrated) == ENERGIES
    titles += ("Energy we-ce charge/W.h", "Energy we-ce discharge/W.h")
    assert_same_cycles(read(write_mpt(tmp_path / "b.mpt", columns, titles)), cell, 1e-9)


def test_energies_that_hold_through_the_other_half_cycle_count_once(tmp_path: Path) -> None:
    """EC-Lab holds the energy of the charge while it discharges, until the next cycle or to the end of the test."""
    cell = twin_cell()
    for label in (cell.cycle, np.ones(len(cell), np.int64)):
        pair = {
            "Energy charge/W.h": restarted(cell.charge_energy, label),
            "Energy discharge/W.h": restarted(cell.discharge_energy, label),
        }
        test = read(write_mpt(tmp_path / "a.mpt", biologic_columns(cell) | pair))
        assert_same_cycles(test, cell, 1e-9)
        none = read(write_mpt(tmp_path / "b.mpt", biologic_columns(cell) | pair, without("cycle number")))
        for way in ("charge", "discharge"):
            total = none.readings[f"{way}_energy(wh)"].to_numpy()[-1]
            assert total == pytest.approx(getattr(cell, f"{way}_energy")[-1], rel=1e-9)


def test_a_degree_sign_that_a_conversion_lost_is_one(tmp_path: Path) -> None:
    path = write_mpt(tmp_path / "a.mpt", biologic_columns(twin_cell()))
    text = path.read_text(encoding="latin-1").replace("\N{DEGREE SIGN}", "\N{REPLACEMENT CHARACTER}")
    path.write_text(text, encoding="utf-8")
    assert read(path).readings["temperature(c)"].null_count == 0


def test_an_export_is_told_by_its_first_line(tmp_path: Path) -> None:
    columns = biologic_columns(twin_cell())
    assert READER.recognises(FileSample.of(write_mpt(tmp_path / "a.mpt", columns)))
    assert READER.recognises(FileSample.of(write_mpt(tmp_path / "b.mpt", columns, header=False)))
    assert READER.recognises(FileSample(".txt", b"BT-Lab ASCII FILE\r\nNb header lines : 3\r\n"))
    assert not READER.recognises(FileSample(".mpt", b"EC-Lab LOG FILE\r\n"))
    assert not READER.recognises(FileSample(".txt", b"time/s\tnote\r\n0\tEwe/V\r\n"))


def test_chosen_columns_without_a_header_are_read_in_any_order(tmp_path: Path) -> None:
    cell = twin_cell()
    titles = ("cycle number", "Ns", "Ecell/V", "<I>/mA", "Q discharge/mA.h", "Q charge/mA.h", "time/s")
    path = write_mpt(tmp_path / "CELL_1.txt", biologic_columns(cell), titles, header=False, comma=True)
    assert READER.recognises(FileSample.of(path))
    assert_same_cycles(read(path), cell, 1e-9, energies=False)
    path.write_bytes(path.read_bytes().replace(b"time/s\t\r\n", b"time/s\r\n"))
    assert READER.recognises(FileSample.of(path))
    assert_same_cycles(read(path), cell, 1e-9, energies=False)


def test_impedance_spectra_are_refused_as_what_they_are(tmp_path: Path) -> None:
    path = write_mpt(tmp_path / "a.mpt", biologic_columns(twin_cell()), ("freq/Hz", "time/s", "<Ewe>/V", "<I>/mA"))
    with pytest.raises(BadWorkbookError, match=r"^a\.mpt, row 17: holds impedance spectra"):
        read(path)


@pytest.mark.parametrize("title", ["freq/Hz", "time/s"])
def test_a_technique_of_impedance_is_refused_even_with_readings_before_its_spectra(tmp_path: Path, title: str) -> None:
    columns = biologic_columns(twin_cell())
    columns["freq/Hz"][:5] = 0
    titles = (title, *(one for one in ("freq/Hz", "time/s", "<Ewe>/V", "<I>/mA") if one != title))
    technique = "Potentio Electrochemical Impedance Spectroscopy"
    with pytest.raises(BadWorkbookError, match="holds impedance spectra"):
        read(write_mpt(tmp_path / "a.mpt", columns, titles, technique=technique))


def test_spectra_among_the_steps_of_a_test_do_not_cost_its_readings(tmp_path: Path) -> None:
    cell = twin_cell()
    columns = biologic_columns(cell)
    columns["freq/Hz"] = np.where(cell.step == 1, 1000.0, 0.0)
    test = read(write_mpt(tmp_path / "a.mpt", columns, (*FULL, "freq/Hz"), technique="Modulo Bat"))
    assert_same_cycles(test, cell, 1e-9)
    said = f"readings of impedance spectra ({(cell.step == 1).sum()} of {len(cell)})"
    assert any(line.startswith(said) for line in test.about.assumptions)


def test_a_mean_voltage_whose_unit_stands_in_its_brackets_is_one(tmp_path: Path) -> None:
    cell = twin_cell()
    path = write_mpt(tmp_path / "a.mpt", biologic_columns(cell))
    path.write_bytes(path.read_bytes().replace(b"\tEcell/V\t", b"\t<Ewe/V>\t"))
    assert_same_cycles(read(path), cell, 1e-9)


@pytest.mark.parametrize(
    ("titles", "old", "new", "says"),
    [
        (FULL, "\t3.410000000000000E+00\t", "\thigh\t", "column Ecell/V, row 32: 'high' is not a number"),
        (without("I/mA", "dq/mA.h", "(Q-Qo)/mA.h"), "", "", "has no column for the current"),
        (without("Ecell/V"), "", "", "has no column for voltage"),
        (FULL, "\ttime/s\t", "\ttime/parsec\t", "column time/parsec, row 17: has the unit 'parsec'"),
        (FULL, "\n3\t0\t0\t0\t", "\n3\t0\t0\t", "row 18: has 23 cells, and the header has 25"),
        (("Ns", "Ecell/V"), "", "", "has no column for test time"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_with_the_place(
    tmp_path: Path, titles: tuple[str, ...], old: str, new: str, says: str
) -> None:
    path = write_mpt(tmp_path / "a.mpt", biologic_columns(twin_cell()), titles)
    text = path.read_text(encoding="latin-1")
    path.write_text(text.replace(old, new) if old else text, encoding="latin-1")
    with pytest.raises(BadWorkbookError) as refusal:
        read(path)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_that_ends_with_its_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mpt"
    path.write_text("EC-Lab ASCII FILE\nNb header lines : 3\n\nGalvanostatic Cycling\n")
    with pytest.raises(BadWorkbookError, match=r"^a\.mpt: has no line of titles with time/s"):
        read(path)
