"""Writing batches of records: one transaction a batch, by COPY.

Ids are drawn from the tables' own sequences first, so that every table can be filled by COPY without looking back. The
caller holds the source's lock; a batch that fails leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, and_, exists, or_, select, update
from sqlalchemy.orm import aliased

from etl.batch import DUPLICATE, Counts, Decider, Decision, Held
from etl.content import clear_content, property_ids, write_content
from etl.copying import copy_rows, driver_cursor, reserve_ids
from etl.judge import Read, fingerprint
from schema.provenance import ImportRun, RecordRelease, SourceRecord
from schema.vocabulary import RecordState

BATCH = 1000
"""Records a transaction."""


class Loader:
    """Writes the records of one import run.

    Args:
        engine: the database.
        source_id, run_id: rows of `source` and `import_run`.
    """

    def __init__(self, engine: Engine, source_id: int, run_id: int) -> None:
        self._engine = engine
        self._source_id = source_id
        self._run_id = run_id
        self._decider = Decider()
        with engine.connect() as connection:
            self._properties = property_ids(connection)
        self.counts = Counts()

    def load(self, reads: Sequence[Read]) -> None:
        """Decide and write one batch, and count it, in one transaction."""
        with self._engine.begin() as connection:
            held, living = self._held(connection, reads)
            decisions, counts = self._decider.decide(reads, held, living)
            if decisions:
                self._write(connection, decisions)
            self._count(connection, counts)
        self.counts.add(counts)

    def known(self) -> frozenset[bytes]:
        """Fingerprints of the content that the database holds and that stands, see `etl.judge.fingerprint`."""
        statement = select(SourceRecord.external_id, SourceRecord.payload_hash).where(
            SourceRecord.source_id == self._source_id,
            or_(
                SourceRecord.state == RecordState.ACCEPTED,
                and_(SourceRecord.state == RecordState.QUARANTINED, SourceRecord.rule != DUPLICATE),
            ),
        )
        with self._engine.connect() as connection:
            return frozenset(fingerprint(name, bytes(content)) for name, content in connection.execute(statement))

    def _held(
        self, connection: Connection, reads: Iterable[Read]
    ) -> tuple[dict[tuple[str, bytes], Held], dict[str, int]]:
        names = list({read.external_id for read in reads})
        newer = aliased(SourceRecord)
        released = exists().where(
            RecordRelease.source_record_id == SourceRecord.id, RecordRelease.property_key.is_(None)
        )
        passed_over = exists().where(
            newer.id == SourceRecord.superseded_by_id,
            newer.state == RecordState.ACCEPTED,
            RecordRelease.source_record_id == newer.id,
            RecordRelease.property_key.is_(None),
        )
        statement = select(
            SourceRecord.external_id, SourceRecord.payload_hash, SourceRecord.id, SourceRecord.state,
            SourceRecord.rule, released, passed_over,
        ).where(SourceRecord.source_id == self._source_id, SourceRecord.external_id.in_(names))  # fmt: skip
        held: dict[tuple[str, bytes], Held] = {}
        living: dict[str, int] = {}
        for name, payload_hash, identity, state, rule, is_released, is_passed_over in connection.execute(statement):
            held[name, bytes(payload_hash)] = Held(identity, state, rule, is_released, is_passed_over)
            if state is RecordState.ACCEPTED:
                living[name] = identity
        return held, living

    def _count(self, connection: Connection, counts: Counts) -> None:
        connection.execute(
            update(ImportRun)
            .where(ImportRun.id == self._run_id)
            .values(
                n_read=ImportRun.n_read + counts.read,
                n_accepted=ImportRun.n_accepted + counts.accepted,
                n_flagged=ImportRun.n_flagged + counts.flagged,
                n_quarantined=ImportRun.n_quarantined + counts.quarantined.total(),
                n_unchanged=ImportRun.n_unchanged + counts.unchanged,
                n_superseded=ImportRun.n_superseded + counts.superseded,
            )
        )

    def _write(self, connection: Connection, decisions: list[Decision]) -> None:
        replaced = [d.supersedes for d in decisions if d.supersedes is not None]
        if replaced:
            connection.execute(
                update(SourceRecord).where(SourceRecord.id.in_(replaced)).values(state=RecordState.SUPERSEDED)
            )
        fresh = [d for d in decisions if d.held is None]
        cursor = driver_cursor(connection)
        ids = dict(zip(map(id, fresh), reserve_ids(cursor, "source_record", len(fresh)), strict=True))
        for decision in decisions:
            if decision.held is not None:
                ids[id(decision)] = decision.held.id
        copy_rows(cursor, "source_record", _RECORD, (self._record(ids[id(d)], d) for d in fresh))
        self._revive(connection, [d for d in decisions if d.held is not None])
        for decision in decisions:
            if decision.supersedes is not None:
                connection.execute(
                    update(SourceRecord)
                    .where(SourceRecord.id == decision.supersedes)
                    .values(superseded_by_id=ids[id(decision)])
                )
        # A superseded version that comes back has its facts already; one that was quarantined has none.
        derived = [
            (ids[id(d)], d.accepted)
            for d in decisions
            if d.accepted is not None and (d.held is None or d.held.state is RecordState.QUARANTINED)
        ]
        if derived:
            write_content(cursor, self._properties, derived)
        set_aside = [d for d in decisions if d.held is not None and d.accepted is None and not d.returns]
        self._set_aside(connection, set_aside)

    def _revive(self, connection: Connection, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            if decision.held is not None and (decision.accepted is not None or decision.returns):
                # A released version keeps the sentence of the rule that was waived.
                connection.execute(
                    update(SourceRecord)
                    .where(SourceRecord.id == decision.held.id)
                    .values(
                        state=RecordState.ACCEPTED,
                        rule=None,
                        reason=SourceRecord.reason if decision.returns else None,
                        superseded_by_id=None,
                    )
                )

    def _set_aside(self, connection: Connection, decisions: Iterable[Decision]) -> None:
        """Quarantine versions that come back, but do not pass any more, or break another rule than they did."""
        for decision in decisions:
            if decision.held is not None:
                clear_content(driver_cursor(connection), [decision.held.id])
                connection.execute(
                    update(SourceRecord)
                    .where(SourceRecord.id == decision.held.id)
                    .values(state=RecordState.QUARANTINED, rule=decision.rule, reason=decision.reason)
                )

    def _record(self, identity: int, decision: Decision) -> tuple[Any, ...]:
        read = decision.read
        state = RecordState.QUARANTINED if decision.accepted is None else RecordState.ACCEPTED
        payload = read.payload.decode() if read.payload is not None else None
        return (
            identity,
            self._source_id,
            read.external_id,
            read.subject,
            payload,
            read.raw_text,
            read.payload_hash,
            state.value,
            decision.rule,
            decision.reason,
            self._run_id,
        )


_RECORD = (
    "id", "source_id", "external_id", "subject", "payload", "raw_text", "payload_hash", "state", "rule", "reason",
    "import_run_id",
)  # fmt: skip
