"""The published models in the status: how old they are, what is new since, and how the last dbt run ended."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from kernel.base.errors import BatteryError
from refresh.export import MANIFEST
from refresh.news import news_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel.base.settings import Settings
    from kernel.edges.objects import ObjectStore
    from sink.care.overview import Overview

FAILED: Final = frozenset({"error", "fail", "runtime error"})
"""How dbt calls what has failed in the record of a run."""

MOST_FAILED: Final = 20
"""How many failed models and tests are named."""


@dataclass(frozen=True)
class DbtStatus:
    """The last dbt run that built or tested models; `ended_at` (UTC) is None while it runs, or if it was killed.

    `failed` names the models and tests that failed, `failure` says in one line why.
    """

    command: str
    started_at: datetime
    ended_at: datetime | None
    failure: str | None
    failed: tuple[str, ...]

    @property
    def outcome(self) -> str:
        """`passed`, `failed` or `not ended`."""
        if self.ended_at is None:
            return "not ended"
        return "failed" if self.failure else "passed"

    def line(self) -> str:
        """One line for a person."""
        if self.ended_at is None:
            return (
                f"dbt          {self.command}, begun {self.started_at:%Y-%m-%d %H:%M:%S} UTC, runs or was ended midway"
            )
        why = f": {self.failure}" if self.failure else ""
        return f"dbt          {self.command} {self.outcome} {self.ended_at:%Y-%m-%d %H:%M:%S} UTC{why}"


@dataclass(frozen=True)
class ModelsStatus:
    """What readers have: when the models were published (UTC), their `age` in s, and what is new since.

    `published_at` and `age` are None if no models have been published, `news` is None if nothing is new. `unknown` is
    the reason if any of it cannot be read.
    """

    published_at: datetime | None
    age: float | None
    news: str | None
    unknown: str | None
    run: DbtStatus | None

    def lines(self) -> Iterator[str]:
        """The figures for a person."""
        if self.published_at is not None:
            yield f"models       published {self.published_at:%Y-%m-%d %H:%M:%S} UTC, {self.age:.0f} s ago"
        elif self.unknown is None:
            yield "models       none have been published"
        if self.unknown:
            yield f"models       how old they are, or what is new, is unknown: {self.unknown}"
        yield "dbt          has not run yet" if self.run is None else self.run.line()


def models_status(
    settings: Settings, overview: Overview, published_at: datetime | None, unknown: str | None
) -> ModelsStatus:
    """Tell what is new since the models were published, and how the last dbt run ended.

    Args:
        settings: what the models depend on apart from the landing.
        overview: of the warehouse where they are.
        published_at: the result of the function `published_at`.
        unknown: the reason if that function failed, else None.
    """
    age = None if published_at is None else (datetime.now(UTC).replace(tzinfo=None) - published_at).total_seconds()
    try:
        new = news_of(settings, overview.watermark, overview.marks)
    except BatteryError as error:  # such as no dbt project beside this package
        new, unknown = None, unknown or str(error)
    return ModelsStatus(published_at, None if age is None else round(age, 1), new, unknown, _last_run(overview))


def _last_run(overview: Overview) -> DbtStatus | None:
    """The newest run that built or tested models."""
    for run in overview.tables["runs"].to_pylist():
        if run["command"].split()[0] != "source":
            started_at, seconds = run["started_at"], run["seconds"]
            ended_at = None if seconds is None else started_at + timedelta(seconds=seconds)
            failed = [result["node"] for result in run["results"] if result["status"] in FAILED]
            return DbtStatus(run["command"], started_at, ended_at, run["failure"], tuple(failed[:MOST_FAILED]))
    return None


def published_at(store: ObjectStore | None) -> datetime | None:
    """When the marts were last exported (UTC), which ends each publication; None if they never were.

    Raises:
        BatteryError: the store does not answer, or the manifest is damaged.
    """
    if store is None or not any(stored.key == MANIFEST for stored in store.list(MANIFEST)):
        return None
    try:
        at = datetime.fromisoformat(json.loads(store.get(MANIFEST))["published_at"])
    except (ValueError, KeyError, TypeError) as error:
        raise BatteryError(f"{MANIFEST} is damaged ({error}); `battery publish` writes it again") from None
    return at.astimezone(UTC).replace(tzinfo=None)
