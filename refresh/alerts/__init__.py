"""Alerts on cells: the lab's own thresholds, what was found, what has been sent, and how it is sent."""
