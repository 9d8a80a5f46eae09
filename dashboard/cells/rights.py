"""Who may edit what is told of cells, and when it stands in the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.access import is_for_this_machine
from dashboard.escaping import literal

if TYPE_CHECKING:
    from kernel.base.settings import Settings


def why_no_editing(settings: Settings, *, has_broker: bool) -> str | None:
    """Why nothing can be changed here, as Markdown; None where it can. The rule is that of files that are dropped."""
    if settings.dashboard_password is None and not is_for_this_machine():
        return (
            "Nothing can be changed here, since the dashboard can be reached from other machines and asks for no "
            "password: set `DASHBOARD_PASSWORD`, or serve it at 127.0.0.1. `battery cells` changes it, too."
        )
    if not has_broker:
        begin = {
            "compose": "`docker compose up -d` starts it",
            "up": "`battery up` starts one; it has ended, or is about to start",
        }.get(settings.battery_launcher, "`battery up` starts one, or set `KAFKA_BOOTSTRAP_SERVERS` to yours")
        return (
            f"Nothing can be changed now: no broker answers at `{literal(settings.kafka_bootstrap_servers)}`, to which "
            f"changes go. {begin}; then open this page again."
        )
    return None


def when_in_tables(settings: Settings) -> str:
    """When the tables have what was told, as Markdown: it depends on how the pipeline was started."""
    if settings.battery_launcher == "up":
        return "`battery up` takes it into the tables within seconds."
    if settings.battery_launcher == "compose":
        return (
            "Airflow takes it into the tables within the hour; `docker compose run --rm producer transform` does it at "
            "once."
        )
    return "The next refresh takes it into the tables: one that watches within seconds, or `battery transform` at once."
