"""The steps by which Alembic brings the schema of a database to that of this release."""
