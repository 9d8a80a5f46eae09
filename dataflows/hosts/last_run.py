"""Which run has begun last, as the warehouse has it: it judges where hosts do not hear each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from kernel.base.errors import BatteryError
from sink.layout import find_tables
from sink.writers import Writer

if TYPE_CHECKING:
    from kernel.edges.warehouse import Warehouse


def last_run(warehouse: Warehouse) -> str | None:
    """The id of the run of the worker that has begun last; None where none has, or it has no id.

    Raises:
        BatteryError: the warehouse cannot be read.
    """
    try:
        with warehouse.connect("see which run has begun last", read_only=True) as connection:
            if "_writers" not in find_tables(connection):
                return None
            row = connection.execute(
                "select run_id from internal._writers where kind = ? order by epoch desc limit 1", [Writer.WORKER]
            ).fetchone()
    except duckdb.Error as error:
        raise BatteryError(f"cannot read the WAREHOUSE: {str(error).splitlines()[0]}") from error
    return None if row is None else row[0]
