"""Real BioLogic files of other labs, one of text without its header and one of bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from producer.readers.base import ReadOptions
from producer.readers.registry import reader_of

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import Test


def place(shared_data: Path, name: str) -> Path:
    path = shared_data / "foreign" / name
    if not path.is_file():
        pytest.skip("the files of other makers are not here")
    return path


def read(path: Path, reader_name: str) -> Test:
    reader = reader_of(path, path.name)
    assert reader is not None
    assert reader.reader.name == reader_name
    (test,) = reader.reader.read(path, ReadOptions(path.name)).tests
    return test


def test_a_text_without_a_header_has_its_readings_and_no_date(shared_data: Path) -> None:
    test = read(place(shared_data, "biologic_no_header.mpt"), "biologic")
    readings = test.readings
    assert readings.num_rows == 13
    assert readings["test_time(s)"].to_pylist()[0] == 281672.3801174285
    assert readings["voltage(v)"].to_pylist()[-1] == 2.9814022
    assert readings["temperature(c)"].to_pylist()[0] == 24.443432
    assert readings["date_time"].null_count == 13
    assert set(readings["cycle_index"].to_pylist()) == set(readings["step_index"].to_pylist()) == {0}
    for name in ("current(a)", "charge_capacity(ah)", "discharge_capacity(ah)", "charge_energy(wh)"):
        assert set(readings[name].to_pylist()) == {0.0}
    assert test.about.integrated == ()


def test_a_binary_file_has_what_its_library_reads(shared_data: Path) -> None:
    galvani = pytest.importorskip("galvani", reason="the extra biologic is not installed")
    path = place(shared_data, "biologic_gcpl.mpr")
    test = read(path, "biologic-binary")
    raw = galvani.MPRfile(str(path))
    readings = test.readings
    assert readings.num_rows == len(raw.data) == 4
    assert test.test_id == raw.timestamp.isoformat() == "2024-09-02T13:49:32.494000"
    same = {"time/s": "test_time(s)", "Ewe/V": "voltage(v)", "Ns": "step_index"}
    for theirs, ours in same.items():
        assert readings[ours].to_numpy().tolist() == raw.data[theirs].astype("f8").tolist(), theirs
    charge, discharge = (readings[name].to_numpy() for name in ("charge_capacity(ah)", "discharge_capacity(ah)"))
    for theirs in ("(Q-Qo)/mA.h", "Q charge/discharge/mA.h"):
        assert (1000 * (charge - discharge)).tolist() == raw.data[theirs].tolist() == [0.0] * 4
    assert np.diff(1000 * (charge - discharge), prepend=0.0).tolist() == raw.data["dq/mA.h"].tolist()
    assert set(readings["cycle_index"].to_pylist()) == {0}
