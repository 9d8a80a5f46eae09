"""The landing: cleaned readings become Parquet objects and warehouse tables, each exactly once.

A run starts with `run`: it takes a writer epoch and reads what has landed. A commit then takes this way through the
modules:

1. `lanes` is the sink of the flow. A lane gathers the cleaned results of its cells and decides when a commit is due.
2. `draft` is that commit in the making. `encode` turns its rows into Parquet while they gather, and `repeats` compares
   readings that come a second time with those that have landed.
3. `draft` stores one object for each kind of row, under a key that `manifest` gives. No commit names them yet.
4. `commit` lands it: one warehouse transaction fills all landing tables (`tables`) and names the objects (`manifest`).
   `writers` makes sure that nobody has taken over from the writer.

What stands around a commit: `claim` ties a store to one pipeline, `leftovers` finds the objects that no commit names,
`peers` knows the processes of a cluster, `parquet` reads objects back. The package `care` looks after what has landed.

The states of a commit, and what a crash leaves in each of them:

    ┌───────────┐  Draft.store:             ┌────────┐  Landing.land:          ┌───────────┐
    │ gathering │ ────────────────────────▶ │ stored │ ──────────────────────▶ │ committed │
    └─────┬─────┘  one object a kind,       └───┬────┘  ONE transaction:       └─────┬─────┘
          │        put only if absent           │       rows, aggregates,            │
          │                                     │       progress, states, names      │ replay or compaction:
          │ crash: nothing is left;             │                                    │ other objects take
          │ the log is read again               │ crash, or a newer writer:          │ their place
          │                                     ▼                                    ▼
          │                               ┌───────────┐                        ┌───────────┐
          └──────────────────────────────▶│ abandoned │                        │  retired  │
                                          └─────┬─────┘                        └─────┬─────┘
                                                │ once its writer is superseded      │ once no manifest
                                                │ (sink.leftovers)                   │ names it (_retired)
                                                └──────────────▶ deleted ◀───────────┘

If a connection breaks during the COMMIT, only the warehouse knows how it ended: `Landing.land` asks whether the id of
the commit is in `_commits`, and runs the transaction again only if it is not.
"""
