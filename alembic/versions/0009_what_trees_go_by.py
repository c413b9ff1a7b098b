"""what the trees of a model go by

Revision: 0009
After: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLE = "model_evaluation"


def upgrade() -> None:
    op.add_column(
        TABLE,
        sa.Column(
            "features",
            sa.ARRAY(sa.Text()),
            server_default="{}",
            nullable=False,
            comment="what the trees go by, the most important first; empty if no trees",
        ),
    )
    op.add_column(
        TABLE,
        sa.Column(
            "shap",
            sa.ARRAY(sa.Double()),
            server_default="{}",
            nullable=False,
            comment="mean absolute SHAP value of each feature, target's unit",
        ),
    )
    op.create_check_constraint(
        op.f("ck_model_evaluation_one_shap_a_feature"), TABLE, "cardinality(features) = cardinality(shap)"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_model_evaluation_one_shap_a_feature"), TABLE, type_="check")
    op.drop_column(TABLE, "shap")
    op.drop_column(TABLE, "features")
