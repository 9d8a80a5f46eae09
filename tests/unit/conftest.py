"""A unit test starts no process and lands in no warehouse: what does belongs in `tests/parts`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_STARTS = frozenset({"subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.system"})
_seen: list[str] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event in _STARTS:
        _seen.append(f"{event} {arguments[:2]}")


sys.addaudithook(_note)


@pytest.fixture(autouse=True)
def _no_process() -> Iterator[None]:
    _seen.clear()
    yield
    assert not _seen, f"a unit test started a process: {_seen}"
