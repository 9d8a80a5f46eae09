"""Measurements for the page on scale: what many channels at 1 Hz cost, and a simulation of one worker beside them.

They take long and say nothing of a change, so `make bench` leaves them out and `make bench-scale` runs them.
"""
