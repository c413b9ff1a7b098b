"""What each rule looks at, from where on it speaks and why: what `stackscreen quarantine explain` prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from etl.canonical import MAX_CRYSTAL_GAP, MIN_VACUUM
from etl.validate import (
    BONDED,
    COINCIDENT,
    DISTANCE_TOLERANCE,
    INTERPENETRATING,
    MAX_ATOMIC_NUMBER,
    MAX_CHARGE,
    MAX_SEPARATION,
    MAX_THICKNESS,
    OVERLAP,
    SHRUNK,
    STRONGEST_BONDS,
    WRONG_UNIT_FACTOR,
)
from schema.quantities import BINDING_ENERGY


@dataclass(frozen=True, slots=True)
class Explanation:
    """A rule in words.

    Attributes:
        threshold: from where on it speaks, with units.
        why: what goes wrong otherwise.
        fix: what to do about it.
        releasable: whether a person can use the record, or value, in spite of it.
    """

    threshold: str
    why: str
    fix: str
    releasable: bool

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return asdict(self)


_REPAIR = "Repair the file, or download it again, and import it: the repaired record takes the place of this one."
_LOOK = "Look at the record; release it if it is right, else repair its file or leave it."

EXPLANATIONS: dict[str, Explanation] = {
    "unparsable": Explanation(
        "None: it cannot be decoded, or its reader stumbles over it.",
        "A line cut short by a broken download is no data. Its text is kept, so that nothing is lost in silence.",
        _REPAIR,
        releasable=False,
    ),
    "crashed_parser": Explanation(
        "The memory limit of a parsing process.",
        "Reading goes on in a new process; the record that ended the old one is kept and named.",
        "Raise the memory limit of imports if the record is that large; else repair the file.",
        releasable=False,
    ),
    "too_slow": Explanation(
        "The time limit of one record.",
        "One record must not hold up an import for ever.",
        "Raise the time limit of imports if the record is that large; else repair the file.",
        releasable=False,
    ),
    "unknown_keys": Explanation(
        "None of the identifying keys of the database.",
        "A record without a name could not be recognised at the next import.",
        "Check that the file belongs to this reader: `stackscreen import --help` lists the others.",
        releasable=False,
    ),
    "missing_structure": Explanation(
        "No atoms, or a structure that does not fit together.",
        "Layers are compared by their structure; a record without one cannot be told from others.",
        _REPAIR,
        releasable=False,
    ),
    "non_finite": Explanation(
        "NaN or infinity, in a position, a cell vector or a value.",
        "It would spread into every number derived from it.",
        "Repair the file. A doubted value costs the record nothing else.",
        releasable=False,
    ),
    "mass_or_charge_nonsense": Explanation(
        f"Atomic number below 1 or above {MAX_ATOMIC_NUMBER}; a site shared by several elements; "
        f"a charge beyond {MAX_CHARGE} e a cell.",
        "Masses and radii are not defined for it, and a charged cell is not the neutral material.",
        "A charged cell can be released; what is no element, or a mixed site, cannot.",
        releasable=True,
    ),
    "overlapping_atoms": Explanation(
        f"Two nuclei closer than {OVERLAP} of the sum of their covalent radii (the tightest of 28,000 published "
        f"structures: 0.63; H2: 1.2).",
        "An atom was written twice, or the lengths are not in Å.",
        f"{_LOOK} Atoms closer than {COINCIDENT} Å are one atom written twice and cannot be released.",
        releasable=True,
    ),
    "wrong_unit": Explanation(
        f"The closest two atoms more than {MAX_SEPARATION} Å apart (caesium: 5.2 Å); every atom closer to another than "
        f"{SHRUNK} of a bond length; or a value {WRONG_UNIT_FACTOR:g} times beyond what its quantity allows.",
        "Lengths in nm or pm, or energies in other units, look like discoveries in every ranking.",
        "Convert the file to the unit that its reader expects.",
        releasable=True,
    ),
    "not_2d": Explanation(
        f"Less than {MIN_VACUUM} Å of empty space in every direction; a layer thicker than {MAX_THICKNESS} Å; "
        f"or parts more than {MIN_VACUUM} Å apart.",
        "A layered crystal is no freestanding layer: its van der Waals gaps measure 2.8 to 4 Å.",
        _LOOK,
        releasable=True,
    ),
    "not_3d": Explanation(
        f"A cell without volume, or more than {MAX_CRYSTAL_GAP} Å of empty space along a vector.",
        "Surfaces are cut from bulk phases; a slab has none to cut.",
        "Import a slab as a layer; release a crystal that is that open.",
        releasable=True,
    ),
    "duplicate_external_id": Explanation(
        "A second record of one name in the same file, with another content.",
        "Which one is meant cannot be known; the first one stands.",
        "Release the second one to use it in place of the first.",
        releasable=True,
    ),
    "outside_physics": Explanation(
        "The bounds of the quantity, as `analyst.properties` lists them (low, high).",
        "Such a value is a failed calculation or a wrong unit, and would lead every ranking.",
        _LOOK,
        releasable=True,
    ),
    "not_bound": Explanation(
        "Binding energy of two layers at or below 0 meV/Å².",
        "Any two layers attract each other by dispersion; a negative energy compares two magnetic states.",
        _LOOK,
        releasable=True,
    ),
    "interpenetrating": Explanation(
        f"Interlayer distance below {INTERPENETRATING:g} Å, and either below 0 Å or with two atoms of different layers "
        f"closer than {BONDED} of the sum of their covalent radii.",
        "The layers have reacted or pass through each other: their energy is no van der Waals binding energy.",
        _LOOK,
        releasable=True,
    ),
    "interlocking": Explanation(
        f"Interlayer distance from 0 to {INTERPENETRATING:g} Å, with no two atoms of different layers closer than "
        f"{BONDED} of the sum of their covalent radii.",
        "Bumps of one layer lie in hollows of the other, as in brucite (0.67 Å in the crystal): the distance is right, "
        "but says nothing of how far apart the layers are. Their binding energy is used.",
        "Release the distances if you want them: `stackscreen quarantine release --rule interlocking --source ...`.",
        releasable=True,
    ),
    "chemically_bonded": Explanation(
        f"Binding energy of {BINDING_ENERGY.high:g} to {STRONGEST_BONDS:g} meV/Å², with two atoms of different layers "
        f"closer than {BONDED} of the sum of their covalent radii.",
        "Layers without terminations, such as bare carbides, bond where they touch; that is no van der Waals stack.",
        _LOOK,
        releasable=True,
    ),
    "inconsistent": Explanation(
        f"Two figures of one record that must agree and do not; an interlayer distance by {DISTANCE_TOLERANCE} Å.",
        "One of them is wrong, and the record does not say which.",
        "Look at both. A distance can be released: that of the structure is used. Other values are not read.",
        releasable=True,
    ),
    "not_converged": Explanation(
        "None: the source marks the calculation as not converged.",
        "Energies, distances and levels of an unfinished calculation are those of no structure.",
        "Import a file in which the calculation is finished.",
        releasable=False,
    ),
    "no_vacuum_level": Explanation(
        "A band edge without the vacuum level of its calculation.",
        "On its own energy scale it cannot be compared with that of any other material.",
        "Import a file that has the vacuum level (evac).",
        releasable=False,
    ),
    "unreadable_spectrum": Explanation(
        "An array that is missing, of the wrong shape, or holds numbers that are none.",
        "A curve that is cut or shuffled cannot be told from a true one by eye.",
        "Import a file in which it is whole. The record and its other spectra are used.",
        releasable=False,
    ),
    "unknown_label": Explanation(
        "A word that is not among those of the database.",
        "It would be a category of its own in every filter.",
        "Correct the word in the file; a new release of the database may need a new reader.",
        releasable=False,
    ),
}
"""By name of the rule."""
