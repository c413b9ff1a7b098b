"""names of records, rulings and releases by hand, same interfaces

Revision: 0002
After: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("source", sa.Column("reader", sa.Text(), nullable=True, comment="name of the reader of its files"))
    op.add_column(
        "source",
        sa.Column(
            "names_from",
            sa.Text(),
            nullable=True,
            comment="plain key of the source by whose names its interfaces speak of their layers",
        ),
    )
    # Until now a key was the reader's name, or a label before it.
    op.execute("UPDATE source SET reader = regexp_replace(key, '^.*-', '')")
    op.execute("UPDATE source SET names_from = 'c2db' WHERE reader = 'bidb'")
    op.alter_column("source", "reader", nullable=False)

    op.create_table(
        "record_name",
        sa.Column("source_record_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="as the source writes it"),
        sa.ForeignKeyConstraint(
            ["source_record_id"],
            ["source_record.id"],
            name=op.f("fk_record_name_source_record_id_source_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("source_record_id", "name", name=op.f("pk_record_name")),
        comment="Further names of records, beside their external id",
    )
    op.create_index(op.f("ix_record_name_name"), "record_name", ["name"])
    op.execute(
        "INSERT INTO record_name (source_record_id, name) "
        "SELECT id, payload->'key_value_pairs'->>'olduid' FROM source_record "
        "WHERE payload->'key_value_pairs'->>'olduid' IS NOT NULL AND state <> 'quarantined'"
    )

    op.create_table(
        "record_release",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source_record_id", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False, comment="name of the rule that is waived"),
        sa.Column("property_key", sa.Text(), nullable=True, comment="the released property; null for the whole record"),
        sa.Column("author", sa.Text(), nullable=False, comment="who released it"),
        sa.Column("note", sa.Text(), nullable=True, comment="why"),
        sa.Column("released_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_record_id"],
            ["source_record.id"],
            name=op.f("fk_record_release_source_record_id_source_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_record_release")),
        sa.UniqueConstraint(
            "source_record_id",
            "rule",
            "property_key",
            name=op.f("uq_record_release_source_record_id_rule_property_key"),
            postgresql_nulls_not_distinct=True,
        ),
        comment="Records and values used in spite of a rule, by a person's decision",
    )

    op.create_table(
        "dedupe_ruling",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source_a_id", sa.Integer(), nullable=False),
        sa.Column("external_id_a", sa.Text(), nullable=False, comment="the one record"),
        sa.Column("source_b_id", sa.Integer(), nullable=False),
        sa.Column("external_id_b", sa.Text(), nullable=False, comment="the other record"),
        sa.Column(
            "ruling",
            sa.Enum("same", "different", name="ruling", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("author", sa.Text(), nullable=False, comment="who ruled"),
        sa.Column("note", sa.Text(), nullable=True, comment="why"),
        sa.Column("ruled_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_a_id"], ["source.id"], name=op.f("fk_dedupe_ruling_source_a_id_source"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["source_b_id"], ["source.id"], name=op.f("fk_dedupe_ruling_source_b_id_source"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dedupe_ruling")),
        comment="Rulings by hand about which records are one material",
    )
    op.create_index("ix_dedupe_ruling_a", "dedupe_ruling", ["source_a_id", "external_id_a"])
    op.create_index("ix_dedupe_ruling_b", "dedupe_ruling", ["source_b_id", "external_id_b"])

    op.create_table(
        "interface_member",
        sa.Column("interface_id", sa.BigInteger(), nullable=False),
        sa.Column("representative_id", sa.BigInteger(), nullable=False, comment="the interface it is the same as"),
        sa.Column(
            "distance",
            sa.Double(),
            nullable=False,
            comment="Å, fingerprint distance to the representative at one interlayer distance",
        ),
        sa.Column(
            "method", sa.Text(), nullable=False, comment="how it was decided: representative, fingerprint+matcher"
        ),
        sa.Column("version", sa.Text(), nullable=False, comment="version of the method"),
        sa.Column(
            "evidence",
            postgresql.JSONB(),
            server_default="{}",
            nullable=False,
            comment="numbers behind the decision",
        ),
        sa.Column("decided_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["interface_id"],
            ["interface.id"],
            name=op.f("fk_interface_member_interface_id_interface"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["representative_id"],
            ["interface.id"],
            name=op.f("fk_interface_member_representative_id_interface"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("interface_id", name=op.f("pk_interface_member")),
        comment="Which computed interfaces are one stack, and why",
    )
    op.create_index(op.f("ix_interface_member_representative_id"), "interface_member", ["representative_id"])


def downgrade() -> None:
    op.drop_table("interface_member")
    op.drop_table("dedupe_ruling")
    op.drop_table("record_release")
    op.drop_table("record_name")
    op.drop_column("source", "names_from")
    op.drop_column("source", "reader")
