"""methods of exfoliation energies

Revision: 0004
After: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = ("property_value", "density_of_states", "band_structure", "phonon_spectrum", "stiffness_tensor")
METHODS_BEFORE = (
    "PBE",
    "PBE-D3",
    "HSE06",
    "G0W0",
    "optB88-vdW",
    "TB-mBJ",
    "PBE+U/r2SCAN mixed",
    "vdW-DF",
    "experiment",
    "literature",
    "geometry",
    "ML (source)",
    "unstated",
)
METHODS = (*METHODS_BEFORE, "vdW-DF2-C09", "rVV10")


def _allow_methods(table: str, words: tuple[str, ...]) -> None:
    name = op.f(f"ck_{table}_method")
    op.drop_constraint(name, table, type_="check")
    allowed = ", ".join(f"'{word}'" for word in words)
    op.create_check_constraint(name, table, f"method IN ({allowed})")


def upgrade() -> None:
    for table in TABLES:
        _allow_methods(table, METHODS)


def downgrade() -> None:
    for table in TABLES:
        values = sa.table(table, sa.column("method"))
        op.execute(values.delete().where(values.c.method.not_in(METHODS_BEFORE)))
        _allow_methods(table, METHODS_BEFORE)
