"""MC2D, the Materials Cloud two-dimensional crystals database: a JSON array, of two releases that are one database.

    Mounet 2018 (v4)    258 layers with coordinates and magnetism, named by `relaxed_2D_structure_uuid`
    Campi 2023 (v2)     2,936 layers without coordinates, named by `as_extracted_2D_structure_uuid`, of which 2,683
                        also give `optimized_2D_structure_uuid`

The optimised structure of Campi is the relaxed one of Mounet: 183 uuids are common (and the uuids of the bands of 182
of those), and no other structure uuid of a layer is. A record of Campi carries its uuids as names, and belongs to the
material of the record that has the structure of that name; until there is one, it is kept without material.

Exfoliation energies per area are those of the parents. Where both releases name a parent, all 365 energies by
vdW-DF2-C09 and 359 of 361 by rVV10 agree within rounding, `be_df2` and `be_rvv10` being meV/Å² and `binding_energy_*`
eV/Å². Of several parents the smallest energy is the fact: the parent from which the layer comes off most easily. All
stay in the payload.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from etl.errors import ImportFileError, RecordError, UnknownKeysError
from etl.records import Atoms, Doubt, Fact, RawFailure, Record
from etl.source import Raw, Row, Source, SourceInfo, register, require_file
from etl.sources.json_stream import array_items, line_row
from etl.sources.values import number, word
from schema import quantities as q
from schema.vocabulary import Method, Subject

MEV_PER_EV = 1000.0
_RELAXED, _OPTIMISED, _EXTRACTED = (
    "relaxed_2D_structure_uuid",
    "optimized_2D_structure_uuid",
    "as_extracted_2D_structure_uuid",
)
_KEYS = frozenset({_RELAXED, _OPTIMISED, _EXTRACTED})
_MISSING = "-"
"""What Mounet's file writes for an energy that was not calculated."""
_ENERGY_TOLERANCE = 0.051
"""meV/Å², rounding of Mounet's energies."""
_MAGNETIC_STATES = frozenset({"NM", "FM", "AFM", "FIM"})


@register("mc2d")
class MC2D(Source):
    """MC2D (Materials Cloud), JSON of Mounet 2018 or of Campi 2023."""

    info = SourceInfo(
        key="mc2d",
        database="MC2D",
        release="2018 (v4) and 2023 (v2)",
        method="Quantum ESPRESSO; PBE gaps; exfoliation energies by vdW-DF2-C09 and rVV10",
        licence="as stated by MC2D's authors",
        citation="Mounet et al., Nat. Nanotechnol. 13, 246 (2018); Campi et al., ACS Nano 17, 11268 (2023)",
        precedence=30,
    )
    version = "1"

    def check(self, path: Path) -> int | None:
        """See `Source.check`."""
        require_file(path, "an MC2D .json file")
        first = next(array_items(path), None)
        if not isinstance(first, Raw) or not isinstance(first.content, dict):
            raise ImportFileError(
                f"{path} is no JSON array of objects, as MC2D's files are.",
                hint="Give the structures' JSON file as Materials Cloud distributes it.",
            )
        if not _KEYS & set(first.content):
            shown = ", ".join(sorted(first.content)[:6]) or "none"
            raise UnknownKeysError(
                f"The first record of {path} has no uuid of a 2D structure; its keys: {shown}.",
                hint="Choose another reader: `stackscreen import --help` lists them.",
            )
        return None

    def cut(self, path: Path) -> Iterator[Raw | RawFailure]:
        """See `Source.cut`."""
        return array_items(path)

    def row(self, raw: Raw) -> Row:
        """See `Source.row`."""
        return line_row(raw)

    def name(self, row: Row) -> str:
        """The relaxed structure's uuid of Mounet, the extracted or else optimised one of Campi, or the place."""
        return word(row.content, _RELAXED, _EXTRACTED, _OPTIMISED) or row.position

    def record(self, row: Row) -> Record:
        """One layer; without structure where the file gives none."""
        content = row.content
        uuids = list(dict.fromkeys(u for u in (word(content, key) for key in sorted(_KEYS)) if u is not None))
        if not uuids:
            shown = ", ".join(sorted(content)[:6]) or "none"
            raise RecordError("unknown_keys", f"{row.position} has no uuid of a 2D structure; its keys: {shown}.")
        atoms = _atoms(content) if "atomic_positions" in content else None
        record = Record(self.name(row), Subject.MONOLAYER, content, atoms, names=uuids)
        gap = content.get("band_gap")
        gap = number(gap, "value") if isinstance(gap, dict) else number(content, "band_gap")
        if gap is not None:
            record.facts.append(Fact(q.GAP, gap, Method.PBE))
        _exfoliation(content, record)
        _magnetism(content, record)
        return record


