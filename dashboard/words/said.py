"""What readers said of a cell's tests, for the page and the report: what was assumed, and what the files state."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dashboard.words.codes import stated_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa


def assumed_rows(tests: pa.Table) -> list[dict[str, str]]:
    """Each assumption once, with the tests that it is about, in the order of the tests.

    Marts that an earlier version has published have none.

    Args:
        tests: rows of `battery_tests` of one cell, in their order.
    """
    if "assumptions" not in tests.column_names:
        return []
    about: dict[str, list[str]] = {}
    for test_id, assumptions in zip(tests["test_id"].to_pylist(), tests["assumptions"].to_pylist(), strict=True):
        for line in (assumptions or "").split("\n"):
            if line:
                about.setdefault(line, []).append(test_id)
    every = f"all {tests.num_rows}" if tests.num_rows > 1 else "the only one"
    return [
        {"assumed": line, "of tests": every if len(ids) == tests.num_rows else ", ".join(ids)}
        for line, ids in about.items()
    ]


def stated_rows(cell: Mapping[str, Any]) -> list[dict[str, str]]:
    """What the files of a cell state of it, a row a key; none where they state nothing.

    Args:
        cell: the cell's row of `battery_cells`.
    """
    stated: dict[str, object] = json.loads(cell.get("stated") or "{}")
    return [{"stated": stated_words(key), "value": str(value)} for key, value in stated.items()]
