"""A reader as its tests ask it: for all of a file, for its only test, or for why it refuses one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from producer.readers.base import BadWorkbookError, ReadOptions

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import Reader, Test, Workbook


@dataclass(frozen=True)
class Asked:
    """A reader that is asked; what is said of a file are fields of `ReadOptions`."""

    reader: Reader

    def read(self, path: Path, **said: object) -> Workbook:
        """All that a file holds."""
        return self.reader.read(path, ReadOptions(path.name, **said))  # type: ignore[arg-type]

    def only(self, path: Path, **said: object) -> Test:
        """The only test of a file."""
        (test,) = self.read(path, **said).tests
        return test

    def refusal(self, path: Path, **said: object) -> str:
        """The line that says why a file is refused."""
        with pytest.raises(BadWorkbookError) as caught:
            self.read(path, **said)
        assert "\n" not in str(caught.value)
        return str(caught.value)
