"""The literature tables: rows of the CSV files, typed, with their citations resolved."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ase import Atoms

from etl.starter.prototypes import VACUUM, monolayer

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Monolayer:
    """A layer with rounded literature values; None where the literature is not quoted.

    Lengths in Å, energies in eV (`ehull` eV/atom); `vbm_pbe` and `cbm_pbe` against vacuum, the mean
    of both faces' if they differ.
    """

    uid: str
    name: str
    formula: str
    prototype: str
    a: float
    b: float | None
    internal: dict[str, float]
    magstate: str | None
    gap_pbe: float | None
    gap_dir_pbe: float | None
    vbm_pbe: float | None
    cbm_pbe: float | None
    gap_hse: float | None
    workfunction: float | None
    evacdiff: float | None
    """Vacuum level below the layer less that above it: negative when the upper face binds electrons more."""
    ehull: float | None
    spin_orbit: bool
    citation: str
    note: str

    def atoms(self, scale: float = 1.0, vacuum: float = VACUUM) -> Atoms:
        """The structure, its in-plane lattice multiplied by `scale`, with `vacuum` Å of empty space."""
        b = None if self.b is None else self.b * scale
        return monolayer(self.formula, self.prototype, self.a * scale, b, self.internal, vacuum)


@dataclass(frozen=True)
class Bilayer:
    """A stack of two equal layers: distance in Å between facing nuclei, binding energy in meV/Å² (positive = bound)."""

    monolayer_uid: str
    stacking: str
    operation: tuple[int, int, int, int]
    mirrored: bool
    shift: tuple[float, float]
    interlayer_distance: float
    binding_energy: float | None
    gap_pbe: float | None
    slide_stability: str
    citation: str
    note: str

    @property
    def uid(self) -> str:
        """The stacking in BiDB's notation: layer, 2, in-plane operation, Iz if mirrored, fractional shift."""
        operation = "_".join(str(number) for number in self.operation)
        shift = "_".join(f"{round(part, 2):g}" for part in self.shift)
        return f"{self.monolayer_uid}-2-{operation}-{'Iz-' if self.mirrored else ''}{shift}"


@dataclass(frozen=True)
class Metal:
    """An elemental metal: experimental lattice constants in Å and work functions in eV, by face."""

    symbol: str
    structure: str
    a: float
    c: float | None
    work_function: dict[str, float]
    citation: str


@dataclass(frozen=True)
class Interface:
    """A layer on a metal's (111) face: separation in Å, binding energy in eV per atom of the layer."""

    id: str
    film_uid: str
    substrate: str
    film_matrix: tuple[int, int, int, int]
    substrate_matrix: tuple[int, int, int, int]
    layers: int
    separation: float
    binding_energy: float
    citation: str
    note: str


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as handle:
        yield from csv.DictReader(handle)


def _number(text: str) -> float | None:
    return float(text) if text else None


def _matrix(text: str, separator: str) -> tuple[int, int, int, int]:
    m11, m12, m21, m22 = (int(part) for part in text.split(separator))
    return m11, m12, m21, m22


def citations() -> dict[str, str]:
    """Every reference by its key, with its DOI where there is one."""
    return {
        row["key"]: f"{row['reference']}{', doi:' + row['doi'] if row['doi'] else ''}" for row in _rows("citations.csv")
    }


def _cite(keys: str, known: dict[str, str]) -> str:
    """Write out semicolon-separated keys; a row without one, or with an unknown one, is an error."""
    if not keys:
        raise ValueError("a row of the starter tables has no citation")
    return "; ".join(known[key] for key in keys.split(";"))


def monolayers() -> list[Monolayer]:
    """All layers, in the table's order."""
    known = citations()
    return [
        Monolayer(
            uid=row["uid"],
            name=row["name"],
            formula=row["formula"],
            prototype=row["prototype"],
            a=float(row["a"]),
            b=_number(row["b"]),
            internal={
                key: float(value)
                for key, _, value in (pair.partition("=") for pair in row["internal"].split(";") if pair)
            },
            magstate=row["magstate"] or None,
            gap_pbe=_number(row["gap_pbe"]),
            gap_dir_pbe=_number(row["gap_dir_pbe"]),
            vbm_pbe=_number(row["vbm_pbe"]),
            cbm_pbe=_number(row["cbm_pbe"]),
            gap_hse=_number(row["gap_hse"]),
            workfunction=_number(row["workfunction"]),
            evacdiff=_number(row["evacdiff"]),
            ehull=_number(row["ehull"]),
            spin_orbit=row["spin_orbit"] == "yes",
            citation=_cite(row["citation"], known),
            note=row["note"],
        )
        for row in _rows("monolayers.csv")
    ]


def bilayers() -> list[Bilayer]:
    """All stacks of two equal layers, in the table's order."""
    known = citations()
    return [
        Bilayer(
            monolayer_uid=row["monolayer_uid"],
            stacking=row["stacking"],
            operation=_matrix(row["operation"], "_"),
            mirrored=row["mirrored"] == "yes",
            shift=(float(Fraction(row["shift_a"])), float(Fraction(row["shift_b"]))),
            interlayer_distance=float(row["interlayer_distance"]),
            binding_energy=_number(row["binding_energy"]),
            gap_pbe=_number(row["gap_pbe"]),
            slide_stability=row["slide_stability"],
            citation=_cite(row["citation"], known),
            note=row["note"],
        )
        for row in _rows("bilayers.csv")
    ]


def metals() -> list[Metal]:
    """All metals, in the table's order."""
    known = citations()
    return [
        Metal(
            symbol=row["symbol"],
            structure=row["structure"],
            a=float(row["a"]),
            c=_number(row["c"]),
            work_function={
                key.removeprefix("wf_"): float(value) for key, value in row.items() if key.startswith("wf_") and value
            },
            citation=_cite(row["citation"], known),
        )
        for row in _rows("metals.csv")
    ]


def interfaces() -> list[Interface]:
    """All layers on metals, in the table's order."""
    known = citations()
    return [
        Interface(
            id=row["id"],
            film_uid=row["film_uid"],
            substrate=row["substrate"],
            film_matrix=_matrix(row["film_matrix"], " "),
            substrate_matrix=_matrix(row["substrate_matrix"], " "),
            layers=int(row["layers"]),
            separation=float(row["separation"]),
            binding_energy=float(row["binding_energy"]),
            citation=_cite(row["citation"], known),
            note=row["note"],
        )
        for row in _rows("interfaces.csv")
    ]
