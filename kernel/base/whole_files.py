"""Small files that others read at any time: each write replaces the whole file, so nobody reads half of one."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in the place of the one of that name, at once; its folder is made where it is missing.

    It is not synced to the disk: after a crash of the machine the file may be the one before, or missing.

    >>> from pathlib import Path
    >>> replace_file(Path("state.json"), b'{"reading": 3}')
    >>> Path("state.json").read_text()
    '{"reading": 3}'

    Raises:
        OSError: it cannot be written; the file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
