"""The `battery` command: each subcommand reads the settings, does one thing, and says in one line what went wrong.

Everything heavy is imported by the command that needs it, so that `battery --help` is instant.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from battery.cli.quarantine import quarantine
from kernel.base.command import EXIT_INCOMPLETE, EXIT_NOTHING_NEW, EXIT_TERMINATED, run
from kernel.base.errors import BatteryError
from kernel.base.output import complain, say
from kernel.base.startup import start
from producer.command import produce

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    run(cli, "battery", arguments)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="battery-pipeline", prog_name="battery")
@click.option("--debug", is_flag=True, help="Show tracebacks and debug log lines.")
@click.option("--with-parent", is_flag=True, hidden=True)
@click.pass_context
def cli(context: click.Context, debug: bool, with_parent: bool) -> None:
    """Battery Degradation Analytics Pipeline: workbooks to an event log, the log to tables on how cells age.

    Settings come from the environment and .env; .env.example lists them.
    """
    context.obj = debug
    if with_parent:
        from kernel.base.stopping import end_with_parent

        end_with_parent()


cli.add_command(produce)


@cli.command()
@click.option("--until-end", is_flag=True, help="Stop once the end of every partition has been reached and committed.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True,
    help="Processes that share the partitions, whose number must be a multiple of it.",
)  # fmt: skip
@click.option("--member", hidden=True)
@click.pass_obj
def stream(debug: bool, until_end: bool, workers: int, member: str | None) -> None:
    """Run the worker: topic to tables, exactly once, until SIGTERM or Ctrl-C."""
    settings = start(debug)
    from dataflows.summary import TALLY
    from dataflows.worker import Member
    from dataflows.worker import stream as run

    if workers > 1:
        from dataflows.cluster import run_cluster

        run_cluster(settings, workers, until_end=until_end)
        return
    place = Member.from_text(member) if member else None
    run(settings, until_end=until_end, member=place)
    if until_end or settings.stream_until_end:
        for line in TALLY.lines():
            say(f"process {place.process}: {line}" if place else line)


@cli.command()
@click.option("--from-beginning", is_flag=True, help="Read the whole log.")
@click.option("--from-archive", is_flag=True, help="Read what has landed from the objects, nothing from the log.")
@click.option(
    "--from-offset",
    "offsets",
    metavar="P:O",
    multiple=True,
    help="Read partition P of the log from offset O on, and the rest from the objects; may be repeated.",
)
@click.option(
    "--from-time",
    "moment",
    metavar="T",
    help="Read the log from the messages of time T on (ISO 8601, UTC unless it says otherwise).",
)
@click.option("--dry-run", is_flag=True, help="Compare, but change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_obj
def replay(
    debug: bool,
    from_beginning: bool,
    from_archive: bool,
    offsets: tuple[str, ...],
    moment: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build the landing tables anew beside the live ones, validate, compare, and swap them in where they differ.

    The worker may keep running. Needs one of the --from options.
    """  # fmt: skip
    settings = start(debug)
    import signal

    from dataflows.replay.replay import Start
    from dataflows.replay.replay import replay as run
    from kernel.base.tuning import suit_polls

    if sum((from_beginning, from_archive, bool(offsets), moment is not None)) != 1:
        raise BatteryError(
            "say from where to replay, by one of --from-beginning, --from-archive, --from-offset P:O and --from-time T"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))  # so that what was built goes with us
    where = Start(beginning=from_beginning, archive=from_archive).at(offsets, moment)
    suit_polls()
    found = run(settings, where, dry_run=dry_run)
    if as_json:
        say(json.dumps(asdict(found)))
        return
    for line in found.lines():
        say(line)


@cli.command()
@click.option(
    "--stage", is_flag=True,
    help="Leave the models that readers have as they are; `battery publish` shows them the rest.",
)  # fmt: skip
@click.option("--watch", is_flag=True, help="Keep running: build and publish whenever something new has landed.")
@click.argument("dbt", nargs=-1)
@click.pass_obj
def transform(debug: bool, stage: bool, watch: bool, dbt: tuple[str, ...]) -> None:
    """Build and test the dbt models beside those that readers see, which give way once all tests have passed.

    DBT replaces the default `build`, such as `-- build --full-refresh` or `-- test --select battery_ts`.
    """
    settings = start(debug)
    import signal

    from kernel.edges.objects import open_store
    from kernel.edges.warehouse import open_warehouse
    from refresh.dbt import lock_models
    from refresh.publish import introduce
    from refresh.publish import publish as run
    from refresh.stage import stage_models

    warehouse = open_warehouse(settings)
    if watch:
        from kernel.base.stopping import leave_on_signals
        from refresh.watch import refreshes

        if stage or dbt:
            raise BatteryError("--watch builds all models and publishes them; leave out --stage and DBT")
        leave_on_signals()
        for refreshed in refreshes(settings, warehouse, open_store(settings)):
            say(refreshed)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))  # so that dbt ends with us
    with lock_models(settings) as lock:  # until they are published: what another run builds has not been tested
        done = stage_models(settings, warehouse, dbt or ("build",), lock)
        if done.audited and not stage:
            say(run(warehouse, open_store(settings)))
            return
        if done.built and not stage:
            say("readers see the models as they were until all tests have passed; `battery transform` runs all")
        for name in introduce(warehouse, done.tested_models):
            say(f"shown to readers for the first time: {name}")


