"""The readers of Maccor and BioLogic keep the promises of readers, on mutated files too."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.twins.biologic import biologic_columns, write_mpr, write_mpt
from support.twins.cell import twin_cell
from support.twins.maccor import write_maccor

from producer.readers.base import BadWorkbookError, ReadOptions
from producer.readers.conformance import CHECKS, BadFile, Case, Expected

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Check = Callable[[Case, Path], None]

CELL = twin_cell()
STARTED = "2024-03-14T09:35:15"
MUTATED = 200
MUTATIONS = np.frombuffer(b'09.-,;:\t"\n\r ExX\x00\xb0\xff', np.uint8)
"""What a byte becomes: digits, delimiters, quotes, ends of lines, letters, zero, and bytes that are no UTF-8."""


def expected(started: str = STARTED) -> tuple[Expected]:
    """What a test of the simulated cell is; voltages of .mpr have single precision, so they are not summed."""
    return (Expected("CELL_1", started, len(CELL), {"test_time(s)": float(CELL.test_time.sum())}),)


def broken(path: Path, old: str, new: str) -> Path:
    path.write_bytes(path.read_bytes().replace(old.encode("latin-1"), new.encode("latin-1"), 1))
    return path


def maccor_unsigned(folder: Path) -> Case:
    bad = broken(write_maccor(folder / "bad.txt", CELL), "\t3.4000000000\t", "\thigh\t")
    says = ("bad.txt, column Volts, row 3: 'high' is not a number",)
    path = write_maccor(folder / "CELL_1.txt", CELL)
    return Case("producer.readers.maccor:READER", path, expected(), (BadFile(bad, says),), shows_truncation=False)


def maccor_signed(folder: Path) -> Case:
    path = write_maccor(folder / "CELL_1.022", CELL, signed=True, times="Sec", header_first=True)
    return Case("producer.readers.maccor:READER", path, expected(), shows_truncation=False)


def mpt(folder: Path) -> Case:
    columns = biologic_columns(CELL)
    bad = broken(write_mpt(folder / "bad.mpt", columns), "\t3.400000000000000E+00\t", "\thigh\t")
    says = ("bad.mpt, column Ecell/V, row 18: 'high' is not a number",)
    path = write_mpt(folder / "CELL_1.mpt", columns, comma=True)
    return Case("producer.readers.biologic:READER", path, expected(), (BadFile(bad, says),), shows_truncation=False)


def mpr(folder: Path) -> Case:
    if importlib.util.find_spec("galvani") is None:
        pytest.skip("galvani is not installed (extra biologic)")
    columns = biologic_columns(CELL)
    bad = write_mpr(folder / "bad.mpr", columns, ("flags", "time/s", "dq/mA.h"))
    says = ("bad.mpr: has no column for voltage",)
    path = write_mpr(folder / "CELL_1.mpr", columns)
    return Case("producer.readers.biologic_binary:READER", path, expected(), (BadFile(bad, says),))


CASES: dict[str, Callable[[Path], Case]] = {one.__name__: one for one in (maccor_unsigned, maccor_signed, mpt, mpr)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """Each case by its name, made once."""
    return cache(lambda name: CASES[name](tmp_path_factory.mktemp(name)))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", CASES)
def test_a_reader_keeps_its_promises(made: Callable[[str], Case], name: str, check: Check, tmp_path: Path) -> None:
    check(made(name), tmp_path)


@pytest.mark.parametrize("name", CASES)
def test_a_mutated_file_ends_in_a_table_or_in_one_line(made: Callable[[str], Case], name: str, tmp_path: Path) -> None:
    case = made(name)
    content = np.frombuffer(case.path.read_bytes(), np.uint8)
    random = np.random.default_rng(23)
    refusals, tables = [], 0
    for number in range(MUTATED):
        mutated = content.copy()
        places = random.integers(0, len(content) if number % 2 else 2000, random.integers(1, 6))
        mutated[places] = random.choice(MUTATIONS, len(places))
        path = tmp_path / f"mutated{case.path.suffix}"
        path.write_bytes(mutated.tobytes())
        try:
            tables += len(case.reader.read(path, ReadOptions(path.name)).tests)
        except BadWorkbookError as refusal:
            refusals.append(str(refusal))
    assert [line for line in refusals if not line.startswith("mutated") or "\n" in line] == []
    assert tables + len(refusals) == MUTATED
    assert tables
    assert refusals
