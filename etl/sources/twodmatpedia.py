"""2DMatPedia: JSON lines, plain or gzip.

Structures and van der Waals energies are optB88-vdW, `energy`, `bandgap` and the magnetisation PBE (VASP).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from etl.errors import ImportFileError, RecordError, UnknownKeysError
from etl.records import Fact, RawFailure, Record
from etl.source import Raw, Row, Source, SourceInfo, register, require_file
from etl.sources.json_stream import count_lines, first_object, line_row, lines
from etl.sources.pymatgen_dict import atoms_from_dict
from etl.sources.values import number, word
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


@register("2dmatpedia")
class TwoDMatPedia(Source):
    """2DMatPedia, `db.json` or `db.json.gz`."""

    info = SourceInfo(
        key="2dmatpedia",
        database="2DMatPedia",
        release="2019",
        method="VASP, optB88-vdW structures, PBE gaps and energies",
        licence="as stated by 2DMatPedia's authors",
        citation="Zhou et al., Sci. Data 6, 86 (2019)",
        precedence=30,
    )
    version = "1"

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
        return count_lines(path)

    def cut(self, path: Path) -> Iterator[Raw | RawFailure]:
        """See `Source.cut`."""
        return lines(path)

    def row(self, raw: Raw) -> Row:
        """See `Source.row`."""
        return line_row(raw)

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
        for name, quantity, method in _VALUES:
            value = number(row.content, name)
            if value is not None:
                record.facts.append(Fact(quantity, value, method))
        return record
