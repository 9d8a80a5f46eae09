"""The promises of readers, kept by those of Arbin's texts and .res files."""

from __future__ import annotations

import importlib.util
import math
from typing import TYPE_CHECKING

import pytest
from support.twins import arbin as twins
from support.twins.cell import twin_cell

from producer.readers.conformance import CHECKS, BadFile, Case, Expected

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Check = Callable[[Case, Path], None]

CELL = twin_cell()
TEST_ID = "2024-03-14T09:35:15"
SUMS = {
    "test_time(s)": math.fsum(CELL.test_time),
    "data_point": float(CELL.data_point.sum()),
    "cycle_index": float(CELL.cycle.sum()),
}
TEXT_SUMS = {
    **SUMS,
    "current(a)": math.fsum(CELL.current),
    "voltage(v)": math.fsum(CELL.voltage),
    "charge_capacity(ah)": math.fsum(CELL.charge_capacity),
    "temperature(c)": math.fsum(CELL.temperature),
}


def text_case(folder: Path) -> Case:
    columns = twins.mits10(CELL)
    path = twins.write_text(folder / "CELL_1.csv", columns, encoding="utf-8-sig")
    bad = twins.write_text(
        folder / "bad.csv",
        {**columns, "Voltage (V)": [*columns["Voltage (V)"][:3], "high", *CELL.voltage[4:].tolist()]},
    )
    says = ("bad.csv, column Voltage (V), row 5: 'high' is not a number",)
    expected = Expected("CELL_1", TEST_ID, len(CELL), TEXT_SUMS)
    return Case("producer.readers.arbin:READER", path, (expected,), (BadFile(bad, says),), shows_truncation=False)


def res_case(folder: Path) -> Case:
    rows = list(reversed(twins.res_rows(CELL)))
    path = twins.write_res(folder / "CELL_2.res", rows, [twins.res_test()])
    bad = twins.write_res(folder / "bad.res", rows, [twins.res_test()], stated=1)
    expected = Expected("CELL_2", TEST_ID, len(CELL), SUMS)
    return Case("producer.readers.arbin_res:READER", path, (expected,), (BadFile(bad, ("truncated or damaged",)),))


def several_case(folder: Path) -> Case:
    rows = twins.res_rows(CELL, test=2) + twins.res_rows(CELL, test=1)
    tests = [twins.res_test(1, channel=4), twins.res_test(2, channel=5)]
    path = twins.write_res(folder / "CELL_3.res", rows, tests)
    expected = tuple(Expected(cell, TEST_ID, len(CELL), SUMS) for cell in ("CELL_3_4", "CELL_3_5"))
    return Case("producer.readers.arbin_res:READER", path, expected)


CASES: dict[str, Callable[[Path], Case]] = {"text": text_case, "res": res_case, "several": several_case}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in CASES.items()}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", CASES)
def test_a_reader_keeps_its_promises(cases: dict[str, Case], name: str, check: Check, tmp_path: Path) -> None:
    if name != "text" and importlib.util.find_spec("access_parser") is None:
        pytest.skip("the extra readers is not installed")
    check(cases[name], tmp_path)
