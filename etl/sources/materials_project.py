"""Bulk phases of the Materials Project: summary documents as its interface and `mp-api` give them.

A JSON array of documents, or a response with the array under `data`, or JSON lines; plain, gzip or zip. Of a document,
`structure` is a pymatgen dictionary. Gaps are PBE (with Hubbard U where the database uses it). Formation energies and
distances to the hull have mixed PBE(+U) and r2SCAN calculations since the release of October 2022, so they carry
that method and are never taken for plain PBE.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etl.errors import ImportFileError, RecordError, UnknownKeysError
from etl.records import Doubt, Fact, RawFailure, Record
from etl.source import Raw, Row, Source, SourceInfo, register, require_file
from etl.sources.json_stream import array_items, first_object, line_row, lines
from etl.sources.pymatgen_dict import atoms_from_dict
from etl.sources.values import number, word
from schema import quantities as q
from schema.vocabulary import Method, Subject

_VALUES = (
    ("band_gap", q.GAP, Method.PBE),
    ("formation_energy_per_atom", q.FORMATION_ENERGY, Method.GGA_R2SCAN),
    ("energy_above_hull", q.HULL_ENERGY, Method.GGA_R2SCAN),
    ("total_magnetization", q.MAGNETIC_MOMENT, Method.PBE),
)
_ORDERINGS = {"NM": "NM", "FM": "FM", "AFM": "AFM", "FIM": "FIM"}


@register("materials-project")
class MaterialsProject(Source):
    """Materials Project, .json of summary documents: bulk phases."""

    info = SourceInfo(
        key="materials-project",
        database="Materials Project",
        release="as in the file",
        method="VASP, PBE and PBE+U; energies mixed with r2SCAN since 2022",
        licence="CC BY 4.0",
        citation="Jain et al., APL Mater. 1, 011002 (2013)",
        precedence=40,
    )
    version = "1"

    def check(self, path: Path) -> None:
        """See `Source.check`. The number of documents is not known before the array ends."""
        require_file(path, "a .json file of summary documents of the Materials Project")
        first = next(self.cut(path), None)
        if not isinstance(first, Raw):
            raise ImportFileError(
                f"{path} is neither a JSON array of documents, nor a response with `data`, nor JSON lines.",
                hint="Save the documents as `json.dump([doc.model_dump(mode='json') for doc in docs], file)`.",
            )
        try:
            content = line_row(first).content
        except RecordError as error:
            raise ImportFileError(f"{path}: {error.reason}", hint="Save the documents as JSON.") from error
        if not {"material_id", "structure"} <= set(content):
            shown = ", ".join(sorted(map(str, content))[:8]) or "none"
            raise UnknownKeysError(
                f"The first document of {path} lacks material_id or structure; its keys: {shown}.",
                hint="Ask the Materials Project for the fields material_id, structure, band_gap, "
                "formation_energy_per_atom and energy_above_hull.",
            )

    def cut(self, path: Path) -> Iterator[Raw | RawFailure]:
        """See `Source.cut`."""
        kind, value = first_object(path)
        if kind == "lines" and isinstance(value, dict) and "data" not in value:
            return lines(path)
        return array_items(path, under="data")

    def row(self, raw: Raw) -> Row:
        """See `Source.row`."""
        return line_row(raw)

    def name(self, row: Row) -> str:
        """The material_id, or the place."""
        return _identity(row.content) or row.position

    def record(self, row: Row) -> Record:
        """One bulk phase."""
        content = row.content
        identity = _identity(content)
        if identity is None:
            shown = ", ".join(sorted(map(str, content))[:6]) or "none"
            raise RecordError("unknown_keys", f"{row.position} has no material_id; its keys: {shown}.")
        structure = content.get("structure")
        record = Record(identity, Subject.BULK, content, atoms_from_dict(structure) if structure else None)
        for key, quantity, method in _VALUES:
            value = number(content, key)
            if value is not None:
                record.facts.append(Fact(quantity, value, method))
        _metal(content, record)
        _direct_gap(content, record)
        _ordering(content, record)
        return record


def _identity(content: dict[str, Any]) -> str | None:
    stated = content.get("material_id")
    # emmet's own identifier type, dumped by an older release, is an object with the name in it.
    return word(stated, "string") if isinstance(stated, dict) else word(content, "material_id")


def _metal(content: dict[str, Any], record: Record) -> None:
    gap = number(content, "band_gap")
    if isinstance(content.get("is_metal"), bool) and gap is not None and content["is_metal"] != (gap == 0):
        record.facts = [fact for fact in record.facts if fact.quantity is not q.GAP]
        detail = f"band_gap is {gap} eV, but is_metal is {content['is_metal']}."
        record.doubts.append(Doubt("inconsistent", q.GAP.key, detail))


def _direct_gap(content: dict[str, Any], record: Record) -> None:
    """Where the gap is direct, the smallest direct gap is the gap; where not, the document does not give it."""
    gap = next((fact for fact in record.facts if fact.quantity is q.GAP), None)
    if content.get("is_gap_direct") is True and gap is not None:
        record.facts.append(Fact(q.GAP_DIRECT, gap.value, gap.method))


def _ordering(content: dict[str, Any], record: Record) -> None:
    stated = word(content, "ordering")
    if stated is None or stated == "Unknown":
        return
    state = _ORDERINGS.get(stated.upper())
    if state is None:
        detail = f"ordering is {stated!r}, and not one of NM, FM, AFM, FiM."
        record.doubts.append(Doubt("unknown_label", q.MAGNETIC_STATE.key, detail))
    else:
        record.facts.append(Fact(q.MAGNETIC_STATE, state, Method.PBE))
