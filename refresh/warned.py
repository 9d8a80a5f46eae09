"""What the tests of the models warn of, in one line: which test, of which column, and the rows of which cells.

A test of the severity `warn` stops nothing; dbt prints it among a hundred lines. Its failing rows are asked for once
more, by the query that dbt reports, for the cells that they are of.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import duckdb
import structlog

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from kernel.edges.warehouse import Warehouse

_log = structlog.get_logger()

NAMED_TESTS: Final = 5
NAMED_CELLS: Final = 3


@dataclass(frozen=True)
class TestWarning:
    """A test that warned: its name for a person, the `rows` that it found, and the query that finds them."""

    __test__ = False  # it is none of pytest's

    test: str
    rows: int
    query: str


def warnings_in(results: Path, manifest: Path) -> tuple[TestWarning, ...]:
    """The tests that warned in a run of dbt, by the results and the manifest that it has left; none where it left none.

    Args:
        results: dbt's `run_results.json`.
        manifest: dbt's `manifest.json`, which has the model and column of each test.
    """
    if not results.is_file() or not manifest.is_file():
        return ()
    warned = [
        result
        for result in json.loads(results.read_text())["results"]
        if result["status"] == "warn" and result["unique_id"].startswith("test.")
    ]
    nodes = json.loads(manifest.read_text())["nodes"] if warned else {}
    return tuple(
        TestWarning(
            _name(nodes.get(result["unique_id"], {}), result["unique_id"]),
            int(result.get("failures") or 0),
            result.get("compiled_code") or "",
        )
        for result in warned
    )


def _name(node: Mapping[str, Any], unique_id: str) -> str:
    """A test's name with the column that it is of: `accepted_range of battery_cycles.soh`."""
    told, column = node.get("test_metadata"), node.get("column_name")
    if not told:
        return str(node.get("name") or unique_id.split(".")[2])
    model = str(node.get("attached_node") or "").rpartition(".")[2]
    return f"{told['name']} of {model}.{column}" if column else f"{told['name']} of {model}"


def in_words(warehouse: Warehouse, warnings: Sequence[TestWarning]) -> str:
    """One line for a person, such as `1 warning: accepted_range of battery_cycles.soh: 2 rows of CS2_35`.

    Where the rows cannot be asked for, or have no cell, the line says only how many there are.
    """
    shown = []
    try:
        with warehouse.connect("tell the cells of warnings", read_only=True) as connection:
            shown = [_in_words(connection, warning) for warning in warnings[:NAMED_TESTS]]
    except BatteryError as error:
        _log.debug("cannot tell the cells of warnings", error=str(error))
        shown = [f"{warning.test}: {_counted(warning.rows, 'row')}" for warning in warnings[:NAMED_TESTS]]
    more = len(warnings) - NAMED_TESTS
    return f"{_counted(len(warnings), 'warning')}: {'; '.join(shown)}" + (f"; and {more} more" if more > 0 else "")


def _in_words(connection: duckdb.DuckDBPyConnection, warning: TestWarning) -> str:
    line = f"{warning.test}: {_counted(warning.rows, 'row')}"
    try:
        cells = connection.execute(
            f"select cell_id, count(*) from ({warning.query}) group by cell_id order by count(*) desc, cell_id"  # noqa: S608
        ).fetchall()
    except duckdb.Error as error:  # a test whose rows name no cell
        _log.debug("cannot tell the cells of a warning", test=warning.test, error=str(error))
        return line
    if len(cells) == 1:
        return f"{line} of {cells[0][0]}"
    more = [f"{len(cells) - NAMED_CELLS} more cells"] if len(cells) > NAMED_CELLS else []
    return f"{line} of {', '.join([*(f'{cell} ({count})' for cell, count in cells[:NAMED_CELLS]), *more])}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
