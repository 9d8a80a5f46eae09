"""What a replay reports: how it ended, what it has read, and how the live tables differ from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sink.care.compare import Comparison


class Outcome(StrEnum):
    """How a replay ended."""

    IDENTICAL = "identical"
    DIFFERENT = "different"
    SWAPPED = "swapped"


@dataclass(frozen=True)
class Report:
    """What a replay has read, and how the live tables differ from it.

    `messages` and `rows` count what was replayed. `ahead` counts the cells of which the replay holds messages that had
    not landed yet. `damaged` says which objects are not what was committed.
    """

    outcome: Outcome
    messages: int
    rows: int
    ahead: int
    comparison: Comparison
    damaged: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """The report for a person."""
        yield f"replayed {self.rows} rows in {self.messages} messages"
        if self.ahead:
            yield f"of {self.ahead} cells it has messages that had not landed yet: a worker ended within an epoch"
        for table in self.comparison.tables:
            yield f"{table.table} differs: {table.live_rows} rows live, {table.replayed_rows} replayed"
            if table.only_live or table.only_replayed:
                yield f"  rows: {table.only_live} only live, {table.only_replayed} only replayed"
            for name, count in table.columns.items():
                yield f"  {name}: {count} rows differ"
        for reason, (live, replayed) in self.comparison.reasons.items():
            yield f"quarantined as {reason}: {live} rows live, {replayed} replayed"
        if self.comparison.spans:
            yield "_commits differs: it accounts for other messages or rows"
        for wrong in self.damaged:
            yield f"object {wrong}"
        if self.outcome is Outcome.IDENTICAL:
            yield "identical: the live tables are what the messages say; nothing was changed"
        elif self.outcome is Outcome.DIFFERENT:
            yield "different: nothing was changed, for this was a dry run"
        else:
            yield "swapped: the replayed tables are live now; `battery transform` brings the models up to date"
