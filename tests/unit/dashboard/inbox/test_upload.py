"""Files that are dropped onto a page: their names, their places, and when they may be dropped."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

import dashboard.inbox.upload
from dashboard.access import is_for_this_machine
from dashboard.inbox.upload import Outcome, Saved, UnsafeNameError, safe_name, save, why_no_upload
from kernel.base.settings import Settings
from producer.inbox_state import InboxLook

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd.csv", "passwd.csv"),
        ("..\\..\\boot.csv", "boot.csv"),
        ("/in/A 1.xlsx", "A 1.xlsx"),
        ("a\nb\u202e.csv", "ab.csv"),
        ("a.csv. ", "a.csv"),
        ("Zelle_ä.csv", "Zelle_ä.csv"),
    ],
)
def test_a_name_is_its_last_part_in_printable_letters(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize("name", ["", "..", "a/", ".hidden.csv", "~$open.xlsx", "Thumbs.db", "\n"])
def test_a_name_that_the_inbox_would_not_look_at_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeNameError):
        save(tmp_path, name, io.BytesIO(b"x"))
    assert list(tmp_path.iterdir()) == []


def test_a_long_name_keeps_its_ending(tmp_path: Path) -> None:
    saved = save(tmp_path, "ä" * 300 + ".xlsx", io.BytesIO(b"x"))
    assert saved.name.endswith(".xlsx")
    assert (tmp_path / saved.name).read_bytes() == b"x"


def test_a_file_is_never_written_over(tmp_path: Path) -> None:
    content = [b"one", b"two", b"two", b"one", b"three"]
    saved = [save(tmp_path, "a.csv", io.BytesIO(one)) for one in content]
    assert saved == [
        Saved("a.csv", Outcome.SAVED),
        Saved("a (2).csv", Outcome.RENUMBERED),
        Saved("a (2).csv", Outcome.SAME),
        Saved("a.csv", Outcome.SAME),
        Saved("a (3).csv", Outcome.RENUMBERED),
    ]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a.csv": b"one",
        "a (2).csv": b"two",
        "a (3).csv": b"three",
    }


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002
            raise OSError("the connection is gone")

    with pytest.raises(OSError, match="gone"):
        save(tmp_path, "a.csv", Broken())
    assert list(tmp_path.iterdir()) == []


def look(folder: Path, *, is_watched: bool = True) -> InboxLook:
    return InboxLook(str(folder), datetime(2026, 11, 30, tzinfo=UTC), (), is_watched=is_watched)


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("password", [None, "open sesame"])
def test_files_may_be_dropped_at_this_machine_or_behind_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, local: bool, password: str | None
) -> None:
    monkeypatch.setattr(dashboard.inbox.upload, "is_for_this_machine", lambda: local)
    settings = Settings(dashboard_password=None if password is None else SecretStr(password))
    reason = why_no_upload(settings, look(tmp_path))
    assert (reason is None) is (local or password is not None)
    assert reason is None or "`DASHBOARD_PASSWORD`" in reason


def test_nothing_may_be_dropped_where_no_inbox_is_watched_or_its_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard.inbox.upload, "is_for_this_machine", lambda: True)
    for inbox in (None, look(tmp_path, is_watched=False), look(tmp_path / "gone")):
        assert why_no_upload(Settings(), inbox)


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.9.9.9", True), ("0.0.0.0", False),  # noqa: S104
     ("::", False), ("192.168.1.5", False), ("lab.example", False), ("", False)],
)  # fmt: skip
def test_which_addresses_are_of_this_machine_alone(host: str, *, local: bool) -> None:
    assert is_for_this_machine(host) is local
