"""What the columns of a record mean: signs, counters, steps, cycles and times, made those of the contract.

All of it is numpy over whole columns, knows no file, and says what it assumed.
"""
