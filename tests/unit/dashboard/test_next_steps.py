"""What to do next where there is nothing yet: by how the pipeline was started."""

from __future__ import annotations

from datetime import UTC, datetime

from dashboard.next_steps import next_step
from kernel.base.settings import Settings
from producer.inbox_state import InboxLook

WATCHED = InboxLook("/lab/inbox", datetime(2026, 11, 30, tzinfo=UTC), ())


def test_a_watched_inbox_is_named() -> None:
    assert "`/lab/inbox`" in next_step(Settings(), WATCHED)
    assert "`/lab/inbox`" in next_step(Settings(battery_launcher="up"), WATCHED)


def test_under_compose_the_folder_of_the_host_is_named() -> None:
    said = next_step(Settings(battery_launcher="compose"), None)
    assert "the folder `workbooks` beside docker-compose.yml" in said
    assert "`docker compose run --rm producer transform`" in said


def test_alone_the_commands_are_named() -> None:
    said = next_step(Settings(), None)
    for command in ("`battery up`", "`battery produce FILES`", "`battery stream`", "`battery transform`"):
        assert command in said
