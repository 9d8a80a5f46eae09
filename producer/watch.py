"""A watched inbox: workbooks dropped into a folder are published as they come."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

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

TICK_MS: Final = 250
"""How long a watch waits before it looks whether it shall stop."""


def watch_folder(settings: Settings, folder: Path, options: Options, stop: Event | None = None) -> Iterator[Summary]:
    """Publish what a folder holds, then whatever arrives or changes in it, until `stop` or Ctrl-C.

    A file that is still being copied may be refused as truncated; its next change has it read again.

    Raises:
        BatteryError: no broker or object store answers.
    """
    _log.info("watching", folder=str(folder))
    watching = watch(folder, stop_event=stop, raise_interrupt=False, rust_timeout=TICK_MS, yield_on_timeout=True)
    for number, changes in enumerate(watching):
        if number == 0:  # only now does the watch stand: nothing can arrive unseen after what is there
            arrived = [str(folder)] if in_folder(folder) else []
        else:
            arrived = sorted({path for _change, path in changes if _publishable(Path(path))})
        if arrived:
            yield publish(settings, arrived, options)


def _publishable(path: Path) -> bool:
    return path.suffix.lower() in PUBLISHABLE and not path.name.startswith(("~$", ".")) and path.is_file()
