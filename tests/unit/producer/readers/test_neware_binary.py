"""Neware's .ndax files, as the tests write the simulated cell, and what becomes of damaged ones."""

from __future__ import annotations

import dataclasses
import resource
import sys
import zipfile
from datetime import datetime
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from support.asked import Asked
from support.twins.cell import assert_same_cycles, twin_cell
from support.twins.neware_binary import ndax

from producer.readers.base import BadWorkbookError, FileSample, UnreadableWorkbookError
from producer.readers.neware_binary import READER
from producer.readers.neware_frames import both_ways, record_of_frame
from producer.readers.neware_stated import local_clock, stated_in, stated_start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


pytest.importorskip("fastnda", reason="fastnda is not installed (extra readers)")

CELL = twin_cell()
FLOAT32 = 1e-6


ASKED = Asked(READER)
only = ASKED.only


def test_an_ndax_file_of_the_cell_gives_its_cycles_to_float32(tmp_path: Path) -> None:
    test = only(ndax(tmp_path / "a.ndax"))
    assert_same_cycles(test, CELL, FLOAT32)
    readings = test.readings
    assert readings["test_time(s)"].to_numpy() == pytest.approx(CELL.test_time)
    assert readings["step_index"].to_numpy().tolist() == CELL.step.tolist()
    assert readings["voltage(v)"].to_numpy() == pytest.approx(CELL.voltage, rel=FLOAT32)
    assert np.array_equal(readings["date_time"].to_numpy(), CELL.date_time)


def test_counters_between_those_of_the_file_neither_fall_nor_count_twice(tmp_path: Path) -> None:
    growing = np.where(CELL.step == 5, -0.8 - 0.02 * CELL.step_time / 90, CELL.current)
    test = only(ndax(tmp_path / "a.ndax", dataclasses.replace(CELL, current=growing), every=10))
    assert_same_cycles(test, CELL, FLOAT32, energies=False)
    assert np.diff(test.readings["discharge_capacity(ah)"].to_numpy()).min() >= 0


def test_a_step_that_follows_itself_begins_again_with_its_time() -> None:
    pl = pytest.importorskip("polars", reason="polars is not installed (extra readers)")
    frame = pl.DataFrame(
        {
            "index": [1, 2, 3, 4], "step_index": [5] * 4, "step_time_s": [0.0, 60.0, 1.0, 60.0],
            "voltage_V": [3.5] * 4, "current_mA": [100.0] * 4, "charge_capacity_mAh": [0.0, 2.0, 2.5, 4.0],
            "discharge_capacity_mAh": [0.0] * 4,
        }
    )  # fmt: skip
    record = record_of_frame(frame, "a.nda")
    assert record.counters["charge_capacity"].tolist() == pytest.approx([0.0, 0.002, 0.0045, 0.006])
    assert record.test_time is not None
    assert record.test_time.tolist() == [0.0, 60.0, 61.0, 120.0]


def test_the_name_of_a_file_may_be_any(tmp_path: Path) -> None:
    assert only(ndax(tmp_path / "a.bin")).readings.num_rows == len(CELL)


@pytest.mark.parametrize(
    ("hours", "zone"), [(0.0, "local time"), (8.0, "UTC+08:00"), (-4.5, "UTC-04:30"), (5.75, "UTC+05:45")]
)
def test_the_wall_clock_is_the_one_of_the_stated_start_whatever_the_file_counts(
    tmp_path: Path, hours: float, zone: str
) -> None:
    test = only(ndax(tmp_path / "a.ndax", hours=hours))
    assert np.array_equal(test.readings["date_time"].to_numpy(), CELL.date_time)
    assert test.about.metadata["time_zone"] == zone


def test_a_clock_without_a_stated_start_is_taken_as_it_is_and_it_is_said(tmp_path: Path) -> None:
    test = only(ndax(tmp_path / "a.ndax", hours=8.0, states_start=False))
    assert test.readings["date_time"][0].as_py() == CELL.date_time[0].astype(object) - np.timedelta64(8, "h").astype(
        object
    )
    assert any("does not say whether its clock is local or UTC" in line for line in test.about.assumptions)
    assert "time_zone" not in test.about.metadata


def test_a_start_that_the_clock_contradicts_moves_no_clock() -> None:
    us = pa.array([1_700_000_000_000_000])
    start = datetime(2023, 11, 14, 12, 7, 0)  # noqa: DTZ001  # a wall clock has no zone
    stamps, zone, assumed = local_clock(us, start)
    assert (stamps[0].value, zone) == (us[0].as_py(), "")
    assert "its clock says otherwise" in (assumed or "")


