"""What a reader says of a test: what it assumed, what the file states, and which counters it computed.

It travels in the header `about-test` of each message of the test, as JSON, and lands in `battery_about`. So the log
alone is enough to build the tables again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003  # msgspec reads the types of `_About`
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from kernel.base.plain import one_line
from kernel.contract.reading import COUNTERS, TEXT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADER_BYTES: Final = 8_000
"""Most bytes of the JSON text: it comes with each message of its test."""

LINE_BYTES: Final = 500
"""Most bytes of one assumption or of one value of the metadata; a longer one is cut."""

_NAME_BYTES: Final = 100
"""Most bytes of a reader's name and of a key of the metadata."""

_CUT: Final = "\N{HORIZONTAL ELLIPSIS}"
"""Ends a text that was cut."""


@dataclass(frozen=True)
class About:
    """What a reader says of one test of a file.

    Attributes:
        reader: the name of the reader, such as `arbin`.
        assumptions: what it took for granted or changed, one sentence each, for whoever judges the results: "current
            is positive while discharging in this file; its sign was turned".
        metadata: what the file itself states, as text, by keys such as channel, item, barcode, test_name, mass_g,
            nominal_capacity_ah, schedule, cycler and time_zone. It has no names of persons. `schedule` is the test
            protocol: the name of a schedule, procedure or settings file, without the folders that it lies in.
        integrated: those of `COUNTERS` that were computed from current and time, since the file has none.
    """

    reader: str = ""
    assumptions: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    integrated: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return bool(self.reader or self.assumptions or self.metadata or self.integrated)


NOTHING_SAID: Final = About()

SCHEDULE: Final = "schedule"
"""The key of the metadata that names the test protocol."""

_BEGINS_AS_PATH: Final = re.compile(r"[A-Za-z]:/|[A-Za-z][\w+.-]*:/|~?/")
_ENDS_AS_FILE: Final = re.compile(r"\.[A-Za-z]\w{1,4}$")


def protocol_name(text: str) -> str:
    r"""The name of a test protocol: of a path the file alone, since folders are often named after persons.

    A slash makes no path by itself, as protocols have names such as C/3.

    >>> protocol_name(r"C:\Users\A. Person\1C.mps"), protocol_name("/home/person/1C.mps"), protocol_name("charge C/3")
    ('1C.mps', '1C.mps', 'charge C/3')
    """
    text = text.strip().strip('"')
    if "\\" in text:
        return text.replace("/", "\\").rpartition("\\")[2]
    if _BEGINS_AS_PATH.match(text) or _ENDS_AS_FILE.search(text):
        return text.rpartition("/")[2]
    return text


@dataclass(frozen=True)
class TestAbout:
    """Of which test something is said, and what; as text it is JSON of at most `HEADER_BYTES`."""

    __test__ = False  # pytest must not take it for a test case

    test_id: str
    about: About

    def to_text(self) -> str:
        """Write it as JSON on one line.

        Each text becomes one line and is cut at `LINE_BYTES`. Should all of it be too long, the last values of the
        metadata are left out first, then the last assumptions; a last assumption says how many were.

        >>> TestAbout("2024-03-01T09:00:00", About("csv", ("no steps: told by current",))).to_text()
        '{"test_id":"2024-03-01T09:00:00","reader":"csv","assumptions":["no steps: told by current"]}'
        """
        lines, stated = _lines(self.about.assumptions), _stated(self.about.metadata)
        said = len(lines), len(stated)
        whole = _About(
            test_id=self.test_id,
            reader=_line(self.about.reader, _NAME_BYTES),
            assumptions=lines,
            metadata=stated,
            integrated=[name for name in COUNTERS if name in self.about.integrated],
        )
        text = _ENCODER.encode(whole)
        while len(text) > HEADER_BYTES and (stated or lines):
            if stated:
                stated.popitem()
            else:
                lines.pop()
            left_out = (
                f"more was said than a message can carry: {said[1] - len(stated)} values and {said[0] - len(lines)} "
                "lines are left out"
            )
            whole.assumptions, whole.metadata = [*lines, left_out], stated
            text = _ENCODER.encode(whole)
        return text.decode()

    @classmethod
    def from_text(cls, text: str | bytes | None) -> TestAbout | None:
        """Read what `to_text` or another sender wrote; None when it is no such JSON, or too long. It never raises.

        >>> TestAbout.from_text('{"test_id": "A", "metadata": {"mass_g": 4.5}}')
        TestAbout(test_id='A', about=About(reader='', assumptions=(), metadata={'mass_g': '4.5'}, integrated=()))
        >>> TestAbout.from_text('{"reader": "csv"}') is None
        True
        """
        if not text or len(text) > HEADER_BYTES:
            return None
        try:
            said = _DECODER.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        if not 0 < len(said.test_id.encode()) <= TEXT_BYTES:
            return None
        about = About(
            _line(said.reader, _NAME_BYTES),
            tuple(_lines(said.assumptions)),
            _stated(said.metadata),
            tuple(name for name in COUNTERS if name in said.integrated),
        )
        return cls(said.test_id, about) if about else None

    def to_row(self) -> dict[str, str | None]:
        """The columns of `ABOUT` that it fills."""
        return {
            "test_id": self.test_id,
            "reader": self.about.reader or None,
            "assumptions": "\n".join(self.about.assumptions) or None,
            "metadata": _SORTED.encode(dict(self.about.metadata)).decode() if self.about.metadata else None,
            "integrated": "\n".join(self.about.integrated) or None,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, str | None]) -> TestAbout:
        """Read what `to_row` wrote."""
        about = About(
            row["reader"] or "",
            tuple(filter(None, (row["assumptions"] or "").split("\n"))),
            _STATED.decode(row["metadata"]) if row["metadata"] else {},
            tuple(filter(None, (row["integrated"] or "").split("\n"))),
        )
        return cls(row["test_id"] or "", about)


class _About(msgspec.Struct, omit_defaults=True):
    """The JSON text; a number among the metadata is taken as the text that it is."""

    test_id: str
    reader: str = ""
    assumptions: list[str] = []
    metadata: Mapping[str, str | int | float] = {}
    integrated: list[str] = []


_ENCODER: Final = msgspec.json.Encoder()
_SORTED: Final = msgspec.json.Encoder(order="sorted")  # the same text in whichever order a sender gave the keys
_DECODER: Final = msgspec.json.Decoder(_About)
_STATED: Final = msgspec.json.Decoder(dict[str, str])


def _lines(texts: Iterable[str]) -> list[str]:
    """Texts as lines, without those that hold nothing."""
    return [line for line in (_line(text, LINE_BYTES) for text in texts) if line]


def _stated(metadata: Mapping[str, object]) -> dict[str, str]:
    """Metadata as lines, without values that hold nothing."""
    stated = {_line(key, _NAME_BYTES): _line(str(value), LINE_BYTES) for key, value in metadata.items()}
    if SCHEDULE in stated:
        stated[SCHEDULE] = protocol_name(stated[SCHEDULE])
    return {key: value for key, value in stated.items() if key and value}


def _line(text: str, most_bytes: int) -> str:
    """A text as one line of UTF-8, cut where it is longer than so many bytes."""
    whole = one_line(text.encode("utf-8", "replace").decode()).strip()
    content = whole.encode()
    if len(content) <= most_bytes:
        return whole
    return content[: most_bytes - len(_CUT.encode())].decode(errors="ignore") + _CUT
