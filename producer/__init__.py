"""From workbooks to the event log: reading, data sets, simulation and publishing."""
