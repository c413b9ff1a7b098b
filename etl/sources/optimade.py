"""Any OPTIMADE provider: a dump as JSON lines, or a saved response, read with the consortium's own types.

Field names, shapes and units (Å) are those of the OPTIMADE specification 1.x. What the specification leaves to the
providers (`_mp_stability`, `_oqmd_delta_e` ...) is taken as a property for the fields of `_FIELDS` alone; the rest
stays in the record's payload. Gaps and energies of a provider are never guessed from the names of their fields.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from etl.canonical import canonical_slab
from etl.errors import ImportFileError, RecordError, UnknownKeysError
from etl.records import Atoms, Fact, RawFailure, Record
from etl.source import Raw, Row, Source, SourceInfo, register, require_file
from etl.sources.json_stream import array_items, first_object, line_row, lines, members_beside
from etl.sources.values import number, word
from schema import quantities as q
from schema.quantities import Quantity
from schema.vocabulary import Method, Subject

_HEADER = "x-optimade"
_PREFIX = re.compile(r"^[a-z][a-z0-9_]{0,31}$")
_FIELD_PREFIX = re.compile(r"^_([a-z][a-z0-9]*)_")
_HEADER_LINES = 100
"""Lines before the first structure: the header, and the descriptions of the server and of its fields."""
_UNKNOWN = "unknown"
_OCCUPIED = 1e-6


@dataclass(frozen=True, slots=True)
class _Provider:
    """What is known of a provider beyond what its responses say."""

    database: str
    method: str
    licence: str
    citation: str


_OPTIMADE_CITATION = "Andersen et al., Sci. Data 8, 217 (2021)"
_PROVIDERS = {
    "mp": _Provider(
        "Materials Project", "VASP, PBE(+U); energies also mixed with r2SCAN", "CC BY 4.0",
        "Jain et al., APL Mater. 1, 011002 (2013)",
    ),
    "oqmd": _Provider("OQMD", "VASP, PBE(+U)", "CC BY 4.0", "Saal et al., JOM 65, 1501 (2013)"),
    "alexandria": _Provider(
        "Alexandria", "VASP, PBE(+U), PBEsol or SCAN", "CC BY 4.0",
        "Schmidt et al., Mater. Today Phys. 48, 101560 (2024)",
    ),
    "mcloud": _Provider(
        "Materials Cloud", "as stated by the provider", "as stated by the provider",
        "Talirz et al., Sci. Data 7, 299 (2020)",
    ),
    "mcloudarchive": _Provider(
        "Materials Cloud Archive", "as stated by the provider", "as stated by the provider",
        "Talirz et al., Sci. Data 7, 299 (2020)",
    ),
    "twodmatpedia": _Provider(
        "2DMatPedia", "VASP, optB88-vdW structures", "as stated by 2DMatPedia's authors",
        "Zhou et al., Sci. Data 6, 86 (2019)",
    ),
    "jarvis": _Provider(
        "JARVIS-DFT", "VASP, optB88-vdW", "as stated by NIST", "Choudhary et al., npj Comput. Mater. 6, 173 (2020)"
    ),
    "cod": _Provider(
        "Crystallography Open Database", "experiment", "CC0", "Gražulis et al., Nucleic Acids Res. 40, D420 (2012)"
    ),
}  # fmt: skip

_FIELDS: dict[tuple[str, ...], tuple[Quantity, Method]] = {
    ("_mp_stability", "gga_gga+u", "energy_above_hull"): (q.HULL_ENERGY, Method.PBE),
    ("_mp_stability", "gga_gga+u", "formation_energy_per_atom"): (q.FORMATION_ENERGY, Method.PBE),
    ("_mp_stability", "gga_gga+u_r2scan", "energy_above_hull"): (q.HULL_ENERGY, Method.GGA_R2SCAN),
    ("_mp_stability", "gga_gga+u_r2scan", "formation_energy_per_atom"): (q.FORMATION_ENERGY, Method.GGA_R2SCAN),
    ("_oqmd_band_gap",): (q.GAP, Method.PBE),
    ("_oqmd_delta_e",): (q.FORMATION_ENERGY, Method.PBE),
    ("_oqmd_stability",): (q.HULL_ENERGY, Method.PBE),
}
"""Providers' own fields, with their path, that are read; all are in the quantity's own unit."""

_USED = (
    "lattice_vectors", "cartesian_site_positions", "species", "species_at_sites", "nsites", "dimension_types",
    "nperiodic_dimensions", "structure_features", "assemblies",
)  # fmt: skip


def _info(prefix: str) -> SourceInfo:
    known = _PROVIDERS.get(prefix)
    stated = "as stated by the provider"
    return SourceInfo(
        key="optimade" if prefix == _UNKNOWN else f"optimade-{prefix}",
        database=f"{known.database if known else prefix} (through OPTIMADE)",
        release="as in the file",
        method=known.method if known else stated,
        licence=known.licence if known else stated,
        citation=f"{known.citation}; {_OPTIMADE_CITATION}" if known else _OPTIMADE_CITATION,
        precedence=45,
    )


@register("optimade")
class Optimade(Source):
    """Any OPTIMADE provider, .jsonl dump or saved .json response.

    Each provider is a source of its own, `optimade-<prefix>`; dimension types tell layers from crystals, and where they
    do not, a vacuum does.
    """

    info = _info(_UNKNOWN)
    version = "1"

    def __init__(self, prefix: str = _UNKNOWN) -> None:
        self._prefix = prefix
        self.info = _info(prefix)

    def check(self, path: Path) -> None:
        """See `Source.check`. The number of structures is not known before the file ends."""
        require_file(path, "an OPTIMADE .jsonl dump or a saved response")
        first = next(self.cut(path), None)
        if not isinstance(first, Raw):
            raise ImportFileError(
                f"{path} holds no OPTIMADE entries.",
                hint="Give JSON lines, or the response to a query of /structures.",
            )
        try:
            content = line_row(first).content
        except RecordError as error:
            raise ImportFileError(f"{path}: {error.reason}.", hint="Fetch it again.") from error
        if not {"id", "attributes"} <= set(content):
            shown = ", ".join(sorted(map(str, content))[:8]) or "none"
            raise UnknownKeysError(
                f"The first entry of {path} has no id or attributes; its keys: {shown}.",
                hint="Choose another reader: `stackscreen import --help` lists them.",
            )

    def for_file(self, path: Path) -> Source:
        """See `Source.for_file`: the reader of this provider."""
        return Optimade(_provider_of(path) or _UNKNOWN)

    def cut(self, path: Path) -> Iterator[Raw | RawFailure]:
        """See `Source.cut`."""
        kind, value = first_object(path)
        if kind == "lines" and isinstance(value, dict) and not isinstance(value.get("data"), list):
            return _entries(lines(path))
        return array_items(path, under="data")

    def row(self, raw: Raw) -> Row:
        """See `Source.row`."""
        return line_row(raw)

    def name(self, row: Row) -> str:
        """Provider and id, or the place."""
        identity = row.content.get("id")
        return self._external_id(str(identity)) if isinstance(identity, (str, int)) else row.position

    def record(self, row: Row) -> Record:
        """One layer or crystal."""
        content = row.content
        if content.get("type", "structures") != "structures":
            raise RecordError("unknown_keys", f"{row.position} is of type {content['type']!r}, and not a structure.")
        identity, attributes = content.get("id"), content.get("attributes")
        if not isinstance(identity, (str, int)) or not isinstance(attributes, dict):
            shown = ", ".join(sorted(map(str, content))[:6]) or "none"
            raise RecordError("unknown_keys", f"{row.position} has no id or attributes; its keys: {shown}.")
        atoms, subject = _structure(str(identity), attributes)
        record = Record(self._external_id(str(identity)), subject, content, atoms)
        immutable = word(attributes, "immutable_id")
        if immutable is not None and immutable != identity:
            record.names.append(immutable)
        for path, (quantity, method) in _FIELDS.items():
            value = _at(attributes, path)
            if value is not None:
                record.facts.append(Fact(quantity, value, method))
        return record

    def _external_id(self, identity: str) -> str:
        return identity if self._prefix == _UNKNOWN else f"{self._prefix}/{identity}"


def _entries(items: Iterator[Raw | RawFailure]) -> Iterator[Raw | RawFailure]:
    """Lines without those that stand before the first structure: the header and the descriptions."""
    heading = True
    for number_, item in enumerate(items):
        if heading and number_ < _HEADER_LINES and isinstance(item, Raw):
            try:
                content = line_row(item).content
            except RecordError:
                content = {}
            if _HEADER in content or content.get("type") == "info":
                continue
            heading = "id" not in content
        yield item


def _provider_of(path: Path) -> str | None:
    """Prefix of the provider: of the header or `meta`, else of the first entry's own fields."""
    kind, value = first_object(path)
    if kind == "lines" and isinstance(value, dict) and _HEADER in value:
        head = value[_HEADER]
        meta = head.get("meta") if isinstance(head, dict) else None
    else:
        meta = members_beside(path, "data").get("meta") if kind != "other" else None
    provider = meta.get("provider") if isinstance(meta, dict) else None
    stated = word(provider, "prefix") if isinstance(provider, dict) else None
    if stated is not None and _PREFIX.match(stated):
        return stated
    first = next(Optimade().cut(path), None)
    content = line_row(first).content if isinstance(first, Raw) else {}
    attributes = content.get("attributes")
    fields = sorted(attributes) if isinstance(attributes, dict) else []
    prefixes = {match[1] for match in map(_FIELD_PREFIX.match, fields) if match}
    return prefixes.pop() if len(prefixes) == 1 else None


