"""The dataflow, in the order data moves: topic → decode → clean and aggregate per cell → commit.

Start it as any Bytewax user does, `python -m bytewax.run dataflows.battery`, or with `battery stream`, which also
keeps a recovery store. Step ids are schema: Bytewax finds recovered state by them.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

import bytewax.operators as op
import structlog
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic

from battery.cleaned import Cleaned
from battery.errors import with_last_words
from battery.logs import configure_logging
from battery.message import Delivery, by_cell, decode
from battery.objects import open_store
from battery.pulse import Pulse
from battery.settings import Settings, load_settings
from battery.stopping import STOP, stop_on_signals
from dataflows.clean import clean
from dataflows.source import TopicSource
from dataflows.state import CellState
from sink.commit import Landing, Standing
from sink.lanes import LandingSink
from sink.warehouse import open_warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from battery.partition import Message

_log = structlog.get_logger()


class CellLogic(StatefulBatchLogic[list[Delivery], Cleaned[CellState], None]):
    """The fold of one cell.

    Its state is committed with the rows that it explains, so it is taken up from there and not from Bytewax: one
    truth, which a lost or outdated recovery store cannot contradict.
    """

    def __init__(self, standing: Callable[[], Standing], window_seconds: int) -> None:
        self._standing = standing
        self._window_seconds = window_seconds
        self._state: CellState | None = None

    @with_last_words
    def on_batch(self, values: list[list[Delivery]]) -> tuple[Iterable[Cleaned[CellState]], bool]:
        """Clean what polls brought for this cell."""
        deliveries = [delivery for value in values for delivery in value]
        if self._state is None:
            saved = self._standing().states.get(deliveries[0].cell_id)
            self._state = CellState.from_json(saved) if saved else CellState()
        cleaned = clean(self._state, deliveries, self._window_seconds)
        if cleaned is None:
            return [], StatefulBatchLogic.RETAIN
        topic_id = cleaned.spans[0].topic_id
        known, seen = self._state.offsets.get(topic_id, {}), cleaned.state.offsets[topic_id]
        if cleaned.cell_id and len(seen) > max(len(known), 1):
            _log.warning(
                "a cell came over more than one partition: its readings have no order there, and a replay may differ",
                cell=cleaned.cell_id,
                partitions=sorted(seen),
            )
        self._state = cleaned.state
        return [cleaned], StatefulBatchLogic.RETAIN

    def snapshot(self) -> None:
        """Nothing: see the class."""


@with_last_words
def decoded_by_cell(poll: list[Message]) -> Iterable[tuple[str, list[Delivery]]]:
    """Decode the messages of a poll and gather them by cell, in log order."""
    return by_cell(map(decode, poll))


def build_flow(settings: Settings, stopping: Callable[[], bool]) -> Dataflow:
    """Join source, logic and sink; nothing is connected before Bytewax builds the parts."""
    taking_over = threading.Lock()

    @cache
    def begun() -> tuple[Landing, Standing]:
        landing = Landing(
            open_store(settings), open_warehouse(settings), settings.window_seconds, run_id=settings.run_id
        )
        return landing, landing.begin()

    def begin() -> tuple[Landing, Standing]:
        with taking_over:  # the threads of one process (`-w`) are one run
            return begun()

    source = TopicSource(settings, lambda: begin()[1].committed, stopping)
    sink = LandingSink(
        lambda: (begin()[0], begin()[1].next_seq), settings.lanes, settings.commit_max_rows, Pulse(settings)
    )

    flow = Dataflow("battery")
    polls = op.input("topic", flow, source)
    deliveries = op.flat_map("decode", polls, decoded_by_cell)
    cleaned = op.stateful_batch("clean", deliveries, lambda _: CellLogic(lambda: begin()[1], settings.window_seconds))
    op.output("land", cleaned, sink)
    return flow


_settings = load_settings()
configure_logging(_settings.log_format)
stop_on_signals()
flow = build_flow(_settings, STOP.is_set)
