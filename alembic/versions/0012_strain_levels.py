"""the smallest supercell within each strain level

Revision: 0012
After: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLE = "pair_tile_level"


def upgrade() -> None:
    # Runs of before have no levels.
    op.add_column(
        "screening_run",
        sa.Column(
            "strain_levels", sa.ARRAY(sa.Double()), server_default="{}", nullable=False,
            comment="tighter limits of strain, rising, within each of which the smallest supercell is kept too; "
            "empty: none",
        ),
    )  # fmt: skip
    op.create_table(
        TABLE,
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("row", sa.Integer(), autoincrement=False, nullable=False, comment="of the tile"),
        sa.Column("col_from", sa.Integer(), autoincrement=False, nullable=False, comment="of the tile"),
        sa.Column(
            "max_strain", sa.Double(), nullable=False,
            comment="the level: one of the run's strain_levels, dimensionless",
        ),
        sa.Column("n_kept", sa.Integer(), nullable=False, comment="pairs whose bit is set"),
        sa.Column(
            "kept", sa.LargeBinary(), nullable=False,
            comment="one bit a pair of the tile: bit k mod 8 of byte k / 8 is pair k's, as get_bit counts",
        ),
        sa.Column("n", sa.LargeBinary(), nullable=False, comment="uint8, cells of the bottom in the supercell"),
        sa.Column("m", sa.LargeBinary(), nullable=False, comment="uint8, cells of the top in the supercell"),
        sa.Column(
            "strain", sa.LargeBinary(), nullable=False,
            comment="uint16, largest principal Hencky strain of the misfit in units of 1e-6",
        ),
        sa.Column(
            "score", sa.LargeBinary(), nullable=False, comment="uint16, geometric score in units of 1/65535"
        ),
        sa.CheckConstraint(
            "octet_length(n) = n_kept AND octet_length(m) = n_kept",
            name=op.f("ck_pair_tile_level_one_byte_indices"),
        ),
        sa.CheckConstraint(
            "octet_length(strain) = 2 * n_kept AND octet_length(score) = 2 * n_kept",
            name=op.f("ck_pair_tile_level_two_byte_columns"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id", "row", "col_from"], ["pair_tile.run_id", "pair_tile.row", "pair_tile.col_from"],
            name=op.f("fk_pair_tile_level_run_id_pair_tile"), ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "row", "col_from", "max_strain", name=op.f("pk_pair_tile_level")),
        comment="Pairs with another supercell within a strain level, packed",
    )  # fmt: skip
    # Packed numbers do not compress; out of line, one element is read without the rest.
    for column in ("kept", "n", "m", "strain", "score"):
        op.execute(f"ALTER TABLE {TABLE} ALTER COLUMN {column} SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.drop_table(TABLE)
    op.drop_column("screening_run", "strain_levels")
