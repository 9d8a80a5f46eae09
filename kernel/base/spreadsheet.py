"""Texts that a spreadsheet would compute when it opens a CSV file: they are guarded by an apostrophe.

What decides stands here once, as regular expressions that Python and Arrow alike understand.
"""

from __future__ import annotations

import re
from typing import Final

FORMULA: Final = "^[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""The start of a field that a spreadsheet computes when it opens a CSV file (OWASP, CSV injection)."""

NUMBER: Final = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
"""A number may begin in that way too; it is left as it is."""

_FORMULA: Final = re.compile(FORMULA)
_NUMBER: Final = re.compile(NUMBER)


def guarded(text: str) -> str:
    """A text that no spreadsheet computes; `unguarded` gives the text again, whatever it is.

    >>> guarded("=1+1"), guarded("-5"), guarded("plain"), guarded("'=1+1")
    ("'=1+1", '-5', 'plain', "''=1+1")
    """
    return f"'{text}" if _is_computed(text.lstrip("'")) else text


def unguarded(text: str) -> str:
    """The text that was guarded.

    >>> [unguarded(guarded(text)) for text in ("=1+1", "-5", "plain", "'=1+1", "'quoted'")]
    ['=1+1', '-5', 'plain', "'=1+1", "'quoted'"]
    """
    return text[1:] if text.startswith("'") and _is_computed(text.lstrip("'")) else text


def _is_computed(text: str) -> bool:
    return _FORMULA.match(text) is not None and _NUMBER.match(text) is None
