"""What tests of replays share: tables that were damaged, what is in the store, and a step into a running replay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.warehouses import change

import dataflows.replay.replay
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from sink.manifest import landing_objects

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from support.pipeline import Pipeline

    from kernel.base.faults import Point

DAMAGE = 'update battery_ts_cleaned set "voltage(v)" = 1 where data_point = 3'
"""Gives a replay something to swap."""


def execute(pipeline: Pipeline, sql: str) -> None:
    """Change the live tables, also between two commits of a running worker."""
    with open_warehouse(pipeline.settings).connect("change the tables") as connection:
        connection.execute(sql)


def damage(pipeline: Pipeline) -> None:
    """Give a replay something to swap, in whichever kind of warehouse."""
    if pipeline.settings.warehouse_address.file is not None:
        execute(pipeline, DAMAGE)
    else:  # its rows are the objects
        change(pipeline.settings, "update internal._cycles set reading_count = reading_count + 1")


def object_keys(pipeline: Pipeline) -> list[str]:
    return sorted(found.key for found in landing_objects(open_store(pipeline.settings)))


def manifest_keys(pipeline: Pipeline) -> list[str]:
    return [key for (key,) in pipeline.query("select object_key from internal._commits order by all")]


def at_point(monkeypatch: pytest.MonkeyPatch, point: Point, action: Callable[[], object]) -> None:
    """Do something when a replay comes to a point for the first time."""
    done: list[Point] = []

    def passed(here: Point) -> None:
        if here is point and not done:
            done.append(here)
            action()

    monkeypatch.setattr(dataflows.replay.replay, "fault_point", passed)
    monkeypatch.setattr("dataflows.replay.swap.fault_point", passed)
