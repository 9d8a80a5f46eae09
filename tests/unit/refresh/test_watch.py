"""When `battery transform --watch` builds: after a pause in the landing, when more has landed, and after a failure."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, cast

import pytest
from structlog.testing import capture_logs

import refresh.watch
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

SETTINGS = Settings(_env_file=None)


def looks_at_builds(
    monkeypatch: pytest.MonkeyPatch, news: Sequence[str | None], fails: int = 0, stops_at: int = -1
) -> list[int]:
    """The looks, counted from 0, after which models were built; the first `fails` builds fail."""
    stop, built, looked = threading.Event(), [], iter(range(len(news)))
    at = -1

    def look(*_: Any) -> str | None:
        nonlocal at
        at = next(looked, -1)
        if at < 0 or at == stops_at:
            stop.set()
        return news[at] if at >= 0 else None

    def build(*_: Any) -> None:
        built.append(at)
        if len(built) <= fails:
            raise BatteryError("a model failed")

    monkeypatch.setattr(refresh.watch, "STOP", stop)
    monkeypatch.setattr(refresh.watch, "_news", look)
    monkeypatch.setattr(refresh.watch, "stage_models", build)
    monkeypatch.setattr(refresh.watch, "lock_models", lambda _: nullcontext(-1))
    monkeypatch.setattr(refresh.watch, "publish", lambda *_: "published")
    runs = refresh.watch.refresh_on_news(SETTINGS, cast("Any", None), cast("Any", None), lambda _: None)
    assert len(list(islice(runs, 100))) == len(built) - min(fails, len(built))
    return built


@pytest.mark.parametrize(
    ("news", "built"),
    [
        ([None, None, None], []),
        (["a"], []),
        (["a", "a"], [1]),
        (["a", "b", "c", "c", None], [3]),
        (["a", None, "a", "a"], [3]),
        # What lands during a build is news after it.
        (["a", "a", "b", "b"], [1, 3]),
        # A stream that never pauses is not waited for for ever.
        ([str(number) for number in range(30)], [11, 23]),
    ],
)
def test_models_are_built_once_the_landing_pauses(
    monkeypatch: pytest.MonkeyPatch, news: list[str | None], built: list[int]
) -> None:
    assert looks_at_builds(monkeypatch, news) == built


def test_a_refresh_that_failed_is_tried_again_when_more_has_landed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looks_at_builds(monkeypatch, ["a", "a", "a", "b", "b", "b"], fails=1) == [1, 4, 5]


def test_a_refresh_that_fails_is_tried_again_by_itself_after_pauses_that_grow_up_to_ten_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with capture_logs() as told:
        built = looks_at_builds(monkeypatch, ["a"] * 300, fails=7)
    pauses = [line["in_seconds"] for line in told]
    assert pauses == [30, 60, 120, 240, 480, 600, 600]
    assert {line["event"] for line in told} == {
        "the refresh failed; it is tried again, or sooner when something more has landed"
    }
    between = [(later - earlier) * SETTINGS.commit_interval_seconds for earlier, later in pairwise(built)]
    assert between[:7] == pauses
    assert set(between[7:]) == {10}, "what works is not put off"


def test_nothing_is_built_after_a_signal_whose_exception_got_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looks_at_builds(monkeypatch, ["a", "a", "a"], stops_at=1) == []
