"""The closed lists of words that the database uses. A word is written once, here."""

from __future__ import annotations

from enum import StrEnum


class ImportState(StrEnum):
    """Where an import of one file stands."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


class RecordState(StrEnum):
    """What became of a record of a source."""

    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    SUPERSEDED = "superseded"


class Subject(StrEnum):
    """What a record, a property or a set of features speaks about."""

    MONOLAYER = "monolayer"
    BULK = "bulk"
    INTERFACE = "interface"


class MaterialKind(StrEnum):
    """The two kinds of canonical material."""

    MONOLAYER = "monolayer"
    BULK = "bulk"


class InterfaceKind(StrEnum):
    """What is stacked on what."""

    HOMOBILAYER = "homobilayer"
    HETEROBILAYER = "heterobilayer"
    ON_BULK = "2d-on-bulk"


class Face(StrEnum):
    """A face of a slab: the upper one looks along +z."""

    BOTTOM = "bottom"
    TOP = "top"


class Method(StrEnum):
    """The level of theory, or the experiment, behind a value."""

    PBE = "PBE"
    PBE_D3 = "PBE-D3"
    HSE06 = "HSE06"
    G0W0 = "G0W0"
    OPTB88 = "optB88-vdW"
    TB_MBJ = "TB-mBJ"
    GGA_R2SCAN = "PBE+U/r2SCAN mixed"
    VDW_DF = "vdW-DF"
    DF2_C09 = "vdW-DF2-C09"
    RVV10 = "rVV10"
    EXPERIMENT = "experiment"
    LITERATURE = "literature"
    GEOMETRY = "geometry"
    ML_PREDICTED = "ML (source)"
    UNSTATED = "unstated"


class EnergyReference(StrEnum):
    """What the zero of an energy scale is."""

    VACUUM = "vacuum"
    FERMI = "fermi"
    CALCULATION = "calculation"


class Ruling(StrEnum):
    """What a person has ruled about two records."""

    SAME = "same"
    DIFFERENT = "different"


class RunState(StrEnum):
    """Where a screening run stands. At most one run is published."""

    PLANNED = "planned"
    RUNNING = "running"
    PUBLISHED = "published"
    SUPERSEDED = "superseded"
    FAILED = "failed"


class BlockState(StrEnum):
    """Where a block of the pair matrix stands in the work ledger."""

    PENDING = "pending"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"


class AlignmentType(StrEnum):
    """Band alignment of two layers in contact, in the limit of no interaction (Anderson's rule)."""

    STRADDLING = "I"
    STAGGERED = "II"
    BROKEN = "III"
    METAL = "metal"


class EdgeMethod(StrEnum):
    """The functional whose band edges, gaps and work functions a screen aligns; one for all pairs of a run."""

    PBE = "PBE"
    HSE06 = "HSE06"
    G0W0 = "G0W0"


class StackSide(StrEnum):
    """The two sides of a stack."""

    BOTTOM = "bottom"
    TOP = "top"


class ChangeKind(StrEnum):
    """What happened to a pair in a saved screen between two runs."""

    ENTERED = "entered"
    LEFT = "left"
    MOVED = "moved"


class PartKind(StrEnum):
    """By what interfaces are told apart when a model's errors are."""

    ALL = "all"
    FAMILY = "family"
    BLOCK = "block"
    CLASS = "class"


class CurveKind(StrEnum):
    """What a curve of an evaluation shows."""

    LEARNING = "learning"
    CALIBRATION = "calibration"
    PARITY = "parity"
