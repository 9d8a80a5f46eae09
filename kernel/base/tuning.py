"""How Python serves a process that reads polls of a log: set once, where it starts."""

from __future__ import annotations

import gc
import sys
from typing import Final

import pyarrow as pa

SWITCH_SECONDS: Final = 0.001
"""How soon a thread that wants the interpreter gets it. What lands a commit wants it often, and for a moment only."""


def suit_polls() -> None:
    """Set collector, threads and Arrow's allocator up for polls of tens of thousands of messages."""
    # None of the messages is in a cycle: collecting amid them costs more than reading them.
    gc.set_threshold(500_000, 20, 20)
    gc.freeze()
    sys.setswitchinterval(SWITCH_SECONDS)
    # Arrow's own allocator keeps what it once had, a hundred megabytes more than it needs.
    pa.set_memory_pool(pa.system_memory_pool())
