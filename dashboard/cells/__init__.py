"""What a lab knows of its cells, as a table to edit: what holds and by which source, and what changes."""
