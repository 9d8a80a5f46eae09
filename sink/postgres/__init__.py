"""The landing tables in PostgreSQL: their schema, a commit's transaction, and who takes a run over from whom."""
