"""The fold: pure functions that take the states of cells and a batch of readings, and give results and new states."""
