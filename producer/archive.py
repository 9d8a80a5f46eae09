"""Unpacking files of readings from a ZIP, a .gz or a .bz2, in a child process, since one from outside is not trusted.

The child has a limit on its memory, as a packing method may ask for any amount. What is unpacked and no reader
recognises is passed over, as in a folder.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Self, cast

from kernel.edges.file_records import SourceFile
from producer.child import Child, Limits, WorkEndedError
from producer.files import (
    PACKED_SUFFIXES,
    ZIP_SUFFIX,
    BadSourceError,
    Content,
    PassedOver,
    Refusal,
    Signature,
    UnreadableSourceError,
    WorkbookFile,
    as_text,
    is_publishable,
    place_of,
    unpacked_name,
)
from producer.packed import unpack_packed
from producer.passed_over import MOST_NAMED, holds, why_file, why_member
from producer.readers.mapping_file import mapping_beside
from producer.readers.registry import ReaderClashError, readable_suffixes, reader_of, recognising
from producer.readers.sample import FileSample
from producer.unzip import (
    MEMORY_BYTES,
    BadMember,
    Bounds,
    MappingMembers,
    Member,
    OtherMembers,
    holds_workbook,
    is_package,
    unpack,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from kernel.base.settings import Settings
    from producer.files import File
    from producer.readers.mapping_file import MappingFile


class Unpacker:
    """A child process that reads and unpacks ZIPs; it starts with the first one.

    Args:
        settings: what may be unpacked, and how long the child may take for a workbook.
        folder: a temporary folder for what is unpacked.
        insists: whether the user names a reader or a mapping, so that the content need not show whose a file is.
    """

    def __init__(self, settings: Settings, folder: Path, *, insists: bool = False) -> None:
        self._bounds = Bounds(settings.zip_max_bytes, settings.workbook_max_bytes, readable_suffixes())
        self._seconds = settings.reader_timeout_seconds
        self._folder = folder
        self._child = Child(Limits(MEMORY_BYTES, self._seconds), folder, unpack.__module__)
        self._insists = insists

    def __enter__(self) -> Self:
        """Nothing more to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the child, even if it is at work."""
        self._child.end()

    def is_workbook(self, file: File) -> bool:
        """Whether a file is one of readings and no ZIP or packed one, by its suffix, or else by its content.

        Raises:
            BadSourceError: the file is broken, or takes too much memory or time.
        """
        suffix = file.path.suffix.lower()
        if is_publishable(suffix):
            return suffix not in {ZIP_SUFFIX, *PACKED_SUFFIXES} or (suffix == ZIP_SUFFIX and self._is_package(file))
        try:
            return bool(self._child.result(holds_workbook, file)) or reader_of(file.path, file.origin) is not None
        except (ReaderClashError, OSError):  # it is refused when it is to be read
            return True
        except WorkEndedError as error:
            raise BadSourceError(f"{file.origin}: {self._problem(error)}") from None

    def _is_package(self, file: File) -> bool:
        try:
            return bool(self._child.result(is_package, file))
        except WorkEndedError:  # unpacking it meets the same, and says so
            return False

    def workbooks_of(self, file: File, content: Content) -> Iterator[WorkbookFile | Refusal | PassedOver]:
        """The files of readings in a ZIP or a packed file, each unpacked on demand; what is refused or passed over.

        Raises:
            BatteryError: what was unpacked cannot be written.
        """
        results = (
            self._packed(file, content) if file.path.suffix.lower() in PACKED_SUFFIXES else self._zip(file, content)
        )
        try:
            yield from results
        except UnreadableSourceError as error:
            yield Refusal(str(error), None, file.on_record(content.sha256))
        except BadSourceError as error:
            yield Refusal(str(error), content.sha256, file.on_record(content.sha256))
        except WorkEndedError as error:
            line, lasts = f"{file.origin}: {self._problem(error)}", error.cause == "memory"
            yield Refusal(line, content.sha256 if lasts else None, file.on_record(content.sha256))

    def _zip(self, file: File, content: Content) -> Iterator[WorkbookFile | Refusal | PassedOver]:
        mappings, unread, holds_any = MappingMembers(()), [], False
        for result in self._child.results(unpack, file, self._folder, self._bounds):
            if isinstance(result, MappingMembers):
                mappings = result
            elif isinstance(result, Member):
                mapping = mappings.of(result.member)
                if not self._is_read(result.path, result.member, mapping):
                    unread.append((_on_record(file, result.member), why_file(result.path)))
                    result.path.unlink(missing_ok=True)
                    continue
                holds_any = True
                name = as_text(PurePosixPath(result.member).name)
                origin = f"{file.origin}!{as_text(result.member)}"
                unpacked = Content(result.path, result.sha256, Signature.of(result.path))
                yield WorkbookFile(unpacked, name, origin, content, mapping)
            elif isinstance(result, BadMember):
                holds_any = True
                line = f"{file.origin}!{as_text(result.member)}: {result.problem}"
                sha256 = f"{content.sha256}!{result.member}"
                yield Refusal(line, sha256, _on_record(file, result.member, sha256))
            elif isinstance(result, OtherMembers):
                if not holds_any:
                    names = [one.name.partition("!")[2] for one, _ in unread] + [*result.members]
                    why = f"; {names[0]}: {unread[0][1]}" if unread else ""
                    line = f"{file.origin} holds no file of readings{holds(names, len(unread) + result.count)}{why}"
                    raise BadSourceError(line)
                others = [*unread, *((_on_record(file, member), why_member(member)) for member in result.members)]
                count = len(unread) + result.count
                yield PassedOver(f"{place_of(file.path)}!", count, tuple(others[:MOST_NAMED]))

    def _packed(self, file: File, content: Content) -> Iterator[WorkbookFile | Refusal | PassedOver]:
        """What a .gz or .bz2 holds; one that was found in a folder and holds no readings is passed over."""
        for result in self._child.results(unpack_packed, file, self._folder, self._bounds.workbook_max_bytes):
            name, path, sha256 = cast("tuple[str, Path, str]", result)
            mapping = mapping_beside(file.path.with_name(unpacked_name(file.path.name))) or mapping_beside(file.path)
            if file.is_found and not self._is_read(path, name, mapping):
                whole = file.on_record(content.sha256)
                reason = why_file(path)
                path.unlink(missing_ok=True)
                yield PassedOver(whole.place, 1, ((whole, reason),))
                return
            yield WorkbookFile(
                Content(path, sha256, Signature.of(path)), name, f"{file.origin}!{name}", content, mapping
            )

    def _is_read(self, path: Path, name: str, mapping: MappingFile | None) -> bool:
        """Whether there is a reader for an unpacked file."""
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in self._bounds.suffixes or (mapping is not None and mapping.insists):
            return True
        try:
            sample = FileSample.of(path)
            return bool(recognising(sample)) or ((mapping is not None or self._insists) and sample.may_be_table)
        except OSError:  # whoever reads it says so
            return True

    def _problem(self, error: WorkEndedError) -> str:
        match error.cause:
            case "memory":
                return f"reading it took more than {MEMORY_BYTES} bytes of memory; unpack it yourself"
            case "time":
                return f"a part of it took longer to unpack than READER_TIMEOUT_SECONDS={self._seconds:g}"
        return f"it is not a valid ZIP ({error.detail}); download or copy it again"


def _on_record(file: File, member: str, sha256: str | None = None) -> SourceFile:
    """A member of a ZIP as it goes on record."""
    name = as_text(member)
    return SourceFile(f"{file.origin}!{name}", f"{place_of(file.path)}!{name}", sha256)