@cli.command()
@click.pass_obj
def publish(debug: bool) -> None:
    """Show readers the models that were built and have passed all tests, and export the marts to the object store."""
    settings = start(debug)
    from kernel.edges.objects import open_store
    from kernel.edges.warehouse import open_warehouse
    from refresh.dbt import lock_models
    from refresh.publish import publish as run

    with lock_models(settings):
        say(run(open_warehouse(settings), open_store(settings)))


@cli.command()
@click.pass_obj
def news(debug: bool) -> int:
    """Tell whether anything has landed since the models were published; exits with 3 when there is nothing new.

    Says also how fresh the landing is, by dbt's source freshness.
    """
    settings = start(debug)
    from kernel.edges.warehouse import open_warehouse
    from refresh.dbt import lock_models
    from refresh.news import news as run
    from refresh.stage import stage_models

    warehouse = open_warehouse(settings)
    with lock_models(settings) as lock:
        stage_models(settings, warehouse, ("source", "freshness"), lock)
    found = run(settings, warehouse)
    say(found or "nothing new since the models were published")
    return 0 if found else EXIT_NOTHING_NEW


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.pass_obj
def compact(debug: bool, as_json: bool) -> int:
    """Merge the small objects of many commits into large ones; sweeps first. The worker may keep running.

    Exits with 1 when something had to be left alone, such as a damaged object; the rest is merged all the same.
    """
    settings = start(debug)
    from kernel.edges.objects import open_store
    from kernel.edges.warehouse import open_warehouse
    from sink.care.compact import compact as run

    found = run(settings, open_store(settings), open_warehouse(settings))
    say(*([json.dumps({"ok": found.ok, **asdict(found)})] if as_json else found.lines()))
    return 0 if found.ok else EXIT_INCOMPLETE


@cli.command()
@click.pass_obj
def adopt(debug: bool) -> None:
    """Give the object store to the pipeline of this warehouse, whoever it belongs to; stop the other one before.

    Nothing that is in the store and may be another's is removed, now or later.
    """
    settings = start(debug)
    from kernel.edges.objects import open_store
    from kernel.edges.warehouse import open_warehouse
    from sink.claim import adopt_store

    say(adopt_store(open_store(settings), open_warehouse(settings)))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.pass_obj
def sweep(debug: bool, as_json: bool) -> int:
    """Remove objects that were replaced or never committed. The worker may keep running.

    Exits with 1 when nothing could be removed, since the warehouse may be an older copy.
    """
    settings = start(debug)
    from kernel.edges.objects import open_store
    from kernel.edges.warehouse import open_warehouse
    from sink.care.sweep import sweep as run

    found = run(settings, open_store(settings), open_warehouse(settings))
    say(*([json.dumps(asdict(found))] if as_json else found.lines()))
    return EXIT_INCOMPLETE if found.doubt else 0


