"""Commands that copy a pipeline to a folder, and bring such a copy back."""

from __future__ import annotations

from pathlib import Path

import click

from kernel.base.output import say
from kernel.base.startup import start


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--objects/--no-objects", "with_objects", default=None,
    help="Whether to copy the objects, or to list them; by default those of a folder are copied, those of S3 listed.",
)  # fmt: skip
@click.pass_obj
def backup(debug: bool, folder: Path, with_objects: bool | None) -> None:
    """Copy warehouse, recovery store, objects and settings without secrets to a new FOLDER, with checksums.

    The worker may keep running; it waits while the warehouse is copied.
    """
    settings = start(debug)
    from battery.backup import back_up

    say(f"{folder}: {back_up(settings, folder, with_objects=with_objects)}")


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace a warehouse and a recovery store that are there.")
@click.option("--check", is_flag=True, help="Only check the backup.")
@click.pass_obj
def restore(debug: bool, folder: Path, force: bool, check: bool) -> None:
    """Bring a backup back to where the settings say, after all of it was checked; stop the pipeline before.

    `battery stream` then lands from the log what came since, exactly once.
    """
    settings = start(debug)
    from battery.restore import check_backup
    from battery.restore import restore as run

    say(*([f"whole: {check_backup(folder)}"] if check else run(settings, folder, force=force).lines()))
