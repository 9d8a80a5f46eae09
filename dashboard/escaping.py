"""Text that came from outside, such as a cell's id or an error with a file's name, in places that would act on it.

Pages read Markdown, Plotly reads some HTML and templates, and a spreadsheet computes what begins like a formula.
Terminals have their own (`kernel/base/plain.py`), HTML pages escape by their templates.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from kernel.base.plain import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CODE: Final = re.compile(r"(`[^`]*`)")
_MARK: Final = re.compile(r"([\\\[\]<*~$&]|:(?=[\w/+-]+:)|(?<!\w)_|_(?!\w))")
"""What Markdown acts on in the middle of a line: links, images, HTML, emphasis, formulas, and Streamlit's icons."""

FORMULA: Final = "^[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""How a cell of a spreadsheet begins that is computed when a CSV file is opened (OWASP, CSV injection)."""

NUMBER: Final = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
"""What begins so and is a number, which is left as it is."""


def literal(text: str) -> str:
    """A text as Markdown that shows it letter by letter; what stands between backticks stays code, which is no more."""
    parts = _CODE.split(plain(text))
    return "".join(part if _CODE.fullmatch(part) else _MARK.sub(r"\\\1", part) for part in parts)


def in_figure(text: str) -> str:
    """A text as a name, label or template of a figure shows it."""
    return html.escape(plain(text), quote=False).replace("{", "&#123;")


def spreadsheet_safe(table: pa.Table | Sequence[Mapping[str, object]]) -> pa.Table:
    """A table whose texts are all texts to a spreadsheet, too: what would be computed begins with an apostrophe."""
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
