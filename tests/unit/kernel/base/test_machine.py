"""What this machine has to give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kernel.base.machine
from kernel.base.machine import memory_bytes

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_container_has_the_memory_that_its_limit_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kernel.base.machine, "_CGROUP_LIMIT", tmp_path / "memory.max")
    machine = memory_bytes()
    for limit, expected in ((f"{1 << 20}\n", 1 << 20), ("max\n", machine)):
        (tmp_path / "memory.max").write_text(limit)
        assert memory_bytes() == expected
