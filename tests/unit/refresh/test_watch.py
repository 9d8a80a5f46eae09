"""When `battery transform --watch` builds: after a pause in the landing, when more has landed, and after a failure."""

from __future__ import annotations

import threading
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Self, cast

import pytest
from structlog.testing import capture_logs

import refresh.watch
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from refresh.dbt import DbtRun
from refresh.notice import read_notice
from refresh.watch import LOOK_SECONDS, PREPARE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Lab:
    """A pipeline whose clock, news and dbt are made up; a build takes 5 s."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = Settings(_env_file=None, warehouse=str(folder / "battery.duckdb"))
        self.now = 0.0
        self.built: list[float] = []
        self.prepared: list[float] = []
        self.looked: list[float] = []
        self.states: list[str] = []
        self.ended = False
        self.pid: int | None = None
        self.warnings: tuple[str, ...] = ()
        self.failure: Exception = BatteryError("a model failed")
        self.stop = threading.Event()
        for name, value in {
            "STOP": self.stop,
            "_news": self._look,
            "stage_models": self._build,
            "in_words": lambda _, warnings: f"warned of {warnings}",
            "publish": lambda *_: "published",
            "WarmDbt": lambda *_: self,
        }.items():
            monkeypatch.setattr(refresh.watch, name, value)
        monkeypatch.setattr("refresh.notice.changed_tests", lambda _: [("CELL", "2024"), ("CELL", "2025")])

    def run(self, news: Callable[[float], str | None], until: float, fails: int = 0) -> list[float]:
        """The times of the builds, of which the first ones fail, until a time at which the process is stopped."""
        self._news, self._until, self._fails = news, until, fails
        runs = refresh.watch.refresh_on_news(
            self.settings, cast("Any", None), cast("Any", None), self._pause, lambda: self.now
        )
        assert len(list(islice(runs, 1000))) == len(self.built) - min(fails, len(self.built))
        assert self.ended
        return self.built

    def write(self) -> None:
        """What a commit does to the warehouse's file, as far as a look can see it."""
        with open(self.settings.warehouse, "a") as file:  # noqa: PTH123
            file.write("more")

    def prepare(self) -> None:
        self.prepared.append(self.now)
        self.pid = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = True

    def _pause(self, seconds: float) -> None:
        notice = read_notice(self.settings)
        assert notice is not None
        self.states.append(notice.state)
        self.now += seconds
        if self.now >= self._until:
            self.stop.set()

    def _look(self, *_: object) -> str | None:
        self.looked.append(self.now)
        return self._news(self.now)

    def _build(self, *_: object) -> DbtRun:
        self.built.append(self.now)
        notice = read_notice(self.settings)
        assert notice is not None
        assert (notice.state, notice.cells, notice.test_count) == ("modelling", ("CELL",), 2)
        self.now += 5
        if len(self.built) <= self._fails:
            raise self.failure
        return DbtRun(("build",), 5.0, (), None, True, (), cast("Any", self.warnings))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(tmp_path, monkeypatch)


def test_a_drop_is_built_when_the_landing_pauses_and_the_notice_says_what_happens(lab: Lab) -> None:
    def news(now: float) -> str | None:
        return "a drop" if now >= 10 and not lab.built else None

    assert lab.run(news, until=40) == [11.5]
    assert lab.states == ["idle"] * 20 + ["waiting"] * 3 + ["idle"] * (len(lab.states) - 23)
    notice = read_notice(lab.settings)
    assert notice is not None
    assert notice.last is not None
    assert (notice.state, notice.news, notice.last.outcome) == ("idle", None, "passed")


def test_the_warehouse_is_opened_when_its_file_has_changed_and_every_commit_interval(lab: Lab) -> None:
    def news(now: float) -> str | None:
        if now == 20.0:
            lab.write()
        return None

    lab.run(news, until=40)
    assert lab.looked == [0.0, 10.0, 20.0, 20.0 + LOOK_SECONDS, 30.5]


def test_dbt_is_made_warm_after_a_while_or_with_the_first_news(lab: Lab) -> None:
    lab.run(lambda _: None, until=PREPARE_SECONDS - LOOK_SECONDS)
    assert lab.prepared == []


def test_dbt_is_made_warm_once(lab: Lab) -> None:
    lab.run(lambda _: None, until=100)
    assert lab.prepared == [PREPARE_SECONDS]


def test_a_refresh_that_fails_is_tried_again_by_itself_after_pauses_that_grow_up_to_ten_minutes(lab: Lab) -> None:
    with capture_logs() as told:
        built = lab.run(lambda _: "a", until=2200, fails=7)
    failures = [line for line in told if line["log_level"] == "error"]
    assert [line["in_seconds"] for line in failures] == [30, 60, 120, 240, 480, 600, 600]
    assert [later - earlier - 5 for earlier, later in pairwise(built[:8])] == [30, 60, 120, 240, 480, 600, 600]
    assert {line["event"] for line in failures} == {
        "the refresh failed; it is tried again, or sooner when something more has landed"
    }
    assert set(lab.states[3:50]) == {"failed"}


def test_an_error_that_nobody_has_foreseen_is_a_failure_like_others(lab: Lab) -> None:
    lab.failure = RuntimeError("no such thing\nat all")
    assert lab.run(lambda _: None if len(lab.built) > 1 else "a", until=60, fails=1) == [1.5, 36.5]
    assert {"failed"} <= set(lab.states)


def test_a_refresh_that_failed_is_tried_again_when_more_has_landed(lab: Lab) -> None:
    assert lab.run(lambda now: "a" if now < 15 else "b", until=25, fails=1)[:2] == [1.5, 18.5]


def test_what_another_process_has_published_meanwhile_is_not_built_again(lab: Lab) -> None:
    assert lab.run(lambda _: None if 1.5 in lab.looked else "a drop", until=20) == []  # it looks once it has the lock
    assert "modelling" not in lab.states


def test_what_the_tests_warn_of_is_said_once(lab: Lab) -> None:
    lab.warnings = ("soh",)
    with capture_logs() as told:
        assert len(lab.run(lambda now: str(now // 20), until=60)) > 2
    assert [line["event"] for line in told if line["log_level"] == "warning"] == ["warned of ('soh',)"]


def test_a_refresh_that_ends_leaves_nothing_that_is_about_to_be_modelled(lab: Lab) -> None:
    lab.run(lambda _: "a drop", until=1)
    notice = read_notice(lab.settings)
    assert notice is not None
    assert (lab.states[-1], notice.state) == ("waiting", "idle")


def test_nothing_is_built_after_a_signal_whose_exception_got_lost(lab: Lab) -> None:
    def news(now: float) -> str | None:
        lab.write()
        if now >= 1.5:
            lab.stop.set()
        return "a"

    assert lab.run(news, until=100) == []