def _structure(identity: str, attributes: dict[str, Any]) -> tuple[Atoms, Subject]:
    """Atoms of an entry, and what they are.

    Only what is used is validated: that an entry sorts its elements wrongly makes its structure no worse.
    """
    from optimade.models import StructureFeatures, StructureResource
    from optimade.warnings import MissingExpectedField
    from pydantic import ValidationError

    used = {key: attributes[key] for key in _USED if attributes.get(key) is not None}
    used.setdefault("structure_features", [])
    if not used.get("cartesian_site_positions") or not used.get("lattice_vectors"):
        raise RecordError("missing_structure", f"{identity} has no lattice_vectors or cartesian_site_positions.")
    try:
        with warnings.catch_warnings():
            # Fields that come in pairs and are not both there: what is needed is asked for below.
            warnings.simplefilter("ignore", MissingExpectedField)
            entry = StructureResource.model_validate(
                {"id": identity, "type": "structures", "attributes": {"last_modified": None, **used}}
            ).attributes
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError("missing_structure", f"{identity} is not OPTIMADE at {where}: {first['msg']}.") from error
    features = set(entry.structure_features)
    if features & {StructureFeatures.DISORDER, StructureFeatures.ASSEMBLIES}:
        raise RecordError("mass_or_charge_nonsense", f"{identity} is disordered.")
    if features & {StructureFeatures.IMPLICIT_ATOMS, StructureFeatures.SITE_ATTACHMENTS}:
        raise RecordError("missing_structure", f"{identity} has atoms whose positions are not given.")
    symbols = {species.name: _symbol(identity, species) for species in entry.species or []}
    try:
        numbers = np.array([symbols[name] for name in entry.species_at_sites or []], np.int64)
    except KeyError as error:
        raise RecordError("missing_structure", f"{identity} has no species called {error}.") from error
    positions = np.array(entry.cartesian_site_positions, float).reshape(-1, 3)
    if len(numbers) != len(positions):
        raise RecordError("missing_structure", f"{identity} has {len(numbers)} species for {len(positions)} sites.")
    _compare_formula(identity, attributes, numbers)
    return _with_subject(identity, entry, numbers, positions)


