"""C2DB, the Computational 2D Materials Database: ASE SQLite, keys of the 2021 (ASR) and 2024 releases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etl.errors import RecordError
from etl.records import Fact, Record
from etl.source import Raw, Row, Source, SourceInfo, register
from etl.sources.ase_sqlite import ase_cut, ase_kept, ase_row, check_ase
from etl.sources.c2db_keys import add_layer
from etl.sources.values import number, word
from schema import quantities as q
from schema.vocabulary import Method, Subject


@register("c2db")
class C2DB(Source):
    """C2DB, .db file of any release since 2021."""

    info = SourceInfo(
        key="c2db",
        database="C2DB",
        release="2021-2024",
        method="GPAW, PBE with spin-orbit coupling; HSE06 and G0W0 where stated",
        licence="as stated by C2DB's authors (CC BY 4.0 for the published releases)",
        citation="Haastrup et al., 2D Mater. 5, 042002 (2018); Gjerding et al., 2D Mater. 8, 044002 (2021)",
        precedence=10,
    )
    version = "1"

    def check(self, path: Path) -> int:
        """See `Source.check`."""
        return check_ase(path, "C2DB", frozenset({"uid"}), key_hints={"bilayer_uid": "bidb"})

    def cut(self, path: Path) -> Iterator[Raw]:
        """See `Source.cut`."""
        return ase_cut(path)

    def row(self, raw: Raw) -> Row:
        """See `Source.row`."""
        return ase_row(raw)

    def kept(self, external_id: str, payload: dict[str, Any]) -> Row:
        """See `Source.kept`."""
        return ase_kept(external_id, payload)

    def name(self, row: Row) -> str:
        """The uid, or the row."""
        return word(row.content["key_value_pairs"], "uid") or row.position

    def record(self, row: Row) -> Record:
        """One monolayer, band edges against vacuum, one value a face where the faces differ."""
        keys: dict[str, Any] = row.content["key_value_pairs"]
        uid = word(keys, "uid")
        if uid is None:
            shown = ", ".join(sorted(keys)[:6]) or "none"
            raise RecordError("unknown_keys", f"{row.position} has no uid; its keys: {shown}.")
        record = Record(uid, Subject.MONOLAYER, row.content, row.atoms)
        older = word(keys, "olduid")
        if older is not None and older != uid:
            record.names.append(older)
        total = next((e for e in (number(keys, "etot"), number(row.content, "energy")) if e is not None), None)
        if total is not None:
            record.facts.append(Fact(q.TOTAL_ENERGY, total, Method.PBE))
        add_layer(keys, record)
        return record
