"""A dead letter: rows that were refused, where they stood, and what became of them since."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernel.contract.message import Place


class Fate(StrEnum):
    """What became of a quarantined row."""

    REFUSED = "refused"
    """Nobody has retried it."""
    RETRIED = "retried"
    """It was retried, and refused again."""
    LANDED = "landed"
    """A retry of it has landed."""


@dataclass(frozen=True)
class Refused:
    """A row of `battery_quarantine`: `row_count` rows from `place` on that were refused for one reason.

    `retries` are the places at which it came again.
    """

    place: Place
    row_count: int
    cell_id: str | None
    source_file: str | None
    reason: str
    detail: str
    payload: str | None
    fate: Fate
    retries: tuple[Place, ...]
