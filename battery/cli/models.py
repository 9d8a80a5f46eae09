"""Commands on the models: build and test them, publish them, tell what is new, and report on a cell."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kernel.base.command import EXIT_NOTHING_NEW, EXIT_TERMINATED
from kernel.base.errors import BatteryError
from kernel.base.output import complain, say
from kernel.base.startup import start

if TYPE_CHECKING:
    from kernel.base.settings import Settings
    from kernel.edges.warehouse import Warehouse
    from refresh.iceberg.register import Registered


@click.command()
@click.option(
    "--stage", is_flag=True,
    help="Leave the models that readers have as they are; `battery publish` shows them the rest.",
)  # fmt: skip
@click.option("--watch", is_flag=True, help="Keep running: build and publish whenever something new has landed.")
@click.option("--again", is_flag=True, help="Build and test again even if nothing is new.")
@click.argument("dbt", nargs=-1)
@click.pass_obj
def transform(debug: bool, stage: bool, watch: bool, again: bool, dbt: tuple[str, ...]) -> None:
    """Build and test the dbt models beside those that readers see, which give way once all tests have passed.

    Nothing is built if nothing is new since then. DBT replaces the default `build`, such as `-- build --full-refresh`
    or `-- test --select battery_ts`.
    """
    settings = start(debug)
    import signal

    from refresh.host_models import open_models

    warehouse = open_models(settings)
    if watch:
        if stage or again or dbt:
            raise BatteryError("--watch builds all models and publishes them; leave out --stage, --again and DBT")
        _refresh_on_news(settings, warehouse)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))  # so that dbt ends with us
    from refresh.dbt import lock_models
    from refresh.news import is_up_to_date

    with lock_models(settings) as lock:  # until they are published: what another run builds has not been tested
        if not (stage or again or dbt) and is_up_to_date(settings, warehouse):
            say("nothing new since the models were published; `battery transform --again` builds all the same")
            return
        # Most of these take longer to import than it takes to see that nothing is new.
        from kernel.edges.objects import open_store
        from refresh.notice import Board
        from refresh.publish import publish as run
        from refresh.publish import publish_new_models
        from refresh.stage import stage_models
        from refresh.warned import in_words

        with Board(settings).modelling(warehouse):
            done = stage_models(settings, warehouse, dbt or ("build",), lock)
            if done.audited and not stage:
                say(run(warehouse, open_store(settings)))
            else:
                if done.built and not stage:
                    say("readers see the models as they were until all tests have passed; `battery transform` runs all")
                for name in publish_new_models(warehouse, done.tested_models):
                    say(f"shown to readers for the first time: {name}")
        if done.warnings:
            say(in_words(warehouse, done.warnings))
    if done.audited and not stage and settings.iceberg_catalog is not None:
        say(_register(settings))


def _refresh_on_news(settings: Settings, warehouse: Warehouse) -> None:
    """Build and publish whenever something new has landed, and tell the alerts and the Iceberg tables of it."""
    from kernel.base.stopping import leave_on_signals
    from kernel.edges.objects import open_store
    from refresh.alerts.watch import AlertWatch
    from refresh.watch import refresh_on_news

    leave_on_signals()
    with AlertWatch(settings) as alerts:
        for refreshed in refresh_on_news(settings, warehouse, open_store(settings)):
            say(refreshed)
            alerts.published()
            if settings.iceberg_catalog is None:
                continue
            try:
                say(_register(settings))
            except BatteryError as error:  # the next refresh registers what this one could not
                complain(str(error), "warning")


@click.command()
@click.option(
    "--iceberg", is_flag=True,
    help="Leave the models as they are: only register what has landed, and the marts that are published, as Iceberg "
    "tables.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="With --iceberg: print the tables as JSON.")
@click.pass_obj
def publish(debug: bool, iceberg: bool, as_json: bool) -> None:
    """Show readers the models that were built and have passed all tests, and export the marts to the object store.

    Where ICEBERG_CATALOG is set, what has landed and the marts are then registered as Iceberg tables.
    """
    settings = start(debug)
    if as_json and not iceberg:
        raise BatteryError("--json prints the Iceberg tables; add --iceberg")
    if iceberg:
        registered = _register(settings)
        say(json.dumps(registered.as_json()) if as_json else registered)
        return
    from kernel.edges.objects import open_store
    from refresh.dbt import lock_models
    from refresh.host_models import open_models
    from refresh.publish import publish as run

    with lock_models(settings):
        say(run(open_models(settings), open_store(settings)))
    if settings.iceberg_catalog is not None:
        say(_register(settings))


def _register(settings: Settings) -> Registered:
    """Bring the Iceberg tables up to date."""
    from refresh.iceberg.extra import require_iceberg

    require_iceberg()
    from kernel.edges.objects import open_store
    from kernel.edges.warehouse import open_warehouse
    from refresh.iceberg.register import register

    return register(settings, open_store(settings), open_warehouse(settings))


@click.command()
@click.pass_obj
def news(debug: bool) -> int:
    """Tell whether anything has landed since the models were published; exits with 3 when there is nothing new.

    Says also how fresh the landing is, by dbt's source freshness.
    """
    settings = start(debug)
    from refresh.dbt import lock_models
    from refresh.host_models import open_models
    from refresh.news import news as run
    from refresh.stage import stage_models

    warehouse = open_models(settings)
    with lock_models(settings) as lock:
        stage_models(settings, warehouse, ("source", "freshness"), lock)
    line = run(settings, warehouse)
    say(line or "nothing new since the models were published")
    return 0 if line else EXIT_NOTHING_NEW


@click.command()
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
