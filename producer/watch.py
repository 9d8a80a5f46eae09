"""A watched inbox: workbooks dropped into a folder are published as they come."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from watchfiles import watch

from producer.publish import publish
from producer.sources import PUBLISHABLE, in_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

    from battery.settings import Settings
    from producer.publish import Options, Summary

_log = structlog.get_logger()


def watch_folder(settings: Settings, folder: Path, options: Options, stop: Event | None = None) -> Iterator[Summary]:
    """Publish what a folder holds, then whatever arrives or changes in it, until `stop` or Ctrl-C.

    A file that is still being copied may be refused as truncated; its next change has it read again.

    Raises:
        BatteryError: no broker or object store answers.
    """
    if in_folder(folder):
        yield publish(settings, [str(folder)], options)
    _log.info("watching", folder=str(folder))
    for changes in watch(folder, stop_event=stop, raise_interrupt=False):
        arrived = sorted(
            {
                path
                for _change, path in changes
                if Path(path).suffix.lower() in PUBLISHABLE
                and not Path(path).name.startswith(("~$", "."))
                and Path(path).is_file()
            }
        )
        if arrived:
            yield publish(settings, arrived, options)
