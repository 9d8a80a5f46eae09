"""The bytes of a text file as UTF-8, whatever it is in: UTF-8, UTF-16, GB 18030 or Latin-1, with or without a mark.

Texts of readings have letters beyond ASCII in their preamble and titles, and seldom below. So the beginning alone is
decoded, and the rest goes from the disk to its place behind it: a copy of a large text costs as much as reading it.
"""

from __future__ import annotations

import os
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from errno import ENOMEM
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import pyarrow as pa

from producer.readers.base import BadWorkbookError, UnreadableWorkbookError
from producer.readers.sample import is_gb18030

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

Content: TypeAlias = "bytes | pa.Buffer"
"""The bytes of a text; memory of Arrow is used again by the next file, and that of Python given back in between."""

PREAMBLE_BYTES: Final = 64 * 1024
"""Where preamble and titles have mostly ended."""

_FIRST_BYTES: Final = 256 * 1024
_BLOCK_BYTES: Final = 512 * 1024
_LAST_ASCII: Final = 0x7F


def read_utf8(path: Path, name: str) -> Content:
    """Read a text file whole, as UTF-8 without a mark.

    Args:
        path: where the file is.
        name: what to call it in an error.

    Raises:
        BadWorkbookError: it is empty, or no text.
        UnreadableWorkbookError: the disk fails to read it.
        MemoryError: it is larger than memory.
    """
    try:
        with path.open("rb", buffering=0) as file:
            start = file.read(PREAMBLE_BYTES)
            if start.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
                content: Content = (start + file.read()).decode("utf-16", "replace").encode()
            else:
                content = _utf8(start.removeprefix(BOM_UTF8), file, name)
    except OSError as error:
        if error.errno == ENOMEM:
            raise MemoryError from None
        raise UnreadableWorkbookError(name, f"cannot be read: {error.strerror or error}") from None
    if not bytes(memoryview(content)[:PREAMBLE_BYTES]).strip() and not bytes(content).strip():
        raise BadWorkbookError(name, "the file is empty; export or copy it again")
    return content


def first_lines(content: Content, count: int) -> tuple[str, ...]:
    """The first lines of a text in UTF-8, without their ends: up to so many line feeds, and more after lone returns."""
    view = memoryview(content).cast("B")
    top = bytes(view[:_FIRST_BYTES])
    if len(top) < len(view) and top.count(b"\n") < count:
        top = bytes(view)
    end = 0
    for _ in range(count):
        end = top.find(b"\n", end) + 1
        if not end:
            end = len(top)
            break
    return tuple(top[:end].decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n"))


def _utf8(start: bytes, file: FileIO, name: str) -> Content:
    """The bytes that a file begins with, and the rest of the file behind them, as UTF-8."""
    cut = start.rfind(b"\n") + 1
    preamble = _decoded(start[:cut])
    rest = max(0, os.fstat(file.fileno()).st_size - file.tell())
    buffer = pa.allocate_buffer(len(preamble) + len(start) - cut + rest)
    view = memoryview(buffer).cast("B")
    view[: len(preamble)] = preamble
    filled = len(preamble) + len(start) - cut
    view[len(preamble) : filled] = start[cut:]
    letters = np.frombuffer(view, np.uint8)
    has_zero, is_ascii = b"\0" in start, start[cut:].isascii()
    while count := file.readinto(view[filled : filled + _BLOCK_BYTES]):
        block = letters[filled : filled + count]  # asked while it is in the caches of the processor
        has_zero, is_ascii = has_zero or not block.min(), is_ascii and block.max() <= _LAST_ASCII
        filled += count
    if has_zero:
        raise BadWorkbookError(name, "is damaged: it has zero bytes, which a text has not; export or copy it again")
    if not is_ascii:  # so what the preamble was taken for may be wrong
        return _decoded(start[:cut] + letters[len(preamble) : filled].tobytes())
    return buffer if filled == len(view) else buffer.slice(0, filled)


def _decoded(content: bytes) -> bytes:
    """UTF-8, of that or of Latin-1."""
    if content.isascii():
        return content
    try:
        content.decode()
    except UnicodeDecodeError:
        return content.decode("gb18030" if is_gb18030(content) else "latin-1", "replace").encode()
    return content
