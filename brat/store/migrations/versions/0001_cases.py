"""The table of cases."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "cases",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("time", sa.DateTime, nullable=False, index=True),
        sa.Column("scan", sa.String(64), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("reader", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(100), nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("label", sa.String(20), nullable=False),
        *(
            sa.Column(name, sa.Float, nullable=False)
            for name in ("glioma", "meningioma", "pituitary", "no_tumor")
        ),
        sa.Column("sets", sa.JSON, nullable=False),
        sa.Column("gate_score", sa.Float),
        sa.Column("gate_known", sa.Boolean),
        sa.Column("seen", sa.String(20)),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("picture", sa.LargeBinary),
        sa.UniqueConstraint("scan", "model", "reader"),
    )
