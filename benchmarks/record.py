"""The last whole run of the benchmarks, kept in the repository with its date, commit and machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.figures import Figure

LAST: Final = Path(__file__).with_name("last.jsonl")
"""One JSON line a figure: what was printed, and `date`, `commit` and `machine` of its run."""


def record(figures: Iterable[Figure], path: Path) -> None:
    """Replace the file with the figures of this run."""
    run = run_of_today()
    path.write_text("".join(json.dumps(figure.line() | run) + "\n" for figure in figures))


def run_of_today() -> dict[str, str | float]:
    """What is kept of a run with each figure: its date, the commit that is checked out, and the machine."""
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(), "machine": _machine()}


def _commit() -> str:
    """The commit that is checked out, marked where files differ from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],  # noqa: S607  # git is found where it is
        cwd=LAST.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


def _machine() -> str:
    """Processors, memory, Python and system, for people."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    processors = f"{os.cpu_count()} processors ({models[0] if models else platform.machine()})"
    return f"{processors}, {memory_gib:.0f} GiB, Python {platform.python_version()}, {platform.system()}"
