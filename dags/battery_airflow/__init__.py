"""What the DAGs of the pipeline share: the operator that runs its command, and the alerts."""

from __future__ import annotations

from typing import Final

WAREHOUSE_POOL: Final = "battery_warehouse"
"""The pool of one slot whose tasks use the warehouse: one at a time, over all DAGs."""
