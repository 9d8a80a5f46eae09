"""Escaping of text from outside, such as the id of a cell or an error with the name of a file.

Pages render Markdown, Plotly renders some HTML and templates, and a spreadsheet computes fields that begin like a
formula. `kernel/base/plain.py` escapes for terminals; the templates of HTML pages escape by themselves.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from kernel.base.plain import plain
from kernel.base.spreadsheet import FORMULA, NUMBER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CODE: Final = re.compile(r"(`[^`]*`)")
_MARK: Final = re.compile(r"([\\\[\]<*~$&]|:(?=[A-Za-z]|[\w/+-]+:)|(?<!\w)_|_(?!\w))")
"""What Markdown acts on in the middle of a line: links, images, HTML, emphasis, formulas, and Streamlit's icons
and directives, such as `:red[text]`."""


def literal(text: str) -> str:
    """A text as Markdown that shows it literally; text between backticks stays code, which is shown literally too."""
    parts = _CODE.split(plain(text))
    return "".join(part if _CODE.fullmatch(part) else _MARK.sub(r"\\\1", part) for part in parts)


def in_figure(text: str) -> str:
    """A text escaped for a name, label or template of a figure."""
    return html.escape(plain(text), quote=False).replace("{", "&#123;")


def spreadsheet_safe(table: pa.Table | Sequence[Mapping[str, object]]) -> pa.Table:
    """A table whose texts no spreadsheet computes: those that begin like a formula get an apostrophe in front."""
    safe = table if isinstance(table, pa.Table) else pa.Table.from_pylist([dict(row) for row in table])
    for place, field in enumerate(safe.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            texts = safe[field.name].cast(kind)
            safe = safe.set_column(place, field.name, _prefixed(texts, kind))
    return safe


def _prefixed(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    computed = pc.and_(pc.match_substring_regex(texts, FORMULA), pc.invert(pc.match_substring_regex(texts, NUMBER)))
    empty = pa.scalar("", kind)
    return pc.if_else(computed, pc.binary_join_element_wise(pa.scalar("'", kind), texts, empty), texts)