@cli.command()
@click.option("--live", is_flag=True, help="Messages that have not landed yet are no fault: producers are running.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.pass_obj
def verify(debug: bool, live: bool, as_json: bool) -> int:
    """Reconcile topic, objects and warehouse; exits with 0 only if everything adds up."""
    settings = start(debug)
    from kernel.edges.objects import open_store
    from kernel.edges.warehouse import open_warehouse
    from sink.care.verify import verify as run

    checks = run(settings, open_store(settings), open_warehouse(settings), live=live)
    ok = all(check.ok for check in checks)
    if as_json:
        say(json.dumps({"ok": ok, "checks": [asdict(check) for check in checks]}))
    else:
        for check in checks:
            say(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}")
        say("everything adds up" if ok else "it does not add up")
    return 0 if ok else EXIT_INCOMPLETE


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option(
    "--check",
    is_flag=True,
    help="Exit with 1 when no broker answers, or lag or the age of the last commit exceed their limits.",
)
@click.option(
    "--watch", "seconds", metavar="[SECONDS]", type=click.FloatRange(min=0.1), is_flag=False, flag_value=2.0,
    help="Look again every so many seconds, 2 by default, until Ctrl-C.",
)  # fmt: skip
@click.pass_obj
def status(debug: bool, as_json: bool, check: bool, seconds: float | None) -> int:
    """Show lag, offsets, rows, quarantine, refused files, freshness, models, the last dbt run and what waits."""
    settings = start(debug)
    from kernel.edges.warehouse import open_warehouse
    from refresh.status import status as run

    if seconds is not None:
        from battery.watch_status import watch_status
        from kernel.base.stopping import leave_on_signals

        if check:
            raise BatteryError("--check looks once; leave out --watch")
        leave_on_signals()
        watch_status(settings, seconds, as_json=as_json)
        return 0
    found = run(settings, open_warehouse(settings))
    limits = settings.max_lag_messages, settings.max_commit_age_seconds
    complaints = list(found.complaints(*limits)) if check else []
    if as_json:
        say(json.dumps({**found.figures(), "complaints": complaints}, default=str))
        return EXIT_INCOMPLETE if complaints else 0
    for line in found.lines():
        say(line)
    if complaints:
        complain("; ".join(complaints))
    return EXIT_INCOMPLETE if complaints else 0


@cli.command()
@click.pass_obj
def health(debug: bool) -> int:
    """Tell whether the worker is well, by the epochs that it closes; exits with 1 where it is not."""
    settings = start(debug)
    from dataflows.health import Pulse

    try:
        age = Pulse(settings).age()
    except BatteryError as error:
        complain(str(error))
        return EXIT_INCOMPLETE
    say(f"the worker closed an epoch {age:.0f} s ago")
    return 0


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), default=9092, show_default=True, help="Port on 127.0.0.1.")
def broker(port: int) -> None:
    """Run an embedded Kafka-protocol broker in the foreground; its log ends with it."""
    from kernel.edges.broker import serve

    serve(port)


@cli.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at; whoever reaches it sees the dashboard.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Port to listen at.")
@click.option(
    "--data-dir", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Show what `battery demo` has left in this folder.",
)  # fmt: skip
@click.pass_obj
def dashboard(debug: bool, host: str, port: int, data_dir: Path | None) -> None:
    """Serve a page on how the cells age, until SIGTERM or Ctrl-C."""
    if data_dir is not None:
        from battery.demo import places

        os.environ.update(places(data_dir))
    start(debug)
    from battery.dashboard import serve

    serve(host, port)


@cli.command()
@click.argument("cell", metavar="CELL")
@click.option(
    "--out", "folder", type=click.Path(path_type=Path), default=Path("data/reports"), show_default=True,
    help="Folder to write to.",
)  # fmt: skip
@click.option(
    "--png/--no-png", default=None,
    help="Whether to write each figure as PNG too, by Chrome or Chromium; by default where one is found.",
)  # fmt: skip
@click.pass_obj
def report(debug: bool, cell: str, folder: Path, png: bool | None) -> None:
    """Write a page on how one cell ages, for a mail or a paper: its figures, numbers, rules and citation in one file.

    Reads the published marts. CELL is the cell's id, such as CS2_35.
    """
    settings = start(debug)
    from battery.report import report as run

    for line in run(settings, cell, folder, png=png):
        say(line)


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Port on 127.0.0.1.")
@click.pass_obj
def airflow(debug: bool, port: int) -> int:
    """Run Airflow with the hourly refresh on this machine, until SIGTERM or Ctrl-C."""
    start(debug)
    from battery.airflow import serve

    return serve(port)


@cli.command()
@click.option(
    "--inbox", type=click.Path(path_type=Path), default=Path("data/inbox"), show_default=True,
    help="Folder whose workbooks are published as they come; made where it is absent.",
)  # fmt: skip
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Port of the dashboard on 127.0.0.1."
)
@click.option("--no-dashboard", is_flag=True, help="Do without the dashboard, which is an extra.")
@click.pass_obj
def up(debug: bool, inbox: Path, port: int, no_dashboard: bool) -> None:
    """Run broker, worker, watched inbox, refresh and dashboard on this machine, until SIGTERM or Ctrl-C."""
    settings = start(debug)
    from battery.up import up as run

    run(settings, inbox, None if no_dashboard else port, debug=debug)


@cli.command()
@click.option("--data-dir", type=click.Path(path_type=Path), default=Path("data/demo"), show_default=True)
@click.option("--cells", type=click.IntRange(1, 100), default=3, show_default=True, help="How many cells to simulate.")
@click.option("--cycles", type=click.IntRange(2, 2000), default=40, show_default=True, help="Cycles of each cell.")
@click.pass_obj
def demo(debug: bool, data_dir: Path, cells: int, cycles: int) -> None:
    """Show the main job on embedded parts: simulate, produce, stream, transform, verify."""
    from battery.demo import demo as run

    run(data_dir, cells=cells, cycles=cycles, debug=debug)


cli.add_command(quarantine)