def _symbol(identity: str, species: Any) -> int:
    symbols, concentration = species.chemical_symbols, species.concentration
    if len(symbols) != 1 or len(concentration) != 1 or abs(concentration[0] - 1) > _OCCUPIED:
        raise RecordError(
            "mass_or_charge_nonsense", f"{identity} has a partly occupied or mixed site {species.name!r}."
        )
    z = atomic_numbers.get(symbols[0])
    if not z:
        raise RecordError("mass_or_charge_nonsense", f"{identity} has a site of {symbols[0]!r}, which is no element.")
    return int(z)


def _compare_formula(identity: str, attributes: dict[str, Any], numbers: np.ndarray[Any, Any]) -> None:
    """Refuse an entry whose stated formula is not that of its sites."""
    from pymatgen.core import Composition

    stated = word(attributes, "chemical_formula_reduced")
    if stated is None:
        return
    try:
        composition = Composition(stated)
    except (ValueError, KeyError) as error:
        raise RecordError("inconsistent", f"{identity} states a formula {stated!r} that is none.") from error
    sites = Composition({chemical_symbols[z]: n for z, n in Counter(numbers.tolist()).items()})
    if not composition.fractional_composition.almost_equals(sites.fractional_composition):
        raise RecordError("inconsistent", f"{identity} states {stated}, but its sites are {sites.reduced_formula}.")


def _with_subject(
    identity: str, entry: Any, numbers: np.ndarray[Any, Any], positions: np.ndarray[Any, Any]
) -> tuple[Atoms, Subject]:
    """A layer where two directions are periodic, or three with a vacuum in one; else a crystal."""
    stated = [int(flag) for flag in entry.dimension_types] if entry.dimension_types else None
    dimensions = entry.nperiodic_dimensions if stated is None else sum(stated)
    if dimensions not in (None, 2, 3):
        raise RecordError("not_2d", f"{identity} is periodic in {dimensions} directions.")
    cell = np.array([[x if x is not None else 0.0 for x in row] for row in entry.lattice_vectors], float)
    first, second, third = stated or (1, 1, 1)
    atoms = Atoms(numbers, positions, cell, (bool(first), bool(second), bool(third)))
    if dimensions == 2:
        return atoms, Subject.MONOLAYER
    try:
        canonical_slab(atoms)
    except (RecordError, np.linalg.LinAlgError):
        return atoms, Subject.BULK
    return atoms, Subject.MONOLAYER


def _at(content: dict[str, Any], path: tuple[str, ...]) -> float | None:
    for key in path[:-1]:
        inner = content.get(key)
        if not isinstance(inner, dict):
            return None
        content = inner
    return number(content, path[-1])
