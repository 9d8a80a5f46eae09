"""Tuning of Python and Arrow for a process that reads the log; done once, at its start."""

from __future__ import annotations

import gc
import sys
from typing import Final

import pyarrow as pa

SWITCH_SECONDS: Final = 0.001
"""How long a thread may keep the interpreter from others, s: the one that lands a commit needs it often, briefly."""


def tune_process() -> None:
    """Set up garbage collector, thread switching and Arrow's allocator for polls of tens of thousands of messages."""
    # No message is part of a reference cycle, and a collection among them costs more than reading them.
    gc.set_threshold(500_000, 20, 20)
    gc.freeze()
    sys.setswitchinterval(SWITCH_SECONDS)
    # Arrow's own allocator never returns memory: a hundred megabytes more than needed.
    pa.set_memory_pool(pa.system_memory_pool())
