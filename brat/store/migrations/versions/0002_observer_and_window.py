"""The window that was shown, and columns by their terms: observer, format, out-of-distribution score.

From here on `scan` is the hash of the slice, the same under every window. Rows from before keep their hash:
where the window had been changed, it is of the slice under that window, which nobody can undo.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_RENAMED = {
    "reader": "observer",
    "kind": "format",
    "gate_score": "ood_score",
    "gate_known": "in_distribution",
}


def upgrade() -> None:
    for before, after in _RENAMED.items():
        # In SQL, which SQLite and PostgreSQL share: Alembic would copy the whole table of SQLite.
        op.execute(f"ALTER TABLE cases RENAME COLUMN {before} TO {after}")
    op.add_column("cases", sa.Column("window", sa.String(64), nullable=False, server_default=""))
