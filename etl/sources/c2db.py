"""C2DB, the Computational 2D Materials Database: ASE SQLite or a tree of folders, keys of 2021 (ASR) and 2024."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etl.errors import RecordError
from etl.records import Doubt, Fact, Record
from etl.source import Raw, Row, Source, SourceInfo, register
from etl.sources.ase_sqlite import MAX_DATA, ase_cut, ase_is_whole, ase_kept, ase_row, check_ase
from etl.sources.asr_spectra import levels_of, spectra_of
from etl.sources.c2db_keys import add_layer
from etl.sources.c2db_tree import check_tree, cut_tree, is_of_tree, tree_row
from etl.sources.values import number, word
from etl.spectra import UNREADABLE
from schema import quantities as q
from schema.vocabulary import Method, Subject

_LEVELS = "ground_state"
"""Key of the payload for levels that the release of 2024 gives in the calculation's result alone."""


@register("c2db")
class C2DB(Source):
    """C2DB, .db file or folder tree of any release since 2021."""

    info = SourceInfo(
        key="c2db",
        database="C2DB",
        release="2021-2024",
        method="GPAW, PBE with spin-orbit coupling; HSE06 and G0W0 where stated",
        licence="as stated by C2DB's authors (CC BY 4.0 for the published releases)",
        citation="Haastrup et al., 2D Mater. 5, 042002 (2018); Gjerding et al., 2D Mater. 8, 044002 (2021)",
        precedence=10,
    )
    version = "3"

    def check(self, path: Path) -> int:
        """See `Source.check`."""
        if path.is_dir():
            return check_tree(path)
        return check_ase(path, "C2DB", frozenset({"uid"}), key_hints={"bilayer_uid": "bidb"})

    def cut(self, path: Path) -> Iterator[Raw]:
        """See `Source.cut`."""
        return cut_tree(path) if path.is_dir() else ase_cut(path)

    def row(self, raw: Raw) -> Row:
        """See `Source.row`."""
        row = tree_row(raw) if is_of_tree(raw) else ase_row(raw)
        levels = {} if row.attachment is None else levels_of(row.attachment, row.content["key_value_pairs"])
        if levels:
            # In the payload, which is kept, where the attachment is not.
            row.content[_LEVELS] = levels
        return row

    def kept(self, external_id: str, payload: dict[str, Any]) -> Row:
        """See `Source.kept`."""
        return ase_kept(external_id, payload)

    def is_whole(self, payload: dict[str, Any]) -> bool:
        """See `Source.is_whole`."""
        return ase_is_whole(payload)

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
        keys = {**keys, **row.content.get(_LEVELS, {})}
        add_layer(keys, record)
        _add_spectra(row, keys, record)
        return record


def _add_spectra(row: Row, keys: dict[str, Any], record: Record) -> None:
    if row.attachment is not None and row.atoms is not None:
        spectra, doubts = spectra_of(row.attachment, keys, len(row.atoms.numbers))
        record.spectra.extend(spectra)
        record.doubts.extend(doubts)
    elif "sha256" not in row.content.get("data", {"sha256": ""}):
        detail = f"The row's data are {row.content['data']['bytes']} bytes, more than {MAX_DATA >> 20} MiB."
        record.doubts.append(Doubt(UNREADABLE, "spectra", detail))
