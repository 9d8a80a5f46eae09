"""The promises of a reader, kept by those of Neware's files."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest
from support.twins.cell import twin_cell
from support.twins.neware import details, flat, layered, records
from support.twins.neware_binary import ndax

from producer.readers.conformance import CHECKS, BadFile, Case, Expected, recognises_its_files_alone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Check = Callable[[Case, Path], None]

TEXTS = "producer.readers.neware:READER"
BINARY = "producer.readers.neware_binary:READER"
CELL = twin_cell()
EXPECTED = (
    Expected(
        "CELL_1", str(CELL.date_time[0].astype("datetime64[s]")), len(CELL), {"test_time(s)": CELL.test_time.sum()}
    ),
)


def flat_case(folder: Path) -> Case:
    bad = flat(folder / "bad.csv")
    bad.write_text(bad.read_text().replace(",4.2000,", ",high,", 1))
    row = 1 + int(CELL.voltage.tolist().index(4.2)) + 1
    says = (f"bad.csv, column Voltage(V), row {row}: 'high' is not a number",)
    return Case(TEXTS, flat(folder / "CELL_1.csv"), EXPECTED, (BadFile(bad, says),), shows_truncation=False)


def layered_case(folder: Path) -> Case:
    return Case(TEXTS, layered(folder / "CELL_1.csv"), EXPECTED, shows_truncation=False)


def details_case(folder: Path) -> Case:
    path = details(folder / "CELL_1.xlsx", {"Detail_1_1_1": (0, 300), "Detail_1_1_1_2": (300, len(CELL))})
    return Case(TEXTS, path, EXPECTED)


def records_case(folder: Path) -> Case:
    return Case(TEXTS, records(folder / "CELL_1.xls"), EXPECTED)


def ndax_case(folder: Path) -> Case:
    if importlib.util.find_spec("fastnda") is None:
        pytest.skip("fastnda is not installed (extra readers)")
    return Case(BINARY, ndax(folder / "CELL_1.ndax"), EXPECTED, memory_bytes=1024**3)


CASES: dict[str, Callable[[Path], Case]] = {
    "flat": flat_case,
    "layered": layered_case,
    "details": details_case,
    "records": records_case,
    "ndax": ndax_case,
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: tmp_path_factory.mktemp(name) for name in CASES}


WORKBOOKS = {"details", "records"}
"""Whoever opens workbooks recognises them, and asks what their sheets hold (`claims_sheets`)."""


@pytest.mark.parametrize(
    ("name", "check"),
    [
        pytest.param(name, check, id=f"{name}-{check.__name__}")
        for name in CASES
        for check in CHECKS
        if check is not recognises_its_files_alone or name not in WORKBOOKS
    ],
)
def test_a_reader_keeps_its_promises(cases: dict[str, Path], name: str, check: Check, tmp_path: Path) -> None:
    check(CASES[name](cases[name]), tmp_path)
