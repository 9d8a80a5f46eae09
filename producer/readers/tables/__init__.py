"""Tables of readings under any titles: what their columns are, and what stands in them, by column."""
