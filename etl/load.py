"""Writing batches of records: one transaction a batch, by COPY.

Ids are drawn from the tables' own sequences first, so that every table can be filled by COPY without looking back. The
caller holds the source's lock; a batch that fails leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, and_, or_, select, update

from etl.batch import DUPLICATE, Counts, Decider, Decision, Held
from etl.canonical import Canonical
from etl.copying import copy_rows, driver_cursor, reserve_ids
from etl.formula import formulas
from etl.judge import Read, fingerprint
from etl.payload import clean_text
from etl.records import Stack
from etl.spectra import Spectrum
from etl.spectra_store import copy_spectra
from schema.properties import Property
from schema.provenance import ImportRun, SourceRecord
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
            self._properties: dict[str, int] = {
                row.key: row.id for row in connection.execute(select(Property.key, Property.id))
            }
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
        statement = select(
            SourceRecord.external_id, SourceRecord.payload_hash, SourceRecord.id, SourceRecord.state, SourceRecord.rule
        ).where(SourceRecord.source_id == self._source_id, SourceRecord.external_id.in_(names))
        held: dict[tuple[str, bytes], Held] = {}
        living: dict[str, int] = {}
        for name, payload_hash, identity, state, rule in connection.execute(statement):
            held[name, bytes(payload_hash)] = Held(identity, state, rule)
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
            (ids[id(d)], d)
            for d in decisions
            if d.accepted is not None and (d.held is None or d.held.state is RecordState.QUARANTINED)
        ]
        if derived:
            self._write_content(cursor, derived)

    def _revive(self, connection: Connection, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            if decision.held is not None and decision.accepted is not None:
                connection.execute(
                    update(SourceRecord)
                    .where(SourceRecord.id == decision.held.id)
                    .values(state=RecordState.ACCEPTED, rule=None, reason=None, superseded_by_id=None)
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

    def _write_content(self, cursor: psycopg.Cursor[Any], derived: list[tuple[int, Decision]]) -> None:
        with_atoms = [(i, d) for i, d in derived if d.accepted is not None and d.accepted.structure is not None]
        structure_ids = dict(
            zip((i for i, _ in with_atoms), reserve_ids(cursor, "structure", len(with_atoms)), strict=True)
        )
        structures: list[tuple[Any, ...]] = []
        values: list[tuple[Any, ...]] = []
        flags: list[tuple[Any, ...]] = []
        names: list[tuple[int, str]] = []
        stacks: list[tuple[int, int | None, Stack]] = []
        spectra: list[tuple[int, Sequence[Spectrum]]] = []
        for record_id, decision in derived:
            accepted = decision.accepted
            assert accepted is not None  # noqa: S101 - `derived` holds no other
            structure_id = structure_ids.get(record_id)
            if structure_id is not None and accepted.structure is not None:
                structures.append(self._structure(structure_id, record_id, accepted.structure))
            names.extend((record_id, clean_text(name)) for name in dict.fromkeys(accepted.names))
            if accepted.spectra:
                spectra.append((record_id, accepted.spectra))
            for fact in accepted.facts:
                number, label = (None, fact.value) if isinstance(fact.value, str) else (fact.value, None)
                property_id = self._properties[fact.quantity.key]
                values.append((property_id, record_id, fact.method.value, fact.face, number, label))
            unique = {(doubt.rule, doubt.property_key): doubt.detail for doubt in accepted.doubts}
            flags.extend((record_id, rule, key, detail) for (rule, key), detail in unique.items())
            if accepted.stack is not None:
                stacks.append((record_id, structure_id, accepted.stack))
        copy_rows(cursor, "structure", _STRUCTURE, structures)
        copy_rows(cursor, "property_value", _VALUE, values)
        copy_rows(cursor, "record_flag", _FLAG, flags)
        copy_rows(cursor, "record_name", _NAME, names)
        copy_spectra(cursor, spectra)
        interface_ids = reserve_ids(cursor, "interface", len(stacks))
        copy_rows(
            cursor, "interface", _INTERFACE,
            (
                (identity, record_id, s.kind.value, s.bottom_name, s.top_name, s.surface, structure_id)
                for identity, (record_id, structure_id, s) in zip(interface_ids, stacks, strict=True)
            ),
        )  # fmt: skip
        copy_rows(
            cursor, "stacking", _STACKING,
            (
                (
                    identity, list(s.bottom_matrix), list(s.top_matrix),
                    None if s.top_operation is None else list(s.top_operation),
                    s.flip, s.shift_a, s.shift_b, s.twist, s.strain_aa, s.strain_bb, s.strain_ab,
                )
                for identity, (_, _, s) in zip(interface_ids, stacks, strict=True)
            ),
        )  # fmt: skip

    def _structure(self, identity: int, record_id: int, structure: Canonical) -> tuple[Any, ...]:
        formula, anonymous = formulas(structure.numbers.tolist())
        return (
            identity,
            record_id,
            formula,
            anonymous,
            len(structure.numbers),
            structure.periodicity,
            structure.cell.ravel().tolist(),
            structure.numbers.tolist(),
            structure.positions.ravel().tolist(),
            structure.vacuum,
            structure.digest,
        )


_RECORD = (
    "id", "source_id", "external_id", "subject", "payload", "raw_text", "payload_hash", "state", "rule", "reason",
    "import_run_id",
)  # fmt: skip
_STRUCTURE = (
    "id", "source_record_id", "formula", "formula_anonymous", "n_atoms", "periodicity", "cell", "numbers", "positions",
    "vacuum", "digest",
)  # fmt: skip
_VALUE = ("property_id", "source_record_id", "method", "face", "value", "label")
_FLAG = ("source_record_id", "rule", "property_key", "detail")
_NAME = ("source_record_id", "name")
_INTERFACE = ("id", "source_record_id", "kind", "bottom_name", "top_name", "surface", "structure_id")
_STACKING = (
    "interface_id", "bottom_matrix", "top_matrix", "top_operation", "flip", "shift_a", "shift_b", "twist", "strain_aa",
    "strain_bb", "strain_ab",
)  # fmt: skip
