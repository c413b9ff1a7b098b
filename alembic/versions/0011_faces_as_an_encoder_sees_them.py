"""faces as an encoder sees them

Revision: 0011
After: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import Vector

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLE = "embedding"


def upgrade() -> None:
    op.add_column(
        TABLE,
        sa.Column(
            "bottom",
            Vector(32),
            nullable=True,
            comment="what the bottom face shows a partner, 32 components; null: still to be computed",
        ),
    )
    op.add_column(TABLE, sa.Column("top", Vector(32), nullable=True, comment="the same of the top face"))


def downgrade() -> None:
    op.drop_column(TABLE, "top")
    op.drop_column(TABLE, "bottom")
