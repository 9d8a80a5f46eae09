"""Files of another kind among workbooks: which they are, why they are passed over, and how that is reported."""

from __future__ import annotations

from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from kernel.base.plain import one_line
from kernel.edges.file_records import SourceFile
from producer.files import PACKED_SUFFIXES, ZIP_SUFFIX, PassedOver, place_of
from producer.readers.formats import format_of
from producer.readers.registry import readable_suffixes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from producer.files import Listing

MOST_NAMED: Final = 200
"""How many files of a folder or ZIP go on record by name; the others are only counted."""

MOST_SAID: Final = 5
"""How many files a line names."""


def passed_over(folder: Path, listing: Listing) -> PassedOver:
    """The files of a folder that are of another kind, each with the reason."""
    others = listing.others
    named = [
        (SourceFile(one_line(str(path.relative_to(folder))), place_of(path)), why_file(path))
        for path in others[:MOST_NAMED]
    ]
    archives = frozenset(place_of(path) for path in listing.files if path.suffix.lower() == ZIP_SUFFIX)
    return PassedOver(f"{place_of(folder)}/", len(others), tuple(named), archives)


def why_file(path: Path) -> str:
    """Why a file is passed over, and what to do to have its readings published."""
    try:
        kind = format_of(path)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    return f"it {kind}" if kind else _why(path.suffix)


def why_member(member: str) -> str:
    """Why a member of a ZIP is passed over, by its name, since it is not unpacked."""
    suffix = PurePosixPath(member).suffix
    if suffix.lower() in {ZIP_SUFFIX, *PACKED_SUFFIXES}:
        kind = "ZIP" if suffix.lower() == ZIP_SUFFIX else "packed file"
        return f"a {kind} in a ZIP is not opened; unpack the outer one"
    return _why(suffix)


def _why(suffix: str) -> str:
    kind = f"files that end in {one_line(suffix)}" if suffix else "files without a suffix"
    return f"{kind} are not read; what is read ends in {', '.join(readable_suffixes())}, or is a table"


def in_words(names: Iterable[str], count: int) -> str:
    """The first names of a number of files, and how many more there are."""
    named = list(islice(names, MOST_SAID))
    more = count - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def holds(names: Iterable[str], count: int) -> str:
    """The end of the line that says there is nothing to read: which files there are instead."""
    return f"; it holds {in_words(names, count)}" if count else ""
