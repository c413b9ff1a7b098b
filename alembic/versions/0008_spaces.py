"""runs that continue an earlier one: members and candidates from one run to another

Revision: 0008
After: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "screening_run",
        sa.Column(
            "base_run_id", sa.Integer(),
            comment="run whose space this one continues; null for a run that founded its own",
        ),
    )  # fmt: skip
    op.add_column(
        "screening_run",
        sa.Column(
            "space_id", sa.Integer(), sa.Computed("coalesce(base_run_id, id)", persisted=True), nullable=False,
            comment="run that founded the space",
        ),
    )  # fmt: skip
    op.add_column(
        "screening_run",
        sa.Column(
            "matched_run_id", sa.Integer(),
            comment="run whose coincidence lattices were taken over where nothing about them had changed",
        ),
    )  # fmt: skip
    op.create_foreign_key(
        op.f("fk_screening_run_base_run_id_screening_run"), "screening_run", "screening_run", ["base_run_id"], ["id"],
        ondelete="RESTRICT",
    )  # fmt: skip
    op.create_foreign_key(
        op.f("fk_screening_run_matched_run_id_screening_run"), "screening_run", "screening_run", ["matched_run_id"],
        ["id"], ondelete="SET NULL",
    )  # fmt: skip
    op.create_check_constraint(
        op.f("ck_screening_run_earlier_runs"), "screening_run", "base_run_id < id AND matched_run_id < id"
    )
    for table in ("screening_member", "candidate"):
        what = table.removeprefix("screening_")
        op.add_column(table, sa.Column("since", sa.Integer(), comment="run that brought it"))
        op.add_column(
            table,
            sa.Column("until", sa.Integer(), comment=f"run from which on it is no {what}; null if it is"),
        )
        # Rewrites the table at once, where an update would make a second version of millions of rows and index entries.
        op.alter_column(table, "since", type_=sa.Integer(), postgresql_using="run_id", nullable=False)
        op.create_check_constraint(op.f(f"ck_{table}_since_before_until"), table, "run_id <= since AND since < until")
        op.alter_column(table, "run_id", comment="run that founded the space")
    # Unknown, and so looked at in full at the next screen.
    op.add_column(
        "screening_member",
        sa.Column(
            "fingerprint", sa.BigInteger(), nullable=False, server_default="0",
            comment="hash of the material's rows in the database: if it is the same, so is inputs_digest",
        ),
    )  # fmt: skip
    op.alter_column("screening_member", "fingerprint", server_default=None)
    op.drop_constraint(op.f("uq_screening_member_run_id_uid"), "screening_member", type_="unique")
    op.create_index(
        "uq_screening_member_uid", "screening_member", ["run_id", "uid"], unique=True,
        postgresql_where=sa.text("until IS NULL"),
    )  # fmt: skip
    op.drop_index("ix_candidate_block", "candidate")
    op.create_index(
        "ix_candidate_until", "candidate", ["run_id", "until"], postgresql_where=sa.text("until IS NOT NULL")
    )
    op.create_index("ix_candidate_since", "candidate", ["run_id", "since"], postgresql_where=sa.text("since > run_id"))
    op.alter_column("pair_tile", "row", comment="member whose pairs these are")
    op.alter_column("pair_tile", "col_from", comment="first member that it is paired with")


def downgrade() -> None:
    op.alter_column("pair_tile", "row", comment="member on the bottom side")
    op.alter_column("pair_tile", "col_from", comment="first member on the top side")
    # A run without a space of its own cannot be told any more: the run that it continues is shown again.
    op.execute("DELETE FROM candidate WHERE since > run_id")
    op.execute("DELETE FROM screening_member WHERE since > run_id")
    op.execute("""
        CREATE TEMPORARY TABLE shown ON COMMIT DROP AS
        SELECT base_run_id AS id FROM screening_run WHERE state = 'published' AND base_run_id IS NOT NULL
    """)
    op.execute("DELETE FROM pair_tile WHERE run_id IN (SELECT id FROM screening_run WHERE base_run_id IS NOT NULL)")
    op.execute("DELETE FROM screening_run WHERE base_run_id IS NOT NULL")
    op.execute("UPDATE screening_run SET state = 'published' WHERE id IN (SELECT id FROM shown)")
    op.drop_index("ix_candidate_since", "candidate")
    op.drop_index("ix_candidate_until", "candidate")
    op.create_index("ix_candidate_block", "candidate", ["run_id", "block"])
    op.drop_index("uq_screening_member_uid", "screening_member")
    op.create_unique_constraint(op.f("uq_screening_member_run_id_uid"), "screening_member", ["run_id", "uid"])
    op.drop_column("screening_member", "fingerprint")
    for table in ("screening_member", "candidate"):
        op.drop_constraint(op.f(f"ck_{table}_since_before_until"), table, type_="check")
        op.drop_column(table, "until")
        op.drop_column(table, "since")
        op.alter_column(table, "run_id", comment=None)
    op.drop_constraint(op.f("ck_screening_run_earlier_runs"), "screening_run", type_="check")
    op.drop_column("screening_run", "matched_run_id")
    op.drop_column("screening_run", "space_id")
    op.drop_column("screening_run", "base_run_id")
