"""densities of states, band structures, phonons, stiffness; further methods

Revision: 0003
After: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

METHODS_BEFORE = (
    "PBE",
    "PBE-D3",
    "HSE06",
    "G0W0",
    "optB88-vdW",
    "vdW-DF",
    "experiment",
    "literature",
    "geometry",
    "unstated",
)
METHODS = (
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


def _method() -> sa.Enum:
    return sa.Enum(*METHODS, name="method", native_enum=False, create_constraint=True, length=32)


def _allow_methods(words: tuple[str, ...]) -> None:
    op.drop_constraint(op.f("ck_property_value_method"), "property_value", type_="check")
    allowed = ", ".join(f"'{word}'" for word in words)
    op.create_check_constraint(op.f("ck_property_value_method"), "property_value", f"method IN ({allowed})")


def upgrade() -> None:
    _allow_methods(METHODS)
    op.create_table(
        "density_of_states",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source_record_id", sa.BigInteger(), nullable=False, comment="the record that gave it"),
        sa.Column("method", _method(), nullable=False, comment="level of theory"),
        sa.Column("spin_orbit", sa.Boolean(), nullable=False, comment="whether spin-orbit coupling is included"),
        sa.Column(
            "reference",
            sa.Enum(
                "vacuum", "fermi", "calculation", name="reference", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
            comment="zero of the energies: vacuum, fermi, or the calculation's own scale",
        ),
        sa.Column("fermi_energy", sa.Double(), nullable=True, comment="eV, on the scale of energies"),
        sa.Column(
            "vacuum_level", sa.Double(), nullable=True, comment="eV, on the scale of energies; mean of the two faces"
        ),
        sa.Column("n_spins", sa.Integer(), nullable=False, comment="spin channels; a single one counts both spins"),
        sa.Column("n_energies", sa.Integer(), nullable=False, comment="points of the energy grid"),
        sa.Column("energies", sa.ARRAY(sa.REAL()), nullable=False, comment="eV, ascending [n_energies]"),
        sa.Column(
            "total",
            sa.ARRAY(sa.REAL()),
            nullable=True,
            comment="states/eV per cell [n_spins][n_energies]; null where only projections are given",
        ),
        sa.CheckConstraint("energies[1] < energies[n_energies]", name=op.f("ck_density_of_states_energies_ascend")),
        sa.CheckConstraint(
            "('NaN'::real <> ALL (energies) AND 'Infinity'::real <> ALL (energies) AND '-Infinity'::real <> ALL (energies)) IS TRUE",
            name=op.f("ck_density_of_states_energies_finite"),
        ),
        sa.CheckConstraint(
            "n_energies > 1 AND (array_ndims(energies) = 1 AND array_length(energies, 1) = n_energies) IS TRUE",
            name=op.f("ck_density_of_states_energies_shape"),
        ),
        sa.CheckConstraint("n_spins IN (1, 2)", name=op.f("ck_density_of_states_spins")),
        sa.CheckConstraint(
            "total IS NULL OR (('NaN'::real <> ALL (total) AND 'Infinity'::real <> ALL (total) AND '-Infinity'::real <> ALL (total)) IS TRUE)",
            name=op.f("ck_density_of_states_total_finite"),
        ),
        sa.CheckConstraint(
            "total IS NULL OR ((array_ndims(total) = 2 AND array_length(total, 1) = n_spins AND array_length(total, 2) = n_energies) IS TRUE)",
            name=op.f("ck_density_of_states_total_shape"),
        ),
        sa.ForeignKeyConstraint(
            ["source_record_id"],
            ["source_record.id"],
            name=op.f("fk_density_of_states_source_record_id_source_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_density_of_states")),
        sa.UniqueConstraint("id", "n_spins", "n_energies", name=op.f("uq_density_of_states_id_n_spins_n_energies")),
        sa.UniqueConstraint(
            "source_record_id",
            "method",
            "spin_orbit",
            name=op.f("uq_density_of_states_source_record_id_method_spin_orbit"),
        ),
        comment="Electronic densities of states",
    )
    op.create_table(
        "dos_projection",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "density_of_states_id", sa.BigInteger(), nullable=False, comment="the density of states that it is part of"
        ),
        sa.Column("element", sa.Text(), nullable=False, comment="chemical symbol; all its atoms together"),
        sa.Column("orbital", sa.Text(), nullable=True, comment="s, p, d or f; null for their sum"),
        sa.Column("n_spins", sa.Integer(), nullable=False, comment="spin channels; a single one counts both spins"),
        sa.Column("n_energies", sa.Integer(), nullable=False, comment="points of the energy grid"),
        sa.Column(
            "density",
            sa.ARRAY(sa.REAL()),
            nullable=False,
            comment="states/eV per cell [n_spins][n_energies]; projections need not add up to the total",
        ),
        sa.CheckConstraint(
            "('NaN'::real <> ALL (density) AND 'Infinity'::real <> ALL (density) AND '-Infinity'::real <> ALL (density)) IS TRUE",
            name=op.f("ck_dos_projection_density_finite"),
        ),
        sa.CheckConstraint(
            "(array_ndims(density) = 2 AND array_length(density, 1) = n_spins AND array_length(density, 2) = n_energies) IS TRUE",
            name=op.f("ck_dos_projection_density_shape"),
        ),
        sa.CheckConstraint("element ~ '^[A-Z][a-z]?$'", name=op.f("ck_dos_projection_element")),
        sa.CheckConstraint("orbital IN ('s', 'p', 'd', 'f')", name=op.f("ck_dos_projection_orbital")),
        sa.ForeignKeyConstraint(
            ["density_of_states_id", "n_spins", "n_energies"],
            ["density_of_states.id", "density_of_states.n_spins", "density_of_states.n_energies"],
            name=op.f("fk_dos_projection_density_of_states_id_density_of_states"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dos_projection")),
        sa.UniqueConstraint(
            "density_of_states_id",
            "element",
            "orbital",
            name=op.f("uq_dos_projection_density_of_states_id_element_orbital"),
            postgresql_nulls_not_distinct=True,
        ),
        comment="Densities of states projected onto elements and orbitals",
    )
    op.create_table(
        "band_structure",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source_record_id", sa.BigInteger(), nullable=False, comment="the record that gave it"),
        sa.Column("method", _method(), nullable=False, comment="level of theory"),
        sa.Column("spin_orbit", sa.Boolean(), nullable=False, comment="whether spin-orbit coupling is included"),
        sa.Column(
            "reference",
            sa.Enum(
                "vacuum", "fermi", "calculation", name="reference", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
            comment="zero of the energies: vacuum, fermi, or the calculation's own scale",
        ),
        sa.Column("fermi_energy", sa.Double(), nullable=True, comment="eV, on the scale of energies"),
        sa.Column(
            "vacuum_level", sa.Double(), nullable=True, comment="eV, on the scale of energies; mean of the two faces"
        ),
        sa.Column(
            "wave_vectors",
            sa.ARRAY(sa.REAL()),
            nullable=False,
            comment="in units of the reciprocal vectors of the source's own cell, dimensionless [k][3]",
        ),
        sa.Column(
            "energies",
            sa.ARRAY(sa.REAL()),
            nullable=False,
            comment="eV [spin][k][band]; with spin-orbit coupling one channel holds the bands of both spins",
        ),
        sa.Column(
            "label_positions",
            sa.ARRAY(sa.Integer()),
            nullable=False,
            comment="first subscript of wave_vectors at each special point, from 1",
        ),
        sa.Column("label_names", sa.ARRAY(sa.Text()), nullable=False, comment="name of each special point, G for Γ"),
        sa.CheckConstraint(
            "(array_ndims(energies) = 3 AND array_length(energies, 1) IN (1, 2) AND array_length(energies, 2) = array_length(wave_vectors, 1) AND array_length(energies, 3) > 0) IS TRUE",
            name=op.f("ck_band_structure_energies_shape"),
        ),
        sa.CheckConstraint(
            "('NaN'::real <> ALL (energies) AND 'Infinity'::real <> ALL (energies) AND '-Infinity'::real <> ALL (energies)) IS TRUE AND ('NaN'::real <> ALL (wave_vectors) AND 'Infinity'::real <> ALL (wave_vectors) AND '-Infinity'::real <> ALL (wave_vectors)) IS TRUE",
            name=op.f("ck_band_structure_finite"),
        ),
        sa.CheckConstraint(
            "cardinality(label_positions) = cardinality(label_names)", name=op.f("ck_band_structure_one_name_a_label")
        ),
        sa.CheckConstraint(
            "(array_ndims(wave_vectors) = 2 AND array_length(wave_vectors, 1) > 0 AND array_length(wave_vectors, 2) = 3) IS TRUE",
            name=op.f("ck_band_structure_wave_vectors_shape"),
        ),
        sa.ForeignKeyConstraint(
            ["source_record_id"],
            ["source_record.id"],
            name=op.f("fk_band_structure_source_record_id_source_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_band_structure")),
        sa.UniqueConstraint(
            "source_record_id",
            "method",
            "spin_orbit",
            name=op.f("uq_band_structure_source_record_id_method_spin_orbit"),
        ),
        comment="Electronic band structures",
    )
    op.create_table(
        "phonon_spectrum",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source_record_id", sa.BigInteger(), nullable=False, comment="the record that gave it"),
        sa.Column("method", _method(), nullable=False, comment="level of theory"),
        sa.Column(
            "interpolated",
            sa.Boolean(),
            nullable=False,
            comment="whether between the wave vectors that the supercell holds exactly; stability is read off the exact",
        ),
        sa.Column(
            "wave_vectors",
            sa.ARRAY(sa.REAL()),
            nullable=False,
            comment="in units of the reciprocal vectors of the source's own cell, dimensionless [q][3]",
        ),
        sa.Column(
            "energies", sa.ARRAY(sa.REAL()), nullable=False, comment="meV, imaginary modes negative [q][3 n_atoms]"
        ),
        sa.Column(
            "label_positions",
            sa.ARRAY(sa.Integer()),
            nullable=False,
            comment="first subscript of wave_vectors at each special point, from 1",
        ),
        sa.Column("label_names", sa.ARRAY(sa.Text()), nullable=False, comment="name of each special point, G for Γ"),
        sa.CheckConstraint(
            "(array_ndims(energies) = 2 AND array_length(energies, 1) = array_length(wave_vectors, 1) AND array_length(energies, 2) > 0) IS TRUE",
            name=op.f("ck_phonon_spectrum_energies_shape"),
        ),
        sa.CheckConstraint(
            "('NaN'::real <> ALL (energies) AND 'Infinity'::real <> ALL (energies) AND '-Infinity'::real <> ALL (energies)) IS TRUE AND ('NaN'::real <> ALL (wave_vectors) AND 'Infinity'::real <> ALL (wave_vectors) AND '-Infinity'::real <> ALL (wave_vectors)) IS TRUE",
            name=op.f("ck_phonon_spectrum_finite"),
        ),
        sa.CheckConstraint(
            "cardinality(label_positions) = cardinality(label_names)", name=op.f("ck_phonon_spectrum_one_name_a_label")
        ),
        sa.CheckConstraint(
            "mod(array_length(energies, 2), 3) = 0", name=op.f("ck_phonon_spectrum_three_modes_an_atom")
        ),
        sa.CheckConstraint(
            "(array_ndims(wave_vectors) = 2 AND array_length(wave_vectors, 1) > 0 AND array_length(wave_vectors, 2) = 3) IS TRUE",
            name=op.f("ck_phonon_spectrum_wave_vectors_shape"),
        ),
        sa.ForeignKeyConstraint(
            ["source_record_id"],
            ["source_record.id"],
            name=op.f("fk_phonon_spectrum_source_record_id_source_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_phonon_spectrum")),
        sa.UniqueConstraint(
            "source_record_id",
            "method",
            "interpolated",
            name=op.f("uq_phonon_spectrum_source_record_id_method_interpolated"),
        ),
        comment="Phonon spectra",
    )
    op.create_table(
        "stiffness_tensor",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source_record_id", sa.BigInteger(), nullable=False, comment="the record that gave it"),
        sa.Column("method", _method(), nullable=False, comment="level of theory"),
        sa.Column(
            "tensor",
            sa.ARRAY(sa.Double()),
            nullable=False,
            comment="N/m, rows and columns xx, yy, xy; Voigt: stress per engineering shear [3][3]",
        ),
        sa.CheckConstraint(
            "('NaN'::double precision <> ALL (tensor) AND 'Infinity'::double precision <> ALL (tensor) AND '-Infinity'::double precision <> ALL (tensor)) IS TRUE",
            name=op.f("ck_stiffness_tensor_finite"),
        ),
        sa.CheckConstraint(
            "(array_ndims(tensor) = 2 AND array_length(tensor, 1) = 3 AND array_length(tensor, 2) = 3) IS TRUE",
            name=op.f("ck_stiffness_tensor_is_3x3"),
        ),
        sa.ForeignKeyConstraint(
            ["source_record_id"],
            ["source_record.id"],
            name=op.f("fk_stiffness_tensor_source_record_id_source_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stiffness_tensor")),
        sa.UniqueConstraint("source_record_id", "method", name=op.f("uq_stiffness_tensor_source_record_id_method")),
        comment="In-plane stiffness tensors",
    )

    # Eigenvalues do not compress (measured: not by one byte), and uncompressed they are read twice as fast.
    for table, column in (("band_structure", "energies"), ("phonon_spectrum", "energies")):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")


def downgrade() -> None:
    for table in ("stiffness_tensor", "phonon_spectrum", "band_structure", "dos_projection", "density_of_states"):
        op.drop_table(table)
    values = sa.table("property_value", sa.column("method"))
    op.execute(values.delete().where(values.c.method.not_in(METHODS_BEFORE)))
    _allow_methods(METHODS_BEFORE)