def _atoms(content: dict[str, Any]) -> Atoms:
    """Rows of `cell` are [name, x, y, z], of `atomic_positions` [label, x, y, z, element], Å."""
    try:
        cell = np.array([row[1:4] for row in content["cell"]], float).reshape(3, 3)
        sites = content["atomic_positions"]
        positions = np.array([site[1:4] for site in sites], float).reshape(-1, 3)
        # The label may carry a number that tells magnetic sublattices apart.
        numbers = np.array([atomic_numbers[site[4]] for site in sites], np.int64)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        reason = f"cell and atomic_positions are not readable: {type(error).__name__} {error}."
        raise RecordError("missing_structure", reason) from error
    stated = number(content, "number_of_atoms")
    if stated is not None and stated != len(numbers):
        reason = f"number_of_atoms is {content['number_of_atoms']}, but {len(numbers)} positions are given."
        raise RecordError("missing_structure", reason)
    return Atoms(numbers, positions, cell)


def _exfoliation(content: dict[str, Any], record: Record) -> None:
    """The smallest energy over the parents, by each functional."""
    listed = content.get("all_3D_parents")
    parents = [parent for parent in listed if isinstance(parent, dict)] if isinstance(listed, list) else []
    for old, new, method in (
        ("be_df2", "binding_energy_df2", Method.DF2_C09),
        ("be_rvv10", "binding_energy_rvv10", Method.RVV10),
    ):
        energies = [e for parent in parents if (e := _energy(parent, old, new)) is not None]
        # Two different NaN in a minimum would hide each other.
        smallest = math.nan if any(math.isnan(e) for e in energies) else min(energies, default=None)
        stated = _energy(content, old, new)
        if stated is not None and smallest is not None and abs(stated - smallest) > _ENERGY_TOLERANCE:
            detail = f"{old} is {stated} meV/Å², but the smallest of the parents' is {smallest} meV/Å²."
            record.doubts.append(Doubt("inconsistent", q.EXFOLIATION_ENERGY_PER_AREA.key, detail))
            continue
        value = smallest if smallest is not None else stated
        if value is not None:
            record.facts.append(Fact(q.EXFOLIATION_ENERGY_PER_AREA, value, method))


def _energy(holder: dict[str, Any], old: str, new: str) -> float | None:
    """meV/Å², under Mounet's key, or Campi's, which holds eV/Å²."""
    if holder.get(old) == _MISSING:
        return None
    given = holder.get(new)
    if isinstance(given, dict):
        value = number(given, "value")
        return None if value is None else value * MEV_PER_EV
    return number(holder, old)


def _magnetism(content: dict[str, Any], record: Record) -> None:
    state = word(content, "magnetic_state")
    if state in _MAGNETIC_STATES:
        record.facts.append(Fact(q.MAGNETIC_STATE, state, Method.PBE))
    elif state is not None:
        detail = f"magnetic_state is {state!r}, and not one of {', '.join(sorted(_MAGNETIC_STATES))}."
        record.doubts.append(Doubt("unknown_label", q.MAGNETIC_STATE.key, detail))
    moment = number(content, "tot_magnetization")
    if moment is not None:
        record.facts.append(Fact(q.MAGNETIC_MOMENT, moment, Method.PBE))
