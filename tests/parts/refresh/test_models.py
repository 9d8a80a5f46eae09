"""What the status says of the published models, of the last dbt run, and of what waits."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

import refresh.models
import refresh.status
from kernel.base.errors import BatteryError
from kernel.contract.reading import Quality, Reason
from kernel.edges.kafka import NoBrokerError
from refresh.export import MANIFEST
from sink.care.overview import read_overview
from sink.care.quarantine import RetryStatus, find_refused

if TYPE_CHECKING:
    from support.committed import Landed

RESULT = "{{'node': '{node}', 'kind': 'test', 'status': '{status}', 'seconds': 1, 'failures': 3, 'message': 'Got 3'}}"


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> None:
        raise NoBrokerError("no broker answers")

    monkeypatch.setattr(refresh.status, "open_topic", silent)


def run(landed: Landed, at: str, command: str, seconds: str, failure: str | None, *results: tuple[str, str]) -> None:
    """Put a dbt run on record."""
    found = ", ".join(RESULT.format(node=node, status=status) for node, status in results)
    why = "null" if failure is None else f"'{failure}'"
    landed.query(
        f"insert into internal._dbt_runs values "  # noqa: S608
        f"('{at}', '{at}', {seconds}, '{command}', {why}, true, false, [], [{found}])"
    )


def lines(landed: Landed) -> list[str]:
    return list(refresh.status.status(landed.settings, read_overview(landed.warehouse)).lines())


def test_before_anything_was_built_the_status_says_so(landed: Landed) -> None:
    said = lines(landed)
    assert "models       none have been published" in said
    assert "dbt          has not run yet" in said
    assert said[-1].startswith("waiting      models: no models have been published yet")


def test_the_age_of_the_models_is_that_of_the_export(landed: Landed) -> None:
    at = datetime.now(UTC) - timedelta(hours=2)
    landed.store.put(MANIFEST, json.dumps({"published_at": at.isoformat()}).encode())
    found = refresh.status.status(landed.settings, read_overview(landed.warehouse))
    assert found.models is not None
    assert found.models.age == pytest.approx(7200, abs=60)
    assert any(line.startswith(f"models       published {at:%Y-%m-%d %H:%M:%S} UTC, 7") for line in found.lines())
    landed.store.put(MANIFEST, b"{")
    assert any("marts/manifest.json is damaged" in line for line in lines(landed))


@pytest.mark.parametrize(
    ("seconds", "failure", "results", "line", "outcome", "failed"),
    [
        ("60", None, [("test.a", "pass")], "build passed 2026-11-26 09:01:00 UTC", "passed", ()),
        (
            "60", "dbt build failed: test a (Got 3 results)", [("test.a", "fail"), ("model.b", "skipped")],
            "build failed 2026-11-26 09:01:00 UTC: dbt build failed: test a (Got 3 results)", "failed", ("test.a",),
        ),
        ("null", "it was ended in the middle", [], "build, begun 2026-11-26 09:00:00 UTC, runs or", "not ended", ()),
    ],
)  # fmt: skip
def test_the_last_dbt_run_is_told_with_what_failed(
    landed: Landed,
    seconds: str,
    failure: str | None,
    results: list[tuple[str, str]],
    line: str,
    outcome: str,
    failed: tuple[str, ...],
) -> None:
    run(landed, "2026-11-26 08:00:00", "build", "60", None, ("test.old", "fail"))
    run(landed, "2026-11-26 09:00:00", "build", seconds, failure, *results)
    run(landed, "2026-11-26 10:00:00", "source freshness", "1", None)  # which builds and tests no model
    found = refresh.status.status(landed.settings, read_overview(landed.warehouse))
    assert found.models is not None
    assert found.models.run is not None
    assert (found.models.run.outcome, found.models.run.failed) == (outcome, failed)
    assert any(said.startswith(f"dbt          {line}") for said in found.lines()), list(found.lines())


def retriable(landed: Landed) -> int:
    """What `battery quarantine retry` would choose, counted entry by entry."""
    return sum(
        entry.row_count
        for entry in find_refused(landed.warehouse)
        if entry.reason != Reason.DUPLICATE and entry.retry_status is not RetryStatus.LANDED
    )


def test_rows_wait_for_a_retry_unless_they_are_duplicates_or_one_has_landed(landed: Landed) -> None:
    landed.query(f"update battery_quarantine set reason = '{Reason.DUPLICATE}' where rowid = 0")  # noqa: S608
    before = retriable(landed)
    found = refresh.status.status(landed.settings, read_overview(landed.warehouse))
    assert found.retriable == before > 0
    assert f"{before} quarantined rows that a retry may bring in" in list(found.lines())[-1]
    entry = next(one for one in find_refused(landed.warehouse) if one.reason != Reason.DUPLICATE)
    landed.query(f"update battery_ts_cleaned set quality = {int(Quality.RETRIED)} where rowid = 0")  # noqa: S608
    landed.query(
        'insert into battery_retries (topic_id, "partition", "offset", cell_id, origin_topic_id, origin_partition, '  # noqa: S608
        "origin_offset, origin_row) select 'later', kafka_partition, kafka_offset, cell_id, "
        f"'{entry.place.topic_id}', {entry.place.partition}, {entry.place.offset}, {entry.place.row} "
        "from battery_ts_cleaned where rowid = 0"
    )
    assert retriable(landed) == before - entry.row_count
    assert refresh.status.status(landed.settings, read_overview(landed.warehouse)).retriable == before - entry.row_count


def test_that_news_cannot_be_told_costs_the_status_only_that(landed: Landed, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise BatteryError("no dbt project")

    monkeypatch.setattr(refresh.models, "news_of", fail)
    assert "models       how old they are, or what is new, is unknown: no dbt project" in lines(landed)
