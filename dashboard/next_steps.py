"""What to do next where there is nothing to show yet: it depends on how the pipeline was started."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernel.base.settings import Settings
    from producer.inbox_state import InboxLook


def next_step(settings: Settings, inbox: InboxLook | None) -> str:
    """How files get in, as Markdown with the inbox's path where one is watched.

    Args:
        settings: how the pipeline was started.
        inbox: the watched inbox, if there is one.
    """
    if settings.battery_launcher == "compose":
        return (
            "Put files of your cycler into the folder `workbooks` beside docker-compose.yml: the service `inbox` "
            "publishes them, the worker lands them, and this page renews itself. Airflow models them hourly; "
            "`docker compose run --rm producer transform` does it at once."
        )
    if inbox is not None and inbox.is_watched:
        return (
            f"Drop files of your cycler, or ZIPs of them, into `{inbox.folder}`, or onto the Inbox page: they are "
            "read, landed and modelled by themselves, and this page renews itself."
        )
    if settings.battery_launcher == "up":
        return "The inbox is about to be watched: wait a moment, then drop files of your cycler into it."
    return (
        "`battery up` starts all parts and watches a folder for files of your cycler. Part by part: `battery produce "
        "FILES` publishes them, `battery stream` lands them, `battery transform` models them for these pages."
    )
