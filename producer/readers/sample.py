"""The first and last bytes of a file, by which its format is recognised before anything reads it.

It imports nothing but the standard library: the child that unpacks ZIPs needs it, and no Arrow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pathlib import Path

HEAD_BYTES: Final = 16 * 1024
TAIL_BYTES: Final = 64 * 1024
"""How much of a file a reader is shown before it is chosen: the first lines, and where a ZIP lists its members."""

_CHINESE: Final = tuple(word.encode("gb18030") for word in ("电压", "电流"))
"""The words for voltage and current in the encoding of Chinese software, which no other text has: `µçÑ¹` in Latin-1."""

_NUMBER: Final = re.compile(r"\s*\"?[-+]?\d[\d.,:eE+-]*\"?\s*")


def is_gb18030(content: bytes) -> bool:
    """Whether a text that begins so is in the encoding of Chinese software, which is no valid UTF-8.

    >>> is_gb18030("电流(mA),电压(V)".encode("gb18030")), is_gb18030("Größe (°C)".encode("latin-1"))
    (True, False)
    """
    return any(word in content[:HEAD_BYTES] for word in _CHINESE)


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


@dataclass(frozen=True)
class FileSample:
    """What a reader sees of a file before it is chosen.

    `suffix` is the ending of the file's name in lower case, with its dot; `head` are the first `HEAD_BYTES` bytes, or
    all, and `tail` the last `TAIL_BYTES` bytes, or none where they are not at hand.
    """

    suffix: str
    head: bytes
    tail: bytes = b""

    @classmethod
    def of(cls, path: Path) -> Self:
        """The sample of a file.

        Raises:
            OSError: the file cannot be read.
        """
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            return cls(path.suffix.lower(), head, file.read(TAIL_BYTES))

    @property
    def may_be_table(self) -> bool:
        """Whether a file is no text, or one with a line of cells of which two or more are numbers, as no letter has."""
        text = self.text
        if text is None:
            return True
        for line in text.split("\n"):
            for delimiter in ("\t", ";", ","):
                cells = line.split(delimiter)
                if len(cells) > 2 and sum(map(_is_number, cells)) > 1:  # noqa: PLR2004  # a time, a current, a voltage
                    return True
        return False

    @property
    def text(self) -> str | None:
        """The first lines of a text in any common encoding, ended by line feeds; None if the bytes are no text."""
        if self.head.startswith((b"\xff\xfe", b"\xfe\xff")):
            text = self.head.decode("utf-16", "replace")
        elif b"\x00" in self.head:
            return None
        else:
            text = self.head.decode("gb18030" if is_gb18030(self.head) else "utf-8-sig", "replace")
        controls = sum(letter < " " and letter not in "\t\r\n\f\v\x1a" for letter in text)
        return text.replace("\r\n", "\n").replace("\r", "\n") if controls * 100 <= len(text) else None