def test_a_start_may_stand_in_the_name_of_a_member() -> None:
    start = datetime(2023, 9, 28, 10, 39, 46)  # noqa: DTZ001
    assert stated_start({}, ["data.ndc", "20230928_103946_240117_1_1.ndc"]) == start
    assert stated_start({"start_time": "2023-09-28 10:39:46"}) == start
    assert stated_start({"start_time": "2023-09-28T10:39:46.000+00:00"}) is None
    assert stated_start({"start_time": "2023-99-28 10:39:46"}) is None


def test_what_the_file_states_is_kept_without_names_of_persons(tmp_path: Path) -> None:
    metadata = dict(only(ndax(tmp_path / "a.ndax")).about.metadata)
    assert metadata == {
        "barcode": "B-0017",
        "channel": "24-1-3",
        "mass_g": "0.0125",
        "nominal_capacity_ah": "1",
        "schedule": "three cycles",
        "time_zone": "local time",
    }


def test_a_mass_that_is_not_selected_is_none() -> None:
    assert stated_in({"Step": {"Head_Info": {"SCQ": {"Is_Select": "0", "Value": "12500"}}}}) == {}


def test_a_counter_of_both_directions_is_shared_out_by_its_sign() -> None:
    grows_on = np.array([0.0, 2.0, 4.0, -5.0, -7.0, 1.0, 2.0])
    fresh = np.array([True, False, False, False, False, True, False])
    charge, discharge = both_ways(grows_on, fresh)
    assert (charge[-1], discharge[-1]) == (6.0, 3.0)


def test_files_are_recognised_by_their_content(tmp_path: Path) -> None:
    assert READER.recognises(FileSample.of(ndax(tmp_path / "a.zip")))
    assert READER.recognises(FileSample(".dat", b"NEWARE20151015"))
    with zipfile.ZipFile(tmp_path / "b.ndax", "w") as archive:
        archive.writestr("cells/a.xlsx", "x")
    assert not READER.recognises(FileSample.of(tmp_path / "b.ndax"))


def without(path: Path, member: str) -> Path:
    with zipfile.ZipFile(ndax(path.with_name("whole.ndax"))) as whole, zipfile.ZipFile(path, "w") as archive:
        for name in whole.namelist():
            if name != member:
                archive.writestr(name, whole.read(name))
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def of_version(path: Path, version: int) -> Path:
    with zipfile.ZipFile(ndax(path.with_name("whole.ndax"))) as whole, zipfile.ZipFile(path, "w") as archive:
        for name in whole.namelist():
            content = bytearray(whole.read(name))
            if name == "data.ndc":
                content[2] = version
            archive.writestr(name, bytes(content))
    return path


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no readings": (lambda path: without(path, "data.ndc"), r"is truncated or damaged \(it has no data\.ndc\)"),
    "no times": (lambda path: without(path, "data_runInfo.ndc"), "holds no step_time_s; export its records with BTSDA"),
    "another version": (lambda path: of_version(path, 99), "is of a version that is not read .*99"),
    "truncated": (lambda path: written(path, ndax(path).read_bytes()[:2000]), "is truncated or damaged"),
    "no .nda": (
        lambda path: written(path, b"NEWARE" + bytes(3000)),
        "is of a version that is not read .nda version 0 is not",
    ),
    "a short .nda": (lambda path: written(path, b"NEWARE"), "is truncated or damaged"),
    "an .nda without its end": (
        lambda path: written(
            path, b"NEWARE" + bytes(8) + bytes([22]) + bytes(49) + (72).to_bytes(4, "little") + b"\x60\1\0\0"
        ),
        r"is truncated or damaged \(its readings end at byte 424, and it has 72\)",
    ),
    "another file": (lambda path: written(path, b"hello"), "is neither a Neware .nda nor an .ndax file"),
    "empty": (lambda path: written(path, b""), "the file is empty"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, fault: str) -> None:
    make, said = BAD[fault]
    with pytest.raises(BadWorkbookError, match=rf"^a\.ndax: {said}") as caught:
        only(make(tmp_path / "a.ndax"))
    assert "\n" not in str(caught.value)


