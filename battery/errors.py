"""Errors meant for a person: one line that names what is wrong, where, and what to do."""

from __future__ import annotations


class BatteryError(Exception):
    """Something a user or operator can mend; its message is one line and needs no traceback.

    The `battery` command prints the message and exits with code 2.
    """
