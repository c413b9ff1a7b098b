"""How numbers are written on the pages."""

import pytest

from dashboard.components.words import signed


@pytest.mark.parametrize(
    ("value", "shown"), [(-1e-7, "0.00"), (0.0, "0.00"), (0.004, "0.00"), (-0.006, "−0.01"), (1.234, "+1.23")]
)
def test_a_misfit_that_is_rounded_to_zero_has_no_sign(value: float, shown: str) -> None:
    assert signed(value) == shown
