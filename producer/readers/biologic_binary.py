"""The reader of BioLogic's .mpr files, which EC-Lab writes while it measures.

The library that knows their layout, galvani, is GPL-3.0-or-later; so it is an extra of its own, and is imported only
where such a file is read. The meaning of the columns is that of .mpt.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from kernel.base.extras import install_command
from kernel.base.plain import one_line
from producer.readers.base import BadWorkbookError, UnreadableWorkbookError, Workbook
from producer.readers.biologic import SPECTRA
from producer.readers.biologic_columns import biologic_record, names_among, said_of_spectra, spectrum_among
from producer.readers.make import as_test
from producer.readers.names import cell_id_of
from producer.readers.tables.starts import DATED_BY_START, clock_since
from producer.readers.tables.table import Table
from producer.readers.tables.titles import TitleError, columns_of

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import ReadOptions
    from producer.readers.sample import FileSample

MAGIC: Final = b"BIO-LOGIC MODULAR FILE"
EXTRA: Final = "biologic"
MODE, RESTS = 0b11, 3
"""The bits of the flags that say what is controlled, and what they are where nothing is."""

_NEEDED: Final = ("test_time", "voltage")
_EXPORT: Final = "export it as .mpt text with EC-Lab"


@dataclass(frozen=True)
class BiologicBinaryReader:
    """Reads BioLogic's .mpr files; see `producer.readers.base.Reader`."""

    name: str = "biologic-binary"
    suffixes: tuple[str, ...] = (".mpr",)

    def recognises(self, sample: FileSample) -> bool:
        """Tell whether a file is surely of this format, by its first bytes."""
        return sample.head.startswith(MAGIC)

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        """Read a file whole.

        Raises:
            BadWorkbookError: the library is not installed or cannot read it; it has no readings, holds impedance
                spectra, or lacks a column.
            UnreadableWorkbookError: its disk does not give it.
        """
        content = _content(path, options.name)
        data = content.data
        titles = [title for title in data.dtype.names if title != "flags"]
        frequency = spectrum_among(titles)
        frequencies = np.zeros(len(data)) if frequency is None else data[frequency].astype("f8")
        if frequency is not None and (frequencies > 0).all():
            raise BadWorkbookError(options.name, SPECTRA)
        try:
            found = columns_of(titles, names_among(titles))
        except TitleError as error:
            raise BadWorkbookError(options.name, str(error), column=error.title) from None
        missing = [name.replace("_", " ") for name in _NEEDED if name not in found]
        if missing or not len(data):
            what = f"no column for {' and '.join(missing)}" if missing else "no readings"
            raise BadWorkbookError(options.name, f"has {what}; {_EXPORT} if it holds readings")
        columns = {column.title: pa.chunked_array([_array(data[column.title])]) for column in found.values()}
        is_rest = "flags" in data.dtype.names and bool(((data["flags"] & MODE) == RESTS).all())
        record = biologic_record(Table(options.name, columns, first_row=1), found, is_rest=is_rest)
        record.assumed += [said] if (said := said_of_spectra(frequencies)) else []
        started_at = getattr(content, "timestamp", None)
        if started_at is not None and record.test_time is not None:
            record.date_time = clock_since(started_at, record.test_time)
            record.assumed.append(DATED_BY_START)
        cell_id = options.cell_id or cell_id_of(options.name)
        test = as_test(record, cell_id, options.name, self.name, metadata={"cycler": "BioLogic"})
        return Workbook(options.name, cell_id, (test,))


READER: Final = BiologicBinaryReader()


def _content(path: Path, name: str) -> Any:  # noqa: ANN401  # the library has no types
    """The file as the library reads it: `data` is an array with a field for each column.

    Raises:
        BadWorkbookError: the library is not installed, or cannot read the file for sure.
        UnreadableWorkbookError: the disk does not give it.
        MemoryError: it is larger than memory.
    """
    try:
        # GPL, so only where such a file is read
        from galvani import MPRfile  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415
    except ImportError:
        raise BadWorkbookError(
            name, f"BioLogic's .mpr files need the extra {EXTRA}: {install_command(EXTRA)}; or {_EXPORT}"
        ) from None
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnreadableWorkbookError(name, f"cannot be read: {error.strerror or error}") from None
    with file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on columns that it does not know; see below
        try:
            content = MPRfile(file)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # a damaged file may raise anything there
            reason = one_line(f"{type(error).__name__}: {error}")[:200]
            raise BadWorkbookError(name, f"cannot be read as a .mpr file ({reason}); {_EXPORT}") from None
    unknown = [title for title in content.data.dtype.names if title.startswith("unknown_colID")]
    if len(unknown) > 1:  # the length of one follows from that of a row; of several it would be a guess
        ids = ", ".join(title.removeprefix("unknown_colID_") for title in unknown)
        raise BadWorkbookError(name, f"has columns that are not known here (numbers {ids}); {_EXPORT}")
    return content


def _array(values: Any) -> pa.Array:  # noqa: ANN401  # a field of the library's array
    """A field as a column of doubles, which hold what any of them holds."""
    return pa.array(values.astype("f8"))