def test_a_file_without_readings_that_count_is_refused(tmp_path: Path) -> None:
    path = ndax(tmp_path / "whole.ndax")
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "a.ndax", "w") as archive:
        for name in whole.namelist():
            content = whole.read(name)
            archive.writestr(name, content[:4096] if name == "data.ndc" else content)
    with pytest.raises(BadWorkbookError, match=r"^a\.ndax: "):
        only(tmp_path / "a.ndax")


def test_a_missing_file_says_nothing_of_its_content(tmp_path: Path) -> None:
    with pytest.raises(UnreadableWorkbookError, match=r"^a\.ndax: cannot be read: No such file"):
        only(tmp_path / "a.ndax")


@pytest.mark.parametrize(
    "raised", [MemoryError(), RuntimeError("can't start new thread"), OSError(12, "Cannot allocate memory")]
)
def test_where_memory_is_short_the_file_is_not_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException
) -> None:
    def short(_: Path) -> None:
        raise raised

    monkeypatch.setattr("fastnda.ndax.read_ndax", short)
    with pytest.raises(MemoryError):
        only(ndax(tmp_path / "a.ndax"))


def test_polars_that_cannot_be_loaded_is_short_of_memory_only_where_memory_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = ModuleType("polars")
    path = ndax(tmp_path / "a.ndax")

    def series(_: object) -> None:
        raise NameError("name 'plr' is not defined")

    monkeypatch.setattr(broken, "Series", series, raising=False)
    for limit, error in ((1 << 30, MemoryError), (resource.RLIM_INFINITY, BadWorkbookError)):
        with monkeypatch.context() as patched:
            for name in [name for name in sys.modules if name.partition(".")[0] == "polars"]:
                patched.delitem(sys.modules, name)
            patched.setitem(sys.modules, "polars", broken)
            patched.setattr("resource.getrlimit", lambda _, limit=limit: (limit, limit))
            with pytest.raises(error):
                only(path)
            assert "polars" not in sys.modules


def test_any_error_of_the_library_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):  # what polars raises where Rust panics
        pass

    def panic(_: Path) -> None:
        raise PanicException("index out of bounds\nat row 5")

    monkeypatch.setattr("fastnda.ndax.read_ndax", panic)
    with pytest.raises(BadWorkbookError, match=r"^a\.ndax: is truncated or damaged \(index out of bounds"):
        only(ndax(tmp_path / "a.ndax"))


def test_without_a_library_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ndax(tmp_path / "a.ndax")
    for name in ("fastnda.nda", "fastnda.ndax", "NewareNDA", "NewareNDA.NewareNDA"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BadWorkbookError, match=r"^a\.ndax: needs a library to be read; install battery-pipeline\[rea"):
        only(path)


def test_newarenda_reads_where_fastnda_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pd = pytest.importorskip("pandas", reason="pandas is not installed, which NewareNDA needs")
    seconds = pd.to_datetime([1_700_000_000, 1_700_000_060], unit="s", utc=True)
    frame = pd.DataFrame(
        {
            "Index": [1, 2], "Cycle": [1, 1], "Step": [1, 1], "Step_Index": [4, 4], "Status": ["CC_Chg"] * 2,
            "Time": [0.0, 60.0], "Voltage": [3.5, 3.6], "Current(mA)": [600.0, 600.0],
            "Charge_Capacity(mAh)": [0.0, 10.0], "Discharge_Capacity(mAh)": [0.0, 0.0],
            "Charge_Energy(mWh)": [0.0, 35.5], "Discharge_Energy(mWh)": [0.0, 0.0],
            "Timestamp": pd.Series(seconds.tz_convert("Asia/Shanghai")),
        }
    )  # fmt: skip
    for name in ("fastnda.nda", "fastnda.ndax"):
        monkeypatch.setitem(sys.modules, name, None)
    library = {name: ModuleType(name) for name in ("NewareNDA", "NewareNDA.NewareNDA", "NewareNDA.NewareNDAx")}
    for name, module in library.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(library["NewareNDA.NewareNDA"], "read_nda", None, raising=False)
    monkeypatch.setattr(library["NewareNDA.NewareNDAx"], "read_ndax", lambda *_: frame, raising=False)
    readings = only(ndax(tmp_path / "a.ndax")).readings
    assert readings["charge_capacity(ah)"].to_pylist() == [0.0, 0.01]
    assert readings["current(a)"].to_pylist() == [0.6, 0.6]
    assert readings["step_index"].to_pylist() == [4, 4]
    assert str(readings["date_time"][0].as_py()) == "2023-11-14 22:13:20"
