"""A cluster over hosts that is struck, and what its tables must be all the same."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest
from support.harness import read_undisturbed, require_sound, send, traffic
from support.warehouses import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from support.namespaces import Cluster, Host
    from support.pipeline import Pipeline

BOTH = "hosts=[0, 1]"
LOST = "a host of the cluster is lost"
ALONE = "waiting for hosts of the cluster"
QUICK = {
    "BATTERY_TOPIC_PARTITIONS": "4",
    "CLUSTER_SILENCE_SECONDS": "5",
    "CLUSTER_ABSENCE_SECONDS": "600",
}
"""A host is missed soon, and the others do not go on without it unless a test says so."""

judged_by_postgres = pytest.mark.parametrize(
    "kind", [Kind.POSTGRES, pytest.param(Kind.DUCKDB, marks=pytest.mark.nightly)]
)
"""By day on PostgreSQL, where hosts are apart; a DuckDB file is for hosts that share a disk."""

FIRST_ROUNDS = range(6)
"""The rounds of traffic that fill every landing table."""


def stop(*hosts: Host) -> None:
    """Ask hosts to end, and wait until they have ended well."""
    for host in hosts:
        host.stop()
    for host in hosts:
        host.finish()


def require_tables_of_one_worker(pipeline: Pipeline, folder: Path, messages: int) -> None:
    """Let what is left of the log be read, and compare with a single worker that nothing has struck."""
    pipeline.battery("stream", "--until-end")
    broker = {"KAFKA_BOOTSTRAP_SERVERS": pipeline.settings.kafka_bootstrap_servers}
    undisturbed = read_undisturbed(
        folder / "undisturbed", pipeline.port, pipeline.topic, messages, **broker, **QUICK
    )  # on a DuckDB file
    require_sound(pipeline, undisturbed.tables)


def lose_hosts_at_random(cluster: Cluster, pipeline: Pipeline, losses: int) -> int:
    """Let one of two hosts lose its power again and again, at random instants; how many messages have been sent."""
    chance = random.Random(losses)  # noqa: S311  # repeatable on purpose
    cluster.environment["COMMIT_MAX_ROWS"] = "1"  # each result is committed by itself: a run has much to do
    messages = send(pipeline.settings, traffic(FIRST_ROUNDS))
    for index in range(2):
        cluster.start(index)
    for loss in range(losses):
        for host in cluster.hosts:
            host.wait_for("started a cluster")
        struck = cluster.hosts[chance.randrange(2)]
        if loss % 3:  # otherwise while it starts
            struck.wait_for("reading")
        time.sleep(chance.uniform(0.0, 1.5))  # anywhere in what it does next
        struck.lose_power()
        cluster.hosts[1 - struck.index].wait_for(LOST, ALONE)
        later = FIRST_ROUNDS.stop + loss
        messages += send(pipeline.settings, traffic(range(later, later + 1)))
        struck.return_power()
        cluster.start(struck.index)
    for host in cluster.hosts:
        host.wait_for("reading")
    stop(*cluster.hosts)
    return messages
