"""The `battery` command: a group whose subcommands are imported when they are asked for.

Each subcommand reads the settings, does one thing, and says in one line what went wrong. The modules named in `PLACES`
import nothing heavy themselves: a command imports what it needs when it runs, so that `battery --help` is instant.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from kernel.base.command import run

if TYPE_CHECKING:
    from collections.abc import Sequence

PLACES: Final = {
    "adopt": "battery.cli.landing",
    "airflow": "battery.cli.machine",
    "alerts": "battery.cli.alerts",
    "backup": "battery.cli.backup",
    "broker": "battery.cli.machine",
    "cells": "battery.cli.cells",
    "columns": "battery.cli.columns",
    "compact": "battery.cli.landing",
    "dashboard": "battery.cli.look",
    "demo": "battery.cli.machine",
    "doctor": "battery.cli.doctor",
    "export": "battery.cli.export",
    "gateway": "battery.cli.gateway",
    "health": "battery.cli.look",
    "move": "battery.cli.move",
    "news": "battery.cli.models",
    "produce": "producer.command",
    "publish": "battery.cli.models",
    "quarantine": "battery.cli.quarantine",
    "replay": "battery.cli.landing",
    "report": "battery.cli.models",
    "restore": "battery.cli.backup",
    "status": "battery.cli.look",
    "stream": "battery.cli.stream",
    "sweep": "battery.cli.landing",
    "transform": "battery.cli.models",
    "up": "battery.cli.machine",
    "verify": "battery.cli.landing",
}
"""The module that defines each subcommand, under the subcommand's own name."""


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is asked for: to run it, or to show its line of help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """The names of all subcommands."""
        return sorted(PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a subcommand; None where there is none of that name."""
        if cmd_name not in PLACES:
            return None
        command: click.Command = getattr(import_module(PLACES[cmd_name]), cmd_name)
        return command


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    run(cli, "battery", arguments)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="battery-pipeline", prog_name="battery")
@click.option("--debug", is_flag=True, help="Show tracebacks and debug log lines.")
@click.option(
    "--data-dir", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take warehouse, objects and recovery store from this folder, such as data/demo, whatever the settings say of "
    "them. Broker and topics stay those of the settings.",
)  # fmt: skip
@click.option("--with-parent", is_flag=True, hidden=True)
@click.pass_context
def cli(context: click.Context, debug: bool, data_dir: Path | None, with_parent: bool) -> None:
    """Battery Degradation Analytics Pipeline: workbooks to an event log, the log to tables on how cells age.

    Settings come from the environment and .env; .env.example lists them.
    """
    context.obj = debug
    if data_dir is not None:
        from battery.data_folder import places

        os.environ.update(places(data_dir))
    if with_parent:
        from kernel.base.stopping import end_with_parent

        end_with_parent()
