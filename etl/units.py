"""Units that other people write, converted to ours: a small table of base units and their products.

A unit is written as factors and divisors, each with an optional power: `meV/Å^2`, `kJ/mol`, `J/m²`, `eV/atom`.
The constants are those of CODATA 2018.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schema.errors import StackscreenError


class UnitError(StackscreenError):
    """The unit is unknown, or measures something else."""


@dataclass(frozen=True, slots=True)
class _Measure:
    """A unit in eV, Å, atoms, degrees, Bohr magnetons and elementary charges: its size, and the power of each."""

    size: float
    energy: int = 0
    length: int = 0
    atom: int = 0
    angle: int = 0
    moment: int = 0
    charge: int = 0

    @property
    def powers(self) -> tuple[int, ...]:
        return self.energy, self.length, self.atom, self.angle, self.moment, self.charge

    def to(self, power: int) -> _Measure:
        return _Measure(self.size**power, *(p * power for p in self.powers))

    def __mul__(self, other: _Measure) -> _Measure:
        summed = (a + b for a, b in zip(self.powers, other.powers, strict=True))
        return _Measure(self.size * other.size, *summed)


_JOULE = 1 / 1.602176634e-19
_AVOGADRO = 6.02214076e23
_BASE = {
    "1": _Measure(1.0),
    "%": _Measure(0.01),
    "eV": _Measure(1.0, energy=1),
    "meV": _Measure(1e-3, energy=1),
    "Ha": _Measure(27.211386245988, energy=1),
    "Ry": _Measure(13.605693122994, energy=1),
    "J": _Measure(_JOULE, energy=1),
    "mJ": _Measure(1e-3 * _JOULE, energy=1),
    "kJ": _Measure(1e3 * _JOULE, energy=1),
    "kcal": _Measure(4184 * _JOULE, energy=1),
    "cm⁻¹": _Measure(1.239841984e-4, energy=1),
    "THz": _Measure(4.135667696e-3, energy=1),
    "mol": _Measure(_AVOGADRO),
    "Å": _Measure(1.0, length=1),
    "pm": _Measure(1e-2, length=1),
    "nm": _Measure(10.0, length=1),
    "bohr": _Measure(0.529177210903, length=1),
    "cm": _Measure(1e8, length=1),
    "m": _Measure(1e10, length=1),
    "N": _Measure(_JOULE * 1e-10, energy=1, length=-1),
    "atom": _Measure(1.0, atom=1),
    "deg": _Measure(1.0, angle=1),
    "rad": _Measure(57.29577951308232, angle=1),
    "μ_B": _Measure(1.0, moment=1),
    "e": _Measure(1.0, charge=1),
}
_ALIASES = {
    "A": "Å", "Ang": "Å", "ang": "Å", "Angstrom": "Å", "angstrom": "Å", "Å": "Å",
    "a0": "bohr", "Bohr": "bohr", "Hartree": "Ha", "hartree": "Ha", "Rydberg": "Ry", "rydberg": "Ry",
    "°": "deg", "degree": "deg", "degrees": "deg", "percent": "%", "fraction": "1", "": "1",
    "muB": "μ_B", "mu_B": "μ_B", "µ_B": "μ_B", "μB": "μ_B", "µB": "μ_B", "cm-1": "cm⁻¹", "atoms": "atom",
}  # fmt: skip
_POWERS = {"²": "2", "³": "3"}
_FACTOR = re.compile(r"^(?P<name>cm-1|a0|1|[^\d^*]*?)(?:(?:\^|\*\*)?(?P<power>\d))?$")
_SHOWN = (
    "eV", "meV", "Ha", "Ry", "kJ/mol", "kcal/mol", "cm⁻¹", "THz", "eV/atom", "meV/atom", "Ha/atom", "kJ/mol/atom",
    "eV/Å²", "meV/Å²", "J/m²", "mJ/m²", "N/m", "Å", "nm", "pm", "bohr", "1", "%", "deg", "rad", "μ_B", "e",
)  # fmt: skip


def conversion(unit: str, target: str) -> float:
    """Factor that takes a value in `unit` to `target`.

    Raises:
        UnitError: `unit` is unknown or measures something else; the hint lists what `target` can be made of.
    """
    wanted = _measure(target)
    try:
        given = _measure(unit)
    except UnitError as error:
        raise UnitError(error.message, hint=_convertible(target)) from None
    if given.powers != wanted.powers:
        raise UnitError(f"The unit {unit!r} cannot become {target}.", hint=_convertible(target))
    return given.size / wanted.size


def _convertible(target: str) -> str:
    powers = _measure(target).powers
    return f"Write one of {', '.join(unit for unit in _SHOWN if _measure(unit).powers == powers)}."


def _measure(unit: str) -> _Measure:
    text = unit.strip()
    for sign, digit in _POWERS.items():
        text = text.replace(sign, digit)
    if text in ("1", ""):
        return _BASE["1"]
    product = _BASE["1"]
    for position, part in enumerate(text.split("/")):
        for factor in part.replace("·", " ").split():
            product *= _factor(factor, unit).to(-1 if position else 1)
    return product


def _factor(text: str, unit: str) -> _Measure:
    match = _FACTOR.match(text)
    name = match["name"] if match else text
    base = _BASE.get(_ALIASES.get(name, name))
    if base is None or match is None:
        raise UnitError(f"There is no unit {name!r} in {unit!r}.")
    return base.to(int(match["power"] or 1))
