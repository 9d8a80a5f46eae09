"""Commands that show how the pipeline and its cells are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from kernel.base.command import EXIT_INCOMPLETE
from kernel.base.errors import BatteryError
from kernel.base.output import complain, say
from kernel.base.startup import start


@click.command()
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
    from refresh.status import status as run
    from sink.care.overview import look_at_overview

    if seconds is not None:
        from battery.watch_status import watch_status
        from kernel.base.stopping import leave_on_signals

        if check:
            raise BatteryError("--check looks once; leave out --watch")
        leave_on_signals()
        watch_status(settings, seconds, as_json=as_json)
        return 0
    current = run(settings, look_at_overview(settings), with_storage=True)
    limits = settings.max_lag_messages, settings.max_commit_age_seconds
    complaints = list(current.complaints(*limits)) if check else []
    if as_json:
        say(json.dumps({**current.figures(), "complaints": complaints}, default=str))
        return EXIT_INCOMPLETE if complaints else 0
    for line in current.lines():
        say(line)
    if complaints:
        complain("; ".join(complaints))
    return EXIT_INCOMPLETE if complaints else 0


@click.command()
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


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at; whoever reaches it sees the dashboard.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True, help="Port to listen at.")
@click.option(
    "--data-dir", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Show the pipeline in this folder, such as what `battery demo` has left; as `battery --data-dir`.",
)  # fmt: skip
@click.pass_obj
def dashboard(debug: bool, host: str, port: int, data_dir: Path | None) -> None:
    """Serve a page on how the cells age, until SIGTERM or Ctrl-C."""
    if data_dir is not None:
        from battery.data_folder import places

        os.environ.update(places(data_dir))
    settings = start(debug)
    from battery.dashboard import serve

    serve(host, port, settings.dashboard_upload_max_mb)
