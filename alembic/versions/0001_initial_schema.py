"""initial schema

Revision: 0001
After:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import Vector
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.create_table(
        "feature_set",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="name of the set"),
        sa.Column("version", sa.Integer(), nullable=False, comment="raised whenever a value would change"),
        sa.Column(
            "subject",
            sa.Enum(
                "monolayer", "bulk", "interface", name="subject", native_enum=False, create_constraint=True, length=32
            ),
            nullable=False,
        ),
        sa.Column("names", sa.ARRAY(sa.Text()), nullable=False, comment="name of each component"),
        sa.Column("units", sa.ARRAY(sa.Text()), nullable=False, comment="unit of each component; 1 is dimensionless"),
        sa.CheckConstraint("cardinality(names) = cardinality(units)", name=op.f("ck_feature_set_one_unit_a_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feature_set")),
        sa.UniqueConstraint("key", "version", name=op.f("uq_feature_set_key_version")),
        comment="Versioned lists of descriptors",
    )
    op.create_table(
        "property",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="identifier, e.g. gap"),
        sa.Column("symbol", sa.Text(), nullable=False, comment="symbol in figures"),
        sa.Column("unit", sa.Text(), nullable=False, comment="unit of every value; empty for a label"),
        sa.Column("definition", sa.Text(), nullable=False, comment="what it is, with its sign convention"),
        sa.Column("applies_to", sa.ARRAY(sa.Text()), nullable=False, comment="monolayer, bulk, interface"),
        sa.Column("low", sa.Double(), nullable=True, comment="smallest physically possible value, in the unit"),
        sa.Column("high", sa.Double(), nullable=True, comment="largest physically possible value, in the unit"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_property")),
        sa.UniqueConstraint("key", name=op.f("uq_property_key")),
        comment="Definitions of the quantities",
    )
    op.create_table(
        "saved_screen",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column(
            "criteria", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="the filter, as its typed tree"
        ),
        sa.Column("top", sa.Integer(), server_default="100", nullable=False, comment="how many ranks are kept a run"),
        sa.Column("schedule", sa.Text(), server_default="nightly", nullable=False, comment="nightly or manual"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_screen")),
        sa.UniqueConstraint("owner", "name", name=op.f("uq_saved_screen_owner_name")),
        comment="Kept criteria",
    )
    op.create_table(
        "screening_run",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "planned",
                "running",
                "published",
                "superseded",
                "failed",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            server_default="planned",
            nullable=False,
        ),
        sa.Column(
            "inputs_digest",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="SHA-256 of materials, features, models and limits",
        ),
        sa.Column("engine_version", sa.Text(), nullable=False, comment="version of the matching and scoring code"),
        sa.Column("n_monolayers", sa.Integer(), nullable=False),
        sa.Column("n_surfaces", sa.Integer(), nullable=False),
        sa.Column(
            "n_pairs", sa.BigInteger(), nullable=False, comment="N(N+1)/2 layer pairs and N*S layer-surface pairs"
        ),
        sa.Column(
            "max_strain",
            sa.Double(),
            nullable=False,
            comment="largest principal Hencky strain of the misfit, dimensionless",
        ),
        sa.Column("max_area", sa.Double(), nullable=False, comment="Å², largest supercell of either side"),
        sa.Column("max_atoms", sa.Integer(), nullable=False, comment="atoms in the supercell, both sides"),
        sa.Column(
            "candidate_rule",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the physical filter that candidates passed",
        ),
        sa.Column(
            "n_matched", sa.BigInteger(), nullable=True, comment="pairs with a coincidence lattice within the limits"
        ),
        sa.Column("n_candidates", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state <> 'published' OR published_at IS NOT NULL", name=op.f("ck_screening_run_published_has_time")
        ),
        sa.CheckConstraint(
            "max_strain > 0 AND max_area > 0 AND max_atoms > 0", name=op.f("ck_screening_run_limits_are_positive")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_screening_run")),
        comment="Screens of the pair space",
    )
    op.create_index(
        "uq_screening_run_inputs",
        "screening_run",
        ["inputs_digest"],
        unique=True,
        postgresql_where=sa.text("state IN ('planned', 'running', 'published')"),
    )
    op.create_index(
        "uq_screening_run_published",
        "screening_run",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state = 'published'"),
    )
    op.create_table(
        "source",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="short name, e.g. c2db, starter-c2db"),
        sa.Column("database", sa.Text(), nullable=False, comment="name of the database as its authors write it"),
        sa.Column("release", sa.Text(), nullable=False, comment="release or year; starter for the built-in set"),
        sa.Column("method", sa.Text(), nullable=False, comment="code and functional of the calculations"),
        sa.Column("licence", sa.Text(), nullable=False, comment="licence of the data as stated by its authors"),
        sa.Column("citation", sa.Text(), nullable=False, comment="what to cite when using a value of this source"),
        sa.Column(
            "precedence",
            sa.SmallInteger(),
            server_default="100",
            nullable=False,
            comment="lower wins where sources give the same property by the same method",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("key", name=op.f("uq_source_key")),
        comment="One release of one database of materials",
    )
    op.create_table(
        "import_run",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False, comment="name of the file or folder, without its path"),
        sa.Column("file_sha256", sa.LargeBinary(length=32), nullable=False, comment="SHA-256 of the file's content"),
        sa.Column("file_bytes", sa.BigInteger(), nullable=False, comment="size of the file, bytes"),
        sa.Column("reader_version", sa.Text(), nullable=False, comment="version of the reader that read it"),
        sa.Column(
            "state",
            sa.Enum(
                "running", "finished", "failed", name="state", native_enum=False, create_constraint=True, length=32
            ),
            server_default="running",
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("n_read", sa.Integer(), server_default="0", nullable=False, comment="records read"),
        sa.Column(
            "n_accepted", sa.Integer(), server_default="0", nullable=False, comment="new or changed records accepted"
        ),
        sa.Column(
            "n_flagged",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="of the accepted, those with a doubted property",
        ),
        sa.Column(
            "n_quarantined", sa.Integer(), server_default="0", nullable=False, comment="records set aside with a reason"
        ),
        sa.Column(
            "n_unchanged",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="records already held, byte for byte",
        ),
        sa.Column(
            "n_superseded",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="older versions replaced by this import",
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="why the import failed"),
        sa.CheckConstraint(
            "n_read = n_accepted + n_quarantined + n_unchanged OR state <> 'finished'",
            name=op.f("ck_import_run_every_record_is_counted"),
        ),
        sa.CheckConstraint(
            "state <> 'finished' OR finished_at IS NOT NULL", name=op.f("ck_import_run_finished_has_time")
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_import_run_source_id_source"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_run")),
        comment="One import of one file",
    )
    op.create_index(op.f("ix_import_run_source_id"), "import_run", ["source_id"], unique=False)
    op.create_table(
        "model_version",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "target", sa.Text(), nullable=False, comment="key of the predicted property; embedding for an encoder"
        ),
        sa.Column(
            "domain", sa.Text(), nullable=False, comment="what it was trained and validated on, e.g. homobilayer"
        ),
        sa.Column(
            "family", sa.Text(), nullable=False, comment="kind of model, e.g. lightgbm-residual, calibrated-baseline"
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="name and version for people"),
        sa.Column("feature_set_id", sa.Integer(), nullable=True),
        sa.Column(
            "artefact", sa.LargeBinary(), nullable=False, comment="LightGBM text, safetensors or JSON; never a pickle"
        ),
        sa.Column(
            "artefact_digest",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="SHA-256 of the artefact, checked on load",
        ),
        sa.Column("data_digest", sa.LargeBinary(length=32), nullable=False, comment="SHA-256 of the training rows"),
        sa.Column("split", sa.Text(), nullable=False, comment="name and version of the folds behind the metrics"),
        sa.Column(
            "metrics",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="errors in the target's unit, of model and baselines, by split",
        ),
        sa.Column(
            "card",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="everything else that the model card says",
        ),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column(
            "served",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="whether predictions are made with it",
        ),
        sa.Column("trained_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["feature_set_id"],
            ["feature_set.id"],
            name=op.f("fk_model_version_feature_set_id_feature_set"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_version")),
        sa.UniqueConstraint(
            "target", "domain", "artefact_digest", name=op.f("uq_model_version_target_domain_artefact_digest")
        ),
        comment="Trained models",
    )
    op.create_index(
        "uq_model_version_served",
        "model_version",
        ["target", "domain"],
        unique=True,
        postgresql_where=sa.text("served"),
    )
    op.create_table(
        "pair_block",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("block", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("row_from", sa.Integer(), nullable=False, comment="first member of the rows (the bottom side)"),
        sa.Column("row_to", sa.Integer(), nullable=False, comment="one past the last member of the rows"),
        sa.Column("col_from", sa.Integer(), nullable=False, comment="first member of the columns (the top side)"),
        sa.Column("col_to", sa.Integer(), nullable=False, comment="one past the last member of the columns"),
        sa.Column(
            "state",
            sa.Enum(
                "pending",
                "leased",
                "done",
                "failed",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            server_default="pending",
            nullable=False,
        ),
        sa.Column("lease_owner", sa.Text(), nullable=True, comment="worker that holds it"),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True, comment="when another may take it"),
        sa.Column("attempts", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("n_pairs", sa.BigInteger(), nullable=False, comment="pairs in the block"),
        sa.Column("n_matched", sa.BigInteger(), nullable=True),
        sa.Column("n_candidates", sa.BigInteger(), nullable=True),
        sa.Column("seconds", sa.REAL(), nullable=True, comment="s, time that the block took"),
        sa.Column(
            "digest", sa.LargeBinary(length=32), nullable=True, comment="SHA-256 over the block's tiles and candidates"
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="why the last attempt failed"),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'leased') = (lease_until IS NOT NULL)", name=op.f("ck_pair_block_lease_has_end")),
        sa.CheckConstraint("state <> 'done' OR digest IS NOT NULL", name=op.f("ck_pair_block_done_has_digest")),
        sa.CheckConstraint("row_from < row_to AND col_from < col_to", name=op.f("ck_pair_block_not_empty")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["screening_run.id"], name=op.f("fk_pair_block_run_id_screening_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "block", name=op.f("pk_pair_block")),
        comment="Work ledger of the pair matrix",
    )
    op.create_index(
        "ix_pair_block_open",
        "pair_block",
        ["run_id", "state"],
        unique=False,
        postgresql_where=sa.text("state <> 'done'"),
    )
    op.create_table(
        "screen_change",
        sa.Column("screen_id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("bottom_uid", sa.Text(), nullable=False),
        sa.Column("top_uid", sa.Text(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("entered", "left", "moved", name="kind", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("rank_before", sa.Integer(), nullable=True),
        sa.Column("rank_after", sa.Integer(), nullable=True),
        sa.Column(
            "reason",
            sa.Text(),
            nullable=False,
            comment="new or withdrawn material, changed inputs, changed model, changed limits",
        ),
        sa.CheckConstraint(
            "(kind = 'entered') = (rank_before IS NULL)", name=op.f("ck_screen_change_entered_had_no_rank")
        ),
        sa.CheckConstraint("(kind = 'left') = (rank_after IS NULL)", name=op.f("ck_screen_change_left_has_no_rank")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["screening_run.id"], name=op.f("fk_screen_change_run_id_screening_run"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["screen_id"], ["saved_screen.id"], name=op.f("fk_screen_change_screen_id_saved_screen"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("screen_id", "run_id", "bottom_uid", "top_uid", name=op.f("pk_screen_change")),
        comment="Changes of saved screens between runs",
    )
    op.create_table(
        "screen_result",
        sa.Column("screen_id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("bottom_uid", sa.Text(), nullable=False, comment="uid of the member below"),
        sa.Column("top_uid", sa.Text(), nullable=False, comment="uid of the member above"),
        sa.Column("rank", sa.Integer(), nullable=False, comment="1 is best"),
        sa.Column("score", sa.REAL(), nullable=False, comment="ranking score, 0 to 1"),
        sa.CheckConstraint("rank > 0", name=op.f("ck_screen_result_rank")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["screening_run.id"], name=op.f("fk_screen_result_run_id_screening_run"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["screen_id"], ["saved_screen.id"], name=op.f("fk_screen_result_screen_id_saved_screen"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("screen_id", "run_id", "bottom_uid", "top_uid", name=op.f("pk_screen_result")),
        sa.UniqueConstraint("screen_id", "run_id", "rank", name=op.f("uq_screen_result_screen_id_run_id_rank")),
        comment="Ranks of saved screens",
    )
    op.create_table(
        "pair_tile",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("row", sa.Integer(), autoincrement=False, nullable=False, comment="member on the bottom side"),
        sa.Column(
            "col_from", sa.Integer(), autoincrement=False, nullable=False, comment="first member on the top side"
        ),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.Column("n_pairs", sa.Integer(), nullable=False),
        sa.Column(
            "n", sa.LargeBinary(), nullable=False, comment="uint8, cells of the bottom in the supercell; 0 = no match"
        ),
        sa.Column(
            "m", sa.LargeBinary(), nullable=False, comment="uint8, cells of the top in the supercell; 0 = no match"
        ),
        sa.Column(
            "strain",
            sa.LargeBinary(),
            nullable=False,
            comment="uint16, largest principal Hencky strain of the misfit in units of 1e-6; 65535 = no match",
        ),
        sa.Column(
            "score",
            sa.LargeBinary(),
            nullable=False,
            comment="uint16, geometric score in units of 1/65535; 0 = no match",
        ),
        sa.CheckConstraint(
            "octet_length(n) = n_pairs AND octet_length(m) = n_pairs", name=op.f("ck_pair_tile_one_byte_indices")
        ),
        sa.CheckConstraint(
            "octet_length(strain) = 2 * n_pairs AND octet_length(score) = 2 * n_pairs",
            name=op.f("ck_pair_tile_two_byte_columns"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id", "block"],
            ["pair_block.run_id", "pair_block.block"],
            name=op.f("fk_pair_tile_run_id_pair_block"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "row", "col_from", name=op.f("pk_pair_tile")),
        comment="All pairs of a run, packed",
    )
    op.create_table(
        "screening_run_model",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("model_version_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_version.id"],
            name=op.f("fk_screening_run_model_model_version_id_model_version"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["screening_run.id"],
            name=op.f("fk_screening_run_model_run_id_screening_run"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "model_version_id", name=op.f("pk_screening_run_model")),
        comment="Model versions of a run",
    )
    op.create_table(
        "source_record",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column(
            "external_id",
            sa.Text(),
            nullable=False,
            comment="identifier in the source; line or row number if it has none",
        ),
        sa.Column(
            "subject",
            sa.Enum(
                "monolayer", "bulk", "interface", name="subject", native_enum=False, create_constraint=True, length=32
            ),
            nullable=True,
            comment="null if it cannot be told",
        ),
        sa.Column(
            "payload",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment='the record as read; non-finite numbers are kept as {"$float": "nan"}',
        ),
        sa.Column("raw_text", sa.Text(), nullable=True, comment="the raw text where it could not be parsed"),
        sa.Column(
            "payload_hash",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="SHA-256 of the canonical payload or raw text",
        ),
        sa.Column(
            "state",
            sa.Enum(
                "accepted",
                "quarantined",
                "superseded",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("rule", sa.Text(), nullable=True, comment="name of the quarantine rule that it broke"),
        sa.Column("reason", sa.Text(), nullable=True, comment="the rule's sentence about this record"),
        sa.Column("import_run_id", sa.Integer(), nullable=False, comment="the import that first brought it"),
        sa.Column("superseded_by_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(state = 'quarantined') = (rule IS NOT NULL)", name=op.f("ck_source_record_quarantined_has_rule")
        ),
        sa.CheckConstraint("payload IS NOT NULL OR raw_text IS NOT NULL", name=op.f("ck_source_record_raw_is_kept")),
        sa.ForeignKeyConstraint(
            ["import_run_id"],
            ["import_run.id"],
            name=op.f("fk_source_record_import_run_id_import_run"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_source_record_source_id_source"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["superseded_by_id"],
            ["source_record.id"],
            name=op.f("fk_source_record_superseded_by_id_source_record"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_record")),
        sa.UniqueConstraint(
            "source_id", "external_id", "payload_hash", name=op.f("uq_source_record_source_id_external_id_payload_hash")
        ),
        comment="One record of a source, raw payload kept",
    )
    op.create_index(op.f("ix_source_record_import_run_id"), "source_record", ["import_run_id"], unique=False)
    op.create_index(
        "ix_source_record_quarantine",
        "source_record",
        ["rule"],
        unique=False,
        postgresql_where=sa.text("state = 'quarantined'"),
    )
    op.create_index(
        "uq_source_record_living",
        "source_record",
        ["source_id", "external_id"],
        unique=True,
        postgresql_where=sa.text("state = 'accepted'"),
    )
    op.create_table(
        "record_flag",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source_record_id", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False, comment="name of the rule"),
        sa.Column("property_key", sa.Text(), nullable=False, comment="key of the doubted property"),
        sa.Column("detail", sa.Text(), nullable=False, comment="the rule's sentence, with the value that was read"),
        sa.ForeignKeyConstraint(
            ["source_record_id"],
            ["source_record.id"],
            name=op.f("fk_record_flag_source_record_id_source_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_record_flag")),
        sa.UniqueConstraint(
            "source_record_id", "rule", "property_key", name=op.f("uq_record_flag_source_record_id_rule_property_key")
        ),
        comment="Doubts about single properties of accepted records",
    )
    op.create_table(
        "structure",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source_record_id", sa.BigInteger(), nullable=False, comment="the record that gave it"),
        sa.Column("formula", sa.Text(), nullable=False, comment="reduced formula, e.g. MoS2"),
        sa.Column("formula_anonymous", sa.Text(), nullable=False, comment="anonymous formula, e.g. AB2"),
        sa.Column("n_atoms", sa.Integer(), nullable=False, comment="atoms in the cell"),
        sa.Column("periodicity", sa.SmallInteger(), nullable=False, comment="2 slab, 3 crystal"),
        sa.Column("cell", sa.ARRAY(sa.Double()), nullable=False, comment="Å, rows a, b, c flattened (9)"),
        sa.Column("numbers", sa.ARRAY(sa.SmallInteger()), nullable=False, comment="atomic numbers (n_atoms)"),
        sa.Column(
            "positions", sa.ARRAY(sa.Double()), nullable=False, comment="Å, Cartesian x, y, z flattened (3 n_atoms)"
        ),
        sa.Column("vacuum", sa.Double(), nullable=True, comment="Å, empty space along the normal in the source's cell"),
        sa.Column(
            "digest",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="SHA-256 of cell, numbers and positions to 1e-4 Å",
        ),
        sa.CheckConstraint("cardinality(cell) = 9", name=op.f("ck_structure_cell_is_3x3")),
        sa.CheckConstraint("cardinality(numbers) = n_atoms", name=op.f("ck_structure_one_number_an_atom")),
        sa.CheckConstraint("cardinality(positions) = 3 * n_atoms", name=op.f("ck_structure_three_coordinates_an_atom")),
        sa.CheckConstraint("n_atoms > 0", name=op.f("ck_structure_has_atoms")),
        sa.CheckConstraint("periodicity IN (2, 3)", name=op.f("ck_structure_periodicity")),
        sa.ForeignKeyConstraint(
            ["source_record_id"],
            ["source_record.id"],
            name=op.f("fk_structure_source_record_id_source_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_structure")),
        sa.UniqueConstraint("source_record_id", name=op.f("uq_structure_source_record_id")),
        comment="Atomic structures, canonical",
    )
    op.create_index(op.f("ix_structure_digest"), "structure", ["digest"], unique=False)
    op.create_index(op.f("ix_structure_formula"), "structure", ["formula"], unique=False)
    op.create_table(
        "material",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "uid", sa.Text(), nullable=False, comment="stable name: formula and 8 hex digits, e.g. MoS2-1f0c22ab"
        ),
        sa.Column(
            "kind",
            sa.Enum("monolayer", "bulk", name="kind", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("formula", sa.Text(), nullable=False, comment="reduced formula"),
        sa.Column("formula_anonymous", sa.Text(), nullable=False, comment="anonymous formula"),
        sa.Column("elements", sa.ARRAY(sa.Text()), nullable=False, comment="element symbols, sorted"),
        sa.Column(
            "n_atoms",
            sa.Integer(),
            nullable=False,
            comment="atoms in the cell of the representative structure",
        ),
        sa.Column("structure_id", sa.BigInteger(), nullable=False, comment="representative structure"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "withdrawn_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="set when no living record describes it any more",
        ),
        sa.ForeignKeyConstraint(
            ["structure_id"], ["structure.id"], name=op.f("fk_material_structure_id_structure"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_material")),
        sa.UniqueConstraint("uid", name=op.f("uq_material_uid")),
        comment="Distinct materials, after deduplication",
    )
    op.create_index(op.f("ix_material_formula"), "material", ["formula"], unique=False)
    op.create_index(op.f("ix_material_kind"), "material", ["kind"], unique=False)
    op.create_index(op.f("ix_material_structure_id"), "material", ["structure_id"], unique=False)
    op.create_table(
        "bulk_phase",
        sa.Column("material_id", sa.Integer(), nullable=False),
        sa.Column("space_group", sa.SmallInteger(), nullable=False, comment="space group number 1-230"),
        sa.Column("volume_per_atom", sa.Double(), nullable=False, comment="Å³ per atom"),
        sa.CheckConstraint("space_group BETWEEN 1 AND 230", name=op.f("ck_bulk_phase_space_group")),
        sa.CheckConstraint("volume_per_atom > 0", name=op.f("ck_bulk_phase_volume")),
        sa.ForeignKeyConstraint(
            ["material_id"], ["material.id"], name=op.f("fk_bulk_phase_material_id_material"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("material_id", name=op.f("pk_bulk_phase")),
        comment="Bulk phases",
    )
    op.create_table(
        "embedding",
        sa.Column("model_version_id", sa.Integer(), nullable=False),
        sa.Column("material_id", sa.Integer(), nullable=False),
        sa.Column(
            "inputs_digest", sa.LargeBinary(length=32), nullable=False, comment="SHA-256 of the structure that went in"
        ),
        sa.Column("vector", Vector(dim=64), nullable=False, comment="64 components, dimensionless, Euclidean distance"),
        sa.ForeignKeyConstraint(
            ["material_id"], ["material.id"], name=op.f("fk_embedding_material_id_material"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_version.id"],
            name=op.f("fk_embedding_model_version_id_model_version"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("model_version_id", "material_id", name=op.f("pk_embedding")),
        comment="Learned vectors of materials",
    )
    op.create_index(op.f("ix_embedding_material_id"), "embedding", ["material_id"], unique=False)
    op.create_table(
        "feature_vector",
        sa.Column("feature_set_id", sa.Integer(), nullable=False),
        sa.Column("material_id", sa.Integer(), nullable=False),
        sa.Column(
            "inputs_digest",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="SHA-256 of structure and properties that went in",
        ),
        sa.Column(
            "values", sa.ARRAY(sa.REAL()), nullable=False, comment="components, units as in feature_set; NaN = unknown"
        ),
        sa.Column("computed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["feature_set_id"],
            ["feature_set.id"],
            name=op.f("fk_feature_vector_feature_set_id_feature_set"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["material_id"], ["material.id"], name=op.f("fk_feature_vector_material_id_material"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("feature_set_id", "material_id", name=op.f("pk_feature_vector")),
        comment="Descriptors of materials",
    )
    op.create_index(op.f("ix_feature_vector_material_id"), "feature_vector", ["material_id"], unique=False)
    op.create_table(
        "interface",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source_record_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "homobilayer",
                "heterobilayer",
                "2d-on-bulk",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("bottom_material_id", sa.Integer(), nullable=True),
        sa.Column("top_material_id", sa.Integer(), nullable=True),
        sa.Column("bottom_name", sa.Text(), nullable=False, comment="the source's own name of the lower side"),
        sa.Column("top_name", sa.Text(), nullable=False, comment="the source's own name of the upper side"),
        sa.Column(
            "surface", sa.Text(), nullable=True, comment="Miller plane of the substrate, e.g. 111, for 2d-on-bulk"
        ),
        sa.Column("structure_id", sa.BigInteger(), nullable=True, comment="relaxed structure, if computed"),
        sa.CheckConstraint(
            "kind <> 'homobilayer' OR bottom_material_id IS NOT DISTINCT FROM top_material_id",
            name=op.f("ck_interface_homo"),
        ),
        sa.ForeignKeyConstraint(
            ["bottom_material_id"],
            ["material.id"],
            name=op.f("fk_interface_bottom_material_id_material"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["source_record_id"],
            ["source_record.id"],
            name=op.f("fk_interface_source_record_id_source_record"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["structure_id"], ["structure.id"], name=op.f("fk_interface_structure_id_structure"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["top_material_id"],
            ["material.id"],
            name=op.f("fk_interface_top_material_id_material"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interface")),
        sa.UniqueConstraint("source_record_id", name=op.f("uq_interface_source_record_id")),
        comment="Computed interfaces",
    )
    op.create_index(op.f("ix_interface_bottom_material_id"), "interface", ["bottom_material_id"], unique=False)
    op.create_index(op.f("ix_interface_bottom_name"), "interface", ["bottom_name"], unique=False)
    op.create_index(op.f("ix_interface_kind"), "interface", ["kind"], unique=False)
    op.create_index(op.f("ix_interface_top_material_id"), "interface", ["top_material_id"], unique=False)
    op.create_index(op.f("ix_interface_top_name"), "interface", ["top_name"], unique=False)
    op.create_table(
        "material_member",
        sa.Column("source_record_id", sa.BigInteger(), nullable=False),
        sa.Column("material_id", sa.Integer(), nullable=False),
        sa.Column(
            "distance",
            sa.Double(),
            nullable=False,
            comment="Å, fingerprint distance to the representative; 0 for the representative",
        ),
        sa.Column(
            "method",
            sa.Text(),
            nullable=False,
            comment="how it was decided: representative, fingerprint+matcher, by hand",
        ),
        sa.Column("version", sa.Text(), nullable=False, comment="version of the deduplication method"),
        sa.Column(
            "evidence",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="numbers behind the decision",
        ),
        sa.Column("decided_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["material_id"], ["material.id"], name=op.f("fk_material_member_material_id_material"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["source_record_id"],
            ["source_record.id"],
            name=op.f("fk_material_member_source_record_id_source_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("source_record_id", name=op.f("pk_material_member")),
        comment="Which record is which material, and why",
    )
    op.create_index(op.f("ix_material_member_material_id"), "material_member", ["material_id"], unique=False)
    op.create_table(
        "monolayer",
        sa.Column("material_id", sa.Integer(), nullable=False),
        sa.Column("ln_area", sa.Double(), nullable=False, comment="natural logarithm of the cell area in Å²"),
        sa.Column("tau_re", sa.Double(), nullable=False, comment="Re of b/a of the reduced basis, dimensionless"),
        sa.Column("tau_im", sa.Double(), nullable=False, comment="Im of b/a of the reduced basis, dimensionless"),
        sa.Column(
            "basis",
            sa.ARRAY(sa.Double()),
            nullable=False,
            comment="Å, rows a and b of the reduced basis in the structure's frame, flattened (4)",
        ),
        sa.Column("thickness", sa.Double(), nullable=False, comment="Å, lowest to highest nucleus"),
        sa.Column("layer_group", sa.SmallInteger(), nullable=True, comment="layer group number 1-80 at 0.1 Å"),
        sa.Column(
            "polar",
            sa.Boolean(),
            nullable=False,
            comment="whether the two faces differ (no operation of the layer swaps them)",
        ),
        sa.CheckConstraint("layer_group BETWEEN 1 AND 80", name=op.f("ck_monolayer_layer_group")),
        sa.CheckConstraint(
            "tau_re * tau_re + tau_im * tau_im >= 0.999999 AND tau_im > 0", name=op.f("ck_monolayer_tau_reduced")
        ),
        sa.CheckConstraint("tau_re BETWEEN 0 AND 0.5", name=op.f("ck_monolayer_tau_re_reduced")),
        sa.CheckConstraint("thickness >= 0", name=op.f("ck_monolayer_thickness")),
        sa.ForeignKeyConstraint(
            ["material_id"], ["material.id"], name=op.f("fk_monolayer_material_id_material"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("material_id", name=op.f("pk_monolayer")),
        comment="Freestanding layers",
    )
    op.create_table(
        "property_value",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("property_id", sa.Integer(), nullable=False),
        sa.Column("source_record_id", sa.BigInteger(), nullable=True),
        sa.Column("model_version_id", sa.Integer(), nullable=True),
        sa.Column("material_id", sa.Integer(), nullable=True),
        sa.Column("interface_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "method",
            sa.Enum(
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
                name="method",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
            comment="level of theory or experiment",
        ),
        sa.Column(
            "face",
            sa.Enum("bottom", "top", name="face", native_enum=False, create_constraint=True, length=32),
            nullable=True,
            comment="null where the faces do not differ",
        ),
        sa.Column("value", sa.Double(), nullable=True, comment="number in the property's unit"),
        sa.Column("label", sa.Text(), nullable=True, comment="word, for properties without unit"),
        sa.Column("lower", sa.Double(), nullable=True, comment="lower end of the 90 % interval, in the unit"),
        sa.Column("upper", sa.Double(), nullable=True, comment="upper end of the 90 % interval, in the unit"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "value IS NULL OR value NOT IN ('NaN', 'Infinity', '-Infinity')", name=op.f("ck_property_value_finite")
        ),
        sa.CheckConstraint(
            "(model_version_id IS NULL) = (num_nonnulls(material_id, interface_id) = 0)",
            name=op.f("ck_property_value_prediction_names_its_subject"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(source_record_id, model_version_id) = 1", name=op.f("ck_property_value_one_origin")
        ),
        sa.CheckConstraint("num_nonnulls(value, label) = 1", name=op.f("ck_property_value_number_or_label")),
        sa.ForeignKeyConstraint(
            ["interface_id"],
            ["interface.id"],
            name=op.f("fk_property_value_interface_id_interface"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["material_id"], ["material.id"], name=op.f("fk_property_value_material_id_material"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_version.id"],
            name=op.f("fk_property_value_model_version_id_model_version"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["property_id"], ["property.id"], name=op.f("fk_property_value_property_id_property"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["source_record_id"],
            ["source_record.id"],
            name=op.f("fk_property_value_source_record_id_source_record"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_property_value")),
        comment="One row a fact",
    )
    op.create_index(op.f("ix_property_value_interface_id"), "property_value", ["interface_id"], unique=False)
    op.create_index(op.f("ix_property_value_material_id"), "property_value", ["material_id"], unique=False)
    op.create_index("ix_property_value_property", "property_value", ["property_id", "method"], unique=False)
    op.create_index(
        "uq_property_value_fact",
        "property_value",
        ["source_record_id", "property_id", "method", "face"],
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("source_record_id IS NOT NULL"),
    )
    op.create_index(
        "uq_property_value_prediction",
        "property_value",
        ["model_version_id", "property_id", "material_id", "interface_id", "face"],
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("model_version_id IS NOT NULL"),
    )
    op.create_table(
        "stacking",
        sa.Column("interface_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "bottom_matrix", sa.ARRAY(sa.SmallInteger()), nullable=False, comment="integer supercell of the bottom (4)"
        ),
        sa.Column(
            "top_matrix", sa.ARRAY(sa.SmallInteger()), nullable=False, comment="integer supercell of the top (4)"
        ),
        sa.Column(
            "top_operation",
            sa.ARRAY(sa.Double()),
            nullable=True,
            comment="in-plane operation applied to the top layer, in its own lattice basis (4)",
        ),
        sa.Column(
            "flip",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="whether the top layer is turned over (z to -z)",
        ),
        sa.Column("shift_a", sa.Double(), nullable=True, comment="registry shift along a, fraction of the cell"),
        sa.Column("shift_b", sa.Double(), nullable=True, comment="registry shift along b, fraction of the cell"),
        sa.Column("twist", sa.Double(), nullable=True, comment="degrees, rotation of the top against the bottom"),
        sa.Column("strain_aa", sa.Double(), nullable=True, comment="strain of the top along a, dimensionless"),
        sa.Column("strain_bb", sa.Double(), nullable=True, comment="strain of the top along b, dimensionless"),
        sa.Column("strain_ab", sa.Double(), nullable=True, comment="shear strain of the top, dimensionless"),
        sa.CheckConstraint(
            "cardinality(bottom_matrix) = 4 AND cardinality(top_matrix) = 4", name=op.f("ck_stacking_matrices_are_2x2")
        ),
        sa.CheckConstraint(
            "top_operation IS NULL OR cardinality(top_operation) = 4", name=op.f("ck_stacking_operation_is_2x2")
        ),
        sa.ForeignKeyConstraint(
            ["interface_id"], ["interface.id"], name=op.f("fk_stacking_interface_id_interface"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("interface_id", name=op.f("pk_stacking")),
        comment="Supercells, strain and registry of computed interfaces",
    )
    op.create_table(
        "surface",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("material_id", sa.Integer(), nullable=False),
        sa.Column("miller_h", sa.SmallInteger(), nullable=False, comment="Miller index h of the conventional cell"),
        sa.Column("miller_k", sa.SmallInteger(), nullable=False, comment="Miller index k of the conventional cell"),
        sa.Column("miller_l", sa.SmallInteger(), nullable=False, comment="Miller index l of the conventional cell"),
        sa.Column(
            "termination", sa.SmallInteger(), server_default="0", nullable=False, comment="number of the distinct cut"
        ),
        sa.Column("ln_area", sa.Double(), nullable=False, comment="natural logarithm of the surface cell area in Å²"),
        sa.Column("tau_re", sa.Double(), nullable=False, comment="Re of b/a of the reduced basis, dimensionless"),
        sa.Column("tau_im", sa.Double(), nullable=False, comment="Im of b/a of the reduced basis, dimensionless"),
        sa.Column(
            "basis",
            sa.ARRAY(sa.Double()),
            nullable=False,
            comment="Å, rows a and b of the reduced basis, flattened (4)",
        ),
        sa.Column(
            "cell",
            sa.ARRAY(sa.Double()),
            nullable=False,
            comment="Å, slab cell, rows a, b, c flattened (9); c along +z",
        ),
        sa.Column("numbers", sa.ARRAY(sa.SmallInteger()), nullable=False, comment="atomic numbers of the slab"),
        sa.Column(
            "positions",
            sa.ARRAY(sa.Double()),
            nullable=False,
            comment="Å, Cartesian, flattened; top of the slab at z = 0",
        ),
        sa.Column("n_atoms", sa.Integer(), nullable=False, comment="atoms of the slab per surface cell"),
        sa.CheckConstraint(
            "tau_re * tau_re + tau_im * tau_im >= 0.999999 AND tau_im > 0", name=op.f("ck_surface_tau_reduced")
        ),
        sa.CheckConstraint("tau_re BETWEEN 0 AND 0.5", name=op.f("ck_surface_tau_re_reduced")),
        sa.ForeignKeyConstraint(
            ["material_id"],
            ["bulk_phase.material_id"],
            name=op.f("fk_surface_material_id_bulk_phase"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_surface")),
        sa.UniqueConstraint(
            "material_id",
            "miller_h",
            "miller_k",
            "miller_l",
            "termination",
            name=op.f("uq_surface_material_id_miller_h_miller_k_miller_l_termination"),
        ),
        comment="Low-index faces of bulk phases",
    )
    op.create_table(
        "screening_member",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("member", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("material_id", sa.Integer(), nullable=False),
        sa.Column("surface_id", sa.Integer(), nullable=True),
        sa.Column(
            "uid",
            sa.Text(),
            nullable=False,
            comment="material uid, with the Miller plane for a surface: Au-1f0c22ab(111)",
        ),
        sa.Column("formula", sa.Text(), nullable=False, comment="reduced formula"),
        sa.Column("elements", sa.ARRAY(sa.Text()), nullable=False, comment="element symbols, sorted"),
        sa.Column(
            "n_atoms",
            sa.Integer(),
            nullable=False,
            comment="atoms per cell; of the whole slab for a surface",
        ),
        sa.Column("ln_area", sa.Double(), nullable=False, comment="natural logarithm of the cell area in Å²"),
        sa.Column("tau_re", sa.Double(), nullable=False, comment="Re of b/a of the reduced basis"),
        sa.Column("tau_im", sa.Double(), nullable=False, comment="Im of b/a of the reduced basis"),
        sa.Column("polar", sa.Boolean(), nullable=False, comment="whether the two faces differ"),
        sa.Column(
            "vbm_bottom", sa.Double(), nullable=True, comment="eV, PBE valence band maximum against the bottom vacuum"
        ),
        sa.Column("vbm_top", sa.Double(), nullable=True, comment="eV, PBE valence band maximum against the top vacuum"),
        sa.Column("cbm_bottom", sa.Double(), nullable=True, comment="eV, PBE conduction band minimum, bottom vacuum"),
        sa.Column("cbm_top", sa.Double(), nullable=True, comment="eV, PBE conduction band minimum, top vacuum"),
        sa.Column("work_function_bottom", sa.Double(), nullable=True, comment="eV, work function of the bottom face"),
        sa.Column("work_function_top", sa.Double(), nullable=True, comment="eV, work function of the top face"),
        sa.Column("gap", sa.Double(), nullable=True, comment="eV, PBE gap; 0 metallic; null unknown"),
        sa.Column("hull_energy", sa.Double(), nullable=True, comment="eV/atom above the convex hull; null unknown"),
        sa.Column(
            "inputs_digest",
            sa.LargeBinary(length=32),
            nullable=False,
            comment="SHA-256 of everything above and the features used",
        ),
        sa.ForeignKeyConstraint(
            ["material_id"], ["material.id"], name=op.f("fk_screening_member_material_id_material"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["screening_run.id"], name=op.f("fk_screening_member_run_id_screening_run"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["surface_id"], ["surface.id"], name=op.f("fk_screening_member_surface_id_surface"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("run_id", "member", name=op.f("pk_screening_member")),
        sa.UniqueConstraint("run_id", "uid", name=op.f("uq_screening_member_run_id_uid")),
        comment="The materials of a run, numbered",
    )
    op.create_index("ix_screening_member_material", "screening_member", ["material_id", "run_id"], unique=False)
    op.create_table(
        "candidate",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bottom", sa.Integer(), autoincrement=False, nullable=False, comment="member below"),
        sa.Column("top", sa.Integer(), autoincrement=False, nullable=False, comment="member above"),
        sa.Column("block", sa.Integer(), nullable=False, comment="block that made it"),
        sa.Column(
            "kind",
            sa.Enum(
                "homobilayer",
                "heterobilayer",
                "2d-on-bulk",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("n", sa.SmallInteger(), nullable=False, comment="cells of the bottom in the supercell"),
        sa.Column("m", sa.SmallInteger(), nullable=False, comment="cells of the top in the supercell"),
        sa.Column(
            "strain", sa.REAL(), nullable=False, comment="largest principal Hencky strain of the misfit, dimensionless"
        ),
        sa.Column(
            "strain_von_mises", sa.REAL(), nullable=False, comment="von Mises strain of the misfit, dimensionless"
        ),
        sa.Column("area", sa.REAL(), nullable=False, comment="Å², area of the matched supercell"),
        sa.Column("n_atoms", sa.Integer(), nullable=False, comment="atoms in the supercell"),
        sa.Column(
            "alignment",
            sa.Enum("I", "II", "III", "metal", name="alignment", native_enum=False, create_constraint=True, length=32),
            nullable=True,
            comment="Anderson's rule on the facing faces; null where edges are unknown",
        ),
        sa.Column("gap_anderson", sa.REAL(), nullable=True, comment="eV, gap by Anderson's rule, PBE edges"),
        sa.Column(
            "valence_offset", sa.REAL(), nullable=True, comment="eV, valence edge of the top minus that of the bottom"
        ),
        sa.Column("conduction_offset", sa.REAL(), nullable=True, comment="eV, conduction edge of the top minus bottom"),
        sa.Column("work_function_difference", sa.REAL(), nullable=True, comment="eV, top minus bottom, facing faces"),
        sa.Column(
            "distance_vdw", sa.REAL(), nullable=True, comment="Å, sum of van der Waals radii of the facing atoms"
        ),
        sa.Column("binding_energy", sa.REAL(), nullable=True, comment="meV/Å², predicted; positive = bound"),
        sa.Column("binding_energy_lower", sa.REAL(), nullable=True, comment="meV/Å², lower end of the 90 % interval"),
        sa.Column("binding_energy_upper", sa.REAL(), nullable=True, comment="meV/Å², upper end of the 90 % interval"),
        sa.Column("distance", sa.REAL(), nullable=True, comment="Å, predicted interlayer distance"),
        sa.Column("distance_lower", sa.REAL(), nullable=True, comment="Å, lower end of the 90 % interval"),
        sa.Column("distance_upper", sa.REAL(), nullable=True, comment="Å, upper end of the 90 % interval"),
        sa.Column("gap", sa.REAL(), nullable=True, comment="eV, predicted PBE gap"),
        sa.Column("gap_lower", sa.REAL(), nullable=True, comment="eV, lower end of the 90 % interval"),
        sa.Column("gap_upper", sa.REAL(), nullable=True, comment="eV, upper end of the 90 % interval"),
        sa.Column(
            "domain_distance",
            sa.REAL(),
            nullable=True,
            comment="distance to the training materials, 1 = the edge of the applicability domain",
        ),
        sa.Column("hull_energy", sa.REAL(), nullable=True, comment="eV/atom, larger of the two layers' hull energies"),
        sa.Column("score", sa.REAL(), nullable=False, comment="ranking score, 0 to 1, higher is better"),
        sa.CheckConstraint("kind <> 'homobilayer' OR bottom = top", name=op.f("ck_candidate_homobilayer_is_diagonal")),
        sa.CheckConstraint("n > 0 AND m > 0", name=op.f("ck_candidate_supercell")),
        sa.ForeignKeyConstraint(
            ["run_id", "bottom"],
            ["screening_member.run_id", "screening_member.member"],
            name="fk_candidate_bottom_screening_member",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["run_id", "top"],
            ["screening_member.run_id", "screening_member.member"],
            name="fk_candidate_top_screening_member",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "bottom", "top", name=op.f("pk_candidate")),
        comment="Pairs that passed the physical filter",
    )
    op.create_index("ix_candidate_alignment_gap", "candidate", ["run_id", "alignment", "gap", "score"], unique=False)
    op.create_index("ix_candidate_block", "candidate", ["run_id", "block"], unique=False)
    op.create_index(
        "ix_candidate_run_id_score",
        "candidate",
        ["run_id", sa.literal_column("score DESC"), "bottom", "top"],
        unique=False,
    )
    op.create_index("ix_candidate_top", "candidate", ["run_id", "top", "bottom"], unique=False)

    # Packed numbers hardly compress, and uncompressed they can be read in slices.
    for column in ("n", "m", "strain", "score"):
        op.execute(f"ALTER TABLE pair_tile ALTER COLUMN {column} SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.drop_index("ix_candidate_top", table_name="candidate")
    op.drop_index("ix_candidate_run_id_score", table_name="candidate")
    op.drop_index("ix_candidate_block", table_name="candidate")
    op.drop_index("ix_candidate_alignment_gap", table_name="candidate")
    op.drop_table("candidate")
    op.drop_index("ix_screening_member_material", table_name="screening_member")
    op.drop_table("screening_member")
    op.drop_table("surface")
    op.drop_table("stacking")
    op.drop_index(
        "uq_property_value_prediction",
        table_name="property_value",
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("model_version_id IS NOT NULL"),
    )
    op.drop_index(
        "uq_property_value_fact",
        table_name="property_value",
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("source_record_id IS NOT NULL"),
    )
    op.drop_index("ix_property_value_property", table_name="property_value")
    op.drop_index(op.f("ix_property_value_material_id"), table_name="property_value")
    op.drop_index(op.f("ix_property_value_interface_id"), table_name="property_value")
    op.drop_table("property_value")
    op.drop_table("monolayer")
    op.drop_index(op.f("ix_material_member_material_id"), table_name="material_member")
    op.drop_table("material_member")
    op.drop_index(op.f("ix_interface_top_name"), table_name="interface")
    op.drop_index(op.f("ix_interface_top_material_id"), table_name="interface")
    op.drop_index(op.f("ix_interface_kind"), table_name="interface")
    op.drop_index(op.f("ix_interface_bottom_name"), table_name="interface")
    op.drop_index(op.f("ix_interface_bottom_material_id"), table_name="interface")
    op.drop_table("interface")
    op.drop_index(op.f("ix_feature_vector_material_id"), table_name="feature_vector")
    op.drop_table("feature_vector")
    op.drop_index(op.f("ix_embedding_material_id"), table_name="embedding")
    op.drop_table("embedding")
    op.drop_table("bulk_phase")
    op.drop_index(op.f("ix_material_structure_id"), table_name="material")
    op.drop_index(op.f("ix_material_kind"), table_name="material")
    op.drop_index(op.f("ix_material_formula"), table_name="material")
    op.drop_table("material")
    op.drop_index(op.f("ix_structure_formula"), table_name="structure")
    op.drop_index(op.f("ix_structure_digest"), table_name="structure")
    op.drop_table("structure")
    op.drop_table("record_flag")
    op.drop_index("uq_source_record_living", table_name="source_record", postgresql_where=sa.text("state = 'accepted'"))
    op.drop_index(
        "ix_source_record_quarantine", table_name="source_record", postgresql_where=sa.text("state = 'quarantined'")
    )
    op.drop_index(op.f("ix_source_record_import_run_id"), table_name="source_record")
    op.drop_table("source_record")
    op.drop_table("screening_run_model")
    op.drop_table("pair_tile")
    op.drop_table("screen_result")
    op.drop_table("screen_change")
    op.drop_index("ix_pair_block_open", table_name="pair_block", postgresql_where=sa.text("state <> 'done'"))
    op.drop_table("pair_block")
    op.drop_index("uq_model_version_served", table_name="model_version", postgresql_where=sa.text("served"))
    op.drop_table("model_version")
    op.drop_index(op.f("ix_import_run_source_id"), table_name="import_run")
    op.drop_table("import_run")
    op.drop_table("source")
    op.drop_index(
        "uq_screening_run_published", table_name="screening_run", postgresql_where=sa.text("state = 'published'")
    )
    op.drop_index(
        "uq_screening_run_inputs",
        table_name="screening_run",
        postgresql_where=sa.text("state IN ('planned', 'running', 'published')"),
    )
    op.drop_table("screening_run")
    op.drop_table("saved_screen")
    op.drop_table("property")
    op.drop_table("feature_set")
