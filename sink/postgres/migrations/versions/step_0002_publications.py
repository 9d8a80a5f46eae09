"""What was published last, by any host: marks, as each host has them beside its models, and the numbers of landings."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_STATEMENTS = (
    """create table internal._refreshed (
        model text not null, cell_id text not null, test_id text not null, version text not null,
        code text, built_by text, primary key (model, cell_id, test_id)
    )""",
    """insert into internal._refreshed (model, cell_id, test_id, version)
    values ('_taken', '', '', '0'), ('_published', '', '', '0')""",
)


def upgrade() -> None:
    """Create the table, with the numbers from which hosts count."""
    for statement in _STATEMENTS:
        op.execute(statement)
