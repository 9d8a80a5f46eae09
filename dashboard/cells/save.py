"""Saving what a visitor has changed: whole or not at all, and never over what another has changed meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dashboard.cells.look import look_at_cells
from kernel.base.errors import BatteryError
from kernel.edges.warehouse import open_warehouse
from sink.cells.change import OvertakenError, change_cells

if TYPE_CHECKING:
    from dashboard.cells.table import Change, Told
    from kernel.base.settings import Settings

MOST_SECONDS: Final = 30.0
"""How long a visitor waits for a warehouse that another process has, s."""


@dataclass(frozen=True)
class Saved:
    """What became of a save: whether it was made, what others changed meanwhile, or why it was not made."""

    is_made: bool
    is_overtaken: bool = False
    why_not: str = ""


def save(settings: Settings, changes: Change, read: Told) -> Saved:
    """Change what is told of cells.

    Args:
        settings: where broker and warehouse are.
        changes: by cell and column.
        read: what was told when the visitor read it.
    """
    wait = min(settings.warehouse_lock_timeout_seconds, MOST_SECONDS)
    patient = settings.model_copy(update={"warehouse_lock_timeout_seconds": wait})
    try:
        change_cells(patient, open_warehouse(patient), changes, read=read)
    except OvertakenError:
        return Saved(is_made=False, is_overtaken=True)
    except BatteryError as error:
        return Saved(is_made=_has(settings, changes), why_not=str(error))
    return Saved(is_made=True)


def _has(settings: Settings, changes: Change) -> bool:
    """Whether all of it is told in spite of an error: the broker may have it, and the warehouse be held until later."""
    try:
        told = look_at_cells(settings).told
    except BatteryError:
        return False
    return all(
        told.get(cell, {}).get(name) == value for cell, change in changes.items() for name, value in change.items()
    )
