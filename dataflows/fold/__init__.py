"""The fold: what a batch of readings makes of the state of its cells. Pure functions of (state, batch)."""
