"""evaluations of models: errors, coverage and curves that analysts can query

Revision: 0007
After: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None


def _words(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    op.create_table(
        "model_evaluation",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("model_version_id", sa.Integer(), nullable=True, comment="the model that it speaks of, if any"),
        sa.Column("target", sa.Text(), nullable=False, comment="key of the predicted property"),
        sa.Column("domain", _words("domain", "homobilayer", "heterobilayer", "2d-on-bulk"), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="key of the source of the labelled interfaces"),
        sa.Column("split", sa.Text(), nullable=False, comment="name of the split"),
        sa.Column(
            "folds", sa.Text(), nullable=False, comment="rule, version and number of folds, or digest of a fold file"
        ),
        sa.Column(
            "data_digest",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="SHA-256 of names, features and targets of the rows",
        ),
        sa.Column("n_rows", sa.Integer(), nullable=False, comment="labelled interfaces"),
        sa.Column("method", sa.Text(), nullable=False, comment="method that is judged, as a screen would use it"),
        sa.Column("baseline", sa.Text(), nullable=False, comment="calibrated baseline that errs least"),
        sa.Column(
            "beats_baseline", sa.Boolean(), nullable=False, comment="whether the method errs less than every baseline"
        ),
        sa.Column("repeats", sa.Integer(), nullable=False, comment="draws of folds and seeds behind the spread"),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("repeats >= 1", name=op.f("ck_model_evaluation_repeats")),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_version.id"],
            name=op.f("fk_model_evaluation_model_version_id_model_version"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_evaluation")),
        comment="Evaluations of models on rows that they could not know",
    )
    op.create_index("ix_model_evaluation_of", "model_evaluation", ["target", "domain", "split"])
    op.create_index(op.f("ix_model_evaluation_model_version_id"), "model_evaluation", ["model_version_id"])
    op.create_table(
        "model_metric",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False, comment="model or baseline"),
        sa.Column("part_kind", _words("part_kind", "all", "family", "block", "class"), nullable=False),
        sa.Column("part", sa.Text(), nullable=False, comment="which family, block or class; empty for all"),
        sa.Column("is_baseline", sa.Boolean(), nullable=False, comment="whether the method is to be beaten"),
        sa.Column("n", sa.Integer(), nullable=False, comment="rows"),
        sa.Column("mae", sa.Double(), nullable=True, comment="mean absolute error, target's unit; empty for classes"),
        sa.Column("rmse", sa.Double(), nullable=True, comment="root mean square error, target's unit"),
        sa.Column("r2", sa.Double(), nullable=True, comment="share of variance explained, dimensionless"),
        sa.Column("accuracy", sa.Double(), nullable=True, comment="share of rows named rightly; empty for numbers"),
        sa.Column(
            "balanced_accuracy", sa.Double(), nullable=True, comment="mean over classes of the share named rightly"
        ),
        sa.Column("coverage", sa.Double(), nullable=True, comment="share of rows inside the 90 % interval"),
        sa.Column(
            "coverage_by_material", sa.Double(), nullable=True, comment="the same, every pair of layers counting alike"
        ),
        sa.Column("width", sa.Double(), nullable=True, comment="mean half-width of the 90 % interval, target's unit"),
        sa.Column(
            "spread",
            sa.Double(),
            nullable=True,
            comment="standard deviation over repeats of mae (classes: of accuracy), same unit",
        ),
        sa.ForeignKeyConstraint(
            ["evaluation_id"],
            ["model_evaluation.id"],
            name=op.f("fk_model_metric_evaluation_id_model_evaluation"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "method", "part_kind", "part", name=op.f("pk_model_metric")),
        comment="Errors of methods, in the target's unit",
    )
    op.create_table(
        "model_curve",
        sa.Column("evaluation_id", sa.Integer(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False, comment="model or baseline"),
        sa.Column("kind", _words("kind", "learning", "calibration", "parity"), nullable=False),
        sa.Column(
            "x",
            sa.ARRAY(sa.Double()),
            nullable=False,
            comment="learning: training materials; calibration: share asked for; parity: calculated, target's unit",
        ),
        sa.Column(
            "y",
            sa.ARRAY(sa.Double()),
            nullable=False,
            comment="learning: error, target's unit; calibration: share covered; parity: predicted, target's unit",
        ),
        sa.Column(
            "n",
            sa.ARRAY(sa.Integer()),
            nullable=True,
            comment="learning: training rows; parity: rows in the cell of the grid; else empty",
        ),
        sa.CheckConstraint("cardinality(x) = cardinality(y)", name=op.f("ck_model_curve_as_many_x_as_y")),
        sa.CheckConstraint("n IS NULL OR cardinality(n) = cardinality(x)", name=op.f("ck_model_curve_as_many_n_as_x")),
        sa.ForeignKeyConstraint(
            ["evaluation_id"],
            ["model_evaluation.id"],
            name=op.f("fk_model_curve_evaluation_id_model_evaluation"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "method", "kind", name=op.f("pk_model_curve")),
        comment="Learning, calibration and parity of methods",
    )


def downgrade() -> None:
    op.drop_table("model_curve")
    op.drop_table("model_metric")
    op.drop_table("model_evaluation")
