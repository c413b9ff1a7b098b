"""What is said of a pair beside its match, on a handful of made-up members."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stackscreen.screening.binary_copy import TextColumn
from stackscreen.screening.describe import derived_columns
from stackscreen.screening.members import MemberTable

NAN = np.nan
# vbm and cbm at the bottom and at the top face, work functions, gap, stiffness (N/m)
MEMBERS = {
    "WIDE": (-6.0, -4.3, -6.0, -4.3, 5.2, 5.2, 1.7, 130.0),
    "DONOR": (-5.2, -3.7, -5.2, -3.7, 4.4, 4.4, 1.5, 65.0),
    "JANUS": (-5.2, -3.7, -6.0, -4.5, 4.5, 5.3, 1.5, NAN),
    "METAL": (NAN, NAN, NAN, NAN, 5.0, 5.0, 0.0, NAN),
    "POLAR METAL": (NAN, NAN, NAN, NAN, 4.6, 5.0, 0.0, NAN),
    "METAL UNKNOWN": (NAN, NAN, NAN, NAN, NAN, NAN, 0.0, NAN),
    "UNKNOWN": (NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN),
    "SURFACE": (NAN, NAN, NAN, NAN, NAN, NAN, 0.0, NAN),
}
_COLUMNS = (
    "vbm_bottom", "cbm_bottom", "vbm_top", "cbm_top", "work_function_bottom", "work_function_top", "gap", "stiffness",
)  # fmt: skip
NUMBER = {name: number for number, name in enumerate(MEMBERS)}


def _table() -> MemberTable:
    values = np.array(list(MEMBERS.values())).T
    columns: dict[str, Any] = dict(zip(_COLUMNS, values, strict=True)) | {"hull_energy": np.zeros(len(MEMBERS))}
    size = len(MEMBERS)
    areas = np.array([9.0, 9.27, *[9.0] * (size - 2)])
    tau = np.full(size, 0.5 + 0.866j)
    return MemberTable(size - 1, np.arange(size), np.arange(size), np.full(size, 3), np.log(areas), tau, columns)


def described(bottom: str, top: str, strain: float = 0.01) -> dict[str, Any]:
    """The columns of one pair as plain values; None where null."""
    row = np.array([[NUMBER[bottom], NUMBER[top], 1.0, 1.0, strain, 6.0, 0.5, 0.0]])
    shown: dict[str, Any] = {}
    for name, column in derived_columns(_table(), row).items():
        if isinstance(column, TextColumn):
            shown[name] = column.words[column.codes[0]].decode() if column.codes[0] >= 0 else None
        else:
            value = column[1][0]
            shown[name] = None if np.isnan(value) else float(value)
    return shown


ORIENTED = ("alignments", "gap_anderson_low", "gap_anderson_high")


def test_a_staggered_pair_has_a_donor_and_a_solar_limit_and_no_barrier() -> None:
    row = described("WIDE", "DONOR")
    assert (row["alignment"], row["electron_donor"]) == ("II", "top")
    assert row["gap_anderson"] == pytest.approx(0.9)
    # 0.65 * (0.9 - 0.3) V * 28.97 mA/cm² at the donor's 1.5 eV / 100.04 mW/cm²
    assert row["solar_efficiency"] == pytest.approx(0.1130, abs=2e-4)
    assert row["schottky_electron"] is row["schottky_hole"] is None


def test_swapping_layers_with_equal_faces_turns_every_sign_and_nothing_else() -> None:
    one, other = described("WIDE", "DONOR"), described("DONOR", "WIDE")
    for name in ("valence_offset", "conduction_offset", "work_function_difference"):
        assert one[name] == -other[name] != 0
    assert (one["electron_donor"], other["electron_donor"]) == ("top", "bottom")
    assert (one["strain_bottom"], one["strain_top"]) == pytest.approx((other["strain_top"], other["strain_bottom"]))
    for name in ("alignment", "gap_anderson", "solar_efficiency", "vacuum_step"):
        assert one[name] == other[name]
    assert one["area"] == pytest.approx(other["area"], rel=1e-9)


def test_the_softer_layer_carries_more_of_the_misfit() -> None:
    row = described("WIDE", "DONOR", strain=0.015)
    # 130 below and 65 N/m above: a third and two thirds.
    assert (row["strain_bottom"], row["strain_top"]) == (pytest.approx(0.005), pytest.approx(0.010))
    assert row["area"] == pytest.approx(9.0 ** (2 / 3) * 9.27 ** (1 / 3), rel=1e-9)
    unknown = described("WIDE", "JANUS", strain=0.015)
    assert unknown["strain_bottom"] == unknown["strain_top"] == pytest.approx(0.0075)
    on_bulk = described("SURFACE", "DONOR", strain=0.015)
    assert (on_bulk["strain_bottom"], on_bulk["strain_top"], on_bulk["area"]) == (0.0, 0.015, pytest.approx(9.0))


def test_orientations_are_told_only_where_faces_differ_and_all_edges_are_known() -> None:
    for pair in (("WIDE", "DONOR"), ("JANUS", "METAL"), ("JANUS", "UNKNOWN"), ("SURFACE", "JANUS")):
        row = described(*pair)
        assert [row[name] for name in ORIENTED] == [None] * 3
    row = described("JANUS", "WIDE")
    # As it lies its top face looks up, (-6.0, -4.5) eV beside (-6.0, -4.3); turned over it shows (-5.2, -3.7).
    assert row["alignments"] == "I II I II"
    assert (row["gap_anderson"], row["gap_anderson_low"], row["gap_anderson_high"]) == pytest.approx((1.5, 0.9, 1.5))
    itself = described("JANUS", "JANUS")
    assert itself["alignments"] == "II I I II"
    assert itself["gap_anderson_low"] == pytest.approx(0.7)


def test_the_vacuum_steps_of_both_layers_add_up() -> None:
    assert described("WIDE", "DONOR")["vacuum_step"] == 0.0
    assert described("JANUS", "WIDE")["vacuum_step"] == pytest.approx(0.8)
    assert described("JANUS", "JANUS")["vacuum_step"] == pytest.approx(1.6)
    # A metal's step is that of its work functions.
    assert described("JANUS", "POLAR METAL")["vacuum_step"] == pytest.approx(1.2)
    assert described("JANUS", "UNKNOWN")["vacuum_step"] is None
    assert described("SURFACE", "JANUS")["vacuum_step"] is None


def test_barriers_are_those_of_the_facing_faces() -> None:
    row = described("METAL", "JANUS")
    # The lower face of JANUS looks at the metal: -5.2 and -3.7 eV, the Fermi level at -5.0 eV.
    assert (row["schottky_electron"], row["schottky_hole"]) == (pytest.approx(1.3), pytest.approx(0.2))
    row = described("JANUS", "METAL")
    assert (row["schottky_electron"], row["schottky_hole"]) == (pytest.approx(0.5), pytest.approx(1.0))
    assert (row["alignment"], row["gap_anderson"]) == ("metal", 0.0)
    for pair in (("METAL", "METAL"), ("METAL UNKNOWN", "DONOR"), ("SURFACE", "DONOR"), ("METAL", "UNKNOWN")):
        row = described(*pair)
        assert row["schottky_electron"] is row["schottky_hole"] is row["solar_efficiency"] is None


def test_nothing_is_said_of_a_layer_of_which_nothing_is_known() -> None:
    row = described("WIDE", "UNKNOWN")
    for name in ("alignment", "gap_anderson", "valence_offset", "electron_donor", "vacuum_step", "solar_efficiency"):
        assert row[name] is None
    assert row["strain_bottom"] == row["strain_top"] == pytest.approx(0.005)


def test_a_block_without_candidates_has_all_columns_and_no_row() -> None:
    columns = derived_columns(_table(), np.empty((0, 8)))
    assert {"alignments", "solar_efficiency", "strain_top"} <= columns.keys()
    assert all(len(c.codes if isinstance(c, TextColumn) else c[1]) == 0 for c in columns.values())
