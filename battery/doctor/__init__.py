"""The doctor: looks at everything that a pipeline on this machine needs, and says of each what to do about it.

`checks` judges what it is given and touches nothing; `probes` asks machine, broker, store and warehouse.
"""
