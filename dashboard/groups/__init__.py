"""Cells in groups by any of their columns: filters, colours, panels, means with bands, and two measures of each."""
