"""What has landed and what was published, as Iceberg tables for engines that know nothing of this pipeline.

`register` brings the tables of a catalog up to date. No row is written again: the tables name the Parquet objects that
are there already.
"""
