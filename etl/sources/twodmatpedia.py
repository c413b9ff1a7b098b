"""2DMatPedia: JSON lines, plain or gzip, or one detail record with its density of states.

Structures and van der Waals energies are optB88-vdW, `energy`, `bandgap`, the magnetisation and densities of states PBE
(VASP).

A detail record holds a density of states and a structure, and none of the values that db.json has under the same
material_id. It is a record of its own, `<material_id>/dos`, so that neither of the two supersedes the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from etl.errors import ImportFileError, RecordError, UnknownKeysError
from etl.payload import load_json
from etl.records import Doubt, Fact, RawFailure, Record
from etl.source import Raw, Row, Source, SourceInfo, register, require_file
from etl.sources.json_stream import count_lines, first_object, line_row, lines, open_text
from etl.sources.pymatgen_dict import atoms_from_dict
from etl.sources.pymatgen_dos import dos_from_dict
from etl.sources.values import number, word
from etl.spectra import UNREADABLE
from schema import quantities as q
from schema.vocabulary import Method, Subject

_VALUES = (
    ("bandgap", q.GAP, Method.PBE),
    ("decomposition_energy", q.HULL_ENERGY, Method.PBE),
    ("exfoliation_energy_per_atom", q.EXFOLIATION_ENERGY, Method.OPTB88),
    ("energy", q.TOTAL_ENERGY, Method.PBE),
    ("energy_vdw", q.TOTAL_ENERGY, Method.OPTB88),
    ("total_magnetization", q.MAGNETIC_MOMENT, Method.PBE),
)
_MAX_DETAIL = 64 << 20
"""Characters: a detail record has two to three million."""


@register("2dmatpedia")
class TwoDMatPedia(Source):
    """2DMatPedia, db.json, db.json.gz or one detail record with its density of states."""

    info = SourceInfo(
        key="2dmatpedia",
        database="2DMatPedia",
        release="2019",
        method="VASP, optB88-vdW structures, PBE gaps and energies",
        licence="as stated by 2DMatPedia's authors",
        citation="Zhou et al., Sci. Data 6, 86 (2019)",
        precedence=30,
    )
    version = "2"

    def check(self, path: Path) -> int:
        """See `Source.check`."""
        require_file(path, "2DMatPedia's db.json or db.json.gz")
        kind, value = first_object(path)
        if kind == "other":
            raise ImportFileError(
                f"{path} is not JSON lines, as 2DMatPedia's db.json is.",
                hint="Give db.json or db.json.gz as 2DMatPedia distributes it.",
            )
        if kind == "lines" and isinstance(value, dict) and not {"material_id", "structure"} & set(value):
            shown = ", ".join(sorted(value)[:6]) or "none"
            raise UnknownKeysError(
                f"The first line of {path} has neither material_id nor structure; its keys: {shown}.",
                hint="Choose another reader: `stackscreen import --help` lists them.",
            )
        return 1 if kind == "object" and _detail_record(path) is not None else count_lines(path)

    def cut(self, path: Path) -> Iterator[Raw | RawFailure]:
        """See `Source.cut`."""
        detail = _detail_record(path) if first_object(path)[0] == "object" else None
        return lines(path) if detail is None else iter([Raw("the one record", detail)])

    def row(self, raw: Raw) -> Row:
        """The density of states is the row's attachment; the payload describes it by size and SHA-256."""
        row = line_row(raw)
        dos = row.content.get("dos")
        if not dos:
            return row
        attachment = orjson.dumps(dos)
        described = {"bytes": len(attachment), "sha256": hashlib.sha256(attachment).hexdigest()}
        return Row(row.position, {**row.content, "dos": described}, row.atoms, attachment)

    def is_whole(self, payload: dict[str, Any]) -> bool:
        """See `Source.is_whole`."""
        return not payload.get("dos")

    def name(self, row: Row) -> str:
        """The material_id, or the line."""
        return word(row.content, "material_id") or row.position

    def record(self, row: Row) -> Record:
        """One monolayer."""
        uid = word(row.content, "material_id")
        if uid is None:
            shown = ", ".join(sorted(row.content)[:6]) or "none"
            raise RecordError("unknown_keys", f"{row.position} has no material_id; its keys: {shown}.")
        structure = row.content.get("structure")
        record = Record(uid, Subject.MONOLAYER, row.content, atoms_from_dict(structure) if structure else None)
        if row.content.get("dos") and not any(name in row.content for name, _, _ in _VALUES):
            record.external_id = f"{uid}/dos"
            record.names.append(uid)
        for name, quantity, method in _VALUES:
            value = number(row.content, name)
            if value is not None:
                record.facts.append(Fact(quantity, value, method))
        if row.attachment is not None:
            _add_dos(row.attachment, record)
        return record


def _add_dos(attachment: bytes, record: Record) -> None:
    try:
        record.spectra.append(dos_from_dict(load_json(attachment), Method.PBE))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        detail = f"dos is no density of states: {type(error).__name__}: {error}"
        record.doubts.append(Doubt(UNREADABLE, "density_of_states", detail))


def _detail_record(path: Path) -> str | None:
    """The text of a file that is a single JSON object over several lines; None if it is not."""
    with open_text(path) as file:
        text = file.read(_MAX_DETAIL + 1)
    if len(text) > _MAX_DETAIL:
        return None
    try:
        return text if isinstance(load_json(text), dict) else None
    except (ValueError, RecursionError):
        return None
