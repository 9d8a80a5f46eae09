"""What a watch notes of its inbox: a ZIP as one file, files that grow, and a bounded list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel.base.settings import Settings
from producer.inbox_state import MOST_FILES, InboxFile, InboxFileState, InboxState, path_of, read_inbox

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(warehouse=str(tmp_path / "battery.duckdb"))


@pytest.fixture
def state(settings: Settings, tmp_path: Path) -> InboxState:
    return InboxState(settings, tmp_path)


def listed(state: InboxState, settings: Settings) -> dict[str, InboxFile]:
    """The files as others read them."""
    with state:
        pass
    look = read_inbox(settings)
    assert look is not None
    return {file.name: file for file in look.files}


def test_members_of_a_zip_add_up_and_it_is_published_with_the_last_one(state: InboxState, settings: Settings) -> None:
    state.list({"/in/a.zip": ("a.zip", 9)}, copying=(), new=["/in/a.zip"])
    for member, rows in (("x.xlsx", 10), ("y.xlsx", 20)):
        state.begin(f"/in/a.zip!{member}")
        state.take(f"/in/a.zip!{member}", rows, ["A"])
    state.send("/in/a.zip!x.xlsx", 10)
    state.publish("/in/a.zip!x.xlsx", "log", {0: 4, 1: 2})
    state.send("/in/a.zip!y.xlsx", 20)
    state.publish("/in/a.zip!y.xlsx", "log", {0: 3})
    file = listed(state, settings)["a.zip"]
    assert (file.state, file.rows, file.sent, file.cells) == (InboxFileState.PUBLISHED, 30, 30, ("A",))
    assert file.offsets == {"0": 4, "1": 2}


def test_a_zip_of_which_some_is_not_sent_yet_is_not_published(state: InboxState, settings: Settings) -> None:
    state.list({"/in/a.zip": ("a.zip", 9)}, copying=(), new=["/in/a.zip"])
    for member in ("x.xlsx", "y.xlsx"):
        state.take(f"/in/a.zip!{member}", 10, ["A"])
    state.send("/in/a.zip!x.xlsx", 10)
    state.publish("/in/a.zip!x.xlsx", "log", {0: 4})
    assert listed(state, settings)["a.zip"].state is InboxFileState.SENDING


def test_a_file_that_grows_is_being_copied_and_then_waits(state: InboxState, settings: Settings) -> None:
    state.list({"/in/a.csv": ("a.csv", 1)}, copying=["/in/a.csv"], new=())
    assert listed(state, settings)["a.csv"].state is InboxFileState.COPYING
    again = InboxState(settings, path_of(settings).parent)
    again.list({"/in/a.csv": ("a.csv", 1)}, copying=["/in/a.csv"], new=())
    again.list({"/in/a.csv": ("a.csv", 5)}, copying=(), new=["/in/a.csv"])
    file = listed(again, settings)["a.csv"]
    assert (file.state, file.bytes) == (InboxFileState.WAITING, 5)


def test_a_refused_member_makes_the_zip_refused_and_is_named(state: InboxState, settings: Settings) -> None:
    state.list({"/in/a.zip": ("a.zip", 9)}, copying=(), new=["/in/a.zip"])
    state.refuse("/in/a.zip!x.xlsx", "it has no sheet")
    state.refuse("/in/a.zip!y.xlsx", "it is cut off")
    file = listed(state, settings)["a.zip"]
    assert (file.state, file.reason) == (InboxFileState.REFUSED, "x.xlsx: it has no sheet; y.xlsx: it is cut off")


def test_files_that_are_gone_leave_the_list(state: InboxState, settings: Settings) -> None:
    state.list({"/in/a.csv": ("a.csv", 1), "/in/b.csv": ("b.csv", 1)}, copying=(), new=["/in/a.csv"])
    state.list({"/in/b.csv": ("b.csv", 1)}, copying=(), new=())
    assert list(listed(state, settings)) == ["b.csv"]


def test_the_list_is_bounded_and_those_being_worked_on_come_first(state: InboxState, settings: Settings) -> None:
    present = {f"/in/{number}.csv": (f"{number}.csv", 1) for number in range(MOST_FILES + 5)}
    state.list(present, copying=(), new=["/in/3.csv"])
    with state:
        pass
    look = read_inbox(settings)
    assert look is not None
    assert (len(look.files), look.left_out) == (MOST_FILES, 5)
    assert look.files[0].name == "3.csv"


def test_ignored_files_that_are_not_named_are_among_those_that_are_left_out(
    state: InboxState, settings: Settings
) -> None:
    with state:
        state.ignore({"/a.csv": ("a.csv", 5, "of an unknown format")}, more=7)
    look = read_inbox(settings)
    assert look is not None
    assert (len(look.files), look.left_out) == (1, 7)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"folder": "x"}', b"\xff\xfe", b"[" * 100_000])
def test_a_file_of_another_kind_counts_as_none(settings: Settings, content: bytes) -> None:
    path_of(settings).write_bytes(content)
    assert read_inbox(settings) is None


def test_that_it_is_watched_is_said_at_once_and_that_it_has_ended(state: InboxState, settings: Settings) -> None:
    with state:
        during = read_inbox(settings)
    after = read_inbox(settings)
    assert during is not None
    assert after is not None
    assert (during.is_watched, after.is_watched) == (True, False)


def test_the_inbox_of_another_warehouse_in_the_same_folder_counts_as_none(
    state: InboxState, settings: Settings
) -> None:
    other = settings.model_copy(update={"warehouse": settings.warehouse.replace(".duckdb", "_2.duckdb")})
    with state:
        assert read_inbox(settings) is not None
        assert read_inbox(other) is None


def test_without_a_watch_there_is_none(settings: Settings) -> None:
    assert read_inbox(settings) is None
