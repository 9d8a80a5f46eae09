"""Text from outside, made safe for a terminal: no escape sequence, no line break, no mark that reverses the text.

File names, cell ids, payloads, sheet names, headers and what servers answer are all text that anybody may have written.
`kernel/base/output.py` and `kernel/base/logs.py` pass what people read through `plain`; JSON escapes by itself.
"""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Final

_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of controls, of invisible marks such as those of direction, of surrogates, of line ends."""

_COLOUR: Final = re.compile(r"(\x1b\[[0-9;]*m)")

_ORDINARY: Final = re.compile(r"[ -~]*")


def plain(text: str) -> str:
    r"""A text as one line of printable characters; the others are written as `\x1b`, `\n` or `\u202e`."""
    if _ORDINARY.fullmatch(text):
        return text
    return "".join(_escaped(letter) if unicodedata.category(letter) in _UNSAFE else letter for letter in text)


def plain_coloured(text: str) -> str:
    """As `plain`, for the output of another program: its colours stay, since they do no harm."""
    return "".join(part if _COLOUR.fullmatch(part) else plain(part) for part in _COLOUR.split(text))


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode()


def one_line(name: str) -> str:
    """A name or path as one line of UTF-8 text: some are in other encodings, some hold line breaks."""
    whole = os.fsencode(name).decode("utf-8", "replace")
    return "".join("\N{REPLACEMENT CHARACTER}" if _breaks_lines(letter) else letter for letter in whole)


def _breaks_lines(letter: str) -> bool:
    return unicodedata.category(letter) in {"Cc", "Zl", "Zp"}
