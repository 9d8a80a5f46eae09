"""The reader of Neware's .nda and .ndax files, by fastnda; by NewareNDA where fastnda is not installed.

Both are imported for the reading alone: polars takes some hundred MB of address space. They raise anything over a
damaged file, which becomes one line; where memory is short it stays `MemoryError`.
"""

from __future__ import annotations

import os
import resource
import sys
import warnings
import zipfile
from dataclasses import dataclass
from errno import EAGAIN, ENOMEM
from typing import TYPE_CHECKING, Any, Final, cast

from kernel.base.plain import one_line
from producer.readers.base import BadWorkbookError, UnreadableWorkbookError, Workbook
from producer.readers.names import cell_id_of

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import ReadOptions
    from producer.readers.neware_frames import Frame
    from producer.readers.sample import FileSample

_NDA: Final = b"NEWARE"
_ZIP: Final = b"PK\x03\x04"
_SHORT: Final = ("can't start new thread", "cannot allocate", "failed to map segment", "ThreadPoolBuildError", "spawn")
"""What libraries say where address space runs out."""


_HEAD_BYTES: Final = 72
_LAST_WITH_LENGTH, _WITHOUT_LENGTH = 27, (19, 26)
"""Versions of .nda up to 27 say in their head where their readings end, but for two."""


class _NoLibraryError(Exception):
    """No library that reads these files is installed."""


@dataclass(frozen=True)
class NewareBinaryReader:
    """Reads Neware's .nda and .ndax files; see `producer.readers.base.Reader`."""

    name: str = "neware-binary"
    suffixes: tuple[str, ...] = (".nda", ".ndax")

    def recognises(self, sample: FileSample) -> bool:
        """Tell whether a file begins as an .nda does, or is a ZIP of .ndc files."""
        ends = sample.head + sample.tail
        is_ndax = sample.head.startswith(_ZIP) and b".ndc" in ends and b"[Content_Types].xml" not in ends
        return is_ndax or sample.head.startswith(_NDA)

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        """Read a file whole.

        Raises:
            BadWorkbookError: it is damaged or of an unknown version, or no library that reads it is installed.
            UnreadableWorkbookError: its disk does not give it.
            MemoryError: there is too little memory.
        """
        is_ndax = _is_ndax(path, options.name)
        try:
            frame, metadata, members, notes = _read(path, is_ndax=is_ndax)
        except _NoLibraryError as error:
            raise BadWorkbookError(options.name, str(error)) from None
        except BaseException as error:  # noqa: BLE001  # a panic in Rust is not an `Exception`
            raise _refusal(error, options.name) from None
        from producer.readers.make import as_test  # noqa: PLC0415  # the parent reads no file
        from producer.readers.neware_frames import record_of_frame  # noqa: PLC0415
        from producer.readers.neware_stated import local_clock, stated_in, stated_start  # noqa: PLC0415

        record = record_of_frame(frame, options.name)
        del frame
        stated = stated_in(metadata)
        start = stated_start(metadata, members)
        if record.date_time is not None:
            record.date_time, stated["time_zone"], assumed = local_clock(record.date_time, start)
            record.assumed += [assumed] if assumed else []
        record.assumed += notes
        cell_id = options.cell_id or cell_id_of(options.name)
        return Workbook(options.name, cell_id, (as_test(record, cell_id, options.name, self.name, metadata=stated),))


READER: Final = NewareBinaryReader()


def _is_ndax(path: Path, name: str) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(len(_NDA))
    except OSError as error:
        if error.errno == ENOMEM:
            raise MemoryError from None
        raise UnreadableWorkbookError(name, f"cannot be read: {error.strerror or error}") from None
    if not start:
        raise BadWorkbookError(name, "the file is empty; export or copy it again")
    if not start.startswith((_NDA, _ZIP)):
        raise BadWorkbookError(name, "is neither a Neware .nda nor an .ndax file; export or copy it again")
    return start.startswith(_ZIP)


