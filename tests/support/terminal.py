"""A terminal for tests: what a command draws on it, and what a person sees at the end."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PIECES = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


@dataclass
class Seen:
    """What came of a command: all that was written to the terminal, and what went to standard output."""

    code: int
    drawn: str
    stdout: str

    @property
    def plain(self) -> str:
        """All that was written, without colours and movements."""
        return re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", self.drawn)

    @property
    def screen(self) -> list[str]:
        """The lines that stand on the terminal in the end, without colours."""
        lines, row, column = [""], 0, 0
        for numbers, control, back, down, text in _PIECES.findall(self.drawn):
            if back:
                column = 0
            elif down:
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif control == "A":
                row = max(0, row - int(numbers or 1))
            elif control == "K":
                lines[row] = "" if numbers == "2" else lines[row][:column]
            elif text:
                lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
                column += len(text)
        return [line.rstrip() for line in lines if line.strip()]


def start_on_terminal(
    folder: Path, environment: Mapping[str, str], *arguments: str, stdout: int | None = subprocess.PIPE
) -> tuple[subprocess.Popen[str], int]:
    """A `battery` command whose standard error, and output where `stdout` is None, is a terminal; that one's end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "battery", *arguments],
        cwd=folder,
        env={**environment, "TERM": "xterm-256color", "COLUMNS": "200", "LINES": "40"},
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    return process, ours


def read_until_closed(terminal: int) -> str:
    """All that comes to a terminal until nobody can write to it any more."""
    drawn = b""
    while True:
        try:
            piece = os.read(terminal, 65_536)
        except OSError:  # how Linux says that the other end has been closed
            piece = b""
        if not piece:
            os.close(terminal)
            return drawn.decode()
        drawn += piece


def on_terminal(folder: Path, environment: Mapping[str, str], *arguments: str) -> Seen:
    """A `battery` command to its end, its standard error a terminal and its output a pipe."""
    process, terminal = start_on_terminal(folder, environment, *arguments)
    drawn = read_until_closed(terminal)
    stdout, _ = process.communicate(timeout=60)
    return Seen(process.returncode, drawn, stdout)
