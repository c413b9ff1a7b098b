"""How names and numbers are written on every page."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

ALIGNMENT_COLOURS: Final = {
    "I": "#0072b2",
    "II": "#d55e00",
    "III": "#9a4f8c",
    "metal": "#6b7280",
    "unknown": "#a8b0bb",
}
"""Okabe and Ito's palette: told apart by colour-blind eyes too."""
ALIGNMENT_NAMES: Final = {
    "I": "Type I, straddling",
    "II": "Type II, staggered",
    "III": "Type III, broken gap",
    "metal": "Metal contact",
    "unknown": "Edges unknown",
}
KIND_NAMES: Final = {
    "homobilayer": "Homobilayer",
    "heterobilayer": "Heterobilayer",
    "2d-on-bulk": "2D on bulk",
}
DONOR_NAMES: Final = {"bottom": "Lower layer", "top": "Upper layer"}
BOTTOM_COLOUR: Final = "#3b6ea8"
TOP_COLOUR: Final = "#2f8f78"
MODEL_COLOUR: Final = "#6941c6"
"""Everything that a model said is in this colour."""
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

DIGITS: Final = {
    "score": 3, "gap": 2, "gap_anderson": 2, "valence_offset": 2, "conduction_offset": 2, "binding_energy": 1,
    "distance": 2, "strain": 2, "strain_von_mises": 2, "area": 0, "n_atoms": 0, "hull_energy": 3, "domain_distance": 2,
    "gap_anderson_low": 2, "gap_anderson_high": 2, "vacuum_step": 2, "schottky_electron": 2, "schottky_hole": 2,
    "solar_efficiency": 1, "dispersion_energy": 1, "strain_bottom": 2, "strain_top": 2,
    "work_function_difference": 2, "distance_vdw": 2, "n": 0, "m": 0,
}  # fmt: skip
"""Decimals of a candidate's columns, in the unit in which they are shown: no more than the numbers can bear."""

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def formula(text: str) -> str:
    """A formula with its numbers set low: MoS₂."""
    return text.translate(_SUBSCRIPTS)


def side_name(text: str, uid: str) -> str:
    """A side as people call it: the formula, with the plane (and termination) of a surface."""
    plane = uid[uid.index("(") :] if "(" in uid else ""
    return f"{formula(text)}{plane}"


def pair_path(bottom_uid: str, top_uid: str) -> str:
    """Address of a pair's page."""
    return f"/pair/{quote(bottom_uid, safe='')}/{quote(top_uid, safe='')}"


def number(value: Any, digits: int = 3) -> str:
    """A number to so many significant digits, an em dash where it is not known; words as they are."""
    if value is None or isinstance(value, str):
        return "—" if value is None else value
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 100):
        return f"{int(value):,}".replace("-", "−")
    shown = f"{value:.{digits}g}"
    # A rounding residue is a zero.
    return "0" if abs(value) < 1e-9 else shown.replace("-", "−")


def column(key: str, value: float | None, factor: float = 1.0) -> str:
    """A value of one of a candidate's columns, with that column's decimals."""
    if value is None:
        return "—"
    shown = f"{value * factor:,.{DIGITS[key]}f}"
    return shown.replace("-", "" if float(shown.replace(",", "")) == 0 else "−")


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign and so many decimals; what is rounded to zero has none."""
    shown = f"{value:+.{digits}f}"
    return shown[1:] if float(shown) == 0 else shown.replace("-", "−")


def aria(**attributes: str) -> dict[str, Any]:
    """Attributes for screen readers, as keyword arguments of a component: `aria(label=...)` is aria-label."""
    return {f"aria-{name}": value for name, value in attributes.items()}
