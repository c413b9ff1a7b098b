"""The pair space: runs, the work ledger, packed tiles of all pairs, candidates, and what people keep an eye on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import Base, Digest, enum_column
from schema.vocabulary import (
    AlignmentType,
    BlockState,
    ChangeKind,
    EdgeMethod,
    InterfaceKind,
    RunState,
    StackSide,
)


class ScreeningRun(Base):
    """One screen of the whole pair space, with every input by version.

    A run either screens everything, and then founds a *space*: it numbers the members, and its tiles hold all their
    pairs. Or it continues the space of an earlier run: what changed since gets new numbers behind the old ones, and
    tiles of their pairs alone. A member or a candidate belongs to the runs of its space from `since` on, up to but
    without `until`; tiles are never changed. So each run of a space stays what it was when it was published.
    """

    __tablename__ = "screening_run"
    __table_args__ = (
        # One published run: what every reader sees, switched in one transaction.
        Index("uq_screening_run_published", "state", unique=True, postgresql_where=text("state = 'published'")),
        Index(
            "uq_screening_run_inputs", "inputs_digest", unique=True,
            postgresql_where=text("state IN ('planned', 'running', 'published')"),
        ),
        CheckConstraint("state <> 'published' OR published_at IS NOT NULL", name="published_has_time"),
        CheckConstraint("max_strain > 0 AND max_area > 0 AND max_atoms > 0", name="limits_are_positive"),
        CheckConstraint("base_run_id < id AND matched_run_id < id", name="earlier_runs"),
        {"comment": "Screens of the pair space"},
    )  # fmt: skip

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    base_run_id: Mapped[int | None] = mapped_column(
        ForeignKey("screening_run.id", ondelete="RESTRICT"),
        comment="run whose space this one continues; null for a run that founded its own",
    )
    space_id: Mapped[int] = mapped_column(
        Integer, Computed("coalesce(base_run_id, id)", persisted=True), comment="run that founded the space"
    )
    matched_run_id: Mapped[int | None] = mapped_column(
        ForeignKey("screening_run.id", ondelete="SET NULL"),
        comment="run whose coincidence lattices were taken over where nothing about them had changed",
    )
    state: Mapped[RunState] = mapped_column(enum_column(RunState, "state"), server_default="planned")
    inputs_digest: Mapped[bytes] = mapped_column(Digest, comment="SHA-256 of materials, features, models and limits")
    engine_version: Mapped[str] = mapped_column(Text, comment="version of the matching and scoring code")
    n_monolayers: Mapped[int] = mapped_column(Integer)
    n_surfaces: Mapped[int] = mapped_column(Integer)
    n_pairs: Mapped[int] = mapped_column(BigInteger, comment="N(N+1)/2 layer pairs and N*S layer-surface pairs")
    max_strain: Mapped[float] = mapped_column(
        Double, comment="largest principal Hencky strain of the misfit, dimensionless"
    )
    max_area: Mapped[float] = mapped_column(Double, comment="Å², largest supercell of either side")
    max_atoms: Mapped[int] = mapped_column(Integer, comment="atoms in the supercell, both sides")
    strain_levels: Mapped[list[float]] = mapped_column(
        ARRAY(Double),
        server_default="{}",
        comment="tighter limits of strain, rising, within each of which the smallest supercell is kept too; "
        "empty: none",
    )
    candidate_rule: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="the physical filter that candidates passed")
    edges: Mapped[EdgeMethod] = mapped_column(
        enum_column(EdgeMethod, "edges"),
        server_default="PBE",
        comment="functional of every band edge, gap and work function that the run aligned",
    )
    n_matched: Mapped[int | None] = mapped_column(
        BigInteger, comment="pairs with a coincidence lattice within the limits"
    )
    n_candidates: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    published_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    error: Mapped[str | None] = mapped_column(Text)


class ScreeningRunModel(Base):
    """Which model versions a run used."""

    __tablename__ = "screening_run_model"
    __table_args__ = ({"comment": "Model versions of a run"},)

    run_id: Mapped[int] = mapped_column(ForeignKey("screening_run.id", ondelete="CASCADE"), primary_key=True)
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_version.id", ondelete="RESTRICT"), primary_key=True)


class ScreeningMember(Base):
    """One side that a run may stack: the run's snapshot of a monolayer or a surface.

    A space numbers its members 0 to N-1 for monolayers and N to N+S-1 for surfaces, later ones behind them in any
    order; tiles and candidates speak in these numbers, which are never used again, so that a later change of the
    materials cannot change what a published run says.
    """

    __tablename__ = "screening_member"
    __table_args__ = (
        Index("uq_screening_member_uid", "run_id", "uid", unique=True, postgresql_where=text("until IS NULL")),
        Index("ix_screening_member_material", "material_id", "run_id"),
        CheckConstraint("run_id <= since AND since < until", name="since_before_until"),
        {"comment": "The materials of a run, numbered"},
    )

    run_id: Mapped[int] = mapped_column(
        ForeignKey("screening_run.id", ondelete="CASCADE"), primary_key=True, comment="run that founded the space"
    )
    member: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    since: Mapped[int] = mapped_column(Integer, comment="run that brought it")
    until: Mapped[int | None] = mapped_column(Integer, comment="run from which on it is no member; null if it is")
    material_id: Mapped[int] = mapped_column(ForeignKey("material.id", ondelete="RESTRICT"))
    surface_id: Mapped[int | None] = mapped_column(ForeignKey("surface.id", ondelete="RESTRICT"))
    uid: Mapped[str] = mapped_column(
        Text, comment="material uid, with the Miller plane for a surface: Au-1f0c22ab(111)"
    )
    formula: Mapped[str] = mapped_column(Text, comment="reduced formula")
    elements: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="element symbols, sorted")
    n_atoms: Mapped[int] = mapped_column(Integer, comment="atoms per cell; of the whole slab for a surface")
    ln_area: Mapped[float] = mapped_column(Double, comment="natural logarithm of the cell area in Å²")
    tau_re: Mapped[float] = mapped_column(Double, comment="Re of b/a of the reduced basis")
    tau_im: Mapped[float] = mapped_column(Double, comment="Im of b/a of the reduced basis")
    polar: Mapped[bool] = mapped_column(Boolean, comment="whether the two faces differ")
    vbm_bottom: Mapped[float | None] = mapped_column(
        Double, comment="eV, valence band maximum against the bottom vacuum, by the run's functional"
    )
    vbm_top: Mapped[float | None] = mapped_column(
        Double, comment="eV, valence band maximum against the top vacuum, by the run's functional"
    )
    cbm_bottom: Mapped[float | None] = mapped_column(
        Double, comment="eV, conduction band minimum against the bottom vacuum, by the run's functional"
    )
    cbm_top: Mapped[float | None] = mapped_column(
        Double, comment="eV, conduction band minimum against the top vacuum, by the run's functional"
    )
    work_function_bottom: Mapped[float | None] = mapped_column(
        Double, comment="eV, work function of the bottom face, by the run's functional"
    )
    work_function_top: Mapped[float | None] = mapped_column(
        Double, comment="eV, work function of the top face, by the run's functional"
    )
    gap: Mapped[float | None] = mapped_column(
        Double, comment="eV, gap by the run's functional; 0 metallic; null unknown"
    )
    hull_energy: Mapped[float | None] = mapped_column(Double, comment="eV/atom above the convex hull; null unknown")
    stiffness: Mapped[float | None] = mapped_column(
        Double, comment="N/m, mean of c11 and c22 in PBE; null unknown, unstable, or a surface"
    )
    inputs_digest: Mapped[bytes] = mapped_column(Digest, comment="SHA-256 of everything above and the features used")
    fingerprint: Mapped[int] = mapped_column(
        BigInteger, comment="hash of the material's rows in the database: if it is the same, so is inputs_digest"
    )


class PairBlock(Base):
    """One block of the pair matrix: the work ledger. The ledger, not the broker, says what is done.

    `attempts` counts the leases that were given, not the failures: a worker that was killed had one too.
    """

    __tablename__ = "pair_block"
    __table_args__ = (
        Index("ix_pair_block_open", "run_id", "state", postgresql_where=text("state <> 'done'")),
        CheckConstraint("(state = 'leased') = (lease_until IS NOT NULL)", name="lease_has_end"),
        CheckConstraint("state <> 'done' OR digest IS NOT NULL", name="done_has_digest"),
        CheckConstraint("row_from < row_to AND col_from < col_to", name="not_empty"),
        {"comment": "Work ledger of the pair matrix"},
    )

    run_id: Mapped[int] = mapped_column(ForeignKey("screening_run.id", ondelete="CASCADE"), primary_key=True)
    block: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    row_from: Mapped[int] = mapped_column(Integer, comment="first member of the rows (the bottom side)")
    row_to: Mapped[int] = mapped_column(Integer, comment="one past the last member of the rows")
    col_from: Mapped[int] = mapped_column(Integer, comment="first member of the columns (the top side)")
    col_to: Mapped[int] = mapped_column(Integer, comment="one past the last member of the columns")
    state: Mapped[BlockState] = mapped_column(enum_column(BlockState, "state"), server_default="pending")
    lease_owner: Mapped[str | None] = mapped_column(Text, comment="worker that holds it")
    lease_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), comment="when another may take it")
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    n_pairs: Mapped[int] = mapped_column(BigInteger, comment="pairs in the block")
    n_matched: Mapped[int | None] = mapped_column(BigInteger)
    n_candidates: Mapped[int | None] = mapped_column(BigInteger)
    seconds: Mapped[float | None] = mapped_column(REAL, comment="s, time that the block took")
    digest: Mapped[bytes | None] = mapped_column(Digest, comment="SHA-256 over the block's tiles and candidates")
    error: Mapped[str | None] = mapped_column(Text, comment="why the last attempt failed")
    done_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class PairTile(Base):
    """All pairs of one row of one block, packed: structure of arrays, little-endian, one element a pair.

    Pair k of the tile is (row, col_from + k). In the run that founded a space the row is the lower side. The tile of a
    member that came later holds its pairs with all members of smaller or the same number: of two layers the one of the
    older material lies below, and a surface below any layer, as everywhere.
    """

    __tablename__ = "pair_tile"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "block"], ["pair_block.run_id", "pair_block.block"], ondelete="CASCADE"),
        CheckConstraint("octet_length(n) = n_pairs AND octet_length(m) = n_pairs", name="one_byte_indices"),
        CheckConstraint(
            "octet_length(strain) = 2 * n_pairs AND octet_length(score) = 2 * n_pairs",
            name="two_byte_columns",
        ),
        {"comment": "All pairs of a run, packed"},
    )

    run_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    row: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False, comment="member whose pairs these are"
    )
    col_from: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False, comment="first member that it is paired with"
    )
    block: Mapped[int] = mapped_column(Integer)
    n_pairs: Mapped[int] = mapped_column(Integer)
    n: Mapped[bytes] = mapped_column(LargeBinary, comment="uint8, cells of the bottom in the supercell; 0 = no match")
    m: Mapped[bytes] = mapped_column(LargeBinary, comment="uint8, cells of the top in the supercell; 0 = no match")
    strain: Mapped[bytes] = mapped_column(
        LargeBinary,
        comment="uint16, largest principal Hencky strain of the misfit in units of 1e-6; 65535 = no match",
    )
    score: Mapped[bytes] = mapped_column(
        LargeBinary, comment="uint16, geometric score in units of 1/65535; 0 = no match"
    )


class PairTileLevel(Base):
    """The pairs of a tile that have another smallest supercell within a strain level than within the next wider one.

    Next wider than the widest level is the run's own limit, `pair_tile`. A pair without a bit here has, within the
    level, the supercell of the next wider one if its strain is within the level, and otherwise none. So the smallest
    supercell kept within any strain x is that of the widest level whose strain is at most x. Packed as `PairTile` is,
    one element a pair whose bit is set.
    """

    __tablename__ = "pair_tile_level"
    __table_args__ = (
        ForeignKeyConstraint(
            ["run_id", "row", "col_from"], ["pair_tile.run_id", "pair_tile.row", "pair_tile.col_from"],
            ondelete="CASCADE",
        ),
        CheckConstraint("octet_length(n) = n_kept AND octet_length(m) = n_kept", name="one_byte_indices"),
        CheckConstraint(
            "octet_length(strain) = 2 * n_kept AND octet_length(score) = 2 * n_kept", name="two_byte_columns"
        ),
        {"comment": "Pairs with another supercell within a strain level, packed"},
    )  # fmt: skip

    run_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    row: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, comment="of the tile")
    col_from: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, comment="of the tile")
    max_strain: Mapped[float] = mapped_column(
        Double, primary_key=True, comment="the level: one of the run's strain_levels, dimensionless"
    )
    n_kept: Mapped[int] = mapped_column(Integer, comment="pairs whose bit is set")
    kept: Mapped[bytes] = mapped_column(
        LargeBinary, comment="one bit a pair of the tile: bit k mod 8 of byte k / 8 is pair k's, as get_bit counts"
    )
    n: Mapped[bytes] = mapped_column(LargeBinary, comment="uint8, cells of the bottom in the supercell")
    m: Mapped[bytes] = mapped_column(LargeBinary, comment="uint8, cells of the top in the supercell")
    strain: Mapped[bytes] = mapped_column(
        LargeBinary, comment="uint16, largest principal Hencky strain of the misfit in units of 1e-6"
    )
    score: Mapped[bytes] = mapped_column(LargeBinary, comment="uint16, geometric score in units of 1/65535")


class Candidate(Base):
    """A pair that passed the run's physical filter, with everything known or predicted of it.

    Visible to readers once the run that brought it is published, and until one is published that took it away.
    """

    __tablename__ = "candidate"
    __table_args__ = (
        ForeignKeyConstraint(
            ["run_id", "bottom"], ["screening_member.run_id", "screening_member.member"], ondelete="CASCADE",
            name="fk_candidate_bottom_screening_member",
        ),
        ForeignKeyConstraint(
            ["run_id", "top"], ["screening_member.run_id", "screening_member.member"], ondelete="CASCADE",
            name="fk_candidate_top_screening_member",
        ),
        Index("ix_candidate_run_id_score", "run_id", text("score DESC"), "bottom", "top"),
        Index("ix_candidate_top", "run_id", "top", "bottom"),
        Index("ix_candidate_alignment_gap", "run_id", "alignment", "gap", "score"),
        Index("ix_candidate_until", "run_id", "until", postgresql_where=text("until IS NOT NULL")),
        Index("ix_candidate_since", "run_id", "since", postgresql_where=text("since > run_id")),
        CheckConstraint("run_id <= since AND since < until", name="since_before_until"),
        CheckConstraint("kind <> 'homobilayer' OR bottom = top", name="homobilayer_is_diagonal"),
        CheckConstraint("n > 0 AND m > 0", name="supercell"),
        {"comment": "Pairs that passed the physical filter"},
    )  # fmt: skip

    run_id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False, comment="run that founded the space"
    )
    bottom: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, comment="member below")
    top: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, comment="member above")
    since: Mapped[int] = mapped_column(Integer, comment="run that brought it")
    until: Mapped[int | None] = mapped_column(Integer, comment="run from which on it is no candidate; null if it is")
    block: Mapped[int] = mapped_column(Integer, comment="block that made it")
    kind: Mapped[InterfaceKind] = mapped_column(enum_column(InterfaceKind, "kind"))
    n: Mapped[int] = mapped_column(SmallInteger, comment="cells of the bottom in the supercell")
    m: Mapped[int] = mapped_column(SmallInteger, comment="cells of the top in the supercell")
    strain: Mapped[float] = mapped_column(REAL, comment="largest principal Hencky strain of the misfit, dimensionless")
    strain_von_mises: Mapped[float] = mapped_column(REAL, comment="von Mises strain of the misfit, dimensionless")
    strain_bottom: Mapped[float | None] = mapped_column(
        REAL, comment="part of the misfit that the bottom carries, dimensionless; strain = strain_bottom + strain_top"
    )
    strain_top: Mapped[float | None] = mapped_column(
        REAL, comment="part of the misfit that the top carries, dimensionless"
    )
    area: Mapped[float] = mapped_column(REAL, comment="Å², area of the matched supercell, both sides strained")
    n_atoms: Mapped[int] = mapped_column(Integer, comment="atoms in the supercell")
    alignment: Mapped[AlignmentType | None] = mapped_column(
        enum_column(AlignmentType, "alignment"),
        comment="Anderson's rule on the facing faces; null where edges are unknown",
    )
    gap_anderson: Mapped[float | None] = mapped_column(
        REAL, comment="eV, gap by Anderson's rule on the facing faces, by the run's functional (screening_run.edges)"
    )
    valence_offset: Mapped[float | None] = mapped_column(
        REAL, comment="eV, valence edge of the top minus that of the bottom"
    )
    conduction_offset: Mapped[float | None] = mapped_column(REAL, comment="eV, conduction edge of the top minus bottom")
    alignments: Mapped[str | None] = mapped_column(
        Text,
        comment="alignment with neither layer turned over, the bottom, the top, both: II I II III; null where the "
        "faces of neither differ or an edge is unknown",
    )
    gap_anderson_low: Mapped[float | None] = mapped_column(
        REAL, comment="eV, smallest Anderson gap of the four orientations; null as alignments is"
    )
    gap_anderson_high: Mapped[float | None] = mapped_column(
        REAL, comment="eV, largest Anderson gap of the four orientations; null as alignments is"
    )
    work_function_difference: Mapped[float | None] = mapped_column(REAL, comment="eV, top minus bottom, facing faces")
    electron_donor: Mapped[StackSide | None] = mapped_column(
        enum_column(StackSide, "electron_donor"),
        comment="side with the smaller work function of the facing face, which gives electrons on contact",
    )
    vacuum_step: Mapped[float | None] = mapped_column(
        REAL, comment="eV, vacuum level above the stack minus that below it, the facing faces' levels equal"
    )
    schottky_electron: Mapped[float | None] = mapped_column(
        REAL, comment="eV, barrier for electrons of a metal on a semiconductor, Schottky-Mott limit; negative: ohmic"
    )
    schottky_hole: Mapped[float | None] = mapped_column(
        REAL, comment="eV, barrier for holes of a metal on a semiconductor, Schottky-Mott limit; negative: ohmic"
    )
    solar_efficiency: Mapped[float | None] = mapped_column(
        REAL,
        comment="upper limit of a type II pair's solar power conversion (Scharber 2006, AM1.5G), dimensionless; gaps "
        "of the run's functional",
    )
    distance_vdw: Mapped[float | None] = mapped_column(
        REAL, comment="Å, sum of van der Waals radii of the facing atoms"
    )
    dispersion_energy: Mapped[float | None] = mapped_column(
        REAL, comment="meV/Å², C6 pair potential of the facing faces at its minimum; positive = bound, uncalibrated"
    )
    binding_energy: Mapped[float | None] = mapped_column(REAL, comment="meV/Å², predicted; positive = bound")
    binding_energy_lower: Mapped[float | None] = mapped_column(REAL, comment="meV/Å², lower end of the 90 % interval")
    binding_energy_upper: Mapped[float | None] = mapped_column(REAL, comment="meV/Å², upper end of the 90 % interval")
    distance: Mapped[float | None] = mapped_column(REAL, comment="Å, predicted interlayer distance")
    distance_lower: Mapped[float | None] = mapped_column(REAL, comment="Å, lower end of the 90 % interval")
    distance_upper: Mapped[float | None] = mapped_column(REAL, comment="Å, upper end of the 90 % interval")
    gap: Mapped[float | None] = mapped_column(REAL, comment="eV, predicted PBE gap")
    gap_lower: Mapped[float | None] = mapped_column(REAL, comment="eV, lower end of the 90 % interval")
    gap_upper: Mapped[float | None] = mapped_column(REAL, comment="eV, upper end of the 90 % interval")
    domain_distance: Mapped[float | None] = mapped_column(
        REAL, comment="distance to the training materials, 1 = the edge of the applicability domain"
    )
    hull_energy: Mapped[float | None] = mapped_column(REAL, comment="eV/atom, larger of the two layers' hull energies")
    score: Mapped[float] = mapped_column(REAL, comment="ranking score, 0 to 1, higher is better")


class SavedScreen(Base):
    """Criteria that someone keeps an eye on."""

    __tablename__ = "saved_screen"
    __table_args__ = (UniqueConstraint("owner", "name"), {"comment": "Kept criteria"})

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    owner: Mapped[str] = mapped_column(Text)
    criteria: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="the filter, as its typed tree")
    top: Mapped[int] = mapped_column(Integer, server_default="100", comment="how many ranks are kept a run")
    schedule: Mapped[str] = mapped_column(Text, server_default="nightly", comment="nightly or manual")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class ScreenResult(Base):
    """One rank of a saved screen in one run."""

    __tablename__ = "screen_result"
    __table_args__ = (
        UniqueConstraint("screen_id", "run_id", "rank"),
        CheckConstraint("rank > 0", name="rank"),
        {"comment": "Ranks of saved screens"},
    )

    screen_id: Mapped[int] = mapped_column(ForeignKey("saved_screen.id", ondelete="CASCADE"), primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("screening_run.id", ondelete="CASCADE"), primary_key=True)
    bottom_uid: Mapped[str] = mapped_column(Text, primary_key=True, comment="uid of the member below")
    top_uid: Mapped[str] = mapped_column(Text, primary_key=True, comment="uid of the member above")
    rank: Mapped[int] = mapped_column(Integer, comment="1 is best")
    score: Mapped[float] = mapped_column(REAL, comment="ranking score, 0 to 1")


class ScreenChange(Base):
    """What changed in a saved screen from one run to the next, and why."""

    __tablename__ = "screen_change"
    __table_args__ = (
        CheckConstraint("(kind = 'entered') = (rank_before IS NULL)", name="entered_had_no_rank"),
        CheckConstraint("(kind = 'left') = (rank_after IS NULL)", name="left_has_no_rank"),
        {"comment": "Changes of saved screens between runs"},
    )

    screen_id: Mapped[int] = mapped_column(ForeignKey("saved_screen.id", ondelete="CASCADE"), primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("screening_run.id", ondelete="CASCADE"), primary_key=True)
    bottom_uid: Mapped[str] = mapped_column(Text, primary_key=True)
    top_uid: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[ChangeKind] = mapped_column(enum_column(ChangeKind, "kind"))
    rank_before: Mapped[int | None] = mapped_column(Integer)
    rank_after: Mapped[int | None] = mapped_column(Integer)
    reason: Mapped[str] = mapped_column(
        Text, comment="new or withdrawn material, changed inputs, changed model, changed limits"
    )
