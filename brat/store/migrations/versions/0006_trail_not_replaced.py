"""SQLite: no row of the trail is replaced.

`INSERT OR REPLACE` deletes the row of its number, and the trigger that forbids it is not asked, as
`recursive_triggers` is off. PostgreSQL has no such statement.
"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    # Of a row that gets its number only then it is below 0 here.
    op.execute(
        "CREATE TRIGGER trail_no_replace BEFORE INSERT ON trail "
        "WHEN NEW.id > 0 AND EXISTS (SELECT 1 FROM trail WHERE id = NEW.id) "
        "BEGIN SELECT RAISE(ABORT, 'the trail of verdicts is only added to'); END"
    )
