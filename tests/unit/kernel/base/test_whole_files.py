"""Small files that are replaced as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernel.base.whole_files import replace_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "work" / "state.json"
    for content in (b"longer than the next", b"next"):
        replace_file(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "state"
    (path / "a folder has its name").mkdir(parents=True)
    with pytest.raises(OSError, match="state"):
        replace_file(path, b"content")
    assert list(tmp_path.iterdir()) == [path]
