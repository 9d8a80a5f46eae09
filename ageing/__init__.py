"""How a cell ages: its knee, the end of its life, and its incremental capacity, as pure functions of arrays."""
