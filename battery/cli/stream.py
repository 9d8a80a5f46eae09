"""The command that runs the worker, in one process, in several, or on several hosts."""

from __future__ import annotations

import os

import click

from kernel.base.output import say
from kernel.base.startup import start


@click.command()
@click.option("--until-end", is_flag=True, help="Stop once the end of every partition has been reached and committed.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True,
    help="Processes that share the partitions, whose number must be a multiple of it; with --hosts, on each host.",
)  # fmt: skip
@click.option(
    "--hosts",
    metavar="HOST:PORT,…",
    help="Run as one cluster over these hosts, named in the same order on each; or set BYTEWAX_ADDRESSES.",
)
@click.option(
    "--index",
    type=click.IntRange(0, 63),
    help="Which of --hosts this one is, from 0 on; or set BYTEWAX_PROCESS_ID.",
)
@click.option("--member", hidden=True)
@click.pass_obj
def stream(
    debug: bool, until_end: bool, workers: int, hosts: str | None, index: int | None, member: str | None
) -> None:
    """Run the worker: topic to tables, exactly once, until SIGTERM or Ctrl-C."""
    settings = start(debug)
    if member is None:
        from dataflows.hosts.places import find_hosts

        cluster = find_hosts(hosts, index, workers, os.environ)
        if cluster is not None:
            from dataflows.hosts.supervisor import run_hosts

            run_hosts(settings, cluster, until_end=until_end)
            return
    if workers > 1:
        from dataflows.cluster import run_cluster

        run_cluster(settings, workers, until_end=until_end)
        return
    from dataflows.summary import TALLY
    from dataflows.worker import Member
    from dataflows.worker import stream as run

    place = Member.from_text(member) if member else None
    run(settings, until_end=until_end, member=place)
    if until_end or settings.stream_until_end:
        for line in TALLY.lines():
            say(f"process {place.process}: {line}" if place else line)
