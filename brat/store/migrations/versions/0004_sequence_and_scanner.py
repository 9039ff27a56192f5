"""Sequence and kind of scanner, to see when either changes. Of cases from before neither is known."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for name, length in (("sequence", 20), ("scanner", 100)):
        op.add_column("cases", sa.Column(name, sa.String(length), nullable=False, server_default=""))
