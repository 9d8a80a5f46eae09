"""Pauses between tries that fail."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from kernel.base.pauses import NOTICE_SECONDS, Pauses, wait_for

if TYPE_CHECKING:
    import tenacity


def test_pauses_grow_up_to_a_limit_and_begin_anew_once_it_works() -> None:
    pauses = Pauses(0.5, 3.0)
    assert [pauses.next() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    pauses.reset()
    assert pauses.next() == 0.5


class Server:
    """Fails with each error in turn, `seconds` each, and then answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, errors: list[Exception], seconds: float) -> None:
        self._errors, self._seconds, self._clock = errors, seconds, 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self._clock)

    def ask(self, question: str) -> str:
        self._clock += self._seconds
        if self._errors:
            raise self._errors.pop(0)
        return f"{question} answered"


def waiting(told: list[str], seconds: float) -> tenacity.Retrying:
    retry = wait_for(
        lambda error: isinstance(error, OSError),
        lambda error: told.append(str(error)),
        seconds=seconds,
        first=0.01,
        longest=0.1,
    )
    retry.sleep = lambda _: None
    return retry


def test_a_long_wait_is_told_once_with_the_latest_error(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    server = Server(monkeypatch, [OSError(name) for name in ("first", "second", "third", "fourth")], 0.4)
    assert waiting(told, 60)(server.ask, "42?") == "42? answered"
    assert told == ["third"], f"it is told after {NOTICE_SECONDS} s"


def test_the_limit_of_each_pause_is_twice_that_of_the_one_before_up_to_the_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(random, "uniform", lambda _, limit: limit)
    retry, pauses = waiting([], 60), list[float]()
    retry.sleep = pauses.append
    retry(Server(monkeypatch, [OSError("away")] * 6, 0.1).ask, "42?")
    assert pauses == [0.01, 0.02, 0.04, 0.08, 0.1, 0.1]


def test_a_short_wait_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    assert waiting(told, 60)(Server(monkeypatch, [OSError("first")], 0.4).ask, "42?") == "42? answered"
    assert told == []


def test_what_does_not_pass_is_raised_at_once_and_what_does_when_the_patience_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    with pytest.raises(ValueError, match="bad name"):
        waiting(told, 60)(Server(monkeypatch, [ValueError("bad name")], 5.0).ask, "42?")
    assert told == []
    errors: list[Exception] = [OSError(str(number)) for number in range(9)]
    with pytest.raises(OSError, match=r"^2$"):
        waiting(told, 10)(Server(monkeypatch, errors, 4.0).ask, "42?")
    assert told == ["0"]
