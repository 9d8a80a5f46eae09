"""One worker without its broker and Bytewax: fold and lane, as `dataflows.battery` joins them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dataflows.fold.state import CellState
from dataflows.fold.states import CellStates, GroupStates
from dataflows.forward import fold
from kernel.base.settings import Settings
from kernel.contract.batch import MOST_ROWS, decode_poll
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from sink.commit import Landing
from sink.lanes import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kernel.contract.poll import Poll
    from kernel.contract.results import Cleaned

COMMIT_MAX_ROWS: Final = Settings.model_fields["commit_max_rows"].default


def settings_of(folder: Path, **given: str) -> Settings:
    """The settings of a pipeline in a folder."""
    here = {"warehouse": str(folder / "battery.duckdb"), "object_store": f"file://{folder / 'objects'}"}
    return Settings(**(here | given))  # type: ignore[arg-type]


class Worker:
    """The fold of all cells, and the lane that lands what it gives.

    Args:
        settings: of the pipeline.
    """

    def __init__(self, settings: Settings) -> None:
        self._window_seconds = settings.window_seconds
        landing = Landing(open_store(settings), open_warehouse(settings, sparing=True), self._window_seconds)
        self._standing = landing.begin()
        self._lane = Lane(landing, 0, self._standing.next_seq.get(0, 1), COMMIT_MAX_ROWS)
        self._cells = GroupStates()
        self.rows = 0

    def take(self, polls: list[Poll]) -> None:
        """Fold polls, and gather what they give."""
        for cleaned in self._cleaned(polls):
            self.rows += cleaned.landed.num_rows
            self._lane.write_batch([cleaned])

    def close_epoch(self) -> None:
        """Commit the rest, and wait until all has landed."""
        self._lane.snapshot()

    def close(self) -> None:
        """End the lane."""
        self._lane.close()

    def _cleaned(self, polls: list[Poll]) -> Iterator[Cleaned[CellStates]]:
        saved = self._standing.states
        for piece in (piece for poll in polls for piece in poll.pieces(MOST_ROWS)):
            for batch in decode_poll(piece, MOST_ROWS):
                unloaded = [cell_id for cell_id in batch.cell_ids if cell_id in saved and cell_id not in self._cells]
                if unloaded:
                    self._cells.update(
                        CellStates.of({cell_id: CellState.from_json(saved[cell_id]) for cell_id in unloaded})
                    )
                yield from fold(self._cells, batch, self._window_seconds)
