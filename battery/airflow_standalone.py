"""Airflow's standalone mode, closed to other users: without log servers, and with a password that only its owner reads.

The scheduler and the triggerer would serve their logs on all addresses, which no setting changes. The web page needs no
log server, since it reads the logs from the same disk. Run as `python -m battery.airflow_standalone`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from airflow.__main__ import main
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.cli.commands import standalone_command

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVE_LOGS: Final = frozenset({"scheduler", "triggerer"})
"""The parts that would serve logs."""


class SilentPart(standalone_command.SubCommand):
    """A part of Airflow that serves no logs."""

    def __init__(
        self, parent: standalone_command.StandaloneCommand, name: str, command: Sequence[str], env: dict[str, str]
    ) -> None:
        silence = ["--skip-serve-logs"] if name in SERVE_LOGS else []
        super().__init__(parent, name, [*command, *silence], env)


class Standalone(standalone_command.StandaloneCommand):
    """Airflow's standalone mode with a file of passwords that no other user can read."""

    def find_user_info(self) -> None:
        """Make the password of Airflow's user if there is none, and print it."""
        usual = os.umask(0o077)
        try:
            super().find_user_info()  # type: ignore[no-untyped-call]
        finally:
            os.umask(usual)
        passwords = Path(SimpleAuthManager.get_generated_password_file())
        passwords.touch(0o600)  # if a setting names the users, the web page writes it later
        passwords.chmod(0o600)  # earlier versions let everyone read it


def run(_arguments: object) -> None:
    """What `airflow standalone` does."""
    Standalone().run()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Airflow ends its parts only at Ctrl-C
    standalone_command.SubCommand = SilentPart  # type: ignore[misc]  # which it looks up when it starts its parts
    standalone_command.standalone = run
    sys.argv = ["airflow", "standalone"]
    main()  # type: ignore[no-untyped-call]
