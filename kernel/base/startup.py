"""The first steps of every command: read the settings and set up the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernel.base.settings import Settings


def start(debug: bool) -> Settings:
    """Read the settings and set up the log by them.

    Raises:
        BatteryError: a setting is invalid.
    """
    from kernel.base.settings import load_settings

    settings = load_settings()
    from kernel.base.logs import configure_logging

    configure_logging(settings.log_format, debug=debug)
    return settings
