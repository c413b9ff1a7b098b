"""Formulas are written as the field writes them."""

from __future__ import annotations

import pytest
from ase.data import atomic_numbers
from ase.symbols import string2symbols

from etl.formula import formulas


@pytest.mark.parametrize(
    ("atoms", "expected"),
    [
        ("Te2Mo", ("MoTe2", "AB2")),
        ("S2Mo", ("MoS2", "AB2")),
        ("SeMoS", ("MoSSe", "ABC")),
        ("C2", ("C", "A")),
        ("N2B2", ("BN", "AB")),
        ("CSi", ("SiC", "AB")),
        ("BrSCr", ("CrSBr", "ABC")),
        ("ITeBi", ("BiTeI", "ABC")),
        ("O2C2Ti3", ("Ti3C2O2", "A2B2C3")),
        ("Pb2I4", ("PbI2", "AB2")),
    ],
)
def test_the_order_of_the_elements_is_the_customary_one(atoms, expected) -> None:
    numbers = [atomic_numbers[symbol] for symbol in string2symbols(atoms)]
    assert formulas(numbers) == expected
    assert formulas(reversed(numbers)) == expected
