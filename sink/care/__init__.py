"""Care of what has landed: verified, compacted, swept, looked into, and published again after a fix."""
