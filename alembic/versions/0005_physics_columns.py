"""physics columns of candidates, stiffness of members, functional of a run

Revision: 0005
After: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Column, comment before, comment after.
MEMBER_COMMENTS = (
    (
        "vbm_bottom",
        "eV, PBE valence band maximum against the bottom vacuum",
        "eV, valence band maximum against the bottom vacuum, by the run's functional",
    ),
    (
        "vbm_top",
        "eV, PBE valence band maximum against the top vacuum",
        "eV, valence band maximum against the top vacuum, by the run's functional",
    ),
    (
        "cbm_bottom",
        "eV, PBE conduction band minimum, bottom vacuum",
        "eV, conduction band minimum against the bottom vacuum, by the run's functional",
    ),
    (
        "cbm_top",
        "eV, PBE conduction band minimum, top vacuum",
        "eV, conduction band minimum against the top vacuum, by the run's functional",
    ),
    (
        "work_function_bottom",
        "eV, work function of the bottom face",
        "eV, work function of the bottom face, by the run's functional",
    ),
    (
        "work_function_top",
        "eV, work function of the top face",
        "eV, work function of the top face, by the run's functional",
    ),
    ("gap", "eV, PBE gap; 0 metallic; null unknown", "eV, gap by the run's functional; 0 metallic; null unknown"),
)
CANDIDATE_COMMENTS = (
    ("area", "Å², area of the matched supercell", "Å², area of the matched supercell, both sides strained"),
    (
        "gap_anderson",
        "eV, gap by Anderson's rule, PBE edges",
        "eV, gap by Anderson's rule on the facing faces, by the run's functional (screening_run.edges)",
    ),
)
# A candidate of a run before this revision has none of these.
CANDIDATE_COLUMNS = (
    ("strain_bottom", "part of the misfit that the bottom carries, dimensionless; strain = strain_bottom + strain_top"),
    ("strain_top", "part of the misfit that the top carries, dimensionless"),
    ("gap_anderson_low", "eV, smallest Anderson gap of the four orientations; null as alignments is"),
    ("gap_anderson_high", "eV, largest Anderson gap of the four orientations; null as alignments is"),
    ("vacuum_step", "eV, vacuum level above the stack minus that below it, the facing faces' levels equal"),
    (
        "schottky_electron",
        "eV, barrier for electrons of a metal on a semiconductor, Schottky-Mott limit; negative: ohmic",
    ),
    ("schottky_hole", "eV, barrier for holes of a metal on a semiconductor, Schottky-Mott limit; negative: ohmic"),
    (
        "solar_efficiency",
        "upper limit of a type II pair's solar power conversion (Scharber 2006, AM1.5G), dimensionless; gaps of the "
        "run's functional",
    ),
    (
        "dispersion_energy",
        "meV/Å², C6 pair potential of the facing faces at its minimum; positive = bound, uncalibrated",
    ),
)


def _word(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=32)


def upgrade() -> None:
    op.add_column(
        "screening_run",
        sa.Column(
            "edges",
            _word("edges", "PBE", "HSE06", "G0W0"),
            nullable=False,
            server_default="PBE",
            comment="functional of every band edge, gap and work function that the run aligned",
        ),
    )
    op.add_column(
        "screening_member",
        sa.Column(
            "stiffness",
            sa.Double(),
            nullable=True,
            comment="N/m, mean of c11 and c22 in PBE; null unknown, unstable, or a surface",
        ),
    )
    for name, comment in CANDIDATE_COLUMNS:
        op.add_column("candidate", sa.Column(name, sa.REAL(), nullable=True, comment=comment))
    op.add_column(
        "candidate",
        sa.Column(
            "alignments",
            sa.Text(),
            nullable=True,
            comment="alignment with neither layer turned over, the bottom, the top, both: II I II III; null where the "
            "faces of neither differ or an edge is unknown",
        ),
    )
    op.add_column(
        "candidate",
        sa.Column(
            "electron_donor",
            _word("electron_donor", "bottom", "top"),
            nullable=True,
            comment="side with the smaller work function of the facing face, which gives electrons on contact",
        ),
    )
    for name, before, after in MEMBER_COMMENTS:
        op.alter_column("screening_member", name, existing_comment=before, comment=after)
    for name, before, after in CANDIDATE_COMMENTS:
        op.alter_column("candidate", name, existing_comment=before, comment=after)


def downgrade() -> None:
    for name, before, after in CANDIDATE_COMMENTS:
        op.alter_column("candidate", name, existing_comment=after, comment=before)
    for name, before, after in MEMBER_COMMENTS:
        op.alter_column("screening_member", name, existing_comment=after, comment=before)
    for name in ("electron_donor", "alignments", *(name for name, _ in CANDIDATE_COLUMNS)):
        op.drop_column("candidate", name)
    op.drop_column("screening_member", "stiffness")
    op.drop_column("screening_run", "edges")
