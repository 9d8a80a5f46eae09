"""The notice of the refresh: what it says while models are built, and whether it is believed after a kill."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from refresh.dbt import are_models_locked, lock_models
from refresh.notice import BEAT_SECONDS, Board, notice_file, read_notice

if TYPE_CHECKING:
    from pathlib import Path

WAREHOUSE = cast("Any", None)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("refresh.notice.changed_tests", lambda _: [("CELL", "2024")])
    return Settings(_env_file=None, warehouse=str(tmp_path / "battery.duckdb"))


def state_of(settings: Settings) -> str:
    notice = read_notice(settings)
    assert notice is not None
    return notice.state


def last_of(settings: Settings) -> tuple[str, str | None]:
    notice = read_notice(settings)
    assert notice is not None
    assert notice.last is not None
    return notice.last.outcome, notice.last.error


def written_by_another(settings: Settings, **changes: object) -> None:
    """Another process has written the notice that is there, with some changes."""
    content = json.loads(notice_file(settings).read_bytes())
    notice_file(settings).unlink()
    notice_file(settings).write_text(json.dumps(content | {"pid": -1} | changes))


def test_models_are_being_built_while_somebody_holds_the_lock_on_them(settings: Settings) -> None:
    with lock_models(settings):
        assert are_models_locked(settings)
        with Board(settings).modelling(WAREHOUSE):
            assert state_of(settings) == "modelling"
    assert (state_of(settings), last_of(settings)) == ("idle", ("passed", None))


def test_after_a_kill_in_the_middle_nothing_is_being_modelled(settings: Settings) -> None:
    with lock_models(settings), Board(settings).modelling(WAREHOUSE):
        killed_with = notice_file(settings).read_bytes()
    notice_file(settings).write_bytes(killed_with)
    notice = read_notice(settings)
    assert notice is not None
    assert (notice.state, notice.cells, notice.test_count) == ("idle", (), 0)


@pytest.mark.parametrize(("minutes", "state"), [(0, "waiting"), (-2, "idle"), (600, "idle")])
def test_what_was_about_to_be_modelled_is_not_believed_of_a_silent_process(
    settings: Settings, minutes: int, state: str
) -> None:
    Board(settings).waiting("a drop")
    written_by_another(settings, at=(datetime.now(UTC) + timedelta(minutes=minutes)).isoformat())
    assert state_of(settings) == state


def test_a_refresh_that_a_signal_ends_leaves_nothing_that_is_being_modelled(settings: Settings) -> None:
    with suppress(SystemExit), lock_models(settings), Board(settings).modelling(WAREHOUSE):
        raise SystemExit
    assert json.loads(notice_file(settings).read_bytes())["state"] == "idle"


def test_what_another_process_models_stays_until_it_has_ended_and_how_it_ended_is_kept(settings: Settings) -> None:
    mine = Board(settings)
    with pytest.raises(BatteryError), lock_models(settings), mine.modelling(WAREHOUSE):
        raise BatteryError("a model failed")
    mine.idle()
    assert last_of(settings) == ("failed", "a model failed")
    with lock_models(settings):
        written_by_another(settings, state="modelling")
        mine.idle()
        mine.waiting("a drop")
        assert state_of(settings) == "modelling"
    passed = {"outcome": "passed", "at": datetime.now(UTC).isoformat(timespec="milliseconds"), "seconds": 1.0}
    written_by_another(settings, state="idle", last=passed)
    mine.waiting("a drop")
    assert (state_of(settings), last_of(settings)) == ("waiting", ("passed", None))


def test_what_a_killed_process_has_left_gives_way_to_the_one_that_runs(settings: Settings) -> None:
    mine = Board(settings)
    mine.idle()
    written_by_another(settings, state="modelling")
    mine.idle()
    assert json.loads(notice_file(settings).read_bytes())["state"] == "idle"


def test_a_process_with_nothing_new_to_say_writes_now_and_then(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("refresh.notice.time.monotonic", lambda: now[0])
    mine, written = Board(settings), set()
    for now[0] in (0.0, 1.0, BEAT_SECONDS - 1, BEAT_SECONDS + 1):
        mine.waiting("a drop")
        written.add(notice_file(settings).stat().st_ino)
    assert len(written) == 2


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b"\xff", b"null", b'{"last": 3}', b"[" * 100_000])
def test_a_damaged_notice_counts_as_none(settings: Settings, damage: bytes) -> None:
    Board(settings).idle()
    notice_file(settings).write_bytes(damage)
    assert read_notice(settings) is None
    Board(settings).idle()
    assert state_of(settings) == "idle"


def test_the_notice_of_another_warehouse_in_the_same_folder_counts_as_none(settings: Settings, tmp_path: Path) -> None:
    Board(settings).waiting("a drop")
    other = Settings(_env_file=None, warehouse=str(tmp_path / "other.duckdb"))
    assert (state_of(settings), read_notice(other)) == ("waiting", None)


@pytest.mark.parametrize("changes", [{"since": ""}, {"since": None}, {"at": "soon"}, {"cells": 3}])
def test_a_notice_with_other_values_counts_as_none(settings: Settings, changes: dict[str, object]) -> None:
    Board(settings).idle()
    written_by_another(settings, **changes)
    assert read_notice(settings) is None
