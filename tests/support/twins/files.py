"""One file of each format that is read, all of the same simulated cell, by the name of the format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from support.twins import arbin, basytec, bdf, biologic, landt, maccor, neware, neware_binary, novonix, pec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from support.twins.cell import TwinCell

    Write = Callable[[Path, TwinCell], Path]
    """Writes a cell into a folder as CELL_1, and returns the file."""


def _arbin_csv(folder: Path, cell: TwinCell) -> Path:
    return arbin.write_text(folder / "CELL_1.csv", arbin.mits10(cell))


def _arbin_xlsx(folder: Path, cell: TwinCell) -> Path:
    return arbin.write_book(folder / "CELL_1.xlsx", cell)


def _arbin_res(folder: Path, cell: TwinCell) -> Path:
    return arbin.write_res(folder / "CELL_1.res", arbin.res_rows(cell), [arbin.res_test()])


def _neware_csv(folder: Path, cell: TwinCell) -> Path:
    return neware.flat(folder / "CELL_1.csv", cell)


def _neware_layers(folder: Path, cell: TwinCell) -> Path:
    return neware.layered(folder / "CELL_1.csv", cell)


def _neware_xlsx(folder: Path, cell: TwinCell) -> Path:
    return neware.records(folder / "CELL_1.xlsx", cell)


def _neware_ndax(folder: Path, cell: TwinCell) -> Path:
    return neware_binary.ndax(folder / "CELL_1.ndax", cell)


def _maccor_txt(folder: Path, cell: TwinCell) -> Path:
    return maccor.write_maccor(folder / "CELL_1.txt", cell)


def _biologic_mpt(folder: Path, cell: TwinCell) -> Path:
    return biologic.write_mpt(folder / "CELL_1.mpt", biologic.biologic_columns(cell))


def _biologic_mpr(folder: Path, cell: TwinCell) -> Path:
    return biologic.write_mpr(folder / "CELL_1.mpr", biologic.biologic_columns(cell))


def _landt_xlsx(folder: Path, cell: TwinCell) -> Path:
    return landt.write_workbook(folder / "CELL_1.xlsx", landt.records(cell))


def _landt_csv(folder: Path, cell: TwinCell) -> Path:
    return landt.write_text(folder / "CELL_1.csv", landt.records(cell))


def _pec_csv(folder: Path, cell: TwinCell) -> Path:
    return pec.write_text(folder / "CELL_1.csv", pec.lines_of(pec.Placed(cell)))


def _basytec_txt(folder: Path, cell: TwinCell) -> Path:
    return basytec.write_text(folder / "CELL_1.txt", basytec.columns_of(cell))


def _novonix_csv(folder: Path, cell: TwinCell) -> Path:
    return novonix.write_text(folder / "CELL_1.csv", novonix.columns_of(cell))


def _bdf_csv(folder: Path, cell: TwinCell) -> Path:
    return bdf.write_csv(folder / "CELL_1.bdf.csv", bdf.machine_columns(cell))


def _bdf_parquet(folder: Path, cell: TwinCell) -> Path:
    return bdf.write_parquet(folder / "CELL_1.bdf.parquet", bdf.machine_columns(cell))


FILES: Final[Mapping[str, Write]] = {
    "arbin_csv": _arbin_csv,
    "arbin_xlsx": _arbin_xlsx,
    "arbin_res": _arbin_res,
    "neware_csv": _neware_csv,
    "neware_layers": _neware_layers,
    "neware_xlsx": _neware_xlsx,
    "neware_ndax": _neware_ndax,
    "maccor_txt": _maccor_txt,
    "biologic_mpt": _biologic_mpt,
    "biologic_mpr": _biologic_mpr,
    "landt_xlsx": _landt_xlsx,
    "landt_csv": _landt_csv,
    "pec_csv": _pec_csv,
    "basytec_txt": _basytec_txt,
    "novonix_csv": _novonix_csv,
    "bdf_csv": _bdf_csv,
    "bdf_parquet": _bdf_parquet,
}
