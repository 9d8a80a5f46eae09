"""Tables that hold several cells, channels or tests: one table for each, and the cell that each is of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producer.readers.base import BadWorkbookError
from producer.readers.names import cell_id_of
from producer.readers.sheets.channels import cell_of_channel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from producer.readers.base import ReadOptions
    from producer.readers.tables.table import Table
    from producer.readers.tables.titles import Column

LABELS: Final = ("cell", "channel", "test")
"""Quantities that say which part a row belongs to."""


@dataclass(frozen=True)
class Part:
    """The rows of one cell, channel and test, in the order of the file; a label is empty where no column tells it."""

    table: Table
    cell: str = ""
    channel: str = ""
    test: str = ""


def split(table: Table, found: Mapping[str, Column]) -> list[Part]:
    """Take a table apart by its columns of `LABELS`, in the order in which they first appear.

    Raises:
        BadWorkbookError: a row does not say which cell it is of.
    """
    labels = [quantity for quantity in LABELS if quantity in found]
    if not labels:
        return [Part(table)]
    code = np.zeros(len(table), np.int64)
    texts: dict[str, pa.Array] = {}
    for quantity in labels:
        title = found[quantity].title
        texts[quantity] = table.texts(title)
        if quantity == "cell":
            empty = pc.equal(texts[quantity], "")
            if pc.any(empty).as_py():
                at = int(pc.index(empty, value=True).as_py())
                raise table.error(title, "the cell is empty; every reading needs this value", at)
        encoded = texts[quantity].dictionary_encode()
        code = code * len(encoded.dictionary) + encoded.indices.to_numpy(zero_copy_only=False)
    _, first, number = np.unique(code, return_index=True, return_inverse=True)
    by_part = np.split(np.argsort(number, kind="stable"), np.cumsum(np.bincount(number))[:-1])
    return [
        Part(
            rows_of(table, by_part[part]),
            **{quantity: texts[quantity][int(first[part])].as_py() for quantity in labels},
        )
        for part in np.argsort(first)
    ]


def rows_of(table: Table, at: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Table:
    """The rows of some indices, in their order, each with its place in the file."""
    if (np.diff(at) == 1).all():
        columns = {title: column.slice(int(at[0]), len(at)) for title, column in table.columns.items()}
    else:
        taken = pa.array(at)
        columns = {title: column.take(taken) for title, column in table.columns.items()}
    rows = table.first_row + at if table.rows is None else np.asarray(table.rows)[at]
    return replace(table, columns=columns, rows=rows)


def cells_of(parts: Sequence[Part], options: ReadOptions) -> list[str]:
    """The cell of each part: what the user names, or else its column of cells, or else the file with the channel.

    A cell that the user names for a file of several is the beginning of their ids, as with channels of a workbook.

    Raises:
        BadWorkbookError: none of the channels or cells that the user names is there.
    """
    whole, named = options.cell_id or cell_id_of(options.name), options.channel_cells
    told = [part.cell or part.channel for part in parts]
    several = len(set(told)) > 1
    cells = []
    for part, label in zip(parts, told, strict=True):
        if part.cell and options.cell_id is None:
            cells.append(cell_of_channel(label, label, named, several=False))
        else:
            cells.append(cell_of_channel(label, whole, named, several=several) if label else whole)
    if named and options.cell_id is None and not set(cells) & set(named.values()):
        wanted, present = " or ".join(named), ", ".join(dict.fromkeys(one for one in told if one)) or "none"
        raise BadWorkbookError(
            options.name,
            f"has no channel {wanted}, which --cell names, only {present}; name one of these, or the cell alone",
        )
    return cells


def without_empty(table: Table, found: Mapping[str, Column], *, needed: Sequence[str]) -> dict[str, Column]:
    """The columns that have a value at all, and those that are needed."""

    def has_value(column: pa.ChunkedArray) -> bool:
        if column.null_count == len(column):
            return False
        return not pa.types.is_string(column.type) or bool(
            pc.any(pc.not_equal(pc.utf8_trim_whitespace(column), "")).as_py()
        )

    return {
        quantity: column
        for quantity, column in found.items()
        if quantity in needed or has_value(table.columns[column.title])
    }
