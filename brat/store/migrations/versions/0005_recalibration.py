"""The site's recalibration that a reading was made with. Of cases from before it is not known."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("cases", sa.Column("recalibration", sa.String(64), nullable=False, server_default=""))
