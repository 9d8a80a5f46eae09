"""The kinds of warehouses, one a module; `kernel.edges.warehouse` opens the one that the settings name."""
