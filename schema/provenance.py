"""Where every fact comes from: databases, imports of their files, and the raw records as they were read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import Base, Digest, enum_column
from schema.vocabulary import ImportState, RecordState, Subject


class Source(Base):
    """One release of one database, or a group's own data."""

    __tablename__ = "source"
    __table_args__ = ({"comment": "One release of one database of materials"},)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    key: Mapped[str] = mapped_column(Text, unique=True, comment="short name, e.g. c2db, starter-c2db")
    database: Mapped[str] = mapped_column(Text, comment="name of the database as its authors write it")
    release: Mapped[str] = mapped_column(Text, comment="release or year; starter for the built-in set")
    method: Mapped[str] = mapped_column(Text, comment="code and functional of the calculations")
    licence: Mapped[str] = mapped_column(Text, comment="licence of the data as stated by its authors")
    citation: Mapped[str] = mapped_column(Text, comment="what to cite when using a value of this source")
    precedence: Mapped[int] = mapped_column(
        SmallInteger,
        server_default="100",
        comment="lower wins where sources give the same property by the same method",
    )
    reader: Mapped[str] = mapped_column(Text, comment="name of the reader of its files")
    names_from: Mapped[str | None] = mapped_column(
        Text, comment="plain key of the source by whose names its interfaces speak of their layers"
    )


class ImportRun(Base):
    """One import of one file: what was read and what became of it."""

    __tablename__ = "import_run"
    __table_args__ = (
        CheckConstraint("state <> 'finished' OR finished_at IS NOT NULL", name="finished_has_time"),
        CheckConstraint(
            "n_read = n_accepted + n_quarantined + n_unchanged OR state <> 'finished'",
            name="every_record_is_counted",
        ),
        {"comment": "One import of one file"},
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="RESTRICT"), index=True)
    file_name: Mapped[str] = mapped_column(Text, comment="name of the file or folder, without its path")
    file_sha256: Mapped[bytes] = mapped_column(Digest, comment="SHA-256 of the file's content")
    file_bytes: Mapped[int] = mapped_column(BigInteger, comment="size of the file, bytes")
    reader_version: Mapped[str] = mapped_column(Text, comment="version of the reader that read it")
    state: Mapped[ImportState] = mapped_column(enum_column(ImportState, "state"), server_default="running")
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    n_read: Mapped[int] = mapped_column(server_default="0", comment="records read")
    n_accepted: Mapped[int] = mapped_column(server_default="0", comment="new or changed records accepted")
    n_flagged: Mapped[int] = mapped_column(server_default="0", comment="of the accepted, those with a doubted property")
    n_quarantined: Mapped[int] = mapped_column(server_default="0", comment="records set aside with a reason")
    n_unchanged: Mapped[int] = mapped_column(server_default="0", comment="records already held, byte for byte")
    n_superseded: Mapped[int] = mapped_column(server_default="0", comment="older versions replaced by this import")
    error: Mapped[str | None] = mapped_column(Text, comment="why the import failed")


class SourceRecord(Base):
    """One record of a source as it was read, raw, with what became of it."""

    __tablename__ = "source_record"
    __table_args__ = (
        UniqueConstraint("source_id", "external_id", "payload_hash"),
        # At most one living version of a record: what makes an import idempotent under any interruption.
        Index(
            "uq_source_record_living",
            "source_id",
            "external_id",
            unique=True,
            postgresql_where=text("state = 'accepted'"),
        ),
        Index("ix_source_record_quarantine", "rule", postgresql_where=text("state = 'quarantined'")),
        CheckConstraint("(state = 'quarantined') = (rule IS NOT NULL)", name="quarantined_has_rule"),
        CheckConstraint("payload IS NOT NULL OR raw_text IS NOT NULL", name="raw_is_kept"),
        {"comment": "One record of a source, raw payload kept"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="RESTRICT"))
    external_id: Mapped[str] = mapped_column(
        Text, comment="identifier in the source; line or row number if it has none"
    )
    subject: Mapped[Subject | None] = mapped_column(
        enum_column(Subject, "subject"), comment="null if it cannot be told"
    )
    payload: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB, comment='the record as read; non-finite numbers are kept as {"$float": "nan"}'
    )
    raw_text: Mapped[str | None] = mapped_column(Text, comment="the raw text where it could not be parsed")
    payload_hash: Mapped[bytes] = mapped_column(Digest, comment="SHA-256 of the canonical payload or raw text")
    state: Mapped[RecordState] = mapped_column(enum_column(RecordState, "state"))
    rule: Mapped[str | None] = mapped_column(Text, comment="name of the quarantine rule that it broke")
    reason: Mapped[str | None] = mapped_column(Text, comment="the rule's sentence about this record")
    import_run_id: Mapped[int] = mapped_column(
        ForeignKey("import_run.id", ondelete="RESTRICT"),
        index=True,
        comment="the import that first brought it",
    )
    superseded_by_id: Mapped[int | None] = mapped_column(ForeignKey("source_record.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class RecordName(Base):
    """A further name by which other records may speak of this one: an older uid, the uuid of its structure."""

    __tablename__ = "record_name"
    __table_args__ = ({"comment": "Further names of records, beside their external id"},)

    source_record_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("source_record.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(Text, primary_key=True, index=True, comment="as the source writes it")


class RecordFlag(Base):
    """A doubt about one property of an accepted record: the record is used, that value is not."""

    __tablename__ = "record_flag"
    __table_args__ = (
        UniqueConstraint("source_record_id", "rule", "property_key"),
        {"comment": "Doubts about single properties of accepted records"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source_record_id: Mapped[int] = mapped_column(ForeignKey("source_record.id", ondelete="CASCADE"))
    rule: Mapped[str] = mapped_column(Text, comment="name of the rule")
    property_key: Mapped[str] = mapped_column(Text, comment="key of the doubted property")
    detail: Mapped[str] = mapped_column(Text, comment="the rule's sentence, with the value that was read")


class RecordRelease(Base):
    """A person's decision to use a record, or one value of it, in spite of a rule."""

    __tablename__ = "record_release"
    __table_args__ = (
        UniqueConstraint("source_record_id", "rule", "property_key", postgresql_nulls_not_distinct=True),
        {"comment": "Records and values used in spite of a rule, by a person's decision"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source_record_id: Mapped[int] = mapped_column(ForeignKey("source_record.id", ondelete="CASCADE"))
    rule: Mapped[str] = mapped_column(Text, comment="name of the rule that is waived")
    property_key: Mapped[str | None] = mapped_column(Text, comment="the released property; null for the whole record")
    author: Mapped[str] = mapped_column(Text, comment="who released it")
    note: Mapped[str | None] = mapped_column(Text, comment="why")
    released_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
