"""Which commands register Iceberg tables, and that readers have their models whatever comes of it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from battery.cli.models import publish, transform
from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FAILURE = "the Iceberg catalog cannot be used"


class Tables:
    """What registers the tables: it fails as often as it is told to, and counts how often it was asked."""

    def __init__(self, failures: int = 0) -> None:
        self.asked = 0
        self.failures = failures

    def register(self, *_: object) -> str:
        self.asked += 1
        if self.asked <= self.failures:
            raise BatteryError(FAILURE)
        return "registered"


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tables:
    """A pipeline whose publications do nothing, and its tables."""
    tables = Tables()
    monkeypatch.setenv("WAREHOUSE", str(tmp_path / "battery.duckdb"))
    monkeypatch.setenv("OBJECT_STORE", f"file://{tmp_path / 'objects'}")
    monkeypatch.setattr("refresh.publish.publish", lambda *_: "published")
    monkeypatch.setattr("refresh.iceberg.register.register", tables.register)
    return tables


def test_a_publication_registers_tables_only_where_the_setting_asks_for_them(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (CliRunner().invoke(publish, obj=False).output, tables.asked) == ("published\n", 0)
    monkeypatch.setenv("ICEBERG_CATALOG", "")  # compose passes an empty one
    assert (CliRunner().invoke(publish, obj=False).output, tables.asked) == ("published\n", 0)
    monkeypatch.setenv("ICEBERG_CATALOG", "sql")
    assert (CliRunner().invoke(publish, obj=False).output, tables.asked) == ("published\nregistered\n", 1)


def test_models_are_published_before_tables_that_fail_and_the_command_fails_then(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICEBERG_CATALOG", "sql")
    tables.failures = 1
    done = CliRunner().invoke(publish, obj=False)
    assert (done.output, str(done.exception)) == ("published\n", FAILURE)


def test_tables_alone_can_be_registered_without_the_setting_and_no_model_is_published(tables: Tables) -> None:
    assert (CliRunner().invoke(publish, ["--iceberg"], obj=False).output, tables.asked) == ("registered\n", 1)


def test_a_refresh_that_goes_on_survives_tables_that_fail(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    class Alerts:
        def published(self) -> None:
            """Nothing is sent."""

    def refreshed(*_: object) -> Iterator[str]:
        yield from ("first", "second")

    monkeypatch.setenv("ICEBERG_CATALOG", "sql")
    monkeypatch.setattr("kernel.base.stopping.leave_on_signals", lambda: None)
    monkeypatch.setattr("refresh.alerts.watch.AlertWatch", lambda _: nullcontext(Alerts()))
    monkeypatch.setattr("refresh.watch.refresh_on_news", refreshed)
    tables.failures = 1
    done = CliRunner().invoke(transform, ["--watch"], obj=False)
    assert done.exception is None
    assert [
        line for line in done.output.splitlines() if "first" in line or "second" in line or "registered" in line
    ] == [
        "first",
        "second",
        "registered",
    ]
    assert FAILURE in done.output
