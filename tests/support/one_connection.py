"""What warehouses of tests share whose connections both look and change, as a DuckDB file's do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class OneConnection:
    """A warehouse that only says how it connects."""

    def connect(self, purpose: str, *, read_only: bool = False) -> AbstractContextManager[Any]:
        raise NotImplementedError

    def judge(self, purpose: str) -> AbstractContextManager[Any]:
        return self.connect(purpose)
