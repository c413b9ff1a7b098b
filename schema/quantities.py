"""Every quantity that Stackscreen speaks of, defined once.

One definition feeds the unit check at import, the comment in the database, the header in the dashboard and the
model card. `low` and `high` bound what physics allows: a value beyond them is a wrong unit or a failed
calculation, never a discovery.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from schema.vocabulary import Subject


@dataclass(frozen=True, slots=True)
class Quantity:
    """A named physical quantity.

    Attributes:
        key: identifier in the database and in Python, snake_case.
        symbol: what a figure or a table header shows.
        unit: unit of every stored value; "1" is dimensionless; "" marks a label, which has no number.
        meaning: definition, with its sign convention.
        applies_to: the subjects that may carry it.
        low, high: bounds of the physically possible, in `unit`.
        per_face: whether the two faces of a layer may differ in it.
    """

    key: str
    symbol: str
    unit: str
    meaning: str
    applies_to: tuple[Subject, ...]
    low: float = -inf
    high: float = inf
    per_face: bool = False

    def __reduce__(self) -> tuple[Callable[[str], Quantity], tuple[str]]:
        # A quantity is known by its key: sent to another process, it is still the same object there.
        return _by_key, (self.key,)

    @property
    def is_label(self) -> bool:
        """Whether the quantity is a word (magnetic state ...) and not a number."""
        return self.unit == ""

    def allows(self, value: float) -> bool:
        """Whether `value`, in `unit`, is physically possible. False for NaN."""
        return self.low <= value <= self.high


def _by_key(key: str) -> Quantity:
    return QUANTITIES[key]


_LAYER = (Subject.MONOLAYER,)
_SOLID = (Subject.MONOLAYER, Subject.BULK)
_STACK = (Subject.INTERFACE,)
_ANY = (Subject.MONOLAYER, Subject.BULK, Subject.INTERFACE)

GAP = Quantity("gap", "E_g", "eV", "Fundamental Kohn-Sham or quasiparticle gap; 0 means metallic.", _ANY, 0.0, 20.0)
GAP_DIRECT = Quantity("gap_direct", "E_g,dir", "eV", "Smallest direct gap; 0 means metallic.", _ANY, 0.0, 20.0)
VBM = Quantity(
    "vbm", "E_v", "eV", "Valence band maximum against the vacuum level of the face.",
    (Subject.MONOLAYER, Subject.INTERFACE),
    -20.0, 5.0, per_face=True,
)  # fmt: skip
CBM = Quantity(
    "cbm", "E_c", "eV", "Conduction band minimum against the vacuum level of the face.",
    (Subject.MONOLAYER, Subject.INTERFACE), -20.0, 10.0, per_face=True,
)  # fmt: skip
GAP_NOSOC = Quantity(
    "gap_nosoc", "E_g,sr", "eV",
    "Fundamental Kohn-Sham gap calculated without spin-orbit coupling (scalar-relativistic); 0 means metallic.",
    _LAYER, 0.0, 20.0,
)  # fmt: skip
VBM_NOSOC = Quantity(
    "vbm_nosoc", "E_v,sr", "eV",
    "Valence band maximum against the vacuum level of the face, calculated without spin-orbit coupling.",
    _LAYER, -20.0, 5.0, per_face=True,
)  # fmt: skip
CBM_NOSOC = Quantity(
    "cbm_nosoc", "E_c,sr", "eV",
    "Conduction band minimum against the vacuum level of the face, calculated without spin-orbit coupling.",
    _LAYER, -20.0, 10.0, per_face=True,
)  # fmt: skip
WORK_FUNCTION = Quantity(
    "work_function", "Φ", "eV", "Vacuum level of the face minus Fermi level.", _ANY, 0.0, 15.0, per_face=True
)
VACUUM_STEP = Quantity(
    "vacuum_step", "ΔE_vac", "eV",
    "Vacuum level above the top face minus vacuum level below the bottom face; non-zero for polar layers.",
    (Subject.MONOLAYER, Subject.INTERFACE), -15.0, 15.0,
)  # fmt: skip
FORMATION_ENERGY = Quantity(
    "formation_energy",
    "ΔH",
    "eV/atom",
    "Heat of formation from the standard states of the elements.",
    _SOLID,
    -10.0,
    10.0,
)
HULL_ENERGY = Quantity(
    "hull_energy",
    "E_hull",
    "eV/atom",
    "Energy above the convex hull of competing bulk phases.",
    _SOLID,
    -2.0,
    10.0,
)
EXFOLIATION_ENERGY = Quantity(
    "exfoliation_energy", "E_exf", "eV/atom",
    "Energy to peel one layer off its layered parent; positive = costs energy.",
    _LAYER, -2.0, 5.0,
)  # fmt: skip
EXFOLIATION_ENERGY_PER_AREA = Quantity(
    "exfoliation_energy_per_area", "E_exf/A", "meV/Å²",
    "Energy to pull the layers of the layered parent apart, per layer and area, the layers not relaxed; positive = "
    "costs energy. Of several parents the one that costs least.",
    _LAYER, -50.0, 750.0,
)  # fmt: skip
TOTAL_ENERGY = Quantity("total_energy", "E", "eV", "Total energy of the cell, on the code's own reference.", _ANY)
MAGNETIC_MOMENT = Quantity("magnetic_moment", "μ", "μ_B", "Total magnetic moment of the cell.", _ANY, -1000.0, 1000.0)
MAGNETIC_STATE = Quantity(
    "magnetic_state", "mag", "", "NM, FM, AFM or FIM, or magnetic where only that is known.", _ANY
)
STIFFNESS_11 = Quantity("stiffness_11", "c₁₁", "N/m", "In-plane stiffness along x.", _LAYER, -2000.0, 5000.0)
STIFFNESS_22 = Quantity("stiffness_22", "c₂₂", "N/m", "In-plane stiffness along y.", _LAYER, -2000.0, 5000.0)
STIFFNESS_12 = Quantity("stiffness_12", "c₁₂", "N/m", "In-plane stiffness, off-diagonal.", _LAYER, -2000.0, 5000.0)
POLARIZABILITY_X = Quantity(
    "polarizability_x", "α_x", "Å", "Static electronic 2D polarizability along x.", _LAYER, 0.0, 1e5
)
POLARIZABILITY_Y = Quantity(
    "polarizability_y", "α_y", "Å", "Static electronic 2D polarizability along y.", _LAYER, 0.0, 1e5
)
POLARIZABILITY_Z = Quantity(
    "polarizability_z", "α_z", "Å", "Static electronic 2D polarizability along z.", _LAYER, 0.0, 1e3
)
DYNAMIC_STABILITY = Quantity(
    "dynamic_stability", "dyn", "", "Whether phonons and stiffness show no instability.", _LAYER
)
BINDING_ENERGY = Quantity(
    "binding_energy", "E_b", "meV/Å²",
    "Energy gained per area by bringing the two relaxed layers into contact; positive = bound.", _STACK, -150.0, 150.0,
)  # fmt: skip
BINDING_ENERGY_PER_ATOM = Quantity(
    "binding_energy_per_atom", "E_b/N", "eV/atom",
    "Energy gained per atom of the 2D layer by putting it on its substrate; positive = bound.", _STACK, -10.0, 10.0,
)  # fmt: skip
INTERLAYER_DISTANCE = Quantity(
    "interlayer_distance", "d", "Å",
    "Lowest nucleus of the upper layer minus highest nucleus of the lower layer, along the normal.", _STACK, 1.0, 12.0,
)  # fmt: skip
CHARGE_TRANSFER = Quantity(
    "charge_transfer", "Δq", "e",
    "Electrons that move from one layer to the other on contact, per cell of the interface; a magnitude.",
    _STACK, 0.0, 20.0,
)  # fmt: skip
METALLIC = Quantity("metallic", "metal", "", "Whether a stack is a metal: whether its Kohn-Sham gap is 0.", _STACK)
SLIDE_STABILITY = Quantity("slide_stability", "slide", "", "Whether the registry is a minimum against sliding.", _STACK)
ALIGNMENT_TYPE = Quantity(
    "alignment_type", "type", "",
    "Which layers a stack's band edges belong to: one for both (I), two (II), or no gap between two semiconductors "
    "(III).",
    _STACK,
)  # fmt: skip

QUANTITIES: dict[str, Quantity] = {q.key: q for q in list(globals().values()) if isinstance(q, Quantity)}
"""All quantities by key."""
