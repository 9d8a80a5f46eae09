"""A cluster over hosts: a supervisor on each host, and how they agree on one run after the other.

Bytewax needs all of its processes, from the start to the end of a run. It waits for ever for a process that neither
answers nor closes its connection. So the supervisors watch each other, and when a host is lost, all end their processes
and begin a new run together, without it where they may.

```
        host 0                                   host 1
  +----------------+   GET /, twice a second   +----------------+
  | supervisor.py  | <-----------------------> | supervisor.py  |    rendezvous.py: what each tells, over HTTP
  |   plan, watch  |                           |   plan, watch  |    plan.py: who is in the next run
  +-------+--------+                           +-------+--------+    watch.py: whether a run is whole
          | starts, ends                               |
  +-------+--------+         Bytewax           +-------+--------+
  | process 0      | <-----------------------> | process 1      |    dataflows/worker.py
  +----------------+                           +----------------+
```

What lands is decided elsewhere: a new run takes a writer epoch in the warehouse, which ends every earlier one. So a
host that goes on in a run that the others have given up changes nothing, however long it stays unheard.
"""
