"""The dataflow, in the order data moves: topic → group cells → decode, clean and aggregate per cell → commit.

Start it as any Bytewax user does, `python -m bytewax.run dataflows.battery`, or with `battery stream`, which also
keeps a recovery store. Step ids must not change: Bytewax finds recovered state by them.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

import bytewax.operators as op
import structlog
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic

from dataflows.endpoint import serve, settle_bytewax_api
from dataflows.fold.state import CellState
from dataflows.fold.states import CellStates, GroupStates
from dataflows.forward import fold
from dataflows.health import Pulse
from dataflows.metrics import Metrics
from dataflows.position import OLDER_COPY, Landed
from dataflows.source import TopicSource
from dataflows.summary import TALLY
from kernel.base.errors import BatteryError, record_errors
from kernel.base.logs import configure_logging
from kernel.base.settings import Settings, load_settings
from kernel.base.stopping import STOP, stop_on_signals
from kernel.base.tuning import tune_process
from kernel.contract.batch import MOST_ROWS, decode_poll
from kernel.contract.poll import Poll
from kernel.contract.reading import instrument_range
from kernel.contract.results import Cleaned
from kernel.contract.weight import Limits
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from sink.care.overview import OverviewFile
from sink.commit import Landing
from sink.early import EarlyCommits
from sink.lanes import LandingSink
from sink.peers import Peers, await_peers, peers_of_this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kernel.contract.batch import Batch
    from sink.run import Standing

_log = structlog.get_logger()


class GroupLogic(StatefulBatchLogic[Poll, Cleaned[CellStates], tuple[str, str, int, int] | None]):
    """The fold of a group of cells.

    A cell's state is committed with the rows that it explains. It is loaded from the warehouse and not from Bytewax, so
    a lost or outdated recovery store cannot contradict it. What the store keeps of a group is how far it had come, so
    that a warehouse that is an older copy is noticed, even one that lacks the last commit of a single lane.

    Args:
        standing: what had landed when the run began.
        settings: of the pipeline.
        metrics: counts the rows.
        landed: the last message of the group that had landed when this run's first epoch began; None for none, and for
            that of a log that this run does not read.

    Raises:
        BatteryError: the recovery store is ahead of the warehouse, so reading on would lose readings.
    """

    def __init__(
        self, standing: Callable[[], Standing], settings: Settings, metrics: Metrics, landed: Landed | None = None
    ) -> None:
        if landed is not None:
            _require_landed(standing(), landed, settings)
        self._landed = landed
        self._has_results = False
        self._standing = standing
        self._metrics = metrics
        self._window_seconds = settings.window_seconds
        self._most_rows = min(settings.commit_max_rows, MOST_ROWS)
        self._limits = Limits.of(settings)
        self._ranges = instrument_range(settings.instrument_max_voltage_v, settings.instrument_max_current_a)
        self._cells = GroupStates()

    @record_errors
    def on_batch(self, values: list[Poll]) -> tuple[Iterable[Cleaned[CellStates]], bool]:
        """Decode and clean what polls brought for these cells."""
        return list(self._cleaned(values)), StatefulBatchLogic.RETAIN

    def _cleaned(self, polls: list[Poll]) -> Iterator[Cleaned[CellStates]]:
        saved = self._standing().states
        for batch in (part for poll in polls for part in decode_poll(poll, self._most_rows, self._limits)):
            unloaded = [cell_id for cell_id in batch.cell_ids if cell_id in saved and cell_id not in self._cells]
            if unloaded:
                states = {cell_id: CellState.from_json(saved[cell_id]) for cell_id in unloaded}
                self._cells.update(CellStates.of(states))
            for cleaned in fold(self._cells, batch, self._window_seconds, self._ranges):
                for cell_id in cleaned.spread:
                    _log.warning(
                        "a cell came over more than one partition: its readings have no order there, and a replay may "
                        "differ",
                        cell=cell_id,
                        partitions=sorted(cleaned.states[cell_id].offsets[batch.topic_id]),
                    )
                self._metrics.came_in(sum(span.rows for span in cleaned.spans))
                self._landed, self._has_results = _last_of(cleaned), True
                yield cleaned
            if not self._has_results:  # what had landed before this run did so before any result of it
                self._landed = _last_read(batch)

    def snapshot(self) -> tuple[str, str, int, int] | None:
        """The last message so far, as plain values: it lands before the epoch closes. The warehouse has the states."""
        return None if self._landed is None else (*self._landed,)


def _last_of(cleaned: Cleaned[CellStates]) -> Landed:
    """A message that a result covers: all of a result lands at once."""
    cell_id, topic_id, partition, last = (
        cleaned.progress[name][-1].as_py() for name in ("cell_id", "topic_id", "partition", "last")
    )
    return Landed(cell_id, topic_id, partition, last)


def _last_read(batch: Batch) -> Landed:
    last = int(batch.offset.argmax())
    cell_id = batch.cell_ids[batch.cell[last]]
    return Landed(cell_id, batch.topic_id, int(batch.partition[last]), int(batch.offset[last]))


def _require_landed(standing: Standing, landed: Landed, settings: Settings) -> None:
    """Refuse to read on after a message that the warehouse does not hold.

    Raises:
        BatteryError: it does not.
    """
    state = standing.states.get(landed.cell_id)
    offsets = {} if state is None else CellState.from_json(state).offsets
    offset = offsets.get(landed.topic_id, {}).get(landed.partition, -1)
    if offset < landed.offset:
        raise BatteryError(
            f"topic {settings.battery_topic}, partition {landed.partition}: RECOVERY_DIR={settings.recovery_dir} "
            f"continues after offset {landed.offset} of cell {landed.cell_id!r}, but WAREHOUSE={settings.warehouse} "
            f"holds nothing of that cell after offset {offset}; {OLDER_COPY}"
        )


def build_flow(settings: Settings, stopping: Callable[[], bool], peers: Peers | None = None) -> Dataflow:
    """Join source, logic and sink; nothing is connected before Bytewax builds the parts.

    Args:
        settings: of the pipeline.
        stopping: whether this process was asked to stop.
        peers: the processes of the cluster, which are waited for from now on; None for a single process.
    """
    connected = None if peers is None else await_peers(peers).set
    taking_over = threading.Lock()
    pulse = Pulse(settings)
    metrics = Metrics(settings, pulse)

    @cache
    def begun() -> tuple[Landing, Standing]:
        serve(settings, metrics)  # once a process, when the flow runs, and before it waits for its warehouse
        landing = Landing(
            open_store(settings),
            open_warehouse(settings, sparing=True),
            settings.window_seconds,
            run_id=settings.run_id,
            peers=peers,
            on_commit=TALLY.landed,
            overview=OverviewFile.of(settings.warehouse_address),
        )
        return landing, landing.begin()

    def begin() -> tuple[Landing, Standing]:
        with taking_over:  # the threads of one process (`-w`) are one run
            return begun()

    source = TopicSource(settings, lambda: begin()[1].committed, stopping, pulse, metrics, TALLY, connected)
    sink = LandingSink(
        lambda: (begin()[0], begin()[1].next_seq),
        settings.lanes,
        settings.commit_max_rows,
        source.is_near,
        metrics.committed,
        EarlyCommits(settings.commit_interval_seconds, source.quiet_seconds),
    )

    @record_errors
    def new_group(kept: tuple[str, str, int, int] | None) -> GroupLogic:
        landed = None if kept is None else Landed(*kept)
        if landed is not None and landed.topic_id != source.topic_id:
            landed = None
        return GroupLogic(lambda: begin()[1], settings, metrics, landed)

    flow = Dataflow("battery")
    polls = op.input("topic", flow, source)
    grouped = op.flat_map("group", polls, lambda poll: poll.by_group(settings.groups))
    cleaned = op.stateful_batch("clean", grouped, new_group)
    by_lane = op.map("lane", cleaned, lambda keyed: (sink.lane_of(keyed[0]), keyed[1]))
    op.output("land", by_lane, sink)
    return flow


_settings = load_settings()
configure_logging(_settings.log_format)
stop_on_signals()
tune_process()
settle_bytewax_api(_settings)
flow = build_flow(_settings, STOP.is_set, peers_of_this_process(_settings))