def _read(path: Path, *, is_ndax: bool) -> tuple[Frame, dict[str, Any], list[str], list[str]]:
    """The frame of a file, its metadata, the names of its members, and what the library warns of."""
    members: list[str] = []
    if is_ndax:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
        if "data.ndc" not in members:
            raise ValueError("it has no data.ndc")
    else:
        _require_whole(path)
    try:
        _import_polars()
        from fastnda.nda import read_nda  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415
        from fastnda.ndax import read_ndax  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415
    except ModuleNotFoundError:
        return _by_newarenda(path, is_ndax=is_ndax), {}, members, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = read_ndax(path) if is_ndax else read_nda(path)
        metadata = _metadata(path, is_ndax=is_ndax)
    unverified = any("has not been verified" in str(one.message) for one in caught)
    notes = ["fastnda has not been verified with files of this version of the format"] if unverified else []
    return frame, metadata, members, notes


def _import_polars() -> None:
    """Import polars with one thread, since each reserves address space.

    It ignores that its binary part cannot be loaded, and then is broken as long as the process lives; so it is taken
    out again.

    Raises:
        ModuleNotFoundError: it is not installed.
        MemoryError: there is no address space for it.
    """
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    try:
        import polars as pl  # noqa: PLC0415

        pl.Series([1])
    except ModuleNotFoundError:
        raise
    except (ImportError, NameError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "polars"]:
            del sys.modules[name]
        if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
            raise MemoryError from None
        raise


def _require_whole(path: Path) -> None:
    """Have an .nda hold all the readings that its head announces, in the versions that are known to.

    Raises:
        ValueError: its end is missing.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        size = file.seek(0, 2)
    if len(head) == _HEAD_BYTES and head[14] <= _LAST_WITH_LENGTH and head[14] not in _WITHOUT_LENGTH:
        end = int.from_bytes(head[64:68], "little") + int.from_bytes(head[68:72], "little")
        if end > size:
            raise ValueError(f"its readings end at byte {end}, and it has {size}")


def _metadata(path: Path, *, is_ndax: bool) -> dict[str, Any]:
    """What the file states; nothing where that part of it is missing or damaged, as no reading depends on it."""
    from fastnda.nda_meta import read_nda_metadata  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415
    from fastnda.ndax import read_ndax_metadata  # type: ignore[import-untyped,import-not-found,unused-ignore]  # noqa: PLC0415

    try:
        return dict(read_ndax_metadata(path) if is_ndax else read_nda_metadata(path))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  # XML and text of all kinds
        return {}


_NEWARENDA: Final = {
    "Index": "index",
    "Voltage": "voltage_V",
    "Current(mA)": "current_mA",
    "Time": "step_time_s",
    "Cycle": "cycle_count",
    "Step": "step_count",
    "Step_Index": "step_index",
    "Charge_Capacity(mAh)": "charge_capacity_mAh",
    "Discharge_Capacity(mAh)": "discharge_capacity_mAh",
    "Charge_Energy(mWh)": "charge_energy_mWh",
    "Discharge_Energy(mWh)": "discharge_energy_mWh",
}
"""What fastnda calls the columns of NewareNDA."""


def _by_newarenda(path: Path, *, is_ndax: bool) -> Frame:
    """The same columns by NewareNDA, which reads fewer versions, reading by reading."""
    try:
        from NewareNDA.NewareNDA import read_nda  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415
        from NewareNDA.NewareNDAx import read_ndax  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415
    except ModuleNotFoundError:
        raise _NoLibraryError(
            "needs a library to be read; install battery-pipeline[readers], or export its records with BTSDA"
        ) from None
    frame = (read_ndax if is_ndax else read_nda)(str(path), False)  # cycles as the file has them
    clock = frame["Timestamp"]
    if getattr(clock.dt, "tz", None) is not None:
        clock = clock.dt.tz_convert("UTC").dt.tz_localize(None)
    frame["unix_time_s"] = clock.astype("datetime64[us]").astype("int64") / 1e6
    return cast("Frame", frame.rename(columns=_NEWARENDA))


def _refusal(error: BaseException, name: str) -> BaseException:
    """What to raise for what a library has raised."""
    said = one_line(str(error)) or type(error).__name__
    is_short = any(text.casefold() in said.casefold() for text in _SHORT)
    if isinstance(error, MemoryError) or is_short or (isinstance(error, OSError) and error.errno in {ENOMEM, EAGAIN}):
        return MemoryError()
    if isinstance(error, OSError):
        return UnreadableWorkbookError(name, f"cannot be read: {error.strerror or error}")
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        return error
    if isinstance(error, NotImplementedError):
        return BadWorkbookError(name, f"is of a version that is not read ({said}); export its records with BTSDA")
    return BadWorkbookError(name, f"is truncated or damaged ({said}); copy it again, or export its records with BTSDA")
