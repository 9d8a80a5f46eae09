"""How a process that reads polls of a log holds memory: set once, where it starts."""

from __future__ import annotations

import gc

import pyarrow as pa


def suit_polls() -> None:
    """Set Python's collector and Arrow's allocator up for polls of tens of thousands of messages."""
    # None of the messages is in a cycle: collecting amid them costs more than reading them.
    gc.set_threshold(500_000, 20, 20)
    gc.freeze()
    # Arrow's own allocator keeps what it once had, a hundred megabytes more than it needs.
    pa.set_memory_pool(pa.system_memory_pool())
