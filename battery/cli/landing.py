"""Commands on what lands: a replay, and the care of objects and tables."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from kernel.base.command import EXIT_INCOMPLETE, EXIT_TERMINATED
from kernel.base.errors import BatteryError
from kernel.base.output import say
from kernel.base.startup import start


@click.command()
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
    """Build the landing tables again beside the live ones, validate, compare, and swap them in where they differ.

    The worker may keep running. Needs one of the --from options.
    """  # fmt: skip
    settings = start(debug)
    import signal

    from dataflows.replay.replay import replay as run
    from dataflows.replay.start import Start
    from kernel.base.tuning import tune_process
    from kernel.edges.warehouse import open_warehouse
    from sink.care.cell_events import mend_cell_events

    if sum((from_beginning, from_archive, bool(offsets), moment is not None)) != 1:
        raise BatteryError(
            "say from where to replay, by one of --from-beginning, --from-archive, --from-offset P:O and --from-time T"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))  # so that what was built goes with us
    where = Start(beginning=from_beginning, archive=from_archive).at(offsets, moment)
    tune_process()
    outcome = run(settings, where, dry_run=dry_run)
    mended = 0 if dry_run else mend_cell_events(settings, open_warehouse(settings))
    if as_json:
        say(json.dumps({**asdict(outcome), "mended_cell_events": mended}))
        return
    for line in outcome.lines():
        say(line)
    if mended:
        say(f"battery_cell_events: {mended} rows were other than their messages say, and were written again")


@click.command()
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

    outcome = run(settings, open_store(settings), open_warehouse(settings))
    say(*([json.dumps({"ok": outcome.ok, **asdict(outcome)})] if as_json else outcome.lines()))
    return 0 if outcome.ok else EXIT_INCOMPLETE


@click.command()
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

    outcome = run(settings, open_store(settings), open_warehouse(settings))
    say(*([json.dumps(asdict(outcome))] if as_json else outcome.lines()))
    return EXIT_INCOMPLETE if outcome.doubt else 0


@click.command()
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


@click.command()
@click.option("--live", is_flag=True, help="Messages that have not landed yet are no fault: producers are running.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
@click.pass_obj
def verify(debug: bool, live: bool, as_json: bool) -> int:
    """Reconcile topic, objects and warehouse; exits with 0 only if everything adds up."""
    settings = start(debug)
    from kernel.base.tuning import tune_process
    from kernel.edges.objects import open_store
    from kernel.edges.warehouse import open_warehouse
    from sink.care.cell_events import cell_checks
    from sink.care.verify import verify as run

    tune_process()
    warehouse = open_warehouse(settings)
    checks = [
        *run(settings, open_store(settings), warehouse, live=live),
        *cell_checks(settings, warehouse, live=live),
    ]
    ok = all(check.ok for check in checks)
    if as_json:
        say(json.dumps({"ok": ok, "checks": [asdict(check) for check in checks]}))
    else:
        for check in checks:
            say(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}")
        say("everything adds up" if ok else "it does not add up")
    return 0 if ok else EXIT_INCOMPLETE
