"""BioLogic's .mpr files, on files that the tests make: what their columns mean, and what is refused."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.twins.biologic import BINARY, biologic_columns, write_mpr, write_mpt
from support.twins.cell import twin_cell

from producer.readers.base import BadWorkbookError, FileSample, ReadOptions, UnreadableWorkbookError
from producer.readers.biologic import READER as TEXT_READER
from producer.readers.biologic_binary import READER

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import Test

pytest.importorskip("galvani", reason="the extra biologic is not installed")

CURRENT = ("flags", "Ns", "time/s", "I/mA", "Ewe/V")


def read(path: Path) -> Test:
    (test,) = READER.read(path, ReadOptions(path.name)).tests
    return test


def test_a_file_without_current_and_cycles_gives_the_cycles_of_the_cell(tmp_path: Path) -> None:
    cell = twin_cell()
    test = read(write_mpr(tmp_path / "CELL_1.mpr", biologic_columns(cell)))
    charge, discharge = (
        test.readings[name].to_numpy()[-1] for name in ("charge_capacity(ah)", "discharge_capacity(ah)")
    )
    assert charge == pytest.approx(cell.charge_capacity[-1], rel=1e-12)
    assert discharge == pytest.approx(cell.discharge_capacity[-1], rel=1e-12)
    assert len(np.unique(test.readings["cycle_index"].to_numpy())) == 3
    assert test.readings["voltage(v)"].to_numpy() == pytest.approx(cell.voltage, rel=1e-6)
    assert test.readings["date_time"].to_numpy().tolist() == cell.date_time.tolist()
    assert test.test_id == "2024-03-14T09:35:15"


def test_a_file_gives_what_its_text_export_gives(tmp_path: Path) -> None:
    columns = biologic_columns(twin_cell())
    binary = read(write_mpr(tmp_path / "a.mpr", columns))
    path = write_mpt(tmp_path / "a.mpt", columns, ("mode", "ox/red", *BINARY[1:]))
    (text,) = TEXT_READER.read(path, ReadOptions("a.mpt")).tests
    assert binary.test_id == text.test_id
    for name in ("data_point", "step_index", "cycle_index"):
        assert binary.readings[name].to_pylist() == text.readings[name].to_pylist()
    for name in ("test_time(s)", "current(a)", "charge_capacity(ah)", "discharge_capacity(ah)"):
        assert binary.readings[name].to_numpy() == pytest.approx(text.readings[name].to_numpy(), rel=1e-12), name


def test_a_current_of_single_precision_is_taken_and_counted(tmp_path: Path) -> None:
    cell = twin_cell()
    test = read(write_mpr(tmp_path / "a.mpr", biologic_columns(cell), CURRENT))
    assert test.readings["current(a)"].to_numpy() == pytest.approx(cell.current, rel=1e-6)
    assert len(test.about.integrated) == 4


def test_a_rest_needs_no_current(tmp_path: Path) -> None:
    columns = biologic_columns(twin_cell()) | {"mode": np.full(len(twin_cell()), 3 + 0b10100)}
    test = read(write_mpr(tmp_path / "a.mpr", columns, ("flags", "time/s", "Ewe/V")))
    assert set(test.readings["current(a)"].to_pylist()) == {0.0}


def test_a_file_that_still_grows_has_no_log_and_so_no_date(tmp_path: Path) -> None:
    test = read(write_mpr(tmp_path / "a.mpr", biologic_columns(twin_cell()), log=False))
    assert test.readings["date_time"].null_count == len(twin_cell())
    assert any("no dates" in line for line in test.about.assumptions)


def test_one_column_that_the_library_does_not_know_is_passed_over(tmp_path: Path) -> None:
    cell = twin_cell()
    test = read(write_mpr(tmp_path / "a.mpr", biologic_columns(cell), (*BINARY, "unknown")))
    assert test.readings["charge_capacity(ah)"].to_numpy()[-1] == pytest.approx(cell.charge_capacity[-1])


def test_spectra_among_the_steps_of_a_test_do_not_cost_its_readings(tmp_path: Path) -> None:
    cell = twin_cell()
    columns = biologic_columns(cell)
    columns["freq/Hz"] = np.where(cell.step == 1, 1000.0, 0.0)
    test = read(write_mpr(tmp_path / "a.mpr", columns, (*BINARY, "freq/Hz")))
    assert test.readings["charge_capacity(ah)"].to_numpy()[-1] == pytest.approx(cell.charge_capacity[-1])
    assert any("impedance spectra" in line for line in test.about.assumptions)


def test_a_file_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    assert READER.recognises(FileSample.of(write_mpr(tmp_path / "a.dat", biologic_columns(twin_cell()))))
    assert not READER.recognises(FileSample(".mpr", b"BIO-LOGIC SETTING FILE"))


@pytest.mark.parametrize(
    ("titles", "says"),
    [
        (("flags", "freq/Hz", "time/s", "Ewe/V"), "holds impedance spectra"),
        (("flags", "Ns", "time/s", "Ewe/V"), "has no column for the current"),
        (("flags", "time/s", "dq/mA.h"), "has no column for voltage"),
        ((*BINARY, "unknown", "unknown too"), "has columns that are not known here (numbers 60000, 60001)"),
    ],
)
def test_a_file_of_other_columns_is_refused_in_one_line(tmp_path: Path, titles: tuple[str, ...], says: str) -> None:
    with pytest.raises(BadWorkbookError) as refusal:
        read(write_mpr(tmp_path / "a.mpr", biologic_columns(twin_cell()), titles))
    assert str(refusal.value).startswith("a.mpr: ")
    assert says in str(refusal.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_refused_in_one_line_with_advice(tmp_path: Path, share: float) -> None:
    path = write_mpr(tmp_path / "a.mpr", biologic_columns(twin_cell()))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(
        BadWorkbookError, match=r"^a\.mpr: cannot be read as a \.mpr file .*export it as \.mpt"
    ) as refusal:
        read(path)
    assert "\n" not in str(refusal.value)


def test_without_the_library_the_line_says_what_to_install_or_to_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_mpr(tmp_path / "a.mpr", biologic_columns(twin_cell()))
    monkeypatch.setitem(sys.modules, "galvani", None)
    with pytest.raises(BadWorkbookError, match=r"^a\.mpr: .*extra biologic.*export it as \.mpt text with EC-Lab$"):
        read(path)


def test_a_missing_file_is_no_verdict_on_any_content(tmp_path: Path) -> None:
    with pytest.raises(UnreadableWorkbookError):
        read(tmp_path / "a.mpr")


def test_memory_that_runs_out_is_not_the_files_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_mpr(tmp_path / "a.mpr", biologic_columns(twin_cell()))

    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("galvani.MPRfile", no_memory)
    with pytest.raises(MemoryError):
        read(path)


def test_every_counter_of_a_whole_file_agrees(tmp_path: Path) -> None:
    cell = twin_cell()
    columns = biologic_columns(cell) | {"cycle": cell.cycle}
    for absent in ("(Q-Qo)/mA.h", "Q charge/discharge/mA.h"):
        titles = tuple(title for title in BINARY if title != absent)
        test = read(write_mpr(tmp_path / "a.mpr", columns, titles))
        assert test.readings["discharge_capacity(ah)"].to_numpy() == pytest.approx(cell.discharge_capacity, abs=1e-12)
